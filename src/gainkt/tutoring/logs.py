"""What tutors would have left out of real histories, and what the students answered there; no truth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gainkt.console import in_turn
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.evaluation.statistics.bootstrap import StudentBootstrap
from gainkt.references.base import Opportunities, Students
from gainkt.tutoring.curves import running_max
from gainkt.tutoring.estimator.base import Earlier, Estimator, Flags, Floats, Ints
from gainkt.tutoring.replay import replay
from gainkt.tutoring.steadiness import steadiness

TUNED_ON = 1000
"""Earlier students on whom levels are tuned, at most."""
SPINNING, IN_A_ROW = 10, 3
"""A course spins its wheels if its first 10 opportunities hold no 3 right answers in a row (Beck and Gong 2013)."""
SHARES = np.linspace(0.05, 0.9, 18)
"""Shares of opportunities left out at which the curve is drawn."""


@dataclass(frozen=True)
class Laid:
    """Opportunities of some students course by course (a course is a student and a skill), A in all."""

    slot_A: Ints
    student_A: Ints
    right_A: Flags
    new_A: Flags
    """True at the first opportunity of each course."""

    @classmethod
    def of(cls, log: InteractionLog, students: Students) -> Laid:
        """Lay out the histories of some students."""
        found = Opportunities.of(log, students)
        order = np.argsort(found.key_A, kind="stable")
        key = found.key_A[order]
        new = np.r_[True, key[1:] != key[:-1]][: len(key)]
        return cls(found.slot_A[order], key // log.num_skills, found.right_A[order], new)

    @property
    def number_A(self) -> Ints:
        """Number of each opportunity within its course, from 0."""
        first = np.flatnonzero(self.new_A)
        return np.arange(len(self.new_A)) - first[np.cumsum(self.new_A) - 1]

    def peak(self, after_A: Floats) -> tuple[Floats, Floats]:
        """Highest estimate of the course before each opportunity (-inf before the first), and up to its end."""
        upto = running_max(after_A, self.new_A)
        return np.where(self.new_A, -np.inf, np.r_[-np.inf, upto[:-1]]), upto


def left_out(
    earlier: Earlier,
    log: InteractionLog,
    students: Students,
    estimators: Mapping[str, Estimator],
    *,
    share: float,
    chance: bool = False,
    seed: int = 0,
    resamples: int = 500,
) -> dict[str, Any]:
    """Stop each course where an estimate reaches a level, and look at what would have been left out.

    Levels are those that leave out a share of the opportunities of earlier students, so that estimators of different
    units are compared on about as much.

    Args:
        earlier: students that estimators are fitted on, and levels tuned.
        log: histories, numbered as the earlier ones.
        students: places in the log of those to tell.
        estimators: by name; those that need a truth are left out and named.
        share: of the opportunities that the level leaves out, in (0, 1).
        chance: stop by the chance of a right answer, not by mastery.
        seed: of the earlier students that levels are tuned on, and of the resamples.
        resamples: of students, for intervals.

    Raises:
        ConfigError: the share is out of range, or no estimator is left.
    """
    if not 0 < share < 1:
        raise ConfigError(f"left_out={share}: must lie in (0, 1)")
    kept = {name: estimator for name, estimator in estimators.items() if not estimator.needs_truth}
    if not kept:
        raise ConfigError("estimators: none that real histories can be told to; add one, or give run=<folder>")
    draw = np.random.default_rng(seed)
    tuned_on = np.sort(draw.permutation(earlier.students)[:TUNED_ON])
    before, here = Laid.of(earlier.log, tuned_on), Laid.of(log, students)
    _, place = np.unique(here.student_A, return_inverse=True)
    bootstrap = StudentBootstrap(int(place.max(initial=-1)) + 1, resamples, seed)
    rows, curves, declared = [], [], {}
    last = np.r_[np.flatnonzero(here.new_A)[1:] - 1, len(here.new_A) - 1]
    for name, estimator in in_turn(list(kept.items()), lambda one: one[0]):
        estimator.fit(earlier)
        peak, _ = before.peak(replay(earlier.log, tuned_on, estimator, chance=chance).after_L[before.slot_A])
        level = float(np.quantile(peak, 1 - share, method="higher"))
        told = replay(log, students, estimator, chance=chance)
        peak, upto = here.peak(told.after_L[here.slot_A])
        out = peak >= level
        declared[name] = upto[last] >= level
        rate = bootstrap.of_sums(place, [out * 1.0, out * here.right_A], lambda n, right: right / n)
        amount = bootstrap.mean(place, out * 1.0)
        rows.append(
            {
                "name": name,
                "level": level,
                "left_out": {"value": amount.value, "interval": amount.interval},
                "right_when_left_out": {"value": rate.value, "interval": rate.interval},
                "right_when_kept": float(here.right_A[~out].mean()) if (~out).any() else None,
                "declared": float(declared[name].mean()),
                "wheel_spinning": _wheel_spinning(here, upto, level),
                "steadiness": [steadiness(log, students, estimator, told)],
            }
        )
        curves.append({"name": name, **_curve(peak, here.right_A)})
    return {
        "mode": "logs",
        "data": log.name,
        "students": len(students),
        "opportunities": len(here.slot_A),
        "courses": int(here.new_A.sum()),
        "right": float(here.right_A.mean()),
        "left_out": share,
        "estimators": rows,
        "curves": curves,
        "agreement": [
            {"name": one, "values": [kappa(declared[one], declared[other]) for other in declared]} for one in declared
        ],
        "notes": [f"{name} left out: it needs the truth" for name in estimators if name not in kept],
    }


def _wheel_spinning(here: Laid, upto: Floats, level: float) -> dict[str, Any]:
    """Courses that spin their wheels, and how many of them (and of the other long ones) are not declared mastered."""
    number = here.number_A
    course = np.cumsum(here.new_A) - 1
    # Right answers in a row, up to each opportunity: those since the last wrong one or the course's start.
    restart = np.where(
        here.new_A & here.right_A, np.arange(len(number)), np.where(here.right_A, -1, np.arange(len(number)) + 1)
    )
    streak = np.arange(len(number)) + 1 - np.maximum.accumulate(restart)
    early = number < SPINNING
    reached = np.bincount(course[early & (streak >= IN_A_ROW)], minlength=course[-1] + 1 if len(course) else 0) > 0
    tenth = np.flatnonzero(number == SPINNING - 1)
    spins, undeclared = ~reached[course[tenth]], upto[tenth] < level
    return {
        "courses": len(tenth),
        "spinning": int(spins.sum()),
        "recall": float(undeclared[spins].mean()) if spins.any() else None,
        "others": float(undeclared[~spins].mean()) if (~spins).any() else None,
    }


def _curve(peak: Floats, right: Flags) -> dict[str, list[float]]:
    """Share right of what is left out, by the share left out, at levels that do so here."""
    levels = np.unique(np.quantile(peak, 1 - SHARES, method="higher"))
    levels = levels[np.isfinite(levels)]
    out = [peak >= level for level in levels]
    return {"left_out": [float(o.mean()) for o in out], "right": [float(right[o].mean()) for o in out]}


def kappa(one: Flags, other: Flags) -> float:
    """Cohen's kappa of two verdicts on the same courses; 1 where both say the same of all."""
    same, a, b = (one == other).mean(), one.mean(), other.mean()
    by_chance = a * b + (1 - a) * (1 - b)
    return float((same - by_chance) / (1 - by_chance)) if by_chance < 1 else 1.0
