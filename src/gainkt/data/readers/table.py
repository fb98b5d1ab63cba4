"""Reader for tables of one interaction a row: CSV and its relatives, Parquet, Feather, Excel, DataFrames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import encode, parse_order
from gainkt.data.readers.frame import KEY, Columns, Options, RowLog, build_log, build_rows
from gainkt.data.readers.text import ReadError, TextTable, existing_file, stem_of
from gainkt.errors import ConfigError, DataError, nearest

_NAMES = pa.dictionary(pa.int32(), pa.string())
ITEM_NAMES = (
    *("problem_id", "problemid", "item_id", "itemid", "item", "question_id", "questionid", "question", "problem"),
    *("problem name", "problem_name", "exercise_id", "exercise", "assistment_id", "assistmentid", "step name"),
)
"""Names, in lower case, that tell the column of the item."""
ORDER_NAMES = (
    *("order_id", "orderid", "log_id", "problem_log_id", "timestamp", "time_done", "start_time", "starttime"),
    *("first transaction time", "transaction id", "datetime", "date_time", "answered_at", "created_at", "date"),
)
"""Names, in lower case, that tell the column of the order."""


@dataclass(frozen=True, kw_only=True)
class TableReader(Options):
    """Reads a table with a header and one interaction a row, or one row for each skill of an interaction.

    Without an order column rows are taken as they stand and repeats are real attempts. With one, a student's
    rows are sorted by it, and rows with equal values stay as they stand. Where items are known, consecutive
    rows of one student with the same item, the same response and a new skill are folded into one step.
    """

    student: str | Sequence[str] = "student"
    """Column of the student's name, or several columns that name the student together."""
    skill: str = "skill"
    """Column of the skill's name, or of several joined by `separator`."""
    correct: str = "correct"
    """Column of the response: 0 or 1 (0.0, 1.0, true and false are understood, other words by `responses`)."""
    item: str | Sequence[str] | None = None
    """Column of the item's name, or several columns that name it together."""
    order: str | bool | None = None
    """Column of a number or a time; false where rows stand in order although there is a column that looks like one."""
    fold: str | None = None
    """Column of the student's fold: 0, 1, .. or -1 for a held-out test set; or words like train, valid and test."""
    only: Mapping[str, Any] | None = None
    """Rows that count: {Attempt At Step: 1}, a value or a list of them a column; others are left out and counted."""
    delimiter: str | None = None
    """Between cells; found by looking among comma, tab, semicolon and bar where null."""
    encoding: str | None = None
    """Of text, such as latin-1; UTF-8, or UTF-16 where the file says so, where null."""

    def __call__(self, source: str | Path | pd.DataFrame | pa.Table) -> InteractionLog:
        """Read a file (packed or not, by its ending) or a table in memory.

        Raises:
            ConfigError: two columns are the same.
            DataError: the table cannot be used; the message names the line.
        """
        table, columns = self._found(source)
        return build_log(self.name or table.name, columns, self)

    def rows(self, source: str | Path | pd.DataFrame | pa.Table) -> tuple[RowLog, pa.Table]:
        """Read the same, say where each row went, and return all rows' columns; rows without a response ask for one.

        Raises:
            ConfigError: two columns are the same.
            DataError: the table cannot be used; the message names the line.
        """
        table, columns = self._found(source)
        read, kept = build_rows(self.name or table.name, columns, self), table.kept
        if kept is not None:  # rows that do not count (`only`) are rows of the source too
            step, slots = np.full(table.num_rows, -1), np.zeros((table.num_rows, 2), dtype=np.int64)
            step[kept], slots[kept] = read.step, read.slots
            read = replace(read, step=step, slots=slots)
        named = (getattr(self, role) for role in ("student", "skill", "item", "order", "correct"))
        return read, table.whole([name for given in named for name in _columns(given)])

    def used(self, source: pd.DataFrame | pa.Table) -> pa.Table:
        """Return the columns of a table that are read, as they stand.

        Raises:
            ConfigError: two columns are the same.
            DataError: one is missing.
        """
        table, _ = self._found(source)
        return table.whole(table.wanted)

    def _found(self, source: str | Path | pd.DataFrame | pa.Table) -> tuple[_Source, Columns]:
        roles = {
            role: _columns(getattr(self, role)) for role in ("student", "skill", "correct", "item", "order", "fold")
        }
        wanted = [column for columns in roles.values() for column in columns]
        if len(set(wanted)) < len(wanted):
            raise ConfigError(f"columns {wanted} of {_named(source)}: each must be another column")
        table = _Source(source, self, [*wanted, *map(str, self.only or {})])
        beside = [] if self.item else table.like(ITEM_NAMES, wanted)[:1]
        unsorted = table.like(ORDER_NAMES, [*wanted, *beside])[:1] if self.order is None else []
        table.read(beside + unsorted, text=[column for column in (self.order, *unsorted) if isinstance(column, str)])

        def cells(role: str) -> Any:
            found = [table.column(column) for column in roles[role]]
            return found if len(found) > 1 else found[0] if found else None

        for column in unsorted:
            self._require_order(table, column, roles["student"])
        self._refuse_headers(table, [roles[role][0] for role in ("student", "skill", "correct")])
        named = {role: " + ".join(map(repr, names)) for role, names in roles.items() if role not in ("correct", "fold")}
        columns = Columns(
            **{role: cells(role) for role in roles},
            where=lambda row, role="correct": table.where(row),
            labels={role: f"{role} (column {columns})" for role, columns in named.items()},
            beside={column: table.column(column) for column in beside},
            account=table.account,
        )
        return table, columns

    def _refuse_headers(self, table: _Source, columns: Sequence[str]) -> None:
        """Refuse rows that say the header again, as files put one after another have them."""
        again = np.logical_and.reduce([encode(table.column(column)).equal(column) for column in columns])
        if again.any():
            raise DataError(
                f"{table.where(int(np.argmax(again)))}: the header stands here again (in {int(again.sum())} rows); "
                "remove these lines"
            )

    def _require_order(self, table: _Source, column: str, student: Sequence[str]) -> None:
        """Refuse rows that do not stand in the order that an unused column tells."""
        try:
            order, empty = parse_order(table.column(column), None, self.date_format, lambda row, role: "")
        except ReadError:
            return
        codes = encode(table.column(student[0])).codes
        by_student = np.argsort(codes, kind="stable")
        codes, order = codes[by_student], order[by_student]
        back = (codes[1:] == codes[:-1]) & (order[1:] < order[:-1])
        if empty is None and back.any():
            row = int(by_student[int(np.argmax(back)) + 1])
            raise ReadError(
                f"{table.where(row)}: rows of a student do not stand in the order of column {column!r} "
                f"({int(back.sum())} of {len(codes)} rows come before the row above them); {KEY}.order={column} sorts "
                f"them, {KEY}.order=false takes them as they stand",
                order=column,
            )


def table_reader(settings: Mapping[str, Any]) -> TableReader:
    """Return a reader of tables with settings by name.

    Raises:
        ConfigError: there is no such setting, or it cannot be used.
    """
    known = {field.name for field in fields(TableReader)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"{key}: no such setting of gainkt.read{nearest(key, known)}")
    return TableReader(**settings)


def _columns(given: str | Sequence[str] | bool | None) -> list[str]:
    if given is None or isinstance(given, bool):
        return []
    return [given] if isinstance(given, str) else [str(column) for column in given]


def _named(source: Any) -> str:
    return str(source) if isinstance(source, str | Path) else "the table"


class _Source:
    """A file or a table in memory: its columns, and where a row of it stands."""

    def __init__(self, source: Any, reader: TableReader, wanted: Sequence[str]) -> None:
        self.reader, self.wanted = reader, list(dict.fromkeys(wanted))
        self.account: dict[str, Any] = {}
        self.text: TextTable | None = None
        self.table: pa.Table | None = None
        self.kept: np.ndarray | None = None
        self.all_rows: pa.Table | None = None
        self.num_rows = 0
        if not isinstance(source, str | Path):
            self.name = self.title = "table"
            self.table = source if isinstance(source, pa.Table) else _of_frame(source)
        else:
            self.path = Path(source)
            self.name, self.title = stem_of(self.path), str(self.path)
            load = _LOADERS.get(self.path.suffix.lower())
            if load is None:
                self.text = TextTable.look(source, wanted, reader.delimiter, reader.encoding)
            else:
                self.table = _loaded(existing_file(source), load)
        header = self.text.header if self.text else self.table.column_names if self.table else []
        self.header = [name.strip() for name in header]

    def like(self, names: Sequence[str], used: Sequence[str]) -> list[str]:
        """Return unused columns with one of the names, in the order of the names."""
        known = {
            column.lower().replace(" ", "_"): column
            for column in self.header
            if column not in used and self.header.count(column) == 1
        }
        return [known[name] for name in (one.replace(" ", "_") for one in names) if name in known]

    def read(self, beside: Sequence[str], text: Sequence[str]) -> None:
        """Read the columns wanted and those beside (those in `text` not dictionary-encoded), and keep `only` rows."""
        columns = list(dict.fromkeys([*self.wanted, *beside]))
        if self.text is not None:
            self.table = self.text.read(columns, {c: pa.large_string() if c in text else _NAMES for c in columns})
        assert self.table is not None
        for column in columns:
            if column not in self.table.column_names:
                raise DataError(f"{self.title}: no column {column!r}{nearest(column, self.table.column_names)}")
            if self.table.column_names.count(column) > 1:
                raise DataError(f"{self.title}: column {column!r} stands there more than once; rename all but one")
        if not self.table.num_rows:
            raise DataError(f"{self.title}: no rows; export it again")
        self.all_rows, self.num_rows = self.table, self.table.num_rows
        left_out = {}
        for column, value in (self.reader.only or {}).items():
            cells = encode(self.table[column])
            names = [
                str(one) for one in (value if isinstance(value, Sequence) and not isinstance(value, str) else [value])
            ]
            kept = np.logical_or.reduce([cells.equal(name) for name in names])
            rows = np.flatnonzero(kept)
            if not len(rows):
                raise DataError(
                    f"{self.title}: {KEY}.only: no row has {column}={value}{nearest(names[0], cells.names)}"
                )
            left_out[f"{column} not {', '.join(names)}"] = len(kept) - len(rows)
            self.table = self.table.take(pa.array(rows))
            self.kept = rows if self.kept is None else self.kept[rows]
            self.account = {"rows": self.account.get("rows", len(kept)), "left_out": left_out}

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column."""
        assert self.table is not None
        return self.table[name]

    def whole(self, names: Sequence[str]) -> pa.Table:
        """Return columns of all rows, those that do not count too."""
        assert self.all_rows is not None
        return self.all_rows.select(list(names))

    def where(self, row: int) -> str:
        """Say where a row stands."""
        row = row if self.kept is None else int(self.kept[row])
        return f"{self.title}: line {self.text.line_of(row)}" if self.text else f"{self.title}: row {row + 1}"


def _loaded(path: Path, load: Any) -> pa.Table:
    try:
        return load(path)
    except ImportError as error:
        raise DataError(
            f"{path}: reading it needs {error.name}: pip install {error.name}, or save it as CSV"
        ) from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as {path.suffix} ({reason}); save it again, or as CSV") from error


def _of_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as Arrow, column by column; what has no Arrow type becomes text."""

    def array(values: pd.Series) -> pa.Array:
        try:
            return pa.Array.from_pandas(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return pa.array([None if one is None or one != one else str(one) for one in values], pa.string())

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a {type(frame).__name__} is no table; give a path, a pandas DataFrame or an Arrow table")
    columns = [frame.iloc[:, number] for number in range(frame.shape[1])]
    return pa.table([array(values) for values in columns], names=[str(name) for name in frame.columns])


_LOADERS = {
    ".parquet": pa.parquet.read_table,
    ".feather": pa.feather.read_table,
    ".arrow": pa.feather.read_table,
    ".xlsx": lambda path: _of_frame(pd.read_excel(path, keep_default_na=False, na_values=[""])),
}
"""Formats that are no text, by their ending."""
