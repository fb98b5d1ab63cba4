"""Estimators of a line of arithmetic: a moving average of responses, right answers in a row, answers counted.

A learner model that does not beat the moving average is not worth its name (Pelanek and Rihak 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gainkt.errors import ConfigError
from gainkt.references.base import Opportunities, trained_on
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom

WEIGHTS = np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6])
STARTS = np.array([0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8])
"""Tried where the average is tuned."""


class _Table(Estimator):
    """Keeps a number a student and skill, which an answer on the skill changes."""

    first = 0.0

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin with the first number everywhere."""
        self.value_NK = np.full((num_students, self.num_skills), self.first)

    def fit(self, earlier: Earlier) -> None:
        """Take the number of skills."""
        self.num_skills = earlier.log.num_skills

    def observe(self, answers: Answers) -> None:
        """Change the numbers of the answer's skills."""
        for skill in answers.skills.T:
            held = skill >= 0
            rows, at = answers.rows[held], skill[held]
            self.value_NK[rows, at] = self.changed(self.value_NK[rows, at], answers.right[held])

    def changed(self, value: Floats, right: Ints) -> Floats:
        """Return the numbers after an answer."""
        raise NotImplementedError

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """The numbers, [n, C]."""
        return self.value_NK[rows[:, None], skills]


class MovingAverage(_Table):
    """Exponential moving average of a skill's responses: e <- e + weight (r - e)."""

    def __init__(self, *, weight: float | None = None, first: float | None = None) -> None:
        """Average with a weight, from a first value; each tuned where None.

        Raises:
            ConfigError: the weight or the first value is out of range.
        """
        for name, value in (("weight", weight), ("first", first)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name}={value}: must lie in [0, 1]")
        self.weight, self.given = weight, first

    def fit(self, earlier: Earlier) -> None:
        """Choose weight and first value that predict the earlier students' next responses best (log loss)."""
        super().fit(earlier)
        found = Opportunities.of(earlier.log, trained_on(earlier.log, earlier.students, "the moving average"))
        weights = WEIGHTS if self.weight is None else np.array([self.weight])
        starts = STARTS if self.given is None else np.array([self.given])
        weight, first = (x.reshape(-1, 1) for x in np.meshgrid(weights, starts, indexing="ij"))
        value, loss = np.zeros((len(weight), 1)), np.zeros(len(weight))
        for number, block in enumerate(found.blocks):
            right = found.right_A[block].astype(np.float64)
            value = np.broadcast_to(first, (len(weight), len(right))) if not number else value[:, : len(right)]
            told = value.clip(0.01, 0.99)
            loss -= (right * np.log(told) + (1 - right) * np.log1p(-told)).sum(1)
            value = value + weight * (right - value)
        best = int(loss.argmin())
        self.weight, self.first = float(weight[best, 0]), float(first[best, 0])

    def changed(self, value: Floats, right: Ints) -> Floats:
        """Move towards the response."""
        assert self.weight is not None
        return value + self.weight * (right - value)


class Streak(_Table):
    """Right answers in a row on the skill."""

    def changed(self, value: Floats, right: Ints) -> Floats:
        """One more, or none."""
        return np.where(right, value + 1, 0)


class Count(_Table):
    """Answers on the skill, right or wrong."""

    def changed(self, value: Floats, right: Ints) -> Floats:
        """One more."""
        return value + 1
