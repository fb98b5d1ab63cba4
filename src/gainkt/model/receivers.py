"""Receivers."""

from __future__ import annotations

from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis


class Practised(nn.Module):
    """Only the skills that the step practises receive its gain."""

    def forward(self, gains_BTC: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains received, [B, T, C]."""
        return gains_BTC * axis.practised(batch.has_skill_BTS)


class AllSkills(nn.Module):
    """Every skill receives the step's gain for it."""

    def forward(self, gains_BTC: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains received, [B, T, C]."""
        return gains_BTC * batch.valid_BT[..., None]
