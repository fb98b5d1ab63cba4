"""The best that an observer of simulated students can do: a particle filter that knows the laws only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.simulation.particles import Particles
from gainkt.simulation.truth import Truth
from gainkt.simulation.world import Floats, Ints

_CELLS = 1 << 20
"""Largest students x particles x skills in one array, 4 MB: what stays in the cache is fast."""


@dataclass(frozen=True, eq=False)
class FilterResult:
    """Beliefs of an observer who knows the laws; aligned with the log, NaN for students who were left out."""

    probability_M: Floats
    """Chance of a correct response to each step, before the response is seen."""
    mastery_L: Floats
    """Expected mastery of each slot's skill before the step."""
    mastery_after_L: Floats
    """The same after the step, its response being known and what it taught added."""
    gain_L: Floats
    """Expected gain of each slot's skill by the step, its response being known."""
    ability_N: Floats
    """Expected ability of each student after the last step, in logits."""
    velocity_N: Floats
    """Expected velocity of each student after the last step."""


def bayes_filter(
    log: InteractionLog,
    truth: Truth,
    *,
    num_particles: int = 500,
    seed: int = 0,
    students: Sequence[int] | Ints | None = None,
) -> FilterResult:
    """Follow students by a particle filter over their practice, velocity and initial logits.

    A prediction is the mean over particles of the chance of a correct response. The response then weighs the
    particles by its likelihood, and a student whose effective number of particles is under half is resampled.

    Args:
        log: histories over the items of `truth`; only its items, skills and responses are read.
        truth: only the laws and the spreads of the population are read, never a student.
        num_particles: at least 2.
        seed: the same seed gives the same beliefs to the bit.
        students: students to follow, all by default.

    Raises:
        ConfigError: num_particles is under 2, or the log's items or skills are not those of the truth.

    Source: Gordon, Salmond and Smith 1993 (bootstrap filter); Carvalho, Johannes, Lopes and Polson 2010
    (particle learning: static quantities are kept as sufficient statistics and redrawn at each step).
    """
    if num_particles < 2:
        raise ConfigError(f"num_particles: found {num_particles}; give at least 2")
    world = truth.world
    if (log.num_items, log.num_skills) != world.q_matrix_IK.shape:
        raise ConfigError(
            f"log: {log.num_items} items and {log.num_skills} skills, but the truth has "
            f"{world.q_matrix_IK.shape[0]} and {world.q_matrix_IK.shape[1]}; give the same simulation's truth"
        )
    chosen = np.arange(log.num_students) if students is None else np.asarray(students, dtype=np.int64)
    longest_first = chosen[np.argsort(-log.lengths[chosen], kind="stable")]
    size = max(1, _CELLS // (num_particles * log.num_skills))
    result = FilterResult(
        probability_M=np.full(log.num_steps, np.nan),
        mastery_L=np.full(len(log.skills), np.nan),
        mastery_after_L=np.full(len(log.skills), np.nan),
        gain_L=np.full(len(log.skills), np.nan),
        ability_N=np.full(log.num_students, np.nan),
        velocity_N=np.full(log.num_students, np.nan),
    )
    rng = np.random.default_rng(seed)
    for first in range(0, len(longest_first), size):
        _follow(log, truth, longest_first[first : first + size], num_particles, rng, result)
    step = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    followed = np.isfinite(result.mastery_L)
    expected = expected_gain(world.gain_RK, truth.settings.gain_noise)
    result.gain_L[followed] = expected[log.responses[step], log.skills][followed]
    return result


def expected_gain(gain: Floats, noise: float) -> Floats:
    """Mean of min(gain * exp(z), 1) with z ~ N(-noise^2 / 2, noise^2), the gain after noise and clipping."""
    if noise == 0:
        return np.minimum(gain, 1)
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    factor = np.exp(noise * points - 0.5 * noise**2)
    return np.minimum(gain[..., None] * factor, 1) @ weights / weights.sum()


def _follow(
    log: InteractionLog,
    truth: Truth,
    students: Ints,
    num_particles: int,
    rng: np.random.Generator,
    result: FilterResult,
) -> None:
    """Filter the histories of some students, longest first, and write what is believed into `result`."""
    world, lengths = truth.world, log.lengths[students]
    particles = Particles(world, truth.settings, len(students), num_particles, rng)
    for t in range(lengths[0]):
        n = int(np.searchsorted(-lengths, -t, side="left"))
        step = log.offsets[students[:n]] + t
        skills_nS = _skills_of(log, step)
        lowest = np.full((n, num_particles), np.inf, dtype=np.float32)
        for s, skill in enumerate(skills_nS.T):
            rows = np.flatnonzero(skill >= 0)
            particles.meet(rows, skill[rows])
            mastery = particles.mastery(rows, skill[rows])
            result.mastery_L[log.skill_offsets[step[rows]] + s] = particles.expect(mastery, rows)
            lowest[rows] = np.minimum(lowest[rows], mastery)
        right = world.probability(log.items[step], lowest)
        result.probability_M[step] = particles.expect(right, np.arange(n))
        response = log.responses[step]
        particles.weigh(np.where(response[:, None] == 1, right, 1 - right))
        particles.practise(skills_nS, response)
        for s, skill in enumerate(skills_nS.T):
            rows = np.flatnonzero(skill >= 0)
            after = particles.expect(particles.mastery(rows, skill[rows]), rows)
            result.mastery_after_L[log.skill_offsets[step[rows]] + s] = after
    everyone = np.arange(len(students))
    mean, _ = particles.ability(everyone)
    result.ability_N[students] = particles.expect(mean, everyone)
    mean, variance = particles.log_velocity(everyone)
    result.velocity_N[students] = particles.expect(np.exp(mean + 0.5 * variance), everyone)


def _skills_of(log: InteractionLog, step: Ints) -> Ints:
    """[n, S], the skills of the given steps, -1 in empty slots."""
    first = log.skill_offsets[step]
    counts = log.skill_offsets[step + 1] - log.skill_offsets[step]
    slot = np.arange(counts.max())
    held = slot < counts[:, None]
    table = np.full(held.shape, -1, dtype=np.int64)
    table[held] = log.skills[(first[:, None] + slot)[held]]
    return table
