"""Policies of stopping: a course ends when the policy's score of it reaches a level."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gainkt.errors import ConfigError
from gainkt.tutoring.classroom import Classroom
from gainkt.tutoring.estimator.base import Estimator, Floats, Ints


class Stopping(Protocol):
    """What a policy of stopping offers."""

    level: float | None
    """Score at which a course ends; None where all levels are tried."""

    def score(self, room: Classroom, estimator: Estimator, rows: Ints, skill: Ints) -> Floats:
        """Score of the course just practised by each of the students at `rows`, [n]."""


class _WithLevel:
    def __init__(self, *, level: float | None = None) -> None:
        """Stop at `level`, or try all levels where None.

        Raises:
            ConfigError: the level is not positive, so that nothing would be practised.
        """
        if level is not None and not level > 0:
            raise ConfigError(f"level={level}: must be above 0")
        self.level = level


class Mastery(_WithLevel):
    """Stop where estimated mastery reaches the level."""

    def score(self, room: Classroom, estimator: Estimator, rows: Ints, skill: Ints) -> Floats:
        """Estimated mastery."""
        return estimator.mastery(rows, skill[:, None])[:, 0]


class Chance(_WithLevel):
    """Stop where the chance of a right answer reaches the level."""

    def score(self, room: Classroom, estimator: Estimator, rows: Ints, skill: Ints) -> Floats:
        """Estimated chance of a right answer."""
        return estimator.chance(rows, skill[:, None])[:, 0]


class InARow(_WithLevel):
    """Stop after as many right answers in a row as the level says; no estimate is asked for."""

    def score(self, room: Classroom, estimator: Estimator, rows: Ints, skill: Ints) -> Floats:
        """Right answers in a row."""
        return room.streak_NK[rows, skill].astype(np.float64)


class Fixed(_WithLevel):
    """Stop after as many answers as the level says, whatever they were."""

    def score(self, room: Classroom, estimator: Estimator, rows: Ints, skill: Ints) -> Floats:
        """Answers."""
        return room.count_NK[rows, skill].astype(np.float64)
