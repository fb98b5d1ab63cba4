"""Reader for AKT's text (github.com/arghosh/AKT): four lines a student, three where there are no items."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.data.readers._cells import Coded, encode, parse_responses, require, split_lists, split_skills
from gainkt.data.readers._text import read_lines
from gainkt.data.readers.frame import Rows, build_log, natural_key
from gainkt.errors import DataError

_WHAT = {4: ("items", "skills", "responses"), 3: ("skills", "responses")}


def read_akt(path: str | Path, *, name: str | None = None) -> InteractionLog:
    """Read AKT's lines `index,student` / items / skills / responses, each a comma-joined sequence.

    Consecutive responses to one item under different skills (row-expanded items) are folded into one step;
    `_` joins the skills of one response. Where the first line of every student holds the number of responses
    only, as in DKVMN's files, students are named by file and place.

    Args:
        path: a folder, whose *.csv and *.txt files, in natural order, are the folds 0, 1, ..; or one file.
        name: name of the data set; the folder's or file's name by default.

    Raises:
        DataError: the files cannot be used; the message names the line.
    """
    path = Path(path)
    files = _files(path)
    contents = [read_lines(file) for file in files]
    height = _height(contents)
    for file, lines in zip(files, contents, strict=True):
        left = len(lines) % height
        if left:
            start = len(lines) - left
            raise DataError(
                f"{file}: line {len(lines)}: the file ends in the middle of student "
                f"{_student(lines[start])!r} ({left} of {height} lines); export the file again"
            )
    sizes = np.array([len(lines) // height for lines in contents])
    fold = np.repeat(np.arange(len(files), dtype=np.int16), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])

    def where_line(record: int, line: int = 0) -> str:
        return f"{files[fold[record]]}: line {height * place[record] + line + 1}"

    heads, counts, parts = _parts(contents, height)
    students = [_student(head) for head in heads]
    expected = counts["responses"]
    for line, what in enumerate(_WHAT[height], start=1):
        differs = np.flatnonzero(counts[what] != expected)
        if len(differs):
            record = int(differs[0])
            raise DataError(
                f"{where_line(record, line)}: student {students[record]!r} has {counts[what][record]} {what} "
                f"but {expected[record]} responses; a line is cut off or missing, export the file again"
            )
    if [head.removesuffix(",") for head in heads] == [str(count) for count in expected]:
        students = [f"{files[number].stem}:{at + 1}" for number, at in zip(fold, place, strict=True)]
    student = encode(pa.array(students, pa.large_string()))
    require(student, "student", where_line)
    record_of_row = np.repeat(np.arange(len(heads)), expected)
    lines_of = {what: line for line, what in enumerate(_WHAT[height], start=1)}

    def where(row: int, what: str = "responses") -> str:
        record = int(record_of_row[row])
        number = row - int(np.searchsorted(record_of_row, record)) + 1
        return f"{where_line(record, lines_of[what])} (student {students[record]!r}, number {number})"

    for what in _WHAT[height][:-1]:
        require(parts[what], what.removesuffix("s"), partial(where, what=what))
    skills, skill_counts = split_skills(parts["skills"], "_", partial(where, what="skills"))
    rows = Rows(
        student=student.take(record_of_row),
        response=parse_responses(parts["responses"], where),
        skill=skills,
        skill_counts=skill_counts,
        item=parts.get("items"),
        fold=fold[record_of_row] if path.is_dir() else None,
    )
    return build_log(name or path.stem, rows, where)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [p for p in path.iterdir() if p.suffix in (".csv", ".txt") and p.is_file()]
    if not files:
        found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
        raise DataError(f"{path}: no .csv or .txt file in this folder (found: {found}); give AKT's folder or one file")
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


def _parts(contents: list[list[str]], height: int) -> tuple[list[str], dict[str, NDArray[np.int64]], dict[str, Coded]]:
    """Return the first line of each student, and the counts and parts of each kind of line."""
    heads = [line for lines in contents for line in lines[::height]]
    counts: dict[str, NDArray[np.int64]] = {}
    parts: dict[str, Coded] = {}
    for number, what in enumerate(_WHAT[height], start=1):
        # Some writers end each sequence with a comma.
        lines = [line.removesuffix(",") for one in contents for line in one[number::height]]
        flat, counts[what] = split_lists(pa.array(lines, pa.large_string()))
        parts[what] = encode(flat)
    return heads, counts, parts


def _student(head: str) -> str:
    """Return the student's name from `index,student`, or the line itself where it holds one number."""
    return head.split(",")[-1].strip()
