"""Reader for pyKT's preprocessed CSV (github.com/pykt-team/pykt-toolkit): a row is a student or a window."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import TEST, InteractionLog
from gainkt.data.readers.cells import Coded, Where, encode, missing_codes, split_lists
from gainkt.data.readers.frame import Columns, Options, build_log
from gainkt.data.readers.text import TextTable, stem_of
from gainkt.errors import DataError

REQUIRED = ("fold", "uid", "concepts", "responses")
_FLAGS = {"selectmasks": ("1", "-1"), "is_repeat": ("1", "0")}
"""Columns that say yes or no of a response, and how."""
_OPTIONAL = ("questions", *_FLAGS)
FILES = (
    ("train_valid.csv", "test.csv"),
    ("train_valid_sequences.csv", "test_sequences.csv"),
    ("question_level/train_valid_sequences_quelevel.csv", "question_level/test_quelevel.csv"),
    ("train_valid_sequences_quelevel.csv", "test_quelevel.csv"),
    ("train_valid_quelevel.csv", "test_quelevel.csv"),
    ("kc_level/train_valid_sequences.csv", "kc_level/test.csv"),
    ("train_valid_sequences.csv", "test.csv"),
)
"""Files of a folder, train and test: the first pair whose first file is there. XES3G5M has folders of its own."""


@dataclass(frozen=True, kw_only=True)
class PyktReader(Options):
    """Reads pyKT's `fold,uid,concepts,responses` with comma-joined sequences; `questions` are items.

    Skills of one item are joined by `_`, or stand one after another under the same question, and are then
    folded into one step. Steps that `selectmasks` leaves out and -1 padding are dropped, so that files of cut
    or sliding windows give each step once. Rows of a student follow one another as they stand. Other columns
    are not read: sequences are in order of time already.
    """

    separator: str | None = "_"
    """What joins the skills of one response."""

    def __call__(self, path: str | Path) -> InteractionLog:
        """Read a folder with train_valid.csv and, where there is one, test.csv; or one such file.

        Raises:
            DataError: the files cannot be used; the message names the line.
        """
        path = Path(path)
        files = _files(path)
        looks = [TextTable.look(file, REQUIRED) for file in files]
        tables = []
        for look in looks:
            names = [*REQUIRED, *_optional(look)]
            tables.append(look.read(names, dict.fromkeys(names, pa.large_string())))
        for file, one in zip(files, tables, strict=True):
            if one.column_names != tables[0].column_names:
                difference = sorted(set(one.column_names) ^ set(tables[0].column_names))
                raise DataError(
                    f"{file}: {', '.join(difference)} stands in one of the files only; give both the same columns"
                )
        table = pa.concat_tables(tables).combine_chunks()
        starts = np.cumsum([0, *(one.num_rows for one in tables)])

        def where_line(line: int, role: str = "") -> str:
            number = int(np.searchsorted(starts, line, side="right")) - 1
            return f"{files[number]}: line {looks[number].line_of(line - int(starts[number]))}"

        student = encode(table["uid"])
        for code in missing_codes(student.names, self.missing_words):
            raise DataError(
                f"{where_line(student.first(code))}: uid is {student.names[code]!r} in "
                f"{int(student.among([code]).sum())} of {table.num_rows} lines; fill it in or leave the line out"
            )
        parts, counts = _sequences(table, where_line)
        padding = _is_padding(parts["responses"]) & _is_padding(parts["concepts"])
        line_of_row = np.repeat(np.arange(table.num_rows), counts)
        for column, flags in _FLAGS.items():
            if column in parts:
                _require(parts[column], column, flags, padding, lambda row: where_line(int(line_of_row[row])))
                if column == "selectmasks":
                    padding |= _is_padding(parts[column])
        kept = np.flatnonzero(~padding)
        if not len(kept):
            raise DataError(f"{files[0]}: nothing but padding; export the file again with its steps")
        line_of_row = line_of_row[kept]

        def where(row: int, role: str = "correct") -> str:
            line = int(line_of_row[row])
            if role == "fold":
                return where_line(line)
            step = row - int(np.searchsorted(line_of_row, line)) + 1
            return f"{where_line(line)} (student {student.names[student.codes[line]]!r}, response {step})"

        folds = table["fold"].to_pylist()
        if len(files) == 2:
            folds[starts[1] :] = [str(TEST)] * (len(folds) - int(starts[1]))
        fold = encode(pa.array(folds, pa.string()))
        cells = {column: _dictionary(part.take(kept), column) for column, part in parts.items()}
        order = None
        if "is_repeat" in parts and "questions" not in parts:
            # It says which responses are the one before them for another skill: they share a place in the order.
            order = pa.array(np.cumsum(~parts["is_repeat"].take(kept).equal("1")))
        columns = Columns(
            student=_dictionary(student.take(line_of_row)),
            skill=cells["concepts"],
            correct=cells["responses"],
            item=cells.get("questions"),
            order=order,
            fold=_dictionary(fold.take(line_of_row)),
            where=where,
            labels={"skill": "concepts", "item": "questions"},
        )
        return build_log(self.name or (path.name if path.is_dir() else stem_of(path)), columns, self)


def _optional(look: TextTable) -> list[str]:
    """Return which of the optional columns a file has.

    Raises:
        DataError: one has another spelling; not read, it would leave out items or let masked steps in.
    """
    header = [name.strip() for name in look.header]
    for column in _OPTIONAL:
        other = [name for name in header if re.sub(r"[\W_]", "", name.lower()) == column.replace("_", "")]
        if other and column not in other:
            raise DataError(f"{look.path}: no column {column!r}, but {other[0]!r}; rename it to {column}")
    return [column for column in _OPTIONAL if column in header]


def _require(
    cells: Coded, column: str, flags: Sequence[str], padding: NDArray[np.bool_], where: Callable[[int], str]
) -> None:
    """Refuse what says neither yes nor no of a response.

    Raises:
        DataError: names the line of the first one, and how many there are.
    """
    codes = [code for code, name in enumerate(cells.names) if name.removesuffix(".0") not in flags]
    other = cells.among(codes) & ~padding
    if other.any():
        row = int(np.argmax(other))
        raise DataError(
            f"{where(row)}: {column} is {cells.names[cells.codes[row]]!r}, not {' or '.join(flags)} "
            f"({int(other.sum())} of {len(other)} responses); correct it"
        )


def _is_padding(cells: Coded) -> NDArray[np.bool_]:
    return cells.equal("-1") | cells.equal("-1.0")


def _dictionary(cells: Coded, column: str = "") -> pa.DictionaryArray:
    """Return cells as Arrow has them; -1 among concepts and questions is an empty cell."""
    names = ["" if name == "-1" and column in ("concepts", "questions") else name for name in cells.names]
    return pa.DictionaryArray.from_arrays(pa.array(cells.codes), pa.array(names, pa.string()))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for train, test in FILES:
        if (path / train).is_file():
            return [path / train, *([path / test] if (path / test).is_file() else [])]
    found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
    raise DataError(f"{path}: no train_valid.csv in this folder (found: {found}); give pyKT's folder or one file")


def _sequences(table: pa.Table, where: Where) -> tuple[dict[str, Coded], NDArray[np.int64]]:
    """Return the parts of each sequence column, and the number of parts of each row, which must agree."""
    parts: dict[str, Coded] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    for column in table.column_names:
        if column not in ("fold", "uid"):
            flat, counts[column] = split_lists(table[column].combine_chunks())
            parts[column] = encode(flat)
    expected = counts["responses"]
    for column, found in counts.items():
        differs = np.flatnonzero(found != expected)
        if len(differs):
            row = int(differs[0])
            raise DataError(
                f"{where(row)} (student {table['uid'][row].as_py()!r}): {found[row]} {column} but "
                f"{expected[row]} responses ({len(differs)} lines); a sequence is cut off, export the file again"
            )
    return parts, expected
