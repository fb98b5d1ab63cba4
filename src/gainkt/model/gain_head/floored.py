"""A floor under the spread of gains over skills, kept by projection, around any gain head."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.size import Size

MOST_STRETCH = 100.0
"""Greatest factor on deviations: those that would need more are taken for rounding, and gradients stay bounded."""
TOLERANCE = 1e-6
"""Shortfall of the variance, as a share of the floor, that is rounding: half of it is lacking in the std."""


class FlooredGain(nn.Module):
    """Another head's gains, spread out at each step whose std over all K skills is under a floor.

    What is floored is what the head says; of it, `receivers` may let through a part.
    """

    needs_every_skill = True

    def __init__(self, num_skills: int, size: Size, *, head: Callable[[int, Size], nn.Module], floor: float) -> None:
        """Build the other head.

        Raises:
            ConfigError: no gains in [0, 1] of K skills have that std.
        """
        super().__init__()
        share = num_skills // 2 / num_skills
        most = (share * (1 - share)) ** 0.5
        if not 0 < floor < 0.5 or floor > most:
            raise ConfigError(
                f"floor={floor}: must be above 0 and under .5, the maximum std of gains in [0, 1] "
                f"({num_skills} skills reach {most:.3f})"
            )
        self.head, self.floor = head(num_skills, size), floor

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, K]."""
        assert axis.is_all, "the std is over all skills"
        return raise_std(self.head(value_BTD, axis, batch), self.floor)


def raise_std(gains_BTK: Tensor, floor: float) -> Tensor:
    """Gains whose std over skills is at least `floor` at each step, in the same order; as they are where it was.

    clip(mean + (g - mean) floor / std) to [0, 1]; what clipping or equal gains leave lacking, `_move_apart` adds.
    """
    mean = gains_BTK.mean(-1, keepdim=True)
    deviation = gains_BTK - mean
    # Clamped before the root, whose slope at 0 is infinite.
    std = deviation.square().mean(-1, keepdim=True).clamp_min((floor / MOST_STRETCH) ** 2).sqrt()
    stretched = (mean + deviation * (floor / std)).clamp(0, 1)
    # Ranked before clipping makes gains equal that were not.
    rank = gains_BTK.argsort(dim=-1, stable=True).argsort(dim=-1)
    is_upper = rank >= gains_BTK.shape[-1] // 2
    return _move_apart(torch.where(std < floor, stretched, gains_BTK), is_upper, floor)


def _move_apart(gains_BTK: Tensor, is_upper_BTK: Tensor, floor: float) -> Tensor:
    """Move gains towards p by the minimum w that brings their std to `floor`: g + w (p - g).

    p is 1 for the upper half of the skills and 0 for the lower, equal gains being ranked by the skill's number; no
    gains in [0, 1] have a greater std. w solves var(g) + 2 w cov(g, p - g) + w^2 var(p - g) = floor^2.
    """
    way = is_upper_BTK.to(gains_BTK.dtype) - gains_BTK
    deviation, way_deviation = (x - x.mean(-1, keepdim=True) for x in (gains_BTK, way))
    a = way_deviation.square().mean(-1, keepdim=True)
    b = (deviation * way_deviation).mean(-1, keepdim=True)
    lacking = floor**2 - deviation.square().mean(-1, keepdim=True)
    short = lacking > TOLERANCE * floor
    # Steps that lack nothing get harmless numbers, so that no NaN comes back from the branch not taken.
    root = torch.where(short, b.square() + a * lacking, 1.0).sqrt()
    w = torch.where(short, (root - b) / torch.where(short, a, 1.0), 0.0).clamp_max(1)
    return gains_BTK + w * way
