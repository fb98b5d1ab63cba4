"""Policies of sequencing: which of a student's open courses comes next."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from gainkt.tutoring.classroom import Classroom
from gainkt.tutoring.estimator.base import Estimator, Floats, Ints


class Sequencing(Protocol):
    """What a policy of sequencing offers."""

    def choose(self, room: Classroom, estimator: Estimator, rows: Ints, level: float) -> Ints:
        """Skill of an open course of each of the students at `rows`, [n]; `level` is that of stopping."""


class Blocked:
    """One skill after another in the order of the curriculum, each until it is stopped."""

    def choose(self, room: Classroom, estimator: Estimator, rows: Ints, level: float) -> Ints:
        """First open skill."""
        order = room.order_NK[rows]
        first = np.take_along_axis(room.open_NK[rows], order, axis=1).argmax(axis=1)
        return order[np.arange(len(rows)), first]


class LowestFirst:
    """The skill of the lowest estimated mastery."""

    def choose(self, room: Classroom, estimator: Estimator, rows: Ints, level: float) -> Ints:
        """Open skill of the lowest estimate."""
        return _open(room, rows, -_estimates(room, estimator, rows))


class ClosestFirst:
    """The skill whose estimated mastery lacks least to the level."""

    def choose(self, room: Classroom, estimator: Estimator, rows: Ints, level: float) -> Ints:
        """Open skill of the estimate closest to the level."""
        estimates = _estimates(room, estimator, rows)
        return _open(room, rows, -np.abs(level - estimates) if np.isfinite(level) else estimates)


class PrerequisitesFirst:
    """What gives most to the student's other open skills by the estimator's own transfer, until it is stopped.

    An estimator that knows no transfer goes by the curriculum.
    """

    def choose(self, room: Classroom, estimator: Estimator, rows: Ints, level: float) -> Ints:
        """Open skill of the largest sum over the other open skills j of transfer[k, j]."""
        if (transfer := estimator.transfer()) is None:
            return Blocked().choose(room, estimator, rows, level)
        others = transfer * (1 - np.eye(len(transfer)))
        return _open(room, rows, room.open_NK[rows] @ others.T)


def _estimates(room: Classroom, estimator: Estimator, rows: Ints) -> Floats:
    skills = np.arange(room.open_NK.shape[1])
    return estimator.mastery(rows, np.broadcast_to(skills, (len(rows), len(skills))))


def _open(room: Classroom, rows: Ints, worth: Floats) -> Ints:
    """Open skill of the largest worth, [n]."""
    return np.where(room.open_NK[rows], worth, -np.inf).argmax(axis=1)
