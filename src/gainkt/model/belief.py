"""What is believed about a student: velocity, how fast practice works, and readiness, how much was there before.

Both may be inferred from the history, so that a new student needs no parameters of its own, and revised at each step:
the curve stays monotone for every belief held, while the belief itself may fall after a failure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.batch import Batch
from gainkt.model.parameters import Bounded


class StudentVelocity(nn.Module):
    """A learning velocity gamma > 0 learnt for each training student; a new student gets their mean."""

    inferred = False

    def __init__(self, num_students: int, d_model: int, *, mean: float = 1.1) -> None:
        """Start every student at `mean`."""
        super().__init__()
        self.gamma = Bounded(max(num_students, 1), mean=mean, low=0.0)

    def forward(self, batch: Batch, state_BTD: Tensor) -> Tensor:
        """Velocity of each window's student, [B, 1, 1], to broadcast over steps and skills."""
        gamma, student = self.gamma(), batch.trained_student_B
        return torch.where(student >= 0, gamma[student.clamp_min(0)], gamma.mean())[:, None, None]


class FixedVelocity(nn.Module):
    """The same velocity for every student."""

    inferred = False
    gamma: Tensor

    def __init__(self, num_students: int, d_model: int, *, mean: float = 1.0) -> None:
        """Keep the value."""
        super().__init__()
        self.register_buffer("gamma", torch.tensor(mean), persistent=False)

    def forward(self, batch: Batch, state_BTD: Tensor) -> Tensor:
        """Velocity, [1, 1, 1]."""
        return self.gamma.view(1, 1, 1)


class InferredVelocity(nn.Module):
    """Velocity read off the history: gamma[t] = softplus(w . v[t] + b), started at 1 for everybody."""

    inferred = True

    def __init__(self, num_students: int, d_model: int) -> None:
        """Start with w = 0 and softplus(b) = 1."""
        super().__init__()
        self.head = _zero_linear(d_model, 1)
        nn.init.constant_(self.head.bias, 0.5413)

    def forward(self, batch: Batch, state_BTD: Tensor) -> Tensor:
        """Velocity in each state, [B, T, 1]."""
        return F.softplus(self.head(state_BTD))


class NoReadiness(nn.Module):
    """Nobody knows anything beforehand that the curve's offset does not say."""

    inferred = False

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Take the sizes that every readiness takes; none is needed."""
        super().__init__()

    def forward(self, state_BTD: Tensor, skills: Tensor) -> Tensor:
        """Zero, to broadcast."""
        return state_BTD.new_zeros(1, 1, 1)


class StudentReadiness(nn.Module):
    """One readiness a student and step: o[t] = w . v[t], added to the argument of every skill's curve; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with w = 0."""
        super().__init__()
        self.head = _zero_linear(d_model, 1)

    def forward(self, state_BTD: Tensor, skills: Tensor) -> Tensor:
        """Readiness in each state, [B, T, 1]."""
        return self.head(state_BTD)


class SkillReadiness(nn.Module):
    """A readiness a skill: o[t, k] = w[k] . v[t] + b . v[t], the second part shared by all skills; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with all weights 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_skills, d_model))
        self.shared = nn.Parameter(torch.zeros(d_model))

    def forward(self, state_BTD: Tensor, skills: Tensor) -> Tensor:
        """Readiness for the given skills: [B, T, C] for columns [1 or B, 1, C], [B, T, S] for slots [B, T, S]."""
        weight = self.weight + self.shared
        if skills.shape[1] == 1:
            return state_BTD @ weight[skills[:, 0]].transpose(-1, -2)
        return torch.einsum("btd,btsd->bts", state_BTD, weight[skills])


def _zero_linear(width: int, out: int) -> nn.Linear:
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
