"""Loss weights over epochs, and the callback that applies them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import cos, pi
from typing import Any, Protocol

from lightning import Callback, Trainer

from gainkt.errors import ConfigError

Weights = Mapping[str, float]


class Schedule(Protocol):
    """Weights and phase as functions of the epoch alone, so that a resumed run continues where it stood."""

    def phases(self, num_epochs: int) -> list[tuple[str, int]]:
        """Phases in order, each with its number of epochs."""
        ...

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """Weight of each term in an epoch, starting from the `loss` group's."""
        ...


class Constant:
    """The `loss` group's weights throughout."""

    def phases(self, num_epochs: int) -> list[tuple[str, int]]:
        """One phase, `train`."""
        return [("train", num_epochs)]

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights."""
        return dict(base)


class Phases:
    """Weights that switch between phases; inverse warm-up is a first phase without Encoder 1.

    A phase sets some weights and leaves the others as the `loss` group has them.
    """

    def __init__(self, phases: Sequence[Mapping[str, Any]]) -> None:
        """Keep the phases.

        Args:
            phases: in order, each {name, share of the epochs in (0, 1], weights {term: weight}}.

        Raises:
            ConfigError: a phase lacks a part, or the shares do not add up to 1.
        """
        for phase in phases:
            if set(phase) != {"name", "share", "weights"}:
                raise ConfigError(f"schedule.phases: a phase has name, share and weights; found {sorted(phase)}")
        names = [phase["name"] for phase in phases]
        if len(set(names)) != len(names):
            raise ConfigError(f"schedule.phases: two phases have the same name among {names}")
        total = sum(phase["share"] for phase in phases)
        if abs(total - 1) > 1e-6 or any(phase["share"] <= 0 for phase in phases):
            raise ConfigError(
                f"schedule.phases: shares {[phase['share'] for phase in phases]} add up to {total:g}: the phases "
                "do not cover the epochs; make each positive and their sum 1"
            )
        self.plan = phases

    def phases(self, num_epochs: int) -> list[tuple[str, int]]:
        """Phases with their epochs, shares rounded so that all epochs are covered."""
        ends, so_far = [0], 0.0
        for phase in self.plan:
            so_far += phase["share"]
            ends.append(round(so_far * num_epochs))
        lengths = [end - start for start, end in pairwise(ends)]
        for phase, length in zip(self.plan, lengths, strict=True):
            if length == 0:
                raise ConfigError(
                    f"trainer.max_epochs={num_epochs}: phase {phase['name']!r} with share {phase['share']} would have "
                    "no epoch; train longer or change schedule.phases"
                )
        return [(phase["name"], length) for phase, length in zip(self.plan, lengths, strict=True)]

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights with those of the epoch's phase put over them."""
        number = [name for name, _ in self.phases(num_epochs)].index(phase_of(self, epoch, num_epochs))
        return {**base, **self.plan[number]["weights"]}


class TwoPhase(Phases):
    """Inverse warm-up as the research line ran it: first some weights, then the `loss` group's."""

    def __init__(
        self, *, split: float = 0.5, first: Weights, names: Sequence[str] = ("encoder2_first", "joint")
    ) -> None:
        """Keep the phases.

        Args:
            split: share of the epochs in the first phase, in (0, 1).
            first: weights in the first phase; those of the second are the `loss` group's.
            names: of the two phases.

        Raises:
            ConfigError: split is not between 0 and 1.
        """
        if not 0 < split < 1:
            raise ConfigError(f"schedule.split={split}: the first phase's share of the epochs lies between 0 and 1")
        super().__init__(
            [
                {"name": names[0], "share": split, "weights": first},
                {"name": names[1], "share": 1 - split, "weights": {}},
            ]
        )


class Knots(Constant):
    """Weights that pass through given values at given moments, with straight or cosine-shaped passages between.

    Two knots make a linear ramp or a cosine; more make a piecewise schedule. Before the first and after the last
    knot the weight stays.
    """

    def __init__(self, knots: Mapping[str, Sequence[Sequence[float]]], *, shape: str = "linear") -> None:
        """Keep the knots.

        Args:
            knots: for each term, [moment, weight] pairs; a moment is a share of the epochs in [0, 1], increasing.
            shape: passage between knots: linear, cosine, or step (jumps at the later knot).

        Raises:
            ConfigError: moments out of range or order, or an unknown shape.
        """
        if shape not in _SHAPES:
            raise ConfigError(f"schedule.shape={shape}: choose one of {', '.join(_SHAPES)}")
        for term, points in knots.items():
            moments = [point[0] for point in points]
            if not moments or moments != sorted(set(moments)) or moments[0] < 0 or moments[-1] > 1:
                raise ConfigError(
                    f"schedule.knots.{term}: moments {moments} must increase from at least 0 to at most 1"
                )
        self.knots, self.shape = knots, shape

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights with those of the knots put over them."""
        now = epoch / max(num_epochs - 1, 1)
        return {**base, **{term: self._value(points, now) for term, points in self.knots.items()}}

    def _value(self, points: Sequence[Sequence[float]], now: float) -> float:
        """Weight between the knots around `now`."""
        later = next((i for i, (moment, _) in enumerate(points) if moment > now), len(points))
        if later in (0, len(points)):
            return float(points[min(later, len(points) - 1)][1])
        (start, low), (end, high) = points[later - 1], points[later]
        return low + (high - low) * _SHAPES[self.shape]((now - start) / (end - start))


_SHAPES = {"linear": lambda x: x, "cosine": lambda x: (1 - cos(pi * x)) / 2, "step": lambda x: 0.0}


def phase_of(schedule: Schedule, epoch: int, num_epochs: int) -> str:
    """Name of the phase that an epoch belongs to; epochs past the end belong to the last."""
    end = 0
    for name, length in schedule.phases(num_epochs):
        end += length
        if epoch < end:
            return name
    return name


class LossScheduleCallback(Callback):
    """Sets the module's loss weights at the start of every epoch, and logs them."""

    def __init__(self, schedule: Schedule) -> None:
        """Keep the schedule."""
        self.schedule = schedule
        self.phase = ""

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Check every epoch's weights before the first is trained."""
        for epoch in range(_num_epochs(trainer)):
            pl_module.loss.check(self.schedule.weights(epoch, _num_epochs(trainer), pl_module.loss.weights))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Switch to the epoch's weights and phase."""
        epoch, num_epochs = trainer.current_epoch, _num_epochs(trainer)
        pl_module.weights = self.schedule.weights(epoch, num_epochs, pl_module.loss.weights)
        self.phase = phase_of(self.schedule, epoch, num_epochs)
        for name, weight in pl_module.weights.items():
            pl_module.log(f"weight/{name}", weight, on_step=False, on_epoch=True)

    def is_last_phase(self, trainer: Trainer) -> bool:
        """Tell whether no other phase follows."""
        return self.phase == self.schedule.phases(_num_epochs(trainer))[-1][0]

    def state_dict(self) -> dict[str, Any]:
        """The phase, kept for readers of a checkpoint; the weights follow from the epoch."""
        return {"phase": self.phase}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the phase."""
        self.phase = state_dict["phase"]


def _num_epochs(trainer: Trainer) -> int:
    """Epochs that the run is planned for.

    Raises:
        ConfigError: the run has no planned end, over which weights could be laid out.
    """
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise ConfigError(f"trainer.max_epochs={trainer.max_epochs}: a schedule needs a number of epochs, 1 or more")
    return trainer.max_epochs
