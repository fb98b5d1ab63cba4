"""Reader for tables of one interaction a row: CSV and its relatives, Parquet, Feather, Excel, DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import Coded, encode, number_of, spelled
from gainkt.data.readers.frame import KEY, Columns, Options, RowLog, build_log, build_rows
from gainkt.data.readers.text import TextTable, existing_file, stem_of
from gainkt.errors import ConfigError, DataError, nearest

_ROWS = 1 << 20
"""Rows of a table in memory, or of a Parquet file, that are gone through at once."""
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
    """Of text: latin-1, `utf-8 or latin-1`, ...; where null UTF-8, or UTF-16 and UTF-32 where the file says so."""
    sheet: str | None = None
    """Of an Excel file with several."""

    def __call__(self, source: str | Path | pd.DataFrame | pa.Table) -> InteractionLog:
        """Read a file (packed or not, by its ending) or a table in memory.

        Raises:
            ConfigError: two columns are the same.
            DataError: the table cannot be used; the message names the line.
        """
        table, blocks = self._opened(source)
        return build_log(self.name or table.name, blocks, self)

    def rows(self, source: str | Path | pd.DataFrame | pa.Table) -> tuple[RowLog, pa.Table]:
        """Read the same, say where each row went, and return all rows' columns; rows without a response ask for one.

        Raises:
            ConfigError: two columns are the same.
            DataError: the table cannot be used; the message names the line.
        """
        table, blocks = self._opened(source)
        if self.correct not in table.header and {*_columns(self.student), self.skill} <= {*table.header}:
            raise DataError(
                f"{table.title}: no column {self.correct!r}{nearest(self.correct, table.header)}; a row that asks for "
                "a prediction has an empty cell there: where all do, add an empty column of this name"
            )
        read = build_rows(self.name or table.name, blocks, self)
        named = (getattr(self, role) for role in ("student", "skill", "item", "order", "correct"))
        whole = table.whole([name for given in named for name in _columns(given)])
        more = whole.num_rows - len(read.step)  # rows at the end that do not count (`only`) are rows of the source too
        step, slots = np.pad(read.step, (0, more), constant_values=-1), np.pad(read.slots, ((0, more), (0, 0)))
        return replace(read, step=step, slots=slots), whole

    def used(self, source: pd.DataFrame | pa.Table) -> pa.Table:
        """Return the columns of a table that are read, as they stand.

        Raises:
            ConfigError: two columns are the same.
            DataError: one is missing.
        """
        table, _ = self._opened(source)
        return table.whole(table.wanted)

    def _opened(self, source: str | Path | pd.DataFrame | pa.Table) -> tuple[Table, Iterator[Columns]]:
        roles = {
            role: _columns(getattr(self, role)) for role in ("student", "skill", "correct", "item", "order", "fold")
        }
        for role in ("student", "skill", "correct"):
            if not roles[role]:
                raise ConfigError(f"{KEY}.{role}={getattr(self, role)}: name a column; without one nothing can be read")
        wanted = [column for columns in roles.values() for column in columns]
        if len(set(wanted)) < len(wanted):
            raise ConfigError(f"columns {wanted} of {_named(source)}: each must be another column")
        table = Table(source, self, [*wanted, *map(str, self.only or {})])
        beside = [] if self.item else table.like(ITEM_NAMES, wanted)[:1]
        clock = table.like(ORDER_NAMES, [*wanted, *beside])[:1] if self.order is None else []
        return table, self._blocks(table, roles, beside, clock)

    def _blocks(
        self, table: Table, roles: Mapping[str, list[str]], beside: list[str], clock: list[str]
    ) -> Iterator[Columns]:
        """Yield the columns of a table, some rows at a time; refuse rows that say the header again."""
        named = {role: " + ".join(map(repr, names)) for role, names in roles.items() if role not in ("correct", "fold")}
        labels = {role: f"{role} (column {columns})" for role, columns in named.items()}
        labels |= {"clock": "".join(clock)}
        text = [column for column in (self.order, *clock) if isinstance(column, str)]
        headers, first = 0, 0
        for batch, rows in table.blocks([*beside, *clock], text):
            again = np.ones(len(rows), dtype=np.bool_)
            for column in (roles[role][0] for role in ("correct", "student", "skill")):  # the one of fewest names first
                again &= again.any() and encode(batch[column]).equal(column)
            first = int(rows[np.argmax(again)]) if again.any() and not headers else first
            headers += int(again.sum())
            cells = {role: [batch[column] for column in columns] for role, columns in roles.items()}
            yield Columns(
                **{role: found if len(found) > 1 else found[0] if found else None for role, found in cells.items()},
                where=lambda row, role="correct": table.where(row),
                labels=labels,
                beside={column: batch[column] for column in beside},
                clock=batch[clock[0]] if clock else None,
                rows=rows,
                account=table.account,
            )
        if headers:
            raise DataError(
                f"{table.where(first)}: the header stands here again (in {headers} rows); remove these lines"
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


class Table:
    """A file or a table in memory: its columns, some rows at a time, and where a row of it stands."""

    def __init__(self, source: Any, reader: TableReader, wanted: Sequence[str]) -> None:
        self.reader, self.wanted = reader, list(dict.fromkeys(wanted))
        self.account: dict[str, Any] = {}
        self.text: TextTable | None = None
        self.table: pa.Table | pa.parquet.ParquetFile | None = None
        if not isinstance(source, str | Path):
            self.name = self.title = "table"
            self.table = source if isinstance(source, pa.Table) else _of_frame(source)
        else:
            path = Path(source)
            self.name, self.title = stem_of(path), str(path)
            load = _LOADERS.get(path.suffix.lower())
            if load is None:
                self.text = TextTable.look(source, wanted, reader.delimiter, reader.encoding)
                if self.text.encoding.removesuffix("-sig") not in (reader.encoding or "utf-8", "utf-8"):
                    self.account["encoding"] = self.text.encoding
            else:
                self.table = _loaded(existing_file(source), load, reader.sheet)
        self.names = self.text.header if self.text else _names_of(self.table)
        self.header = [name.strip() for name in self.names]

    def like(self, names: Sequence[str], used: Sequence[str]) -> list[str]:
        """Return unused columns with one of the names, in the order of the names."""
        known = {
            column.lower().replace(" ", "_"): column
            for column in self.header
            if column not in used and self.header.count(column) == 1
        }
        return [known[name] for name in (one.replace(" ", "_") for one in names) if name in known]

    def blocks(self, beside: Sequence[str] = (), text: Sequence[str] = ()) -> Iterator[tuple[pa.RecordBatch, NDArray]]:
        """Yield the columns wanted and those beside (those in `text` not dictionary-encoded), and the rows' numbers.

        Rows that `only` leaves out are counted in the account.
        """
        columns = list(dict.fromkeys([*self.wanted, *beside]))
        size, conditions = 0, list((self.reader.only or {}).items())
        met: dict[str, set[str]] = {str(column): set() for column, _ in conditions}
        left_out: dict[str, int] = {}
        kept_any = not conditions
        for batch in self._batches(columns, text):
            rows = np.arange(size, size + batch.num_rows)
            size += batch.num_rows
            for column, value in conditions:
                cells, names = encode(batch[str(column)]), _listed(value)
                wanted = {*names, *(number for name in names if (number := number_of(name)) is not None)}
                kept = cells.among([code for code, name in enumerate(cells.names) if {name, number_of(name)} & wanted])
                reason = f"{column} not {', '.join(names)}"
                left_out[reason] = left_out.get(reason, 0) + int((~kept).sum())
                met[str(column)].update(cells.names[:100])
                batch, rows = batch.filter(pa.array(kept)), rows[kept]
            if conditions:
                self.account |= {"rows": size, "left_out": left_out}
            if len(rows):
                kept_any = True
                yield batch, rows
        if not size:
            raise DataError(f"{self.title}: no rows; export it again")
        if not kept_any:
            column, value = next((c, v) for c, v in conditions if left_out[f"{c} not {', '.join(_listed(v))}"])
            near = nearest(_listed(value)[0], sorted(met[str(column)]))
            raise DataError(f"{self.title}: {KEY}.only: no row has {column}={value}{near}")

    def _batches(self, columns: Sequence[str], text: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.text is not None:
            yield from self.text.blocks(columns, {c: pa.large_string() if c in text else _NAMES for c in columns})
            return
        assert self.table is not None
        for column in columns:
            if column not in self.header:
                raise DataError(f"{self.title}: no column {column!r}{nearest(column, self.header)}")
            if self.header.count(column) > 1:
                raise DataError(f"{self.title}: column {column!r} stands there more than once; rename all but one")
        raw = [self.names[self.header.index(column)] for column in columns]
        if isinstance(self.table, pa.parquet.ParquetFile):
            batches = self.table.iter_batches(_ROWS, columns=raw)
        else:
            batches = self.table.select(raw).to_batches(_ROWS)
        for batch in batches:
            yield pa.RecordBatch.from_arrays([batch[name] for name in raw], names=list(columns))

    def whole(self, names: Sequence[str]) -> pa.Table:
        """Return columns of all rows, those that do not count (`only`) too."""
        return pa.Table.from_batches(list(self._batches(names, ())))

    def column(self, name: str) -> Coded:
        """Return the cells of a column, whole."""
        return encode(pa.chunked_array([batch[name] for batch in self._batches([name], ())]))

    def where(self, row: int) -> str:
        """Say where a row stands."""
        return f"{self.title}: line {self.text.line_of(row)}" if self.text else f"{self.title}: row {row + 1}"


def _names_of(table: Any) -> list[str]:
    return list((table.schema_arrow if isinstance(table, pa.parquet.ParquetFile) else table.schema).names)


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, Sequence) and not isinstance(value, str) else [value])]


def _loaded(path: Path, load: Any, sheet: str | None) -> Any:
    try:
        return load(path, sheet)
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{path}: reading it needs openpyxl: pip install 'gainkt[excel]', or save it as CSV") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as {path.suffix} ({reason}); save it again, or as CSV") from error


def _sheet_of(path: Path, sheet: str | None) -> pa.Table:
    """Return a sheet of an Excel file, the one that has rows where none is named."""
    with pd.ExcelFile(path) as book:
        names = [str(name) for name in book.sheet_names]
        if sheet is not None and sheet not in names:
            raise DataError(f"{path}: {KEY}.sheet={sheet}: no such sheet{nearest(sheet, names)}")
        filled = [name for name in names if book.parse(name, nrows=1).size] if len(names) > 1 else names
        if sheet is None and len(filled) > 1:
            raise DataError(f"{path}: holds {len(filled)} sheets ({', '.join(filled[:6])}); say which by {KEY}.sheet")
        # Cells as they are, and the header as a row: pandas would make numbers of text, and rename a name that repeats.
        cells = book.parse(sheet or (filled or names)[0], header=None, dtype=object, keep_default_na=False)
    if cells.empty:
        raise DataError(f"{path}: the sheet is empty; export it again")
    cells = cells.where(cells != "", None)
    header = [spelled(name) or f"Unnamed: {place}" for place, name in enumerate(cells.iloc[0])]
    return _of_frame(cells.iloc[1:].set_axis(header, axis=1))


def _of_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as Arrow, column by column; what has no Arrow type becomes text."""

    def array(values: pd.Series) -> pa.Array:
        try:
            return pa.Array.from_pandas(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return pa.array([None if one is None or one != one else spelled(one) for one in values], pa.string())

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a {type(frame).__name__} is no table; give a path, a pandas DataFrame or an Arrow table")
    columns = [frame.iloc[:, number] for number in range(frame.shape[1])]
    return pa.table([array(values) for values in columns], names=[str(name) for name in frame.columns])


_LOADERS = {
    ".parquet": lambda path, sheet: pa.parquet.ParquetFile(path, pre_buffer=False),  # not the whole file at once
    ".feather": lambda path, sheet: pa.feather.read_table(path),
    ".arrow": lambda path, sheet: pa.feather.read_table(path),
    ".xlsx": lambda path, sheet: _sheet_of(path, sheet),
}
"""Formats that are no text, by their ending."""
