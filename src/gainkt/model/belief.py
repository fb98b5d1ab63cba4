"""What is believed about a student: velocity, how fast practice works, and readiness, how much was there before.

Both may be inferred from the history, so that a new student needs no parameters of its own, and revised at each step:
the curve stays monotone for every belief held, while the belief itself may fall after a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import Cells


@dataclass(slots=True)
class Belief:
    """What is believed about the students at some moments."""

    velocity: Tensor
    """gamma > 0, to broadcast to [B, T, C]."""
    readiness: Callable[[Cells], Tensor]
    """o of the given cells; to broadcast to their shape, [B, T, S or C]."""


@dataclass(slots=True)
class Moments:
    """Moments in the students' histories at which a belief is held."""

    states_BND: Tensor
    """State of the value stream after n = 0..T steps, N = T + 1; 0 after none."""
    after_BT: Tensor
    """int64 in [0, T], the number of steps after which each belief is held."""
    now_BTD: Tensor
    """The states at those moments."""

    @classmethod
    def before_steps(cls, value_BTD: Tensor) -> Moments:
        """Before each step."""
        return cls._of(value_BTD, torch.arange(value_BTD.shape[1], device=value_BTD.device)[None], slice(None, -1))

    @classmethod
    def after_steps(cls, value_BTD: Tensor) -> Moments:
        """After each step."""
        return cls._of(
            value_BTD, torch.arange(1, value_BTD.shape[1] + 1, device=value_BTD.device)[None], slice(1, None)
        )

    @classmethod
    def at_end(cls, value_BTD: Tensor, batch: Batch) -> Moments:
        """After the last step of each window; T = 1."""
        count = batch.valid_BT.sum(1, keepdim=True)
        states = F.pad(value_BTD, (0, 0, 1, 0))
        now = states.gather(1, count[..., None].expand(-1, 1, states.shape[2]))
        return cls(states, count, now)

    @classmethod
    def _of(cls, value_BTD: Tensor, after_1T: Tensor, part: slice) -> Moments:
        states = F.pad(value_BTD, (0, 0, 1, 0))
        return cls(states, after_1T.expand(len(states), -1), states[:, part])


def zero_linear(width: int, out: int) -> nn.Linear:
    """A linear map that starts at zero: what it infers starts at the neutral value."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
