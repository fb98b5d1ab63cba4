"""Settings of the simulator: every option, its meaning, its unit and its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

from gainkt.errors import ConfigError, nearest

POLICIES = ("blocked", "mixed", "mastery")

Span = tuple[float, float]
"""Lowest and highest value; each skill or item draws its own, uniformly."""


def within(default: Any, low: float, high: float = inf) -> Any:
    """A setting of the kind of its default (whole number, number or span), each end of which lies in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is simulated: each setting's default and range, and its meaning.

    Raises:
        ConfigError: a setting is of the wrong kind or out of range; the message names its key.
    """

    num_students: int = within(2000, 1)
    """Students."""
    num_skills: int = within(20, 1)
    """Skills."""
    num_items: int = within(200, 1)
    """Items, at least one a skill; item i practises skill i modulo num_skills, and perhaps others."""
    seed: int = within(0, 0)
    """The same seed and settings give the same students to the bit."""
    policy: str = "varied"
    """What comes next: blocked, mixed, mastery, or varied (each student gets one of the three at random)."""
    block_size: int = within(6, 1)
    """Steps on a skill before the next, under the blocked policy."""
    mastery_streak: int = within(3, 1)
    """Correct responses in a row on a skill before the next, under the mastery policy."""
    median_length: float = within(20.0, 2, 1e6)
    """Median number of steps of a student."""
    length_spread: float = within(0.9, 0, 5)
    """Standard deviation of the logarithm of the number of steps; larger for a longer tail."""
    max_length: int = within(500, 2)
    """Longest history in steps; at least the median."""
    ability_spread: float = within(0.9, 0, 10)
    """Standard deviation of ability between students, in logits of mastery."""
    skill_spread: float = within(0.6, 0, 10)
    """Standard deviation of a student's readiness between skills, in logits of mastery."""
    velocity_spread: float = within(0.4, 0, 2)
    """Standard deviation of the logarithm of learning velocity; the mean velocity is 1."""
    gain_correct: float = within(0.5, 0, 1)
    """Mean gain after a correct response on a skill of ease 1."""
    gain_ratio: float = within(2.0, 0.01, 100)
    """Gain after a correct response over gain after an incorrect one."""
    gain_noise: float = within(0.25, 0, 2)
    """Standard deviation of the logarithm of a gain."""
    ease: tuple[float, float] = within((0.4, 1.6), 0, 100)
    """Factor of the gains of a skill."""
    saturation: tuple[float, float] = within((0.8, 1.0), 1e-3, 1)
    """Mastery that endless practice of a skill leads to."""
    steepness: tuple[float, float] = within((1.0, 2.5), 1e-3, 100)
    """Logits of mastery that a unit of practice adds."""
    offset: tuple[float, float] = within((-0.5, 2.0), -20, 20)
    """Logits by which a skill is harder at the start."""
    difficulty: tuple[float, float] = within((0.1, 0.5), -10, 10)
    """Mastery at which an item is solved half of the time, guesses and slips aside."""
    temperature: float = within(0.12, 1e-3, 100)
    """Mastery over which an item's chance of being solved rises by one logit."""
    slip: tuple[float, float] = within((0.05, 0.15), 0, 0.5)
    """Chance to fail an item that is solved."""
    guess: tuple[float, float] = within((0.1, 0.3), 0, 0.5)
    """Chance to answer an item that is not solved."""
    multi_skill_share: float = within(0.2, 0, 1)
    """Share of items that need a second skill; a quarter of these need a third."""
    transfer_density: float = within(0.1, 0, 1)
    """Chance that a skill is a prerequisite of a later one."""
    transfer_strength: tuple[float, float] = within((0.1, 0.4), 0, 1)
    """Share of a gain on a prerequisite that its dependent receives."""
    forgetting: float = within(0.0, 0, 1)
    """Share of its practice that a skill loses in a step that does not practise it; 0 is off."""

    def __post_init__(self) -> None:
        """Check every setting and bring it to a plain type (lists from YAML become tuples)."""
        for setting in fields(self):
            if setting.metadata:
                value = _plain(setting.name, getattr(self, setting.name), type(setting.default), **setting.metadata)
                object.__setattr__(self, setting.name, value)
        known = (*POLICIES, "varied")
        if self.policy not in known:
            raise ConfigError(
                f"policy: {self.policy!r} is unknown{nearest(str(self.policy), known)}; choose one of {known}"
            )
        if self.num_items < self.num_skills:
            raise ConfigError(
                f"num_items: {self.num_items} is under num_skills = {self.num_skills}; each skill needs one"
            )
        if self.max_length < self.median_length:
            raise ConfigError(f"max_length: {self.max_length} is under median_length = {self.median_length}; raise it")


def _plain(key: str, value: Any, kind: type, low: float, high: float) -> int | float | Span:
    if kind is tuple:
        ends = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, Real) for end in ends):
            raise ConfigError(f"{key}: found {value!r}; give two numbers, [lowest, highest]")
        if not low <= ends[0] <= ends[1] <= high:
            raise ConfigError(
                f"{key}: found {list(ends)}; give [lowest, highest], rising and within [{low:g}, {high:g}]"
            )
        return float(ends[0]), float(ends[1])
    right = isinstance(value, Integral if kind is int else Real)
    if isinstance(value, bool) or not right:
        raise ConfigError(f"{key}: found {value!r}; give {'a whole number' if kind is int else 'a number'}")
    if not isfinite(value) or not low <= value <= high:
        wanted = f"at least {low:g}" if high == inf else f"in [{low:g}, {high:g}]"
        raise ConfigError(f"{key}: found {value!r}; give a value {wanted}")
    return kind(value)
