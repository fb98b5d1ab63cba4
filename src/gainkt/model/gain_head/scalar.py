"""Scalar."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis
from gainkt.model.size import Size


class NoGain(nn.Module):
    """Practice teaches nothing: g = 0 for every skill, as theories without learning have it (Rasch)."""

    def __init__(self, num_skills: int, size: Size) -> None:
        super().__init__()

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Zeros, [B, T, C]."""
        return value_BTD.new_zeros(*value_BTD.shape[:2], axis.size)


class ScalarGain(nn.Module):
    """V0's gain, one number a step for every skill: g[t, k] = sigmoid(mean over D of relu(v[t])).

    No parameters of its own. v is layer-normed, so the number can hardly leave .585-.60 whatever is learnt.
    """

    def __init__(self, num_skills: int, size: Size) -> None:
        super().__init__()

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        return left_over(value_BTD)[..., None].expand(-1, -1, axis.size)


def left_over(value_BTD: Tensor) -> Tensor:
    """The research line's reported "gain", sigmoid(mean over D of relu(v)), [B, T]; a probe, read by no V1-V3 model."""
    return torch.sigmoid(torch.relu(value_BTD.float()).mean(-1))
