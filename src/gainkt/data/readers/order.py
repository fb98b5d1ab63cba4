"""Places in the order of rows: numbers and times as numbers that sort as they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gainkt.data.readers.cells import MISSING, spelled
from gainkt.data.readers.text import ReadError

DATES = tuple(
    f"{day}{time}"
    for day in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%Y")
    for time in (" %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f", " %H:%M:%S", " %H:%M", "")
)
"""Formats of times that are tried where a column holds other times than ISO 8601."""
_ZONE = r"(?:[zZ]|\d[+-]\d\d:?\d\d)$"


class Order:
    """Reads a column of numbers or times, block after block."""

    def __init__(self, words: Sequence[str] | None, date_format: str | None) -> None:
        """Take the words that say a cell is empty (None: the common ones), and the format of times (None: ISO 8601)."""
        self.words, self.date_format = words, date_format
        self.times: bool | None = None if date_format is None else True
        """Whether it holds times; a column that starts with a number is meant to hold numbers."""
        self.is_float: list[bool] = []
        """Of each block: whether its numbers are float64; int64 otherwise."""
        self.size = self.read = self.unread = self.zoned = self.unzoned = 0
        self._first: tuple[int, str] | None = None
        self._mixed: tuple[int, str] | None = None
        self._fitting = list(DATES)

    def add(self, cells: pa.Array, rows: NDArray) -> tuple[NDArray, NDArray[np.bool_] | None]:
        """Return the numbers of a block and which cells are empty (None: none is); what is no place is remembered.

        Args:
            cells: [R].
            rows: [R], their numbers in the source, for messages.
        """
        numbers, empty = self._read(cells, rows)
        self.size += len(cells)
        self.is_float.append(numbers.dtype.kind == "f")
        return numbers, empty

    @property
    def kind(self) -> type:
        """Type that holds the numbers of all blocks."""
        return np.float64 if any(self.is_float) else np.int64

    def settle(self, numbers: NDArray, block: int) -> NDArray:
        """Return numbers of a block, kept as 8 bytes each, as numbers of the common type."""
        return numbers.view(np.float64 if self.is_float[block] else np.int64).astype(self.kind, copy=False)

    def _read(self, cells: pa.Array, rows: NDArray) -> tuple[NDArray, NDArray[np.bool_] | None]:
        cells = _without_type_of_time(cells)
        if not self.times and (numbers := _as_numbers(cells)) is not None:
            self.times = False if len(numbers) else self.times
            return numbers, None
        text = pd.Series(cells.to_pylist() if pa.types.is_dictionary(cells.type) else cells.to_pandas())
        text = text.map(spelled) if text.dtype != "str" else text.fillna("").str.strip()
        blank = text.str.lower().isin({*MISSING, "na"}) if self.words is None else text.isin(["", *self.words])
        empty = blank.to_numpy(dtype=np.bool_)
        there = text[~empty]
        if not len(there):
            return np.zeros(len(text), dtype=np.int64), empty
        plain = None if self.times else _as_numbers(pa.array(there, pa.string()))
        numbers = pd.to_numeric(there, errors="coerce").to_numpy(dtype=np.float64) if plain is None else plain
        unread = ~np.isfinite(numbers)
        if self.times is None:
            self.times = bool(unread[0])
        if self.times:
            times = pd.to_datetime(there, errors="coerce", utc=True, format=self.date_format or "ISO8601")
            unread, numbers = times.isna().to_numpy(), times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
            self._count_zones(there, unread, rows)
        self.read += int((~unread).sum())
        if unread.any():
            bad = there[unread]
            self.unread += len(bad)
            self._first = self._first or (int(rows[bad.index[0]]), bad.iloc[0])
            self._fitting = [form for form in self._fitting if all(_are_times(x, form) for x in (bad[:1000], bad))]
            numbers = np.where(unread, 0, numbers)
        if not empty.any():
            return numbers, None
        full = np.zeros(len(text), dtype=numbers.dtype)
        full[~empty] = numbers
        return full, empty

    def _count_zones(self, there: pd.Series, unread: NDArray[np.bool_], rows: NDArray) -> None:
        zoned = pc.match_substring_regex(pa.array(there, pa.string()), _ZONE).to_numpy(zero_copy_only=False) & ~unread
        self.zoned += int(zoned.sum())
        self.unzoned += int((~zoned & ~unread).sum())
        if self.zoned and self.unzoned and self._mixed is None:
            odd = int(np.argmax(zoned != zoned[0])) if zoned.any() and not zoned.all() else 0
            self._mixed = (int(rows[there.index[odd]]), there.iloc[odd])

    def refuse(self, where: Callable[..., str], label: str = "order") -> None:
        """Refuse a column of which some cells are no places.

        Raises:
            DataError: a cell is neither a number nor a time, or not a time of the format given; or times with a zone
                and without one.
        """
        if not self.unread:
            if self.zoned and self.unzoned:
                row, text = self._mixed or (0, "")
                raise ReadError(
                    f"{where(row, 'order')}: {label} is {text!r}: {self.zoned} times name a time zone and "
                    f"{self.unzoned} do not, so that they cannot be ordered; write all of them in one way"
                )
            return
        row, text = self._first or (0, "")
        found, count = f"{where(row, 'order')}: {label} is {text!r}", f"{self.unread} of {self.size} rows"
        if self.date_format is not None:
            raise ReadError(f"{found}, not a time like dataset.read.date_format={self.date_format!r} ({count})")
        if fits := self._fitting if not self.read else []:
            also = f" (and so does '{fits[1]}': say which it is)" if len(fits) > 1 else ""
            raise ReadError(
                f"{found}, not an ISO 8601 timestamp ({count}); dataset.read.date_format='{fits[0]}' reads them{also}",
                **({"date_format": fits[0]} if len(fits) == 1 else {}),
            )
        raise ReadError(
            f"{found}, neither a number nor an ISO 8601 timestamp like the others ({count}); correct it, leave "
            "the row out, or give the format as dataset.read.date_format='%d.%m.%Y %H:%M'"
        )


def _without_type_of_time(cells: pa.Array) -> pa.Array:
    """Return dates, times and durations as integers; other cells as they are, in one chunk."""
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if pa.types.is_duration(cells.type) or pa.types.is_time64(cells.type):
        return pc.cast(cells, pa.int64())
    if pa.types.is_time32(cells.type):
        return pc.cast(cells, pa.int32())
    if pa.types.is_temporal(cells.type):
        return pc.cast(pc.cast(cells, pa.timestamp("ns")), pa.int64())
    return cells


def _as_numbers(cells: pa.Array) -> NDArray | None:
    """Return int64 or float64 where all cells are finite numbers, else None."""
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = pc.cast(cells, kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        if not numbers.null_count and np.isfinite(found := numbers.to_numpy(zero_copy_only=False)).all():
            return found
    return None


def _are_times(text: pd.Series, form: str) -> bool:
    return bool(pd.to_datetime(text, errors="coerce", format=form).notna().all())
