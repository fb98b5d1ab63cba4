"""Estimators that know what no tutor of real students does: the state of a student, or the laws alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gainkt.simulation.world import World
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints
from gainkt.tutoring.estimator.particle_filter import ParticleFilter

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


class BayesFilter(_Simulated, ParticleFilter):
    """The best observer: a particle filter that knows the laws but not the student."""

    def __init__(self, *, num_particles: int = 200, mastered: float | None = None, seed: int = 0) -> None:
        """Follow each student by some particles.

        Args:
            num_particles: at least 2.
            mastered: estimate the chance that true mastery is at least this; its mean where None.
            seed: of the particles.

        Raises:
            ConfigError: there are fewer than 2 particles.
        """
        super().__init__(num_particles, seed)
        self.mastered = mastered

    def fit(self, earlier: Earlier) -> None:
        """Take the laws, and how much students differ."""
        super().fit(earlier)
        self.laws, self.spread = self.world, self.truth.settings

    def right(self, items: Ints, skills_nS: Ints, mastery_nQS: Floats) -> Floats:
        """Chance of a right answer by the lowest mastery, [n, Q]."""
        held = (skills_nS >= 0)[:, None]
        return self.world.probability(items, np.where(held, mastery_nQS, np.float32(np.inf)).min(-1))

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mastery, or the chance that it is at least `mastered`, [n, C]."""
        known = (lambda m: m) if self.mastered is None else (lambda m: (m >= self.mastered).astype(np.float32))
        return self.expected(rows, skills, lambda skill, m: known(m))

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mean chance over the skill's items, were each skill all that they need."""
        return self.expected(rows, skills, lambda skill, m: _mean_chance(self.world, skill, m))


def _mean_chance(world: World, skills: Ints, mastery: Floats) -> Floats:
    """Mean over the skill's own items of the chance of a right answer; skills [...], mastery [..., Q]."""
    num_items, num_skills = world.q_matrix_IK.shape
    items = skills.ravel()[:, None] + np.arange(0, num_items, num_skills)
    flat, total = mastery.reshape(len(items), -1), np.zeros((len(items), mastery.shape[-1]))
    for item in items.T:
        has = item < num_items
        total[has] += world.probability(item[has], flat[has])
    return (total / (items < num_items).sum(axis=1, keepdims=True)).reshape(mastery.shape)
