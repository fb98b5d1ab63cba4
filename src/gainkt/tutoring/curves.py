"""False mastery against opportunities, over all levels of a policy; compared at the same rate of false mastery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gainkt.evaluation.statistics.bootstrap import Estimate
from gainkt.tutoring.classroom import DECLARED, LIMIT, Courses, Record
from gainkt.tutoring.estimator.base import Flags, Floats, Ints

SHARES = (0.5, 0.35, 0.25, 0.18, 0.13, 0.09, 0.07, 0.055, 0.045, 0.035, 0.025, 0.012, 0.004)
"""Rates of false mastery near which levels are tried."""
SUMS = ("courses", "opportunities", "over", "declared", "false", "limit")


@dataclass(frozen=True)
class Curve:
    """What a tutor with one estimator did at L levels, rising: sums over the courses of each of N students."""

    levels_L: Floats
    sums_LNF: Floats
    """[L, N, len(SUMS)]."""

    def totals(self, weights_RN: Floats) -> dict[str, Floats]:
        """Sums under weights of the students, [R, L] each, by name."""
        sums = np.einsum("rn,lnf->frl", weights_RN, self.sums_LNF, optimize=True)
        return dict(zip(SUMS, sums, strict=True))

    def rates(self, weights_RN: Floats) -> dict[str, Floats]:
        """By name, [R, L] each: false (of the courses declared mastered); opportunities, over and limit a course."""
        sums = self.totals(weights_RN)
        found = {name: sums[name] / sums["courses"] for name in ("opportunities", "over", "limit")}
        return {"false": sums["false"] / np.maximum(sums["declared"], 1), **found}

    def matched(self, weights_RN: Floats, target: float) -> dict[str, Floats]:
        """`rates` and the level where false mastery falls to a target for good, [R] each.

        Between two levels a tutor draws lots, so that all rates are interpolated. NaN where no level gets there.
        """
        rates = {
            **self.rates(weights_RN),
            "level": np.broadcast_to(self.levels_L, (len(weights_RN), len(self.levels_L))),
        }
        # The largest rate at this level or a higher one: what falls for good.
        falling = np.maximum.accumulate(rates["false"][:, ::-1], axis=1)[:, ::-1]
        reached = falling <= target
        first, row = reached.argmax(axis=1), np.arange(len(weights_RN))
        before = np.maximum(first - 1, 0)
        high, low = falling[row, before], falling[row, first]
        part = np.where(first > 0, (high - target) / np.where(high > low, high - low, 1), 1.0)
        found = {name: x[row, before] * (1 - part) + x[row, first] * part for name, x in rates.items()}
        return {name: np.where(reached.any(axis=1), x, np.nan) for name, x in found.items()}

    def at(self, level: float) -> dict[str, float]:
        """`rates` at a level, interpolated between those that were tried."""
        rates = self.rates(np.ones((1, self.sums_LNF.shape[1])))
        return {name: float(np.interp(level, self.levels_L, x[0])) for name, x in rates.items()}


def summed(courses: Courses) -> Floats:
    """The sums of a `Curve` at one level, [N, len(SUMS)]."""
    declared, limit = courses.reason == DECLARED, courses.reason == LIMIT
    ones = np.ones_like(courses.opportunities)
    cells = (ones, courses.opportunities, courses.over, declared, courses.false, limit)
    return np.stack([cell.sum(axis=1) for cell in cells], axis=-1).astype(np.float64)


def crossings(record: Record, levels: Floats) -> tuple[Ints, Ints]:
    """Courses whose score reaches each level at some time, and those of them that were not mastered then, [L] each."""
    if not len(record.course):
        return np.zeros(len(levels), dtype=np.int64), np.zeros(len(levels), dtype=np.int64)
    order = np.argsort(record.course, kind="stable")
    course, score, mastered = record.course[order], record.score[order], record.mastered[order].astype(bool)
    new = np.r_[True, course[1:] != course[:-1]]
    peak = running_max(score, new)
    before = np.where(new, -np.inf, np.r_[-np.inf, peak[:-1]])
    reached, false = [], []
    for level in levels:
        first = (peak >= level) & (before < level)
        reached.append(int(first.sum()))
        false.append(int((first & ~mastered).sum()))
    return np.array(reached), np.array(false)


def running_max(score: Floats, new: Flags) -> Floats:
    """Running maximum of the score within each course."""
    values, rank = np.unique(score, return_inverse=True)
    lift = np.cumsum(new) * len(values)
    return values[np.maximum.accumulate(rank + lift) - lift]


KNOWN = 20
"""Courses that reach a level, at least, for a rate of some percent to be known."""


def level_at(record: Record, target: float) -> float | None:
    """Lowest level from which on at most a share of the courses that reach it are not mastered; None without one."""
    levels, falling = _falling(record)
    return float(levels[falling <= target][0]) if (falling <= target).any() else None


def levels_for(record: Record) -> Floats:
    """Levels at which about SHARES of the courses that reach them are not mastered, rising; for courses not stopped."""
    levels, falling = _falling(record)
    places = [int((falling <= share).argmax()) for share in SHARES if (falling <= share).any()]
    return np.unique(levels[[0, *places, -1]])


def _falling(record: Record) -> tuple[Floats, Floats]:
    """Levels that enough courses reach, and the largest share not mastered at each or a higher one."""
    levels = _candidates(record)
    reached, false = crossings(record, levels)
    known = reached >= min(KNOWN, reached.max(initial=0))
    rate = false[known] / np.maximum(reached[known], 1)
    return levels[known], np.maximum.accumulate(rate[::-1])[::-1]


def _candidates(record: Record) -> Floats:
    found = np.unique(record.score[record.score > 0])
    return found if len(found) <= 400 else np.unique(np.quantile(found, np.linspace(0, 1, 400)))


@dataclass(frozen=True)
class Comparison:
    """Several estimators on the same cohorts: `curves[name][w]` is the curve of one on cohort w."""

    curves: Mapping[str, Sequence[Curve]]
    target: float
    resamples: int = 500
    seed: int = 0

    def matched(self) -> dict[str, dict[str, Estimate]]:
        """Rates of each estimator at the target, by name: means over cohorts; students and cohorts are resampled."""
        draw = np.random.default_rng(self.seed)
        sizes = [curve.sums_LNF.shape[1] for curve in next(iter(self.curves.values()))]
        weights = [np.vstack([np.ones(n), draw.multinomial(n, np.full(n, 1 / n), size=self.resamples)]) for n in sizes]
        drawn = draw.integers(len(sizes), size=(self.resamples, len(sizes)))
        drawn = np.vstack([np.arange(len(sizes)), drawn])
        found = {}
        for name, curves in self.curves.items():
            each = [curve.matched(w, self.target) for curve, w in zip(curves, weights, strict=True)]
            rates = {key: np.stack([one[key] for one in each], axis=1) for key in each[0]}
            means = {key: np.take_along_axis(x, drawn, axis=1).mean(axis=1) for key, x in rates.items()}
            found[name] = {key: Estimate(float(x[0]), x[1:]) for key, x in means.items()}
        return found


def ratio(one: Estimate, other: Estimate) -> Estimate:
    """Quotient of two figures from the same resamples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(one.value / other.value if other.value else np.nan, one.replicates_R / other.replicates_R)
