"""V4's most readable gains: two numbers a skill, what a right response teaches and what a wrong one does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis
from gainkt.model.gain_head.base import SkillOutput
from gainkt.model.size import Size


class OwnTableGain(nn.Module):
    """Gains read off a table: sigmoid(a[r[t], k]) for practised skills, sigmoid(w[k] . v[t] + b[k]) for the others.

    An own gain depends on the skill and on the response r[t] in {0, 1} alone: what is known of the student can only go
    into velocity and readiness. b starts so low that a step hardly moves the skills it does not practise;
    `gain_sparsity` keeps it so. Numbers in a table have far to go: give the head 20 times the learning rate.
    """

    def __init__(
        self,
        num_skills: int,
        size: Size,
        *,
        right_bias: float = 0.5,
        wrong_bias: float = -1.5,
        transfer_bias: float = -4.0,
    ) -> None:
        """Start own gains at `right_bias` or `wrong_bias` logits by the response, transfer gains at `transfer_bias`."""
        super().__init__()
        self.table = nn.Parameter(torch.tensor([wrong_bias, right_bias])[:, None].repeat(1, num_skills))
        self.transfer = SkillOutput(size.d_model, num_skills, 0.01, 0.0)
        nn.init.constant_(self.transfer.linear.bias, transfer_bias)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        wrong, right = self.table[:, axis.skills_BC][:, :, None]
        own = torch.where(batch.response_BT[..., None] > 0.5, right, wrong)
        practised = axis.practised(batch.has_skill_BTS)
        return torch.sigmoid(torch.where(practised, own, self.transfer(value_BTD, axis)).float())
