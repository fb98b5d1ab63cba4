"""Base."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.model.axis import SkillAxis


class SkillOutput(nn.Module):
    """A linear map to one logit a skill, computed for the columns in use only."""

    def __init__(self, width: int, num_skills: int, weight_std: float | None, bias_std: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_skills)
        if weight_std is not None:
            nn.init.normal_(self.linear.weight, std=weight_std)
        # std 0 gives zeros: the same draw for every setting, so that a seed means the same model.
        nn.init.normal_(self.linear.bias)
        with torch.no_grad():
            self.linear.bias.mul_(bias_std)

    def forward(self, x_BTD: Tensor, axis: SkillAxis) -> Tensor:
        """Logits of the columns' skills, [B, T, C]."""
        if axis.is_all:
            return self.linear(x_BTD)
        weight_BCD = self.linear.weight[axis.skills_BC]
        return torch.baddbmm(self.linear.bias[axis.skills_BC][:, None], x_BTD, weight_BCD.transpose(1, 2))
