"""Reader for AKT's text (github.com/arghosh/AKT): four lines a student, three where there are no items."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, InteractionLog
from gainkt.data.readers.cells import PARTS, encode, missing_codes, number_of, split_lists
from gainkt.data.readers.frame import Columns, Options, build_log, natural_key
from gainkt.data.readers.text import ReadError, read_lines, stem_of
from gainkt.errors import DataError

_WHAT = {4: ("items", "skills", "responses"), 3: ("skills", "responses")}
_ROLES = {"items": "item", "skills": "skill", "responses": "correct"}
_WORDS = "|".join(sorted(PARTS, key=len, reverse=True))
_PART_FILE = re.compile(rf"(?:.*[_\-. ])?({_WORDS})(?:[_\-. ]?(?:set|data))?[_\-. ]?(\d*)\.(?:csv|txt)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AktReader(Options):
    """Reads AKT's lines `index,student` / items / skills / responses, each a comma-joined sequence.

    Consecutive responses to one item under different skills (row-expanded items) are folded into one step;
    `_` joins the skills of one response. Where the first line of a student holds the number of responses only, as in
    DKVMN's files, students are named by file and place. It is taken for that where it is right for more than half of
    the students; it must be right for all of them then.

    A folder whose files are called train1, valid1, test1, .. (as AKT and DKVMN distribute them) holds as many splits
    of the same students as there are numbers: each student is read once, and `dataset.fold` is the split, from 0. The
    files of any other folder, in natural order, are the folds 0, 1, ...
    """

    separator: str | None = "_"
    """What joins the skills of one response."""

    def __call__(self, path: str | Path) -> InteractionLog:
        """Read a folder, or one file.

        Raises:
            DataError: the files cannot be used; the message names the line.
        """
        path = Path(path)
        splits = _splits(path)
        files = [file for split in splits for file in split] if splits else _files(path)
        text = _Text(files)
        _refuse_repeats(text, [list(split) for split in splits] or [[file] for file in files], self.missing_words)
        kept, folds = np.arange(len(text.students)), None
        if splits:
            kept, folds = _memberships(text, splits)
        elif path.is_dir():
            folds = text.file.astype(np.int16)
        rows = np.repeat(np.arange(len(text.students)), text.lengths)
        record = rows if len(kept) == len(text.students) else np.flatnonzero(np.isin(rows, kept))
        chosen = record if record is not rows else slice(None)
        record_of_row = rows[chosen]

        def where(row: int, role: str = "correct") -> str:
            record = int(record_of_row[row])
            number = row - int(np.searchsorted(record_of_row, record)) + 1
            line = next((line for line, what in text.lines.items() if _ROLES[what] == role), 0)
            place = text.place(record, line)
            return (
                place
                if role in ("student", "fold")
                else f"{place} (student {text.students[record]!r}, number {number})"
            )

        cells = {
            what: part if isinstance(chosen, slice) else part.take(pa.array(chosen))
            for what, part in text.parts.items()
        }
        names = pa.array([text.students[number] for number in range(len(text.students))], pa.string())
        columns = Columns(
            student=pa.DictionaryArray.from_arrays(pa.array(record_of_row), names),
            skill=cells["skills"],
            correct=cells["responses"],
            item=cells.get("items"),
            fold=None if folds is None else folds[record_of_row],
            where=where,
        )
        return build_log(self.name or (path.name if path.is_dir() else stem_of(path)), columns, self)


class _Text:
    """The records (students) of AKT's files: their names, lengths, and the parts of each kind of line."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        contents = [read_lines(file) for file in files]
        self.height = _height(contents)
        for file, lines in zip(files, contents, strict=True):
            left = len(lines) % self.height
            if lines[0].count(",") > 1:
                raise DataError(
                    f"{file}: line 1 has {lines[0].count(',') + 1} cells; AKT's first line of a student "
                    "is `index,student`; a matrix of 0 and 1, a row a student, is read by dataset=matrix"
                )
            if left:
                start = len(lines) - left
                raise DataError(
                    f"{file}: line {len(lines)}: the file ends in the middle of student "
                    f"{_student(lines[start])!r} ({left} of {self.height} lines); export the file again"
                )
        sizes = np.array([len(lines) // self.height for lines in contents])
        self.file: NDArray[np.int64] = np.repeat(np.arange(len(files)), sizes)
        self.at = np.concatenate([np.arange(size) for size in sizes])
        self.lines = dict(enumerate(_WHAT[self.height], start=1))
        heads = [line for lines in contents for line in lines[:: self.height]]
        counts: dict[str, NDArray[np.int64]] = {}
        self.parts: dict[str, pa.DictionaryArray] = {}
        for number, what in self.lines.items():
            # Some writers end each sequence with a comma.
            joined = [line.removesuffix(",") for one in contents for line in one[number :: self.height]]
            flat, counts[what] = split_lists(pa.array(joined, pa.large_string()))
            self.parts[what] = flat.dictionary_encode()
        self.lengths = counts["responses"]
        self.students = [_student(head) for head in heads]
        for line, what in self.lines.items():
            differs = np.flatnonzero(counts[what] != self.lengths)
            if len(differs):
                record = int(differs[0])
                raise DataError(
                    f"{self.place(record, line)}: student {self.students[record]!r} has {counts[what][record]} {what} "
                    f"but {self.lengths[record]} responses ({len(differs)} students); a line is cut off or "
                    "missing, export the file again"
                )
        said = [number_of(head.removesuffix(",")) for head in heads]
        wrong = np.flatnonzero([number != count for number, count in zip(said, self.lengths, strict=True)])
        # Names that are numbers equal the number of responses now and then, hardly more than half of them.
        self.named = 2 * len(wrong) >= len(heads)
        if len(wrong) and not self.named:
            record = int(wrong[0])
            raise DataError(
                f"{self.place(record)} says {heads[record] or 'nothing'}, there are {self.lengths[record]} responses "
                f"({len(wrong)} of {len(heads)} records have a wrong number, the others the right one); correct the "
                "line, or export the file again if the record is cut off; if first lines are names, write them as "
                "`index,student`"
            )
        if not self.named:
            self.students = [f"{stem_of(files[f])}:{at + 1}" for f, at in zip(self.file, self.at, strict=True)]
        self._contents = contents

    @cached_property
    def histories(self) -> list[tuple[str, ...]]:
        """The lines of each record but the first."""
        of_kind = ([line for one in self._contents for line in one[n :: self.height]] for n in self.lines)
        return list(zip(*of_kind, strict=True))

    def place(self, record: int, line: int = 0) -> str:
        """Say where a line of a record stands."""
        return f"{self.files[self.file[record]]}: line {self.height * self.at[record] + line + 1}"


def _splits(path: Path) -> list[dict[Path, int]]:
    """Return the files and parts of each split that a folder's names tell; empty where they tell none."""
    named: dict[str, dict[Path, int]] = defaultdict(dict)
    for file in _visible(path) if path.is_dir() else []:
        found = _PART_FILE.fullmatch(file.name)
        if found and file.is_file():
            part = PARTS[found[1].lower()]
            same = next((other for other, its in named[found[2]].items() if its == part), None)
            if same is not None:
                raise DataError(
                    f"{path}: {same.name} and {file.name} are both the {found[1].lower()} part of one split; keep one "
                    "data set in a folder, its splits numbered as in train1.csv, valid1.csv, test1.csv"
                )
            named[found[2]][file] = part
    numbers = sorted((number for number in named if number), key=int)
    if not numbers:
        return [named[""]] if len(set(named[""].values())) > 1 else []
    for number in numbers:
        # DKVMN's folders hold one test set beside the numbered training and validation sets.
        shared = {file: part for file, part in named[""].items() if part not in named[number].values()}
        named[number] |= shared
    return [named[number] for number in numbers]


def _refuse_repeats(text: _Text, groups: Sequence[Sequence[Path]], words: Sequence[str] | None) -> None:
    """Refuse a student who has two records in one group of files, each a file or the files of a split.

    Raises:
        DataError: there is one; joined, the two would be one history.
    """
    students = encode(pa.array(text.students, pa.string()))
    records_of: dict[Path, list[int]] = defaultdict(list)
    for record, file in enumerate(text.file):
        records_of[text.files[file]].append(record)
    nameless = set(missing_codes(students.names, words))
    again: dict[int, int] = {}
    for files in groups:
        first: dict[int, int] = {}
        for record in (record for file in files for record in records_of[file]):
            code = int(students.codes[record])
            if code not in nameless and first.setdefault(code, record) != record:
                again.setdefault(record, first[code])
    if again:
        record, before = next(iter(again.items()))
        raise ReadError(
            f"{text.place(record)}: student {text.students[record]!r} stands twice, first in {text.place(before)} "
            f"({len(again)} of {len(text.students)} records repeat a student); keep one record of each student; if "
            "first lines are no names, they must be the number of responses"
        )


def _memberships(text: _Text, splits: list[dict[Path, int]]) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return one record of each student, and the part of each record in each split, [records, splits].

    Students are the same in two splits where their names are, or without names where their histories are; the first,
    second, .. student of one history in a split is the first, second, .. of it in another.

    Raises:
        DataError: a student has another history in another split.
    """
    first: dict[object, int] = {}
    parts: dict[int, dict[int, int]] = defaultdict(dict)
    records = defaultdict(list)
    for record, file in enumerate(text.file):
        records[text.files[file]].append(record)
    for number, split in enumerate(splits):
        met: dict[object, int] = defaultdict(int)
        for file, part in split.items():
            for record in records[file]:
                key: object = text.students[record] if text.named else text.histories[record]
                met[key] += 1
                mine = first.setdefault((key, met[key]), record)
                if text.histories[mine] != text.histories[record]:
                    raise ReadError(
                        f"{text.place(record)}: student {text.students[record]!r} has another history than in "
                        f"{text.place(mine)}; the files are of different data"
                    )
                parts[mine][number] = part
    folds = np.full((len(text.students), len(splits)), NO_FOLD, dtype=np.int16)
    for record, member in parts.items():
        folds[record, list(member)] = list(member.values())
    return np.array(sorted(parts)), folds if len(splits) > 1 else folds[:, 0]


def _visible(path: Path) -> list[Path]:
    """Return what a folder holds, by name, but what systems hide in it, such as macOS's `._fold1.csv`."""
    return sorted(file for file in path.iterdir() if not file.name.startswith("."))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [p for p in _visible(path) if p.suffix in (".csv", ".txt") and p.is_file()]
    if not files:
        found = ", ".join([p.name for p in _visible(path)][:5]) or "nothing"
        raise DataError(f"{path}: no .csv or .txt file in this folder (found: {found}); give AKT's folder or one file")
    words = [file.name for file in files if set(re.split(r"[^a-z]+", file.stem.lower())) & set(PARTS)]
    if len(words) > 1:
        raise DataError(
            f"{path}: {words[0]} and {len(words) - 1} more are parts of a split by their names, but not called as in "
            "train1.csv, valid1.csv, test1.csv; rename them so"
        )
    return sorted(files, key=lambda p: natural_key(p.name))


def _height(contents: list[list[str]]) -> int:
    """Return how many lines a student takes: the number under which most last lines are responses."""

    def share(height: int) -> float:
        last = [line for lines in contents for line in lines[height - 1 :: height]]
        before = [line for lines in contents for line in lines[height - 2 :: height]]
        fits = (
            line.count(",") == other.count(",") and not line.strip("01,. ")
            for line, other in zip(last, before, strict=False)
        )
        return sum(fits) / len(last) if last else 0.0

    return max((4, 3), key=share)


def _student(head: str) -> str:
    """Return the student's name from `index,student`, or the line itself where it holds one number."""
    return head.split(",")[-1].strip()
