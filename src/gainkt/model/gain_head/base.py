"""What gain heads share.

A gain head is built as `head(num_skills, size)` and called as `head(value_BTD, axis, batch)`; it returns gains in
[0, 1] for the columns of `axis`, [B, T, C]: column c of window b is skill `axis.skills_BC[b, c]`. A head that is
simpler with all skills, or compares them, sets `needs_every_skill = True` and is always given the axis of all K.
One that knows the sum over all skills without a column for each gives it as `others(value_BTD, batch)`, [B, T]: of the
gains of skills that the step does not practise. `gain_sparsity` then asks for no columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis, all_skills
from gainkt.model.returned import checked


def gains_for(head: nn.Module, num_skills: int, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
    """Ask a gain head for the columns of an axis, [B, T, C].

    Raises:
        ConfigError: it returns something else.
    """
    every = all_skills(batch, num_skills) if getattr(head, "needs_every_skill", False) else axis
    letters = "[B, T, C], C the skills of the axis, axis.skills_BC; a head that is given all K sets needs_every_skill"
    gains = checked("model.gain_head", head(value_BTD, every, batch), (*value_BTD.shape[:2], every.size), letters)
    return gains if every is axis else axis.take(gains)


class SkillOutput(nn.Module):
    """A linear map to one logit a skill, computed for the columns in use only."""

    def __init__(
        self,
        width: int,
        num_skills: int,
        weight_std: float | None = None,
        bias_std: float = 0.0,
        *,
        bias: float | None = None,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_skills)
        if weight_std is not None:
            nn.init.normal_(self.linear.weight, std=weight_std)
        # The same draw for every setting, so that a seed means the same model.
        nn.init.normal_(self.linear.bias)
        with torch.no_grad():
            self.linear.bias.mul_(bias_std)
        if bias is not None:
            nn.init.constant_(self.linear.bias, bias)

    def forward(self, x_BTD: Tensor, axis: SkillAxis) -> Tensor:
        """Logits of the columns' skills, [B, T, C]."""
        if axis.is_all:
            return self.linear(x_BTD)
        weight_BCD = self.linear.weight[axis.skills_BC]
        return torch.baddbmm(self.linear.bias[axis.skills_BC][:, None], x_BTD, weight_BCD.transpose(1, 2))
