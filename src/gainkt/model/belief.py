"""What is believed about a student: velocity, how fast practice works, and readiness, how much was there before.

Both may be inferred from the history, so that a new student needs no parameters of its own, and revised at each step:
the curve stays monotone for every belief held, while the belief itself may fall after a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.parameters import Bounded
from gainkt.model.skill_axis import Cells


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


class StudentVelocity(nn.Module):
    """A learning velocity gamma > 0 learnt for each training student; a new student gets their mean."""

    inferred = False

    def __init__(self, num_students: int, d_model: int, *, mean: float = 1.1) -> None:
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

    def __init__(self, num_students: int, d_model: int, *, mean: float = 1.0) -> None:
        """Keep the value."""
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

    def __init__(self, num_students: int, d_model: int, *, slowest: float = 0.0625, fastest: float = 16.0) -> None:
        """Start with w = 0 and b such that gamma = 1.

        Args:
            num_students: not needed.
            d_model: width of the states.
            slowest: least velocity, in (0, 1); what a student practises must be seen to count.
            fastest: greatest velocity, over 1.

        Raises:
            ConfigError: 1 does not lie between the two.
        """
        super().__init__()
        if not 0 < slowest < 1 < fastest:
            raise ConfigError(
                f"model.velocity.slowest={slowest}, fastest={fastest}: 1, the average student's, must lie between them"
            )
        self.slowest, self.range = slowest, fastest / slowest
        self.head = _zero_linear(d_model, 1)
        share = -log(slowest) / log(self.range)
        nn.init.constant_(self.head.bias, log(share / (1 - share)))

    def forward(self, batch: Batch, moments: Moments) -> Tensor:
        """Velocity at each moment, [B, T, 1], between slowest and fastest."""
        return self.slowest * self.range ** torch.sigmoid(self.head(moments.now_BTD))


class NoReadiness(nn.Module):
    """Nobody knows anything beforehand that the curve's offset does not say."""

    inferred = False

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Take the sizes that every readiness takes; none is needed."""
        super().__init__()

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Zero, to broadcast."""
        return moments.now_BTD.new_zeros(1, 1, 1)


class StudentReadiness(nn.Module):
    """A readiness a student and moment, added in the argument of every skill's curve: o[t] = w . v[t]; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with w = 0."""
        super().__init__()
        self.head = _zero_linear(d_model, 1)

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness at each moment, [B, T, 1]."""
        return self.head(moments.now_BTD)


class Ability(nn.Module):
    """One ability a student and moment, theta[t] = MLP(v[t]): what a Rasch-like curve without practice is read from.

    With a curve of steepness and level 1, mastery is sigmoid(theta[t] - offset[k]): the offset is the difficulty.
    """

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Build a hidden layer as wide as the states; theta starts at 0."""
        super().__init__()
        self.head = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), _zero_linear(d_model, 1))

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Ability at each moment, logits, [B, T, 1]."""
        return self.head(moments.now_BTD)


class SkillReadiness(nn.Module):
    """A readiness a skill: o[t, k] = w[k] . v[t] + b . v[t], the second part shared by all skills; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with all weights 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_skills, d_model))
        self.shared = nn.Parameter(torch.zeros(d_model))

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness for the given cells at each moment, [B, T, C or S]."""
        weight = self.weight + self.shared
        if cells.are_columns:
            return moments.now_BTD @ weight[cells.skills[:, 0]].transpose(-1, -2)
        return torch.einsum("btd,btsd->bts", moments.now_BTD, weight[cells.skills])


class FirstContactReadiness(SkillReadiness):
    """A readiness a skill, inferred before the student first practises it and fixed from then on.

        o[t, k] = (w[k] + b) . v[min(t, f[k])], v[n] the state after n steps, f[k] the step that first practises k

    So within a window (a whole history, unless it is very long) the mastery of a skill never falls once it is
    practised: what came before is a prior, revised while there is no practice to revise it.
    """

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness for the given cells at each moment, [B, T, C or S]."""
        weight, states = self.weight + self.shared, moments.states_BND
        when = torch.minimum(moments.after_BT[..., None], cells.first)
        if cells.are_columns:
            return (states @ weight[cells.skills[:, 0]].transpose(-1, -2)).gather(1, when)
        width = states.shape[2]
        prior = states.gather(1, when.flatten(1)[..., None].expand(-1, -1, width)).view(*when.shape, width)
        return torch.einsum("btsd,btsd->bts", prior, weight[cells.skills])


def _zero_linear(width: int, out: int) -> nn.Linear:
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
