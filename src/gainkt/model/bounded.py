"""Learnt numbers that keep to a range without clamping, one for all skills or one a skill."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.errors import ConfigError

LEAST = 1e-6
"""Distance that a probability keeps from 0 and 1, so that its logit is finite."""

_MARGIN = 1e-3
"""Share of the range (or distance from a one-sided bound) that a starting value keeps from its bounds."""


class Bounded(nn.Module):
    r"""A learnt parameter in a range, started at a given value.

    value = low + (high - low) sigmoid(raw) between two bounds, low + softplus(raw) above one, raw without any.
    """

    def __init__(
        self,
        num_skills: int,
        *,
        mean: float,
        std: float = 0.0,
        low: float | None = None,
        high: float | None = None,
        per_skill: bool = True,
        learn: bool = True,
    ) -> None:
        """Start the values at N(mean, std), clipped to the range.

        Raises:
            ConfigError: the range is empty or the mean lies outside it.
        """
        super().__init__()
        if high is not None and (low is None or low >= high):
            raise ConfigError(f"low={low}, high={high}: a range needs low < high")
        if (low is not None and mean < low) or (high is not None and mean > high):
            raise ConfigError(f"mean={mean}: outside the range from low={low} to high={high}")
        self.low, self.high, self.per_skill = low, high, per_skill
        value = mean + std * torch.randn(num_skills if per_skill else 1)
        self.raw = nn.Parameter(self._invert(value), requires_grad=learn)

    def _invert(self, value: Tensor) -> Tensor:
        """Raw numbers that give `value`, moved off the bounds where the inverse is infinite."""
        if self.low is None:
            return value
        if self.high is None:
            above = (value - self.low).clamp_min(_MARGIN)
            return above + torch.log(-torch.expm1(-above))
        width = self.high - self.low
        return torch.logit(((value - self.low) / width).clamp(_MARGIN, 1 - _MARGIN))

    def forward(self) -> Tensor:
        """Values, [K] or [1]."""
        if self.low is None:
            return self.raw
        if self.high is None:
            return self.low + F.softplus(self.raw)
        return self.low + (self.high - self.low) * torch.sigmoid(self.raw)

    def at(self, skills: Tensor) -> Tensor:
        """Values of the given skills, in the shape of `skills`, or one that broadcasts to it."""
        value = self()
        return value[skills] if self.per_skill else value


BoundedFactory = Callable[[int], Bounded]
"""Builds a bounded parameter for a number of skills."""
