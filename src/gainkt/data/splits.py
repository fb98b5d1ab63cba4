"""Splits: which students train, which validate and which test; a student is in one part only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, TEST, TRAIN, VALID, InteractionLog
from gainkt.errors import ConfigError, DataError

_CODES = {"train": TRAIN, "valid": VALID, "test": TEST}


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

    Numbered folds with a held-out set (fold -1): that is the test part, the given fold validates, the others train.
    Without one: the given fold is the test part, the next one validates, the other folds train. Parts in words (train,
    valid, test) are used as they are, of several such splits the one numbered `fold`; where no students are named for
    validation, those for training are dealt into folds.
    """

    num_folds: int = 5
    """Folds of the training students where the source names train and test only; at least 2."""
    seed: int = 0
    """Of that deal."""

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold.

        Raises:
            ConfigError: there is no such fold.
            DataError: the source gives no folds, or a part cannot be used.
        """
        folds = np.asarray(log.folds)
        if folds.ndim == 2:
            if not 0 <= fold < folds.shape[1]:
                raise ConfigError(
                    f"dataset.fold={fold}: {log.name} has {folds.shape[1]} given splits; choose one from 0 on"
                )
            parts = {name: np.flatnonzero(folds[:, fold] == code) for name, code in _CODES.items()}
            absent = int(np.count_nonzero(folds[:, fold] == NO_FOLD))
            beside = f" ({absent} students are in others only)" if absent else ""
            described = f"{folds.shape[1]} given folds of train, valid and test, fold {fold}{beside}"
            return _checked(log, described, **parts)
        ungiven = int(np.count_nonzero(folds == NO_FOLD))
        if ungiven:
            raise DataError(
                f"{log.name}: {ungiven} of {len(folds)} students have no fold in the source; "
                "use seeded folds (dataset/split=seeded)"
            )
        if np.isin(folds, (TRAIN, VALID)).any():
            return self._in_words(log, folds, fold)
        labels = np.unique(folds[folds >= 0]).tolist()
        if fold not in labels:
            listed = ", ".join(map(str, labels)) or "a test set only"
            raise ConfigError(f"dataset.fold={fold}: {log.name} has {len(labels)} given folds ({listed}); choose one")
        held_out = bool((folds == TEST).any())
        needed = 2 if held_out else 3
        if len(labels) < needed:
            beside = " beside a test set" if held_out else ""
            raise DataError(
                f"{log.name}: the train part is empty: {len(labels)} given folds{beside} make no train, valid and test "
                f"part, which takes {needed}; where the column says train and test, write these words in it, or deal "
                "folds by dataset/split=seeded"
            )
        test = TEST if held_out else fold
        valid = fold if held_out else labels[(labels.index(fold) + 1) % len(labels)]
        source = "held-out test set" if held_out else f"test on fold {test}"
        return _checked(
            log,
            train=np.flatnonzero((folds != test) & (folds != valid)),
            valid=np.flatnonzero(folds == valid),
            test=np.flatnonzero(folds == test),
            description=f"{len(labels)} given folds, {source}, validation on fold {valid}",
        )

    def _in_words(self, log: InteractionLog, folds: NDArray, fold: int) -> Split:
        parts = {name: np.flatnonzero(folds == code) for name, code in _CODES.items()}
        if not len(parts["test"]):
            raise DataError(
                f"{log.name}: the source names train and valid but no test students; name some, or use "
                "dataset/split=seeded"
            )
        if len(parts["valid"]):
            if fold != 0:
                raise ConfigError(
                    f"dataset.fold={fold}: {log.name} has one given split into train, valid and test; give fold 0"
                )
            return _checked(log, "given train, valid and test", **parts)
        deal = SeededFolds(num_folds=self.num_folds, seed=self.seed)
        parts["train"], parts["valid"] = deal.deal(parts["train"], fold)
        dealt = f"{self.num_folds} folds of train by seed {self.seed}, validation on fold {fold}"
        return _checked(log, f"given train and test, {dealt}", **parts)


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
            raise ConfigError(
                f"dataset.split.num_folds={self.num_folds}: give 2 or more: one fold validates, the others train"
            )
        if not 0 < self.test_share < 1:
            raise ConfigError(f"dataset.split.test_share={self.test_share}: give a share between 0 and 1, such as 0.2")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give 0 or more")

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold: the held-out students test, the fold validates, the other folds train.

        Raises:
            ConfigError: there is no such fold.
            DataError: a part cannot be used.
        """
        shuffled = np.random.default_rng(self.seed).permutation(log.num_students)
        num_test = round(self.test_share * log.num_students)
        train, valid = self._parts(shuffled[num_test:], fold)
        return _checked(
            log,
            train=train,
            valid=valid,
            test=shuffled[:num_test],
            description=f"{self.num_folds} folds and test share {self.test_share:g} by seed {self.seed}, "
            f"validation on fold {fold}",
        )

    def deal(self, students: NDArray[np.int64], fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return training and validation students for a fold out of students whose test set is known."""
        return self._parts(np.random.default_rng(self.seed).permutation(students), fold)

    def _parts(self, shuffled: NDArray[np.int64], fold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not 0 <= fold < self.num_folds:
            most = self.num_folds - 1
            raise ConfigError(f"dataset.fold={fold}: there are {self.num_folds} folds; choose one of 0 to {most}")
        size, longer = divmod(len(shuffled), self.num_folds)  # the first folds have one student more
        start = fold * size + min(fold, longer)
        stop = start + size + (fold < longer)
        return np.concatenate([shuffled[:start], shuffled[stop:]]), shuffled[start:stop]


@dataclass(frozen=True)
class AutoSplit:
    """The source's folds where it gives them, otherwise students dealt by a seed; what a data set does unless told."""

    num_folds: int | None = None
    """Folds that are dealt, as in SeededFolds; not to be set where the source gives its own."""
    test_share: float | None = None
    """Share of students held out for test, as in SeededFolds; not to be set where the source gives its own."""
    seed: int | None = None
    """Of the deal, as in SeededFolds."""

    @property
    def asked(self) -> dict[str, Any]:
        """The settings that were made."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts for a fold.

        Raises:
            ConfigError: no such fold, or a setting that the source's folds leave no room for.
            DataError: a part cannot be used.
        """
        if (log.folds == NO_FOLD).all():
            return SeededFolds(**self.asked).split(log, fold)
        dealt = log.folds.ndim == 1 and bool((log.folds == TRAIN).any()) and not (log.folds == VALID).any()
        unused = [key for key in self.asked if not dealt or key == "test_share"]
        if unused:
            raise ConfigError(
                f"dataset.split.{unused[0]}={self.asked[unused[0]]}: {log.name} has its own folds, which are used; "
                "dataset/split=seeded deals new ones"
            )
        return GivenFolds(**self.asked).split(log, fold)


@dataclass(frozen=True)
class RatioSplit:
    """Students shuffled by a seed and cut once into the three parts by their shares; there is fold 0 only."""

    train: float = 0.7
    """Share of the students, above 0; the three add up to 1."""
    valid: float = 0.1
    """Share of the students, above 0."""
    test: float = 0.2
    """Share of the students, above 0."""
    seed: int = 0
    """Of the shuffle."""

    def __post_init__(self) -> None:
        shares = (self.train, self.valid, self.test)
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ConfigError(f"dataset.split: shares are {shares}; give train, valid and test above 0 that sum to 1")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; give 0 or more")

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts.

        Raises:
            ConfigError: another fold than 0.
            DataError: a part cannot be used.
        """
        if fold != 0:
            raise ConfigError(
                f"dataset.fold={fold}: dataset/split=ratio makes one split, fold 0; change its seed for another"
            )
        shuffled = np.random.default_rng(self.seed).permutation(log.num_students)
        cuts = np.round(np.cumsum([self.test, self.valid]) * len(shuffled)).astype(int)
        test, valid, train = np.split(shuffled, cuts)
        shares = f"train {self.train:g}, valid {self.valid:g} and test {self.test:g}"
        return _checked(log, f"{shares} of the students by seed {self.seed}", train=train, valid=valid, test=test)


@dataclass(frozen=True)
class AllStudents:
    """All students are the test part: for data that a trained model is scored on."""

    def split(self, log: InteractionLog, fold: int) -> Split:
        """Return the parts; `fold` says nothing here.

        Raises:
            DataError: no student has two steps, so that nothing can be scored.
        """
        if not log.num_students or log.lengths.max() < 2:
            raise DataError(
                f"{log.name}: no student has two or more steps, so nothing can be scored (a history's first step is "
                "predicted from nothing and does not count)"
            )
        nobody = np.empty(0, dtype=np.int64)
        return Split(nobody, nobody, np.arange(log.num_students), "all students")


def _checked(log: InteractionLog, description: str, **parts: NDArray[np.int64]) -> Split:
    """Return the split, whose parts must each hold both classes among the scored steps.

    Raises:
        DataError: a part is empty, has no student of two steps, or has one class only.
    """
    parts = {name: np.sort(students).astype(np.int64) for name, students in parts.items()}
    everyone = np.concatenate(list(parts.values()))
    assert len(np.unique(everyone)) == len(everyone), "a student stands in two parts"

    # Each student's steps and right responses but the first step, which is not scored.
    right = np.zeros(log.num_students, dtype=np.int64)
    for some in log.some_at_a_time(np.flatnonzero(log.lengths)):
        first = log.offsets[some]
        responses = log.responses[first[0] : log.offsets[some[-1] + 1]]
        right[some] = np.add.reduceat(responses, first - first[0], dtype=np.int64) - log.responses[first]
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
