"""Velocity."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.belief import Moments, zero_linear
from gainkt.model.bounded import Bounded


class StudentVelocity(nn.Module):
    """A learning velocity gamma > 0 learnt for each training student; a new student gets their mean."""

    inferred = False

    def __init__(self, num_students: int, d_model: int, *, mean: float) -> None:
        """Start every student at `mean`."""
        super().__init__()
        self.gamma = Bounded(max(num_students, 1), mean=mean, low=0.0)

    def forward(self, batch: Batch, moments: Moments) -> Tensor:
        """Velocity of each window's student, [B, 1, 1], to broadcast over steps and skills."""
        gamma, student = self.gamma(), batch.trained_student_B
        return torch.where(student >= 0, gamma[student.clamp_min(0)], gamma.mean())[:, None, None]


class FixedVelocity(nn.Module):
    """The same velocity for every student."""

    inferred = False
    gamma: Tensor

    def __init__(self, num_students: int, d_model: int, *, mean: float) -> None:
        super().__init__()
        self.register_buffer("gamma", torch.tensor(mean), persistent=False)

    def forward(self, batch: Batch, moments: Moments) -> Tensor:
        """Velocity, [1, 1, 1]."""
        return self.gamma.view(1, 1, 1)


class InferredVelocity(nn.Module):
    """Velocity read off the history, within bounds and started at 1 for everybody.

    gamma[t] = slowest (fastest / slowest) ^ sigmoid(w . v[t] + b)
    """

    inferred = True

    def __init__(self, num_students: int, d_model: int, *, slowest: float, fastest: float) -> None:
        """Start with w = 0 and b such that gamma = 1.

        Raises:
            ConfigError: 1 does not lie between the two.
        """
        super().__init__()
        if not 0 < slowest < 1 < fastest:
            raise ConfigError(
                f"model.velocity.slowest={slowest}, fastest={fastest}: 1, the average student's, must lie between them"
            )
        self.slowest, self.range = slowest, fastest / slowest
        self.head = zero_linear(d_model, 1)
        share = -log(slowest) / log(self.range)
        nn.init.constant_(self.head.bias, log(share / (1 - share)))

    def forward(self, batch: Batch, moments: Moments) -> Tensor:
        """Velocity at each moment, [B, T, 1], between slowest and fastest."""
        return self.slowest * self.range ** torch.sigmoid(self.head(moments.now_BTD))
