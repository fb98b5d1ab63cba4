"""Students followed by particles: what an observer who knows the laws of skills makes of answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gainkt.errors import ConfigError
from gainkt.simulation.particles import Laws, Particles, Spread
from gainkt.tutoring.estimator.base import Answers, Estimator, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom


class ParticleFilter(Estimator):
    """Follows each student by some particles (gainkt.simulation.particles); `fit` says along which laws."""

    laws: Laws
    spread: Spread

    def __init__(self, num_particles: int, seed: int) -> None:
        """Keep the settings.

        Raises:
            ConfigError: there are fewer than 2 particles.
        """
        if num_particles < 2:
            raise ConfigError(f"num_particles={num_particles}: give at least 2")
        self.num_particles, self.seed = num_particles, seed

    @abstractmethod
    def right(self, items: Ints, skills_nS: Ints, mastery_nQS: Floats) -> Floats:
        """Chance of a right answer to each item, -1 where unknown, given mastery of its skills, [n, Q]."""

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Draw the particles."""
        draw = np.random.default_rng(self.seed)
        self.particles = Particles(self.laws, self.spread, num_students, self.num_particles, draw)
        self.rows: Ints = np.arange(num_students)

    def observe(self, answers: Answers) -> None:
        """Weigh the particles by the answers, and have them practise; students who left are let go."""
        self.told(answers)

    def told(self, answers: Answers) -> Floats:
        """Observe, and return the chances that the answers had of being right, [n]."""
        if len(answers.rows) < len(self.rows):
            self.particles.keep(self._places(answers.rows))
            self.rows = answers.rows
        mastery = np.ones((len(self.rows), self.num_particles, answers.skills.shape[1]), dtype=np.float32)
        for s, skill in enumerate(answers.skills.T):
            rows = np.flatnonzero(skill >= 0)
            self.particles.meet(rows, skill[rows])
            mastery[rows, :, s] = self.particles.mastery(rows, skill[rows])
        right = self.right(answers.items, answers.skills, mastery)
        expected = self.particles.expect(right, np.arange(len(right)))
        self.particles.weigh(np.where(answers.right[:, None], right, 1 - right))
        self.particles.practise(answers.skills, answers.right.astype(np.uint8))
        return expected

    def expected(self, rows: Ints, skills: Ints, of: Callable[[Ints, Floats], Floats]) -> Floats:
        """Mean over the particles of something of a skill [n] and its mastery [n, Q], for each column of skills."""
        at, found = self._places(rows), np.empty(skills.shape)
        for column, skill in enumerate(skills.T):
            self.particles.meet(at, skill)
            found[:, column] = self.particles.expect(of(skill, self.particles.mastery(at, skill)), at)
        return found

    def _places(self, rows: Ints) -> Ints:
        return np.searchsorted(self.rows, rows)
