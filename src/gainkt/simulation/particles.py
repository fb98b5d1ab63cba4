"""Particles: possible states of simulated students, weighed by the responses that were seen."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gainkt.simulation.world import Floats, Ints

_TINY = 1e-12
"""Stands for a variance of zero, so that a known quantity needs no case of its own."""


class Laws(Protocol):
    """What is known of skills: `gainkt.simulation.world.World` has it, or a trained model."""

    @property
    def offset_K(self) -> Floats:
        """Logits; the mean student starts at -offset."""

    @property
    def gain_RK(self) -> Floats:
        """Mean gain after a wrong and after a right response, [2, K]."""

    def mastery(self, skills: Ints, scaled_practice: Floats, initial_logit: Floats) -> Floats:
        """Mastery of `skills` [n], given velocity * practice and initial logit, [n, Q]."""

    def advance(self, practice: Floats, skills_nS: Ints, gains: Floats) -> None:
        """Bring practice [n, K, Q] from before a step to after it, in place."""


class Spread(Protocol):
    """How much students differ: `gainkt.simulation.settings.Settings` says it, with the same names."""

    @property
    def num_skills(self) -> int:
        """Skills, K."""

    @property
    def ability_spread(self) -> float:
        """Standard deviation of ability between students."""

    @property
    def skill_spread(self) -> float:
        """Standard deviation of a student's readiness between skills."""

    @property
    def velocity_spread(self) -> float:
        """Standard deviation of the logarithm of velocity."""

    @property
    def gain_noise(self) -> float:
        """Standard deviation of the logarithm of a gain."""


class Particles:
    """Q possible states of each of n students.

    A state holds, for each skill, scaled practice (velocity * practice) and the initial logit. Two means keep
    the states diverse however long a history gets:

    - The initial logit of a skill is drawn when the skill is first met, given those of skills already met.
      Ability is integrated out: given the initial logits it is Gaussian, so their sum is all that is kept.
    - Velocity is integrated out likewise: log(velocity * noise) of each gain is Gaussian around log velocity.
      (A gain cut off at 1 is counted as if it were not: approximate for skills whose gains come near 1.)
    """

    def __init__(
        self,
        world: Laws,
        settings: Spread,
        num_students: int,
        num_particles: int,
        rng: np.random.Generator,
    ):
        self.world, self.settings, self.rng = world, settings, rng
        num_skills = settings.num_skills
        self.practice_nKQ = np.zeros((num_students, num_skills, num_particles), dtype=np.float32)
        self.initial_nKQ = np.zeros_like(self.practice_nKQ)
        self.weight_nQ = np.full((num_students, num_particles), 1 / num_particles, dtype=np.float32)
        self.met_nK = np.zeros((num_students, num_skills), dtype=bool)
        self.sum_readiness_nQ = np.zeros_like(self.weight_nQ)
        self.num_gains_n = np.zeros(num_students, dtype=np.int64)
        self.sum_log_gain_nQ = np.zeros_like(self.weight_nQ)

    def ability(self, rows: Ints) -> tuple[Floats, Floats]:
        """Mean [rows, Q] and variance [rows, 1] of ability given the initial logits of the skills met."""
        count = self.met_nK[rows].sum(axis=1)
        settings = self.settings
        return _posterior(0, settings.ability_spread, settings.skill_spread, count, self.sum_readiness_nQ[rows])

    def log_velocity(self, rows: Ints) -> tuple[Floats, Floats]:
        """Mean [rows, Q] and variance [rows, 1] of the logarithm of velocity given the gains so far."""
        spread, noise = self.settings.velocity_spread, self.settings.gain_noise
        return _posterior(-0.5 * spread**2, spread, noise, self.num_gains_n[rows], self.sum_log_gain_nQ[rows])

    def expect(self, values: Floats, rows: Ints) -> Floats:
        """Mean of `values` [rows, Q] over the weighted particles."""
        return (values * self.weight_nQ[rows]).sum(axis=1)

    def meet(self, rows: Ints, skill: Ints) -> None:
        """Draw the initial logits of skills that the students have not met before."""
        new = ~self.met_nK[rows, skill]
        rows, skill = rows[new], skill[new]
        mean, variance = self.ability(rows)
        spread = np.sqrt(variance + np.float32(self.settings.skill_spread**2))
        readiness = mean + spread * self._normal(mean.shape)
        self.initial_nKQ[rows, skill] = readiness - self.world.offset_K[skill, None].astype(np.float32)
        self.sum_readiness_nQ[rows] += readiness
        self.met_nK[rows, skill] = True

    def mastery(self, rows: Ints, skill: Ints) -> Floats:
        """Mastery [rows, Q] of one skill by each student; the skills have been met."""
        return self.world.mastery(skill, self.practice_nKQ[rows, skill], self.initial_nKQ[rows, skill])

    def weigh(self, likelihood_nQ: Floats) -> None:
        """Weigh the states of the first n students by their likelihood; resample where few still count."""
        n, num_particles = likelihood_nQ.shape
        weight = self.weight_nQ[:n]
        weight *= likelihood_nQ
        weight /= weight.sum(axis=1, keepdims=True)
        poor = np.flatnonzero((weight**2).sum(axis=1) * num_particles > 2)
        if not len(poor):
            return
        kept = _systematic(weight[poor], self.rng)
        for states in (self.practice_nKQ, self.initial_nKQ):
            states[poor] = np.take_along_axis(states[poor], kept[:, None], axis=2)
        for sums in (self.sum_readiness_nQ, self.sum_log_gain_nQ):
            sums[poor] = np.take_along_axis(sums[poor], kept, axis=1)
        weight[poor] = 1 / num_particles

    def practise(self, skills_nS: Ints, response_n: NDArray[np.uint8]) -> None:
        """Bring the states of the first n students from before a step to after it, given its response."""
        n, num_slots = skills_nS.shape
        noise = self.settings.gain_noise
        mean, variance = self.log_velocity(np.arange(n))
        log_velocity = mean + np.sqrt(variance) * self._normal(mean.shape)
        velocity = np.exp(log_velocity)
        gains = np.zeros((n, num_slots, mean.shape[1]), dtype=np.float32)
        for s in range(num_slots):
            rows = np.flatnonzero(skills_nS[:, s] >= 0)
            rate = self.world.gain_RK[response_n[rows], skills_nS[rows, s]].astype(np.float32)[:, None]
            log_noise = np.float32(noise) * self._normal((len(rows), mean.shape[1]))
            gains[rows, s] = velocity[rows] * np.minimum(rate * np.exp(log_noise - np.float32(0.5 * noise**2)), 1)
            self.sum_log_gain_nQ[rows] += log_velocity[rows] + log_noise
            self.num_gains_n[rows] += 1
        self.world.advance(self.practice_nKQ[:n], skills_nS, gains)

    def keep(self, rows: Ints) -> None:
        """Go on with some of the students alone, in the given order."""
        for name in ("practice_nKQ", "initial_nKQ", "weight_nQ", "met_nK", "sum_readiness_nQ", "num_gains_n"):
            setattr(self, name, getattr(self, name)[rows])
        self.sum_log_gain_nQ = self.sum_log_gain_nQ[rows]

    def _normal(self, shape: tuple[int, ...]) -> Floats:
        return self.rng.standard_normal(shape, dtype=np.float32)


def _posterior(mean: float, spread: float, noise: float, count_n: Ints, total_nQ: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of u ~ N(mean, spread^2) given `count` values u + N(0, noise^2) of sum `total`."""
    prior, error = spread**2, max(noise**2, _TINY)
    scale = (1 / (error + count_n * prior)).astype(np.float32)[:, None]
    return (np.float32(error * mean) + np.float32(prior) * total_nQ) * scale, np.float32(prior * error) * scale


def _systematic(weight_nQ: Floats, rng: np.random.Generator) -> Ints:
    """Draw Q indices a row in proportion to the weights, from one random number (systematic resampling)."""
    n, num_particles = weight_nQ.shape
    upto = np.cumsum(weight_nQ, axis=1, dtype=np.float64)
    upto *= num_particles / upto[:, -1:]
    drawn_upto = np.ceil(upto - rng.random((n, 1))).astype(np.int64)
    # The last sum is num_particles but for rounding, and all particles must be drawn.
    drawn_upto[:, -1] = num_particles
    copies = np.diff(drawn_upto, axis=1, prepend=0)
    return np.repeat(np.tile(np.arange(num_particles), n), copies.ravel()).reshape(n, num_particles)
