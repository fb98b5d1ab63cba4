"""Loss weights, and parts that wait, over epochs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import cos, pi
from typing import Any

from gainkt.errors import ConfigError, nearest

Weights = Mapping[str, float]


class Schedule(ABC):
    """Weights, phase and frozen parts as functions of the epoch, so that a resumed run continues where it stood.

    A schedule whose weights also follow the training watches it, and saves what it learnt: gainkt.training.balancing.
    """

    @abstractmethod
    def phases(self, num_epochs: int) -> list[tuple[str, int]]:
        """Phases in order, each with its number of epochs."""

    @abstractmethod
    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """Weight of each term in an epoch, starting from the `loss` group's."""

    def frozen(self, epoch: int, num_epochs: int) -> Sequence[str]:
        """Parts of the model (its direct children) that do not change in an epoch; here none."""
        return ()

    def follow(self, module: Any) -> None:
        """Watch the module, whose training begins; here there is nothing to see."""
        return

    def leave(self) -> None:
        """Stop watching."""
        return

    def state_dict(self) -> dict[str, Any]:
        """What was learnt while watching, as plain containers; here nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        return


class Constant(Schedule):
    """The `loss` group's weights throughout."""

    def phases(self, num_epochs: int) -> list[tuple[str, int]]:
        """One phase, `train`."""
        return [("train", num_epochs)]

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights."""
        return dict(base)


class Phases(Schedule):
    """Weights that switch between phases; inverse warm-up is a first phase without Encoder 1.

    A phase sets some weights and leaves the others as the `loss` group has them. It may freeze parts of the model.
    """

    def __init__(self, phases: Sequence[Mapping[str, Any]]) -> None:
        """Keep the phases.

        Args:
            phases: in order, each {name, share of the epochs in (0, 1], weights {term: weight}}, and if wanted
                frozen [parts of the model that do not change in it].

        Raises:
            ConfigError: a phase lacks a part, or the shares do not add up to 1.
        """
        for phase in phases:
            if set(phase) - {"frozen"} != {"name", "share", "weights"}:
                raise ConfigError(
                    f"phases: a phase has name, share and weights, and frozen if wanted; found {sorted(phase)}"
                )
        names = [phase["name"] for phase in phases]
        if len(set(names)) != len(names):
            raise ConfigError(f"phases: two phases have the same name among {names}")
        total = sum(phase["share"] for phase in phases)
        if abs(total - 1) > 1e-6 or any(phase["share"] <= 0 for phase in phases):
            raise ConfigError(
                f"phases: shares {[phase['share'] for phase in phases]} add up to {total:g}: the phases "
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
        return {**base, **self._phase(epoch, num_epochs)["weights"]}

    def frozen(self, epoch: int, num_epochs: int) -> Sequence[str]:
        """The parts that the epoch's phase freezes."""
        return self._phase(epoch, num_epochs).get("frozen", ())

    def _phase(self, epoch: int, num_epochs: int) -> Mapping[str, Any]:
        """The phase that an epoch belongs to."""
        name = phase_of(self, epoch, num_epochs)
        return next(phase for phase in self.plan if phase["name"] == name)


class TwoPhase(Phases):
    """Inverse warm-up as the research line ran it: first some weights, then the `loss` group's."""

    def __init__(
        self,
        *,
        split: float,
        first: Weights,
        names: Sequence[str],
        frozen: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Keep the phases.

        Raises:
            ConfigError: split is not between 0 and 1, or frozen names no phase.
        """
        frozen = frozen or {}
        for name in frozen:
            if name not in names:
                raise ConfigError(f"frozen.{name}: no such phase{nearest(name, names)}")
        if not 0 < split < 1:
            raise ConfigError(f"split={split}: the first phase's share of the epochs lies between 0 and 1")
        super().__init__(
            [
                {"name": names[0], "share": split, "weights": first, "frozen": frozen.get(names[0], ())},
                {"name": names[1], "share": 1 - split, "weights": {}, "frozen": frozen.get(names[1], ())},
            ]
        )


class AlignmentWarmup(Constant):
    """The research line's lambda: some weights grow with it from nothing, others shrink by as much.

        lambda(e) = level min(1, e / warmup);  aligned terms: lambda x base, yielding ones: (1 - lambda) x base

    As published, level .5 and warmup 50 over 30 epochs: alignment never got beyond lambda = .29.
    """

    def __init__(self, *, level: float, warmup: float, aligned: Sequence[str], yielding: Sequence[str] = ()) -> None:
        """Keep the course.

        Raises:
            ConfigError: level or warmup is out of range.
        """
        if not level >= 0 or (yielding and level > 1):
            raise ConfigError(f"level={level}: lambda is 0 or more, and at most 1 where terms yield to it")
        if not warmup >= 0:
            raise ConfigError(f"warmup={warmup}: epochs, 0 or more")
        self.level, self.warmup, self.aligned, self.yielding = level, warmup, aligned, yielding

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights times lambda, or what it leaves.

        Raises:
            ConfigError: a term that the loss group does not have.
        """
        for name in (*self.aligned, *self.yielding):
            if name not in base:
                raise ConfigError(
                    f"schedule: no loss term {name}{nearest(name, base)}; choose loss=l23 or loss=aligned"
                )
        now = self.level * min(1.0, epoch / self.warmup if self.warmup else 1.0)
        factors = dict.fromkeys(self.aligned, now) | dict.fromkeys(self.yielding, 1 - now)
        return {name: weight * factors.get(name, 1.0) for name, weight in base.items()}


class Knots(Constant):
    """Weights that pass through given values at given moments, with straight or cosine-shaped passages between.

    Two knots make a linear ramp or a cosine; more make a piecewise schedule. Before the first and after the last
    knot the weight stays.
    """

    def __init__(self, knots: Mapping[str, Sequence[Sequence[float]]], *, shape: str) -> None:
        """Keep the knots.

        Raises:
            ConfigError: moments out of range or order, or an unknown shape.
        """
        check_shape("shape", shape)
        for term, points in knots.items():
            check_moments(f"knots.{term}", points)
        self.knots, self.shape = knots, shape

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights with those of the knots put over them."""
        return {**base, **{name: value_at(p, epoch, num_epochs, self.shape) for name, p in self.knots.items()}}


_SHAPES = {"linear": lambda x: x, "cosine": lambda x: (1 - cos(pi * x)) / 2, "step": lambda x: 0.0}


def value_at(points: Sequence[Sequence[float]], epoch: int, num_epochs: int, shape: str) -> float:
    """Value in an epoch of what passes through the knots `points`; the first epoch is moment 0, the last 1."""
    now = epoch / max(num_epochs - 1, 1)
    later = next((i for i, (moment, _) in enumerate(points) if moment > now), len(points))
    if later in (0, len(points)):
        return float(points[min(later, len(points) - 1)][1])
    (start, low), (end, high) = points[later - 1], points[later]
    return low + (high - low) * _SHAPES[shape]((now - start) / (end - start))


def check_shape(key: str, shape: str) -> None:
    """Raise ConfigError unless `shape` is a passage between knots."""
    if shape not in _SHAPES:
        raise ConfigError(f"{key}={shape}: choose one of {', '.join(_SHAPES)}")


def check_moments(key: str, points: Sequence[Sequence[float]]) -> None:
    """Raise ConfigError unless the knots stand in order within [0, 1]."""
    moments = [point[0] for point in points]
    if not moments or moments != sorted(set(moments)) or moments[0] < 0 or moments[-1] > 1:
        raise ConfigError(f"{key}: moments {moments} must increase from at least 0 to at most 1")


def phase_of(schedule: Schedule, epoch: int, num_epochs: int) -> str:
    """Name of the phase that an epoch belongs to; epochs past the end belong to the last."""
    end = 0
    for name, length in schedule.phases(num_epochs):
        end += length
        if epoch < end:
            return name
    return name
