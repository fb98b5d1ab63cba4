"""InteractionLog: every student's history in flat arrays, in memory or memory-mapped from disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainkt.data.integrity import check_ranges, seal_of
from gainkt.errors import DataError

FORMAT = "gainkt-log-1"
PIECE = 1 << 22
"""Steps that are looked at at once where all of a log are."""
TEST, NO_FOLD, TRAIN, VALID = -1, -2, -3, -4
"""Folds that are no numbered training fold: a held-out test set, none given, and the parts of a split in words."""
_ARRAYS = (
    "offsets",
    "responses",
    "skill_offsets",
    "skills",
    "items",
    "folds",
    "students",
    "skill_names",
    "item_names",
)


@dataclass(frozen=True, eq=False)
class InteractionLog:
    """Histories of N students with M steps, L skill slots, K skills and I items, one step after another.

    Student i owns steps offsets[i] : offsets[i+1], and step m practises
    skills[skill_offsets[m] : skill_offsets[m+1]].
    """

    name: str
    """Name of the data set, as it appears in results."""
    offsets: NDArray[np.int64]
    """[N+1], first step of each student; increasing from 0 to M."""
    responses: NDArray[np.uint8]
    """[M], 1 right, 0 wrong."""
    skill_offsets: NDArray[np.int64]
    """[M+1], first skill slot of each step; each step has at least one."""
    skills: NDArray[np.int32]
    """[L], in [0, K)."""
    items: NDArray[np.int32]
    """[M] in [0, I), or all -1 where the data has no items."""
    students: NDArray[np.str_]
    """[N], the students' names in the source."""
    skill_names: NDArray[np.str_]
    """[K], the skills' names in the source."""
    item_names: NDArray[np.str_]
    """[I], the items' names in the source; empty where the data has none."""
    folds: NDArray[np.int16]
    """[N], fold given by the source: 0.. for training folds, or TEST, TRAIN, VALID, NO_FOLD; [N, F] of F splits."""
    account: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What reading did: rows, left_out (by reason), converted, folded, steps, students, .. ; not part of the digest."""

    def __post_init__(self) -> None:
        """Check that the arrays fit together (cheap checks only: a mapped file is not read through)."""
        n, m = len(self.students), len(self.responses)
        assert self.offsets.shape == (n + 1,), "offsets must have one entry more than students"
        assert self.offsets[0] == 0, "offsets must start at 0"
        assert self.offsets[-1] == m, "offsets must end at the number of steps"
        assert self.skill_offsets.shape == (m + 1,), "skill_offsets must have one entry more than steps"
        assert int(self.skill_offsets[-1]) == len(self.skills), "skill_offsets must end at the number of skill slots"
        assert self.items.shape == (m,), "items must be as many as responses"
        assert self.folds.shape[:1] == (n,), "folds must be as many as students"

    @property
    def num_students(self) -> int:
        """Number of students, N."""
        return len(self.students)

    @property
    def num_steps(self) -> int:
        """Number of steps, M (an item with several skills is one step)."""
        return len(self.responses)

    @property
    def num_skills(self) -> int:
        """Number of skills, K."""
        return len(self.skill_names)

    @property
    def num_items(self) -> int:
        """Number of items, I; 0 where the data has none."""
        return len(self.item_names)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """[N], steps of each student."""
        return np.diff(self.offsets)

    @cached_property
    def max_slots(self) -> int:
        """Largest number of skills that one step practises, S."""
        if len(self.skills) == self.num_steps:
            return 1
        return int(max((np.diff(part).max() for part in _pieces(self.skill_offsets, overlap=1)), default=1))

    @cached_property
    def digest(self) -> str:
        """16 hex digits that identify the content (names, arrays, their order) wherever it is stored."""
        state = hashlib.blake2b(digest_size=8)
        for field in _ARRAYS:
            array = getattr(self, field)
            state.update(f"{field}:{array.dtype}:{array.shape}".encode())
            for part in _pieces(array):
                state.update(np.ascontiguousarray(part).tobytes())
        return state.hexdigest()

    def check(self) -> None:
        """Check, once, that every value is one that a log may have; a saved log was checked before it was sealed.

        Raises:
            DataError: one is not.
        """
        if not self.__dict__.get("checked"):
            check_ranges(self)
            self.__dict__["checked"] = True

    def steps_of(self, students: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the step numbers of the given students, one history after another."""
        return spans(self.offsets[:-1][students], self.lengths[students])

    def some_at_a_time(self, students: NDArray[np.integer]) -> list[NDArray[np.integer]]:
        """Return the students in groups of some 4 million steps, so that a mapped log is read at constant memory."""
        group = np.cumsum(self.lengths[students]) // PIECE
        return np.split(students, np.flatnonzero(np.diff(group)) + 1) if len(students) else []

    def select(self, students: Sequence[int] | NDArray[np.integer]) -> InteractionLog:
        """Return a log of the given students only; the vocabularies of skills and items stay as they are."""
        students = np.asarray(students, dtype=np.int64)
        steps = self.steps_of(students)
        first = self.skill_offsets[steps]
        counts = self.skill_offsets[steps + 1] - first
        return replace(
            self,
            offsets=offsets_of(self.lengths[students]),
            responses=self.responses[steps],
            skill_offsets=offsets_of(counts),
            skills=self.skills[spans(first, counts)],
            items=self.items[steps],
            students=self.students[students],
            folds=self.folds[students],
        )

    @property
    def histories(self) -> NDArray[np.uint64]:
        """[N], a hash of each student's steps (skills, items and responses by name): of the same history the same."""
        names = [_hashed(self.skill_names), _hashed(self.item_names)]
        first = self.skill_offsets[:-1]
        step = np.add.reduceat(names[0][self.skills], first) if len(first) else np.empty(0, np.uint64)
        step = step * np.uint64(3) + self.responses.astype(np.uint64)
        if self.num_items:
            step = step * np.uint64(5) + names[1][self.items]
        # A polynomial in the place of a step; unsigned integers wrap around, which is what a hash is to do.
        place = np.arange(int(self.lengths.max(initial=0)) + 1, dtype=np.uint64)
        weight = np.cumprod(np.full(len(place), 0x9E3779B97F4A7C15, dtype=np.uint64) | np.uint64(1))
        step *= weight[np.arange(self.num_steps) - np.repeat(self.offsets[:-1], self.lengths)]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(step, dtype=np.uint64)])
        return sums[self.offsets[1:]] - sums[self.offsets[:-1]] + self.lengths.astype(np.uint64)

    def save(self, directory: str | Path) -> Path:
        """Write the log as a folder of .npy files and a meta.json; appears whole or not at all.

        Raises:
            DataError: the folder exists already, or cannot be written, or the log holds what no log may hold.
        """
        self.check()
        directory = Path(directory)
        if directory.exists():
            raise DataError(f"{directory}: exists already; remove it or choose another folder for the log")
        try:
            # Not tempfile.mkdtemp: its folders are closed to everybody else, and logs are shared.
            building = directory.parent / f".{directory.name}-{uuid.uuid4().hex[:8]}"
            building.mkdir(parents=True)
        except OSError as error:
            raise DataError(f"{directory}: cannot write the log there ({error.strerror})") from error
        try:
            for field in _ARRAYS:
                np.save(building / f"{field}.npy", getattr(self, field))
            meta = {"format": FORMAT, "name": self.name, "digest": self.digest, "max_slots": self.max_slots}
            meta = json.loads(json.dumps(meta | {"account": self.account}))
            meta["seal"] = seal_of(meta, {field: getattr(self, field) for field in _ARRAYS})
            (building / "meta.json").write_text(json.dumps(meta, indent=1))
            building.rename(directory)
        except OSError as error:
            raise DataError(f"{directory}: cannot write the log there ({error.strerror})") from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return directory

    @classmethod
    def open(cls, directory: str | Path, *, verify: bool = False) -> InteractionLog:
        """Open a saved log; the arrays are memory-mapped, and read when they are used but for the blocks of the seal.

        Args:
            directory: its folder.
            verify: read every byte, where `gainkt.data.integrity.seal_of` reads blocks of large arrays.

        Raises:
            DataError: the folder is missing, incomplete, of another format, or not what was saved.
        """
        directory = Path(directory)
        again = "prepare the log again (gainkt prepare)"
        try:
            meta = json.loads((directory / "meta.json").read_text())
            if meta["format"] != FORMAT:
                raise DataError(f"{directory}: format {meta['format']!r}, this version reads {FORMAT!r}; {again}")
            arrays = {field: np.load(directory / f"{field}.npy", mmap_mode="r") for field in _ARRAYS}
            log = cls(name=meta["name"], account=meta.get("account", {}), **arrays)
            seal = meta.pop("seal", None)  # earlier versions wrote none
            whole = log.digest == meta["digest"] if verify or seal is None else True
            if not whole or seal not in (None, seal_of(meta, arrays)):
                raise DataError(f"{directory}: is not what was saved there; put it back, or {again}")
            # Known since it was saved: to find them again would mean to read every step.
            log.__dict__.update(digest=meta["digest"], max_slots=int(meta["max_slots"]))
            log.__dict__["checked"] = seal is not None
        except DataError:
            raise
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise DataError(f"{directory}: not a saved log ({missing} is missing); {again}") from error
        except OSError as error:
            raise DataError(f"{directory}: cannot be read ({error.strerror}); give a saved log") from error
        except Exception as error:  # numpy raises whatever the parser of its headers does
            raise DataError(f"{directory}: damaged ({error}); {again}") from error
        return log


def offsets_of(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return [0, l0, l0+l1, ...], the flat positions where runs of the given lengths start, and the total."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def spans(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return start, start + 1, .., start + length - 1 for each span, one span after another."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - (ends - lengths), lengths)


def _hashed(names: NDArray[np.str_]) -> NDArray[np.uint64]:
    hashes = [int.from_bytes(hashlib.blake2b(str(name).encode(), digest_size=8).digest()) for name in names]
    return np.array(hashes, dtype=np.uint64)


def _pieces(array: NDArray, size: int = PIECE, overlap: int = 0) -> list[NDArray]:
    """Cut a flat array into views, so that a mapped file is walked through at constant memory."""
    return [array[i : i + size + overlap] for i in range(0, max(len(array) - overlap, 1), size)]
