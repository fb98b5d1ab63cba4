"""Settings of the simulator: every option, its meaning, its unit and its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real

from gainkt.errors import ConfigError, nearest

POLICIES = ("blocked", "mixed", "mastery")

Span = tuple[float, float]
"""Lowest and highest value; each skill or item draws its own, uniformly."""

_WHOLE: dict[str, tuple[int, int | None]] = {
    "num_students": (1, None),
    "num_skills": (1, None),
    "num_items": (1, None),
    "seed": (0, None),
    "block_size": (1, None),
    "mastery_streak": (1, None),
    "max_length": (2, None),
}
_NUMBERS: dict[str, tuple[float, float]] = {
    "median_length": (2, 1e6),
    "length_spread": (0, 5),
    "ability_spread": (0, 10),
    "skill_spread": (0, 10),
    "velocity_spread": (0, 2),
    "gain_correct": (0, 1),
    "gain_ratio": (0.01, 100),
    "gain_noise": (0, 2),
    "temperature": (1e-3, 100),
    "multi_skill_share": (0, 1),
    "transfer_density": (0, 1),
    "forgetting": (0, 1),
}
_SPANS: dict[str, tuple[float, float]] = {
    "ease": (0, 100),
    "saturation": (1e-3, 1),
    "steepness": (1e-3, 100),
    "offset": (-20, 20),
    "difficulty": (-10, 10),
    "slip": (0, 0.5),
    "guess": (0, 0.5),
    "transfer_strength": (0, 1),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is simulated; a span [low, high] is drawn from uniformly, once for each skill, item or edge.

    Raises:
        ConfigError: a setting is of the wrong kind or out of range; the message names its key.
    """

    num_students: int = 2000
    """Students, at least 1."""
    num_skills: int = 20
    """Skills, at least 1."""
    num_items: int = 200
    """Items, at least one a skill; item i practises skill i modulo num_skills, and perhaps others."""
    seed: int = 0
    """Seed, at least 0; the same seed and settings give the same students to the bit."""
    policy: str = "varied"
    """What comes next: blocked, mixed, mastery, or varied (each student gets one of the three at random)."""
    block_size: int = 6
    """Steps on a skill before the next, under the blocked policy; at least 1."""
    mastery_streak: int = 3
    """Correct responses in a row on a skill before the next, under the mastery policy; at least 1."""
    median_length: float = 20.0
    """Median number of steps of a student; at least 2."""
    length_spread: float = 0.9
    """Standard deviation of the logarithm of the number of steps, in [0, 5]; larger for a longer tail."""
    max_length: int = 500
    """Longest history in steps; at least 2, and at least the median."""
    ability_spread: float = 0.9
    """Standard deviation of ability between students, in logits of mastery, in [0, 10]."""
    skill_spread: float = 0.6
    """Standard deviation of a student's readiness between skills, in logits of mastery, in [0, 10]."""
    velocity_spread: float = 0.4
    """Standard deviation of the logarithm of learning velocity, in [0, 2]; the mean velocity is 1."""
    gain_correct: float = 0.5
    """Mean gain after a correct response on a skill of ease 1, in [0, 1]."""
    gain_ratio: float = 2.0
    """Gain after a correct response over gain after an incorrect one, in [.01, 100]."""
    gain_noise: float = 0.25
    """Standard deviation of the logarithm of a gain, in [0, 2]."""
    ease: Span = (0.4, 1.6)
    """Factor of the gains of a skill; each end in [0, 100]."""
    saturation: Span = (0.8, 1.0)
    """Mastery that endless practice of a skill leads to; each end in (0, 1]."""
    steepness: Span = (1.0, 2.5)
    """Logits of mastery that a unit of practice adds; each end above 0."""
    offset: Span = (-0.5, 2.0)
    """Logits by which a skill is harder at the start; each end in [-20, 20]."""
    difficulty: Span = (0.1, 0.5)
    """Mastery at which an item is solved half of the time, guesses and slips aside; each end in [-10, 10]."""
    temperature: float = 0.12
    """Mastery over which an item's chance of being solved rises by one logit; above 0."""
    slip: Span = (0.05, 0.15)
    """Chance to fail an item that is solved; each end in [0, .5]."""
    guess: Span = (0.1, 0.3)
    """Chance to answer an item that is not solved; each end in [0, .5]."""
    multi_skill_share: float = 0.2
    """Share of items that need a second skill, in [0, 1]; a quarter of these need a third."""
    transfer_density: float = 0.1
    """Chance that a skill is a prerequisite of a later one, in [0, 1]."""
    transfer_strength: Span = (0.1, 0.4)
    """Share of a gain on a prerequisite that its dependent receives; each end in [0, 1]."""
    forgetting: float = 0.0
    """Share of its practice that a skill loses in a step that does not practise it, in [0, 1]; 0 is off."""

    def __post_init__(self) -> None:
        """Check every setting and bring it to a plain type (lists from YAML become tuples)."""
        for key, (least, most) in _WHOLE.items():
            self._check(key, isinstance(getattr(self, key), Integral), "a whole number", least, most)
            object.__setattr__(self, key, int(getattr(self, key)))
        for key, (low, high) in _NUMBERS.items():
            self._check(key, isinstance(getattr(self, key), Real), "a number", low, high)
            object.__setattr__(self, key, float(getattr(self, key)))
        for key, (low, high) in _SPANS.items():
            object.__setattr__(self, key, self._span(key, low, high))
        if self.policy not in (*POLICIES, "varied"):
            known = (*POLICIES, "varied")
            raise ConfigError(
                f"policy: {self.policy!r} is unknown{nearest(str(self.policy), known)}; choose one of {known}"
            )
        if self.num_items < self.num_skills:
            raise ConfigError(
                f"num_items: {self.num_items} is under num_skills = {self.num_skills}; each skill needs one"
            )
        if self.max_length < self.median_length:
            raise ConfigError(f"max_length: {self.max_length} is under median_length = {self.median_length}; raise it")

    def _check(self, key: str, right_kind: bool, kind: str, low: float, high: float | None) -> None:
        value = getattr(self, key)
        if isinstance(value, bool) or not right_kind:
            raise ConfigError(f"{key}: found {value!r}; give {kind}")
        if not isfinite(value) or value < low or (high is not None and value > high):
            wanted = f"at least {low:g}" if high is None else f"in [{low:g}, {high:g}]"
            raise ConfigError(f"{key}: found {value!r}; give a value {wanted}")

    def _span(self, key: str, low: float, high: float) -> Span:
        value = getattr(self, key)
        ends = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, Real) for end in ends):
            raise ConfigError(f"{key}: found {value!r}; give two numbers, [lowest, highest]")
        if not low <= ends[0] <= ends[1] <= high:
            raise ConfigError(
                f"{key}: found {list(ends)}; give [lowest, highest], rising and within [{low:g}, {high:g}]"
            )
        return float(ends[0]), float(ends[1])
