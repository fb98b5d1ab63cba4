"""Splits: which students train, which validate and which test; a student is in one part only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Split:
    """Student numbers of the three parts, ascending; no student stands in two."""

    train: NDArray[np.int64]
    """Students to fit on."""
    valid: NDArray[np.int64]
    """Students to select and stop on."""
    test: NDArray[np.int64]
    """Students to report on, and for nothing else."""
    description: str
    """How the parts were made, for run records."""


class SplitRule(Protocol):
    """What a split rule offers: the parts of a log for one fold."""

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold, numbered from 0."""
        ...


@dataclass(frozen=True)
class GivenFolds:
    """Folds that the source gives.

    With a held-out set (fold -1): that is the test part, the given fold validates, the other folds train.
    Without one: the given fold is the test part, the next one validates, the other folds train.
    """

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold.

        Raises:
            ConfigError: there is no such fold.
            DataError: the source gives no folds, or a part cannot be used.
        """
        folds = np.asarray(log.folds)
        ungiven = int(np.count_nonzero(folds < -1))
        if ungiven:
            raise DataError(
                f"{log.name}: {ungiven} of {len(folds)} students have no fold in the source; "
                "use seeded folds (gainkt.data.splits.SeededFolds)"
            )
        labels = np.unique(folds[folds >= 0]).tolist()
        if fold not in labels:
            listed = ", ".join(map(str, labels)) or "a test set only"
            raise ConfigError(f"fold {fold}: {log.name} has {len(labels)} given folds ({listed}); choose one of them")
        held_out = bool((folds == -1).any())
        test = -1 if held_out else fold
        valid = fold if held_out else labels[(labels.index(fold) + 1) % len(labels)]
        source = "held-out test set" if held_out else f"test on fold {test}"
        return _checked(
            log,
            train=np.flatnonzero((folds != test) & (folds != valid)),
            valid=np.flatnonzero(folds == valid),
            test=np.flatnonzero(folds == test),
            description=f"{len(labels)} given folds, {source}, validation on fold {valid}",
        )


@dataclass(frozen=True)
class SeededFolds:
    """Students shuffled by a seed: a share is held out for test, the rest is dealt into folds."""

    num_folds: int = 5
    """Folds that share the students who are not held out; at least 2."""
    test_share: float = 0.2
    """Share of the students held out for test, between 0 and 1."""
    seed: int = 0
    """Seed of the shuffle; the same seed and number of students give the same parts."""

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.num_folds < 2:
            raise ConfigError(f"num_folds is {self.num_folds}; give 2 or more: one fold validates, the others train")
        if not 0 < self.test_share < 1:
            raise ConfigError(f"test_share is {self.test_share}; give a share between 0 and 1, such as 0.2")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give 0 or more")

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold: the held-out students test, the fold validates, the other folds train.

        Raises:
            ConfigError: there is no such fold.
            DataError: a part cannot be used.
        """
        if not 0 <= fold < self.num_folds:
            raise ConfigError(f"fold {fold}: there are {self.num_folds} folds; choose one of 0 to {self.num_folds - 1}")
        shuffled = np.random.default_rng(self.seed).permutation(log.num_students)
        num_test = round(self.test_share * log.num_students)
        folds = np.array_split(shuffled[num_test:], self.num_folds)
        return _checked(
            log,
            train=np.concatenate([part for number, part in enumerate(folds) if number != fold]),
            valid=folds[fold],
            test=shuffled[:num_test],
            description=f"{self.num_folds} folds and test share {self.test_share:g} by seed {self.seed}, "
            f"validation on fold {fold}",
        )


def _checked(log: InteractionLog, description: str, **parts: NDArray[np.int64]) -> Split:
    """Return the split, whose parts must each hold both classes among the scored steps.

    Raises:
        DataError: a part is empty, has no student of two steps, or has one class only.
    """
    parts = {name: np.sort(students).astype(np.int64) for name, students in parts.items()}
    everyone = np.concatenate(list(parts.values()))
    assert len(np.unique(everyone)) == len(everyone), "a student stands in two parts"

    # Each student's steps and right responses but the first step, which is not scored.
    met = np.flatnonzero(log.lengths)
    starts = np.asarray(log.offsets[:-1])[met]
    right = np.zeros(log.num_students, dtype=np.int64)
    if len(met):
        right[met] = np.add.reduceat(log.responses, starts, dtype=np.int64) - log.responses[starts]
    scored = np.maximum(log.lengths - 1, 0)
    advice = "use another fold or split, or more students"
    for name, students in parts.items():
        place = f"{log.name}, {description}: the {name} part"
        num_scored, num_right = int(scored[students].sum()), int(right[students].sum())
        if not len(students):
            raise DataError(f"{place} is empty; {advice}")
        if not num_scored:
            raise DataError(f"{place} has no student with two or more steps, so nothing can be scored; {advice}")
        if num_right in (0, num_scored):
            kind = "right (1)" if num_right else "wrong (0)"
            raise DataError(f"{place} has {num_scored} scored steps, all {kind}, so no AUC can be computed; {advice}")
    return Split(description=description, **parts)
