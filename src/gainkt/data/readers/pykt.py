"""Reader for pyKT's preprocessed CSV (github.com/pykt-team/pykt-toolkit): a row is a student or a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.data.readers._cells import (
    Coded,
    Where,
    encode,
    parse_folds,
    parse_responses,
    require,
    split_lists,
    split_skills,
)
from gainkt.data.readers._text import line_of, read_columns
from gainkt.data.readers.frame import Rows, build_log
from gainkt.errors import DataError

_REQUIRED = ("fold", "uid", "concepts", "responses")
_OPTIONAL = ("questions", "selectmasks")


def read_pykt(path: str | Path, *, name: str | None = None) -> InteractionLog:
    """Read pyKT's `fold,uid,concepts,responses` with comma-joined sequences; `questions`, are items.

    Skills of one item are joined by `_`, or stand one after another under the same question, and are then
    folded into one step. Steps that `selectmasks` leaves out and -1 padding are dropped, so that files of cut
    or sliding windows give each step once. Rows of a student follow one another as they stand. Other columns
    are not read: sequences are in order of time already.

    Args:
        path: a folder with train_valid.csv and, where there is one, test.csv; or one such file.
        name: name of the data set; the folder's or file's name by default.

    Raises:
        DataError: the files cannot be used; the message names the line.
    """
    path = Path(path)
    files = _files(path)
    tables = [
        read_columns(file, _REQUIRED, _OPTIONAL, dict.fromkeys((*_REQUIRED, *_OPTIONAL), pa.large_string()))
        for file in files
    ]
    for file, one in zip(files, tables, strict=True):
        if one.column_names != tables[0].column_names:
            difference = sorted(set(one.column_names) ^ set(tables[0].column_names))
            raise DataError(
                f"{file}: {', '.join(difference)} stands in one of the files only; give both the same columns"
            )
    table = pa.concat_tables(tables).combine_chunks()
    starts = np.cumsum([0, *(one.num_rows for one in tables)])

    def where_line(line: int) -> str:
        number = int(np.searchsorted(starts, line, side="right")) - 1
        return f"{files[number]}: line {line_of(files[number], line - int(starts[number]))}"

    student = encode(table["uid"].chunk(0))
    require(student, "uid", where_line)
    parts, counts = _sequences(table, where_line)
    padding = parts["responses"].equal("-1") & parts["concepts"].equal("-1")
    if "selectmasks" in parts:
        padding |= parts["selectmasks"].equal("-1")
    kept = np.flatnonzero(~padding)
    if not len(kept):
        raise DataError(f"{files[0]}: nothing but padding; export the file again with its steps")
    line_of_row = np.repeat(np.arange(table.num_rows), counts)[kept]

    def where(row: int) -> str:
        line = int(line_of_row[row])
        step = row - int(np.searchsorted(line_of_row, line)) + 1
        return f"{where_line(line)} (student {student.names[student.codes[line]]!r}, response {step})"

    cells = {column: part.take(kept) for column, part in parts.items()}
    for column in ("concepts", "questions"):
        if column in cells:
            require(cells[column], column, where, also_missing=frozenset({"-1"}))
    fold = parse_folds(encode(table["fold"].chunk(0)), where_line)
    if len(files) == 2:
        fold[starts[1] :] = -1
    skills, skill_counts = split_skills(cells["concepts"], "_", where)
    rows = Rows(
        student=student.take(line_of_row),
        response=parse_responses(cells["responses"], where),
        skill=skills,
        skill_counts=skill_counts,
        item=cells.get("questions"),
        fold=fold[line_of_row],
    )
    return build_log(name or path.stem, rows, where)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    train, test = path / "train_valid.csv", path / "test.csv"
    if not train.is_file():
        found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
        raise DataError(f"{path}: no train_valid.csv in this folder (found: {found}); give pyKT's folder or one file")
    return [train, test] if test.is_file() else [train]


def _sequences(table: pa.Table, where: Where) -> tuple[dict[str, Coded], NDArray[np.int64]]:
    """Return the parts of each sequence column, and the number of parts of each row, which must agree."""
    parts: dict[str, Coded] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    for column in table.column_names:
        if column not in ("fold", "uid"):
            flat, counts[column] = split_lists(table[column].chunk(0))
            parts[column] = encode(flat)
    expected = counts["responses"]
    for column, found in counts.items():
        differs = np.flatnonzero(found != expected)
        if len(differs):
            row = int(differs[0])
            raise DataError(
                f"{where(row)} (student {table['uid'][row].as_py()!r}): {found[row]} {column} but "
                f"{expected[row]} responses; a sequence is cut off, export the file again"
            )
    return parts, expected
