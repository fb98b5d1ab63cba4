"""Simulated students: who they are, how they choose what to practise, and what happens step after step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import offsets_of
from gainkt.simulation.settings import POLICIES, Settings
from gainkt.simulation.world import Floats, Ints, World


@dataclass(frozen=True, eq=False)
class Students:
    """N students before their first step."""

    ability_N: Floats
    """Logits of mastery, mean 0."""
    velocity_N: Floats
    """Above 0, mean 1; the factor of practice."""
    initial_logit_NK: Floats
    """Logits of mastery before any practice: -offset[k] + ability[i] + a deviation of the skill."""
    policy_N: Ints
    """Index into POLICIES."""
    lengths_N: Ints
    """Steps, at least 2."""


@dataclass(frozen=True, eq=False)
class Steps:
    """M steps of N students, one student after another; L is the number of slots that hold a skill."""

    offsets: NDArray[np.int64]
    """[N+1], first step of each student."""
    items: NDArray[np.int32]
    """[M]."""
    responses: NDArray[np.uint8]
    """[M], 1 right, 0 wrong."""
    oracle_M: Floats
    """Chance of a correct response given the true state."""
    skill_offsets: NDArray[np.int64]
    """[M+1], first slot of each step."""
    skills: NDArray[np.int32]
    """[L]."""
    gain_L: Floats
    """In [0, 1], what practising the slot's skill added to it, without transfer from others."""
    mastery_before_L: Floats
    """In [0, 1], mastery of the slot's skill before the step."""
    mastery_after_L: Floats
    """In [0, 1], mastery of the slot's skill after the step, transfer and forgetting included."""


def draw_students(settings: Settings, world: World, rng: np.random.Generator) -> Students:
    """Draw the students' states before their first step, their policies and how long they will practise."""
    n = settings.num_students
    ability = rng.normal(0, settings.ability_spread, n)
    deviation = rng.normal(0, settings.skill_spread, (n, settings.num_skills))
    spread = settings.velocity_spread
    velocity = np.exp(rng.normal(-0.5 * spread**2, spread, n))
    lengths = np.round(settings.median_length * np.exp(rng.normal(0, settings.length_spread, n)))
    policy = rng.integers(len(POLICIES), size=n)
    if settings.policy != "varied":
        policy[:] = POLICIES.index(settings.policy)
    return Students(
        ability_N=ability,
        velocity_N=velocity,
        initial_logit_NK=-world.offset_K + ability[:, None] + deviation,
        policy_N=policy,
        lengths_N=np.clip(lengths, 2, settings.max_length).astype(np.int64),
    )


class Practice:
    """Chooses the items of n students step by step, each by the student's policy.

    Skills follow each other in the order of the curriculum, starting anywhere and beginning anew after the
    last; under `mixed` each step draws its skill. The item is drawn among the skill's own (item i belongs to
    skill i modulo K), never the same one twice running.
    """

    def __init__(self, settings: Settings, world: World, policy_n: Ints, rng: np.random.Generator):
        self.settings, self.world, self.policy, self.rng = settings, world, policy_n, rng
        self.position = rng.integers(settings.num_skills, size=len(policy_n))
        self.steps_on_skill = np.zeros(len(policy_n), dtype=np.int64)
        self.streak = np.zeros(len(policy_n), dtype=np.int64)
        self.last_item = np.full(len(policy_n), -1, dtype=np.int64)

    def choose(self, n: int) -> Ints:
        """Return the next item of the first n students."""
        num_skills, num_items = self.settings.num_skills, self.settings.num_items
        mixed = self.policy[:n] == POLICIES.index("mixed")
        skill = np.where(mixed, self.rng.integers(num_skills, size=n), self.world.order_K[self.position[:n]])
        # The items whose own skill this is are skill, skill + K, skill + 2K, ...
        count = (num_items - 1 - skill) // num_skills + 1
        place = (self.rng.random(n) * count).astype(np.int64)
        repeated = (skill + place * num_skills == self.last_item[:n]) & (count > 1)
        place = np.where(repeated, (place + 1 + (self.rng.random(n) * (count - 1)).astype(np.int64)) % count, place)
        self.last_item[:n] = skill + place * num_skills
        return self.last_item[:n].copy()

    def observe(self, response_n: NDArray[np.bool_]) -> None:
        """Take note of the responses of the first n students, and move on where the policy says so."""
        n = len(response_n)
        self.steps_on_skill[:n] += 1
        self.streak[:n] = np.where(response_n, self.streak[:n] + 1, 0)
        policy = self.policy[:n]
        done = np.where(
            policy == POLICIES.index("mastery"),
            self.streak[:n] >= self.settings.mastery_streak,
            self.steps_on_skill[:n] >= self.settings.block_size,
        )
        self.position[:n] = (self.position[:n] + done) % self.settings.num_skills
        self.steps_on_skill[:n][done] = 0
        self.streak[:n][done] = 0


def let_practise(settings: Settings, world: World, students: Students, rng: np.random.Generator) -> Steps:
    """Run all students through their steps; the loop is over steps, the longest histories standing first.

    At a step: the item is chosen, mastery read, the response drawn, gains follow from it, practice advances.
    """
    longest_first = np.argsort(-students.lengths_N, kind="stable")
    lengths = students.lengths_N[longest_first]
    offsets = offsets_of(students.lengths_N)
    start = offsets[:-1][longest_first]
    velocity, initial = students.velocity_N[longest_first], students.initial_logit_NK[longest_first]
    table = world.skills_IS
    num_steps, num_slots = int(offsets[-1]), table.shape[1]
    items = np.empty(num_steps, dtype=np.int32)
    responses = np.empty(num_steps, dtype=np.uint8)
    oracle = np.empty(num_steps)
    gains, before, after = (np.empty((num_steps, num_slots)) for _ in range(3))
    practice = np.zeros(initial.shape)
    plan = Practice(settings, world, students.policy_N[longest_first], rng)
    still_there = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")
    for t, n in enumerate(still_there):
        row = np.arange(n)[:, None]
        item = plan.choose(n)
        skill = table[item]

        def mastery_now(row: Ints = row, skill: Ints = skill, n: int = n) -> Floats:
            return world.mastery(skill, velocity[:n, None] * practice[row, skill], initial[row, skill])

        mastery = mastery_now()
        probability = world.probability(item, np.where(skill >= 0, mastery, np.inf).min(axis=1))
        response = rng.random(n) < probability
        noise = np.exp(rng.normal(-0.5 * settings.gain_noise**2, settings.gain_noise, skill.shape))
        gain = np.clip(world.gain_RK[response.astype(np.int64)[:, None], skill] * noise, 0, 1)
        world.advance(practice[:n], skill, gain)
        plan.observe(response)
        at = start[:n] + t
        items[at], responses[at], oracle[at] = item, response, probability
        gains[at], before[at], after[at] = gain, mastery, mastery_now()
    skills = table[items]
    held = skills >= 0
    return Steps(
        offsets=offsets,
        items=items,
        responses=responses,
        oracle_M=oracle,
        skill_offsets=offsets_of(held.sum(axis=1)),
        skills=skills[held].astype(np.int32),
        gain_L=gains[held],
        mastery_before_L=before[held],
        mastery_after_L=after[held],
    )
