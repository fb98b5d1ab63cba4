"""The laws that simulated students live under: skills, items, transfer, practice and responses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import offsets_of
from gainkt.simulation.settings import Settings, Span

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class World:
    """All that is true before any student arrives; K skills, I items, S slots for the skills of a step.

    Mastery of skill k by student i after practice P:
        m = saturation[k] * sigmoid(steepness[k] * velocity[i] * P + initial_logit[i, k])
    Chance of a correct response to item q, m being the lowest mastery over its skills:
        p = guess[q] + (1 - slip[q] - guess[q]) * sigmoid((m - difficulty[q]) / temperature)
    """

    saturation_K: Floats
    """In (0, 1], mastery that endless practice leads to."""
    steepness_K: Floats
    """Above 0, logits a unit of practice."""
    offset_K: Floats
    """Logits; the mean student starts at -offset."""
    ease_K: Floats
    """Factor of the skill's gains."""
    gain_RK: Floats
    """[2, K] in [0, 1], the gain before noise after an incorrect (row 0) and a correct (row 1) response."""
    order_K: Ints
    """Skills in the order of the curriculum: prerequisites stand before their dependents."""
    transfer_KK: Floats
    """[k, j] in [0, 1], the share of a gain on skill k that skill j receives; acyclic."""
    difficulty_I: Floats
    """Mastery at which the item is solved half of the time."""
    slip_I: Floats
    """Chance to fail the item when it is solved."""
    guess_I: Floats
    """Chance to answer the item when it is not solved."""
    q_matrix_IK: NDArray[np.bool_]
    """True where the item needs the skill."""
    temperature: float
    """Mastery over which the chance to solve an item rises by one logit."""
    forgetting: float
    """Share of its practice that a skill loses in each step that does not practise it."""

    @cached_property
    def skills_IS(self) -> Ints:
        """[I, S], the skills of each item in rising order, -1 in empty slots."""
        counts = self.q_matrix_IK.sum(axis=1)
        table = np.full((len(counts), counts.max()), -1, dtype=np.int64)
        item, skill = np.nonzero(self.q_matrix_IK)
        table[item, np.arange(len(item)) - offsets_of(counts)[item]] = skill
        return table

    @cached_property
    def _dependents(self) -> tuple[Ints, Floats]:
        """[K, E] skills that receive from each skill, and the shares they receive; padded with 0 shares."""
        most = int((self.transfer_KK > 0).sum(axis=1).max())
        receivers = np.argsort(-self.transfer_KK, axis=1, kind="stable")[:, :most]
        return receivers, np.take_along_axis(self.transfer_KK, receivers, axis=1)

    def advance(self, practice: Floats, skills_nS: Ints, gains: Floats) -> None:
        """Bring practice from before a step to after it, in place.

        P[j] <- (1 if j is practised else 1 - forgetting) * P[j] + gain[j] + sum_k transfer[k, j] * gain[k]

        Args:
            practice: [n, K] or [n, K, particles].
            skills_nS: skills of the step, -1 in empty slots.
            gains: [n, S] or [n, S, particles]; not read in empty slots.
        """
        tail = (1,) * (practice.ndim - 2)
        slots = [np.flatnonzero(skills >= 0) for skills in skills_nS.T]
        wear_off(practice, skills_nS, self.forgetting)
        receivers, shares = self._dependents
        for s, rows in enumerate(slots):
            skill = skills_nS[rows, s]
            practice[rows, skill] += gains[rows, s]
            for e in range(receivers.shape[1]):
                giving = np.flatnonzero(shares[skill, e])
                row, giver = rows[giving], skill[giving]
                share = shares[giver, e].astype(practice.dtype).reshape(-1, *tail)
                practice[row, receivers[giver, e]] += share * gains[row, s]

    def mastery(self, skills: Ints, scaled_practice: Floats, initial_logit: Floats) -> Floats:
        """Mastery of `skills`, given velocity * practice and initial logit, [...] or [..., particles]."""
        tail = (1,) * (scaled_practice.ndim - skills.ndim)
        dtype = scaled_practice.dtype
        steepness = self.steepness_K[skills].astype(dtype).reshape(*skills.shape, *tail)
        saturation = self.saturation_K[skills].astype(dtype).reshape(*skills.shape, *tail)
        return saturation * sigmoid(steepness * scaled_practice + initial_logit)

    def probability(self, items: Ints, lowest_mastery: Floats) -> Floats:
        """Chance to answer `items` [n], given the lowest mastery over their skills, [n] or [n, particles]."""
        tail = (1,) * (lowest_mastery.ndim - 1)
        dtype = lowest_mastery.dtype
        difficulty, slip, guess = (
            values[items].astype(dtype).reshape(-1, *tail) for values in (self.difficulty_I, self.slip_I, self.guess_I)
        )
        return guess + (1 - slip - guess) * sigmoid((lowest_mastery - difficulty) / self.temperature)


def wear_off(practice: Floats, skills_nS: Ints, forgetting: float) -> None:
    """Take its share of forgetting from the practice [n, K, ...] of each skill that a step leaves alone, in place."""
    if not forgetting:
        return
    keep = np.full(practice.shape[:2], 1 - forgetting, dtype=practice.dtype)
    for skill in skills_nS.T:
        rows = np.flatnonzero(skill >= 0)
        keep[rows, skill[rows]] = 1
    practice *= keep.reshape(*keep.shape, *(1,) * (practice.ndim - 2))


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def draw_world(settings: Settings, rng: np.random.Generator) -> World:
    """Draw skills, items, the Q-matrix and the transfer graph."""
    num_skills, num_items = settings.num_skills, settings.num_items

    def draw(span: Span, size: int) -> Floats:
        return rng.uniform(*span, size=size)

    ease = draw(settings.ease, num_skills)
    gain_correct = settings.gain_correct * ease
    order = rng.permutation(num_skills)
    edges = np.triu(rng.random((num_skills, num_skills)) < settings.transfer_density, k=1)
    strength = rng.uniform(*settings.transfer_strength, size=edges.shape) * edges
    transfer = np.zeros(edges.shape)
    transfer[np.ix_(order, order)] = strength
    return World(
        saturation_K=draw(settings.saturation, num_skills),
        steepness_K=draw(settings.steepness, num_skills),
        offset_K=draw(settings.offset, num_skills),
        ease_K=ease,
        gain_RK=np.clip(np.stack([gain_correct / settings.gain_ratio, gain_correct]), 0, 1),
        order_K=order,
        transfer_KK=transfer,
        difficulty_I=draw(settings.difficulty, num_items),
        slip_I=draw(settings.slip, num_items),
        guess_I=draw(settings.guess, num_items),
        q_matrix_IK=_draw_q_matrix(settings, rng),
        temperature=settings.temperature,
        forgetting=settings.forgetting,
    )


def _draw_q_matrix(settings: Settings, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Give each item its own skill, and some a second and a third one."""
    num_skills, num_items = settings.num_skills, settings.num_items
    items = np.arange(num_items)
    more = (rng.random(num_items) < settings.multi_skill_share).astype(int)
    more += more * (rng.random(num_items) < 0.25)
    # A random ranking of the other skills, the item's own skill being first.
    score = rng.random((num_items, num_skills))
    score[items, items % num_skills] = -1
    return score.argsort(axis=1).argsort(axis=1) <= more[:, None]
