"""Encoder 1's read-outs: from state and the step to come to the logit of a right response."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.embeddings import SkillEmbedding, mean_vector
from gainkt.model.size import Size


class MLPHead(nn.Module):
    """The research line's read-out: logit[t] = MLP([context[t-1], value[t-1], skills of step t]) - d[item]."""

    def __init__(self, num_skills: int, size: Size, *, has_items: bool) -> None:
        """Build the embedding of the step to come and the MLP."""
        super().__init__()
        self.next_skills = SkillEmbedding(num_skills, size.d_model, has_items=has_items)
        self.mlp = nn.Sequential(
            nn.Linear(3 * size.d_model, size.d_ff),
            nn.ReLU(),
            nn.Dropout(size.dropout),
            nn.Linear(size.d_ff, 1),
        )

    def forward(
        self, context_before_BTD: Tensor, value_before_BTD: Tensor, batch: Batch, difficulty_BT: Tensor
    ) -> Tensor:
        """Logit of a right response to each step, [B, T]."""
        known = torch.cat([context_before_BTD, value_before_BTD, self.next_skills(batch, difficulty_BT)], dim=-1)
        return self.mlp(known).squeeze(-1) - difficulty_BT


class SkillHead(nn.Module):
    """A read-out a skill beside the MLP: logit[t] = mean over the step's skills of (w[k] . value[t-1] + b[k]) + MLP.

    The first part is that of deep knowledge tracing (Piech et al., 2015).
    """

    def __init__(self, num_skills: int, size: Size, *, has_items: bool) -> None:
        """Build both parts; w and b start at 0."""
        super().__init__()
        self.shared = MLPHead(num_skills, size, has_items=has_items)
        self.weight, self.bias = nn.Embedding(num_skills, size.d_model), nn.Embedding(num_skills, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(
        self, context_before_BTD: Tensor, value_before_BTD: Tensor, batch: Batch, difficulty_BT: Tensor
    ) -> Tensor:
        """Logit of a right response to each step, [B, T]."""
        weight, bias = (mean_vector(table, batch.skills_BTS, batch) for table in (self.weight, self.bias))
        own = (weight * value_before_BTD).sum(-1) + bias.squeeze(-1)
        return own + self.shared(context_before_BTD, value_before_BTD, batch, difficulty_BT)
