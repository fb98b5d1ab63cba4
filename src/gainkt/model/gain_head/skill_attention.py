"""Skill attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis
from gainkt.model.size import Size


class SkillAttentionGain(nn.Module):
    """Gains by attention over skills: g[t, k] = sigmoid(q(v[t]) . e[k] / sqrt(D) + mean over S[t] of sim[s, k]).

    sim is a learnt skill-to-skill bias, started at 0.
    """

    def __init__(self, num_skills: int, size: Size) -> None:
        """Build the query, the skills' keys e and the similarity."""
        super().__init__()
        self.scale = size.d_model**-0.5
        self.query = nn.Linear(size.d_model, size.d_model)
        self.keys = nn.Parameter(torch.randn(num_skills, size.d_model))
        self.similarity = nn.Parameter(torch.zeros(num_skills, num_skills))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        keys_BCD = self.keys[axis.skills_BC].expand(len(batch), -1, -1)
        score = self.scale * torch.bmm(self.query(value_BTD), keys_BCD.transpose(1, 2))
        # One slot at a time: [B, T, S, C] at once would multiply memory by the most skills that an item has.
        count = batch.has_skill_BTS.sum(-1, keepdim=True).clamp_min(1)
        for slot in range(batch.skills_BTS.shape[2]):
            bias = self.similarity[batch.skills_BTS[..., slot, None], axis.skills_BC[:, None]]
            score = score + bias * batch.has_skill_BTS[..., slot, None] / count
        return torch.sigmoid(score.float())
