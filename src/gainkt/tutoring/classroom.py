"""A tutor and simulated students, who answer by their true state and learn; all students at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gainkt.simulation.students import Students, draw_students
from gainkt.simulation.truth import Truth
from gainkt.tutoring.estimator.base import Answers, Estimator, Flags, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.sequencing import Sequencing
    from gainkt.tutoring.stopping import Stopping

TOGETHER = 1000
"""Students in one classroom."""
DECLARED, LIMIT = 0, 1
REASONS = ("declared", "limit")
"""Why a course ended: the policy of stopping said so, or its opportunities were used up."""


@dataclass(frozen=True)
class Cohort:
    """New students of a simulation whose laws stay: its skills, items and spreads."""

    truth: Truth
    """Of the earlier students."""
    num_students: int
    seed: int
    """Of the students and of all that is chance in the classroom."""

    def classrooms(self, limit: int, mastered: float) -> Iterator[Classroom]:
        """Seat the students, some at a time; the same students, items and luck whoever teaches them."""
        for number, first in enumerate(range(0, self.num_students, TOGETHER)):
            draw = np.random.default_rng([self.seed, number, 17])
            size = min(TOGETHER, self.num_students - first)
            settings = replace(self.truth.settings, num_students=size)
            students = draw_students(settings, self.truth.world, draw)
            yield Classroom(self.truth, students, first, limit, mastered, draw)


class Classroom:
    """N students at work on K skills: a course is a student and a skill, and ends when the tutor stops it.

    What happens at the o-th opportunity of a course (item, luck of the answer, noise of the gain) does not depend on
    the tutor, so that tutors are compared on the same courses.
    """

    def __init__(
        self, truth: Truth, students: Students, first: int, limit: int, mastered: float, draw: np.random.Generator
    ) -> None:
        """Seat students.

        Args:
            truth: whose laws hold.
            students: N of them.
            first: place of the first in the cohort.
            limit: opportunities after which a course ends.
            mastered: true mastery from which on a skill counts as mastered.
            draw: of items and luck.
        """
        self.truth, self.world, self.students, self.first = truth, truth.world, students, first
        self.limit, self.mastered = limit, mastered
        n, k = students.initial_logit_NK.shape
        slots = self.world.skills_IS.shape[1]
        self.luck_NKO = draw.random((n, k, limit), dtype=np.float32)
        self.noise_NKOS = draw.standard_normal((n, k, limit, slots), dtype=np.float32)
        self.item_NK = draw.integers(1 << 30, size=(n, k))
        turn = draw.integers(k, size=(n, 1))
        self.order_NK = self.world.order_K[(np.arange(k) + turn) % k]
        """Skills in the order of the curriculum, which each student begins anywhere."""
        self.practice_NK = np.zeros((n, k))
        self.count_NK, self.streak_NK, self.over_NK = (np.zeros((n, k), dtype=np.int32) for _ in range(3))
        self.open_NK = np.ones((n, k), dtype=bool)
        self.reason_NK = np.full((n, k), -1, dtype=np.int8)
        self.stopped_NK = np.full((n, k), np.nan)

    def __len__(self) -> int:
        """Number of students, N."""
        return len(self.open_NK)

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """True mastery now, in the shape of `skills`, [n] or [n, C]."""
        at = rows.reshape(-1, *(1,) * (skills.ndim - 1))
        velocity, initial = self.students.velocity_N[at], self.students.initial_logit_NK[at, skills]
        return self.world.mastery(skills, velocity * self.practice_NK[at, skills], initial)

    def ask(self, rows: Ints, skill: Ints) -> Answers:
        """Have students answer an item of a skill each, and learn from it; items of a skill are taken in turn."""
        settings, world = self.truth.settings, self.world
        count = self.count_NK[rows, skill]
        own = (settings.num_items - 1 - skill) // settings.num_skills + 1  # items skill, skill + K, skill + 2K, ...
        item = skill + (self.item_NK[rows, skill] + count) % own * settings.num_skills
        skills = world.skills_IS[item]
        lowest = np.where(skills >= 0, self.mastery(rows, skills), np.inf).min(axis=1)
        right = self.luck_NKO[rows, skill, count] < world.probability(item, lowest)
        self.over_NK[rows, skill] += self.mastery(rows, skill) >= self.mastered
        noise = np.exp(settings.gain_noise * (self.noise_NKOS[rows, skill, count] - 0.5 * settings.gain_noise))
        gain = np.clip(world.gain_RK[right.astype(np.int64)[:, None], skills] * noise, 0, 1)
        now = self.practice_NK[rows]
        world.advance(now, skills, gain)
        self.practice_NK[rows] = now
        self.count_NK[rows, skill] += 1
        self.streak_NK[rows, skill] = np.where(right, self.streak_NK[rows, skill] + 1, 0)
        return Answers(rows, skills, item, right)

    def close(self, rows: Ints, skill: Ints, reason: int) -> None:
        """End a course of each of some students."""
        self.open_NK[rows, skill] = False
        self.reason_NK[rows, skill] = reason
        self.stopped_NK[rows, skill] = self.mastery(rows, skill)


@dataclass(frozen=True)
class Courses:
    """How N x K courses ended."""

    opportunities: Ints
    """[N, K], answers to items of the skill that the tutor asked for its sake."""
    over: Ints
    """[N, K], those of them that began with the skill mastered."""
    mastery: Floats
    """[N, K], true mastery at the end."""
    reason: Ints
    """[N, K], place in REASONS."""
    mastered: float
    """True mastery from which on a skill counts as mastered."""

    @property
    def false(self) -> Flags:
        """[N, K], True where a skill was declared mastered that is not."""
        return (self.reason == DECLARED) & (self.mastery < self.mastered)


@dataclass(frozen=True)
class Record:
    """What was estimated and true after each opportunity of courses that nobody stopped, A of them in order."""

    course: Ints
    score: Floats
    mastered: Flags


def teach(
    cohort: Cohort,
    estimator: Estimator,
    stopping: Stopping,
    sequencing: Sequencing,
    level: float,
    *,
    limit: int,
    mastered: float,
) -> tuple[Courses, Record]:
    """Teach a cohort until every course has ended: where the score reaches `level`, or `limit` opportunities are used.

    The loop is over opportunities: each student who has an open course answers once a turn.
    """
    ended, course, scores, knows = [], [], [], []
    for room in cohort.classrooms(limit, mastered):
        estimator.start(len(room), room)
        while (rows := np.flatnonzero(room.open_NK.any(axis=1))).size:
            skill = sequencing.choose(room, estimator, rows, level)
            estimator.observe(room.ask(rows, skill))
            score = np.asarray(stopping.score(room, estimator, rows, skill))
            declared = score >= level
            used_up = ~declared & (room.count_NK[rows, skill] >= limit)
            room.close(rows[declared], skill[declared], DECLARED)
            room.close(rows[used_up], skill[used_up], LIMIT)
            if np.isinf(level):
                course.append((room.first + rows) * room.open_NK.shape[1] + skill)
                scores.append(score)
                knows.append(room.mastery(rows, skill) >= mastered)
        ended.append((room.count_NK, room.over_NK, room.stopped_NK, room.reason_NK))
    count, over, true, reason = (np.concatenate(parts) for parts in zip(*ended, strict=True))
    nothing = [np.zeros(0)]
    record = Record(*(np.concatenate(parts or nothing) for parts in (course, scores, knows)))
    return Courses(count, over, true, reason, mastered), record
