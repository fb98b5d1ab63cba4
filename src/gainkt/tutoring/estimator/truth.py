"""Estimators that know what no tutor of real students does: the state of a student, or the laws alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gainkt.errors import ConfigError
from gainkt.simulation.particles import Particles
from gainkt.simulation.world import World
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom


class _Simulated(Estimator):
    """Reads the laws of a simulation."""

    needs_truth: ClassVar[bool] = True
    world: World

    def fit(self, earlier: Earlier) -> None:
        """Take the laws."""
        assert earlier.truth is not None, "asked for on simulated students alone"
        self.truth, self.world = earlier.truth, earlier.truth.world

    def transfer(self) -> Floats:
        """The true one."""
        return self.world.transfer_KK


class TrueState(_Simulated):
    """The student's true mastery: what no tutor can know, the bound of all."""

    needs_state: ClassVar[bool] = True

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Look into the students."""
        assert classroom is not None, "asked for on simulated students alone"
        self.classroom = classroom

    def observe(self, answers: Answers) -> None:
        """Nothing is learnt from answers that is not known already."""

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """True mastery, [n, C]."""
        return self.classroom.mastery(rows, skills)

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Mean chance over the skill's items, were each skill all that they need."""
        return _mean_chance(self.world, skills, self.mastery(rows, skills)[..., None])[..., 0]


class BayesFilter(_Simulated):
    """The best observer: a particle filter that knows the laws but not the student (gainkt.simulation.particles)."""

    def __init__(self, *, num_particles: int = 200, mastered: float | None = None, seed: int = 0) -> None:
        """Follow each student by some particles.

        Args:
            num_particles: at least 2.
            mastered: estimate the chance that true mastery is at least this; its mean where None.
            seed: of the particles.

        Raises:
            ConfigError: there are fewer than 2 particles.
        """
        if num_particles < 2:
            raise ConfigError(f"num_particles={num_particles}: give at least 2")
        self.num_particles, self.mastered, self.seed = num_particles, mastered, seed

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Draw the particles."""
        draw = np.random.default_rng(self.seed)
        self.particles = Particles(self.world, self.truth.settings, num_students, self.num_particles, draw)
        self.rows: Ints = np.arange(num_students)

    def observe(self, answers: Answers) -> None:
        """Weigh the particles by the answers, and have them practise; students who left are let go."""
        if len(answers.rows) < len(self.rows):
            self.particles.keep(self._places(answers.rows))
            self.rows = answers.rows
        lowest = np.full((len(self.rows), self.num_particles), np.inf, dtype=np.float32)
        for skill in answers.skills.T:
            rows = np.flatnonzero(skill >= 0)
            self.particles.meet(rows, skill[rows])
            lowest[rows] = np.minimum(lowest[rows], self.particles.mastery(rows, skill[rows]))
        right = self.world.probability(answers.items, lowest)
        self.particles.weigh(np.where(answers.right[:, None], right, 1 - right))
        self.particles.practise(answers.skills, answers.right.astype(np.uint8))

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mastery, or the chance that it is at least `mastered`, [n, C]."""
        known = (lambda m: m) if self.mastered is None else (lambda m: (m >= self.mastered).astype(np.float32))
        return self._expected(rows, skills, lambda skill, m: known(m))

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mean chance over the skill's items, were each skill all that they need."""
        return self._expected(rows, skills, lambda skill, m: _mean_chance(self.world, skill, m))

    def _expected(self, rows: Ints, skills: Ints, of) -> Floats:  # type: ignore[no-untyped-def]
        at, found = self._places(rows), np.empty(skills.shape)
        for column, skill in enumerate(skills.T):
            self.particles.meet(at, skill)
            found[:, column] = self.particles.expect(of(skill, self.particles.mastery(at, skill)), at)
        return found

    def _places(self, rows: Ints) -> Ints:
        return np.searchsorted(self.rows, rows)


def _mean_chance(world: World, skills: Ints, mastery: Floats) -> Floats:
    """Mean over the skill's own items of the chance of a right answer; skills [...], mastery [..., Q]."""
    num_items, num_skills = world.q_matrix_IK.shape
    items = skills.ravel()[:, None] + np.arange(0, num_items, num_skills)
    flat, total = mastery.reshape(len(items), -1), np.zeros((len(items), mastery.shape[-1]))
    for item in items.T:
        has = item < num_items
        total[has] += world.probability(item[has], flat[has])
    return (total / (items < num_items).sum(axis=1, keepdims=True)).reshape(mastery.shape)
