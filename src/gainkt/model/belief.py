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
    """State of the value stream after n = 0..T steps of the window, N = T + 1; 0 before the first of a history."""
    after_BT: Tensor
    """int64 in [0, T], the number of steps after which each belief is held."""
    now_BTD: Tensor
    """The states at those moments."""

    @classmethod
    def before_steps(cls, value_BTD: Tensor, start_BD: Tensor | None = None) -> Moments:
        """Before each step; `start_BD` is the state before the first, 0 where None."""
        return cls._of(value_BTD, start_BD, torch.arange(value_BTD.shape[1], device=value_BTD.device), slice(None, -1))

    @classmethod
    def after_steps(cls, value_BTD: Tensor, start_BD: Tensor | None = None) -> Moments:
        """After each step."""
        after = torch.arange(1, value_BTD.shape[1] + 1, device=value_BTD.device)
        return cls._of(value_BTD, start_BD, after, slice(1, None))

    @property
    def first(self) -> Moments:
        """The first of them; T = 1."""
        return Moments(self.states_BND, self.after_BT[:, :1], self.now_BTD[:, :1])

    @classmethod
    def at_end(cls, value_BTD: Tensor, batch: Batch, start_BD: Tensor | None = None) -> Moments:
        """After the last step of each window; T = 1."""
        count = batch.valid_BT.sum(1, keepdim=True)
        states = _with_start(value_BTD, start_BD)
        now = states.gather(1, count[..., None].expand(-1, 1, states.shape[2]))
        return cls(states, count, now)

    @classmethod
    def _of(cls, value_BTD: Tensor, start_BD: Tensor | None, after_T: Tensor, part: slice) -> Moments:
        states = _with_start(value_BTD, start_BD)
        return cls(states, after_T[None].expand(states.shape[0], -1), states[:, part])


def _with_start(value_BTD: Tensor, start_BD: Tensor | None) -> Tensor:
    """States after 0..T steps, [B, T + 1, D]."""
    if start_BD is None:
        return F.pad(value_BTD, (0, 0, 1, 0))
    return torch.cat([start_BD[:, None].to(value_BTD.dtype), value_BTD], 1)


def zero_linear(width: int, out: int, *, bias: bool = True) -> nn.Linear:
    """A linear map that starts at zero: what it infers starts at the neutral value."""
    layer = nn.Linear(width, out, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
