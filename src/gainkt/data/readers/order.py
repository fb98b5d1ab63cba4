"""Places in the order of rows: numbers and times as numbers that sort as they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property

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
_ZONE = r"(?:[zZ]|[tT ]\d.*[+-]\d\d(?::?\d\d)?)$"
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_WHOLE = 1 << 53
"""Up to here float64 holds every whole number."""
_DIGITS = 15
"""Numbers of so many digits are different numbers as float64 too."""
_TINY = 1e-300
"""Above it, that is: below, float64 holds fewer digits."""
_NAN = 0x7FF8_0000_0000_0001
"""As int64, the first of the float64 that are no number and stand for one that float64 does not hold."""


@dataclass(frozen=True)
class Odd:
    """Numbers of a block that its type does not hold, and what stands for them there."""

    codes: NDArray[np.int64]
    """Ascending; of float64 as its 8 bytes are."""
    numbers: Sequence[int | Decimal]


_NONE = Odd(np.zeros(0, dtype=np.int64), ())


class Order:
    """Reads a column of numbers or times, block after block."""

    def __init__(self, words: Sequence[str] | None, date_format: str | None) -> None:
        """Take the words that say a cell is empty (None: the common ones), and the format of times (None: ISO 8601)."""
        self.words, self.date_format = words, date_format
        self.times: bool | None = None if date_format is None else True
        """Whether it holds times; a column that starts with a number is meant to hold numbers."""
        self.is_float: list[bool] = []
        """Of each block: whether its numbers are float64; int64 otherwise."""
        self.size = self.read = self.unread = self.zoned = self.unzoned = self.long = 0
        self._odd: list[Odd] = []
        self._lowest = self._highest = 0
        self._first: tuple[int, str] | None = None
        self._mixed: tuple[int, str] | None = None
        self._long: tuple[int, str] | None = None
        self._fitting = list(DATES)

    def add(self, cells: pa.Array, rows: NDArray) -> tuple[NDArray, NDArray[np.bool_] | None]:
        """Return the numbers of a block and which cells are empty (None: none is); what is no place is remembered.

        Args:
            cells: [R].
            rows: [R], their numbers in the source, for messages.
        """
        numbers, empty, odd = self._read(cells, rows)
        self.size += len(cells)
        clash = self.clash
        self.is_float.append(numbers.dtype.kind == "f")
        self._odd.append(odd)
        if not self.is_float[-1] and len(numbers):
            self._lowest = min(self._lowest, int(numbers.min()))
            self._highest = max(self._highest, int(numbers.max()))
            long = np.flatnonzero((numbers > _WHOLE) | (numbers < -_WHOLE))
            self.long += len(long)
            if len(long) and self._long is None:
                self._long = int(rows[long[0]]), str(numbers[long[0]])
        self.unread += self.clash and not clash
        return numbers, empty

    @property
    def kind(self) -> type:
        """Type that holds the numbers of all blocks."""
        return np.float64 if any(self.is_float) else np.int64

    @property
    def clash(self) -> bool:
        """Whether no 8 bytes hold the order of all numbers."""
        if any(self.is_float):
            return self.long > 0
        odd = sum(len(odd.numbers) for odd in self._odd)
        return odd > 0 and self._highest - self._lowest + odd > np.iinfo(np.uint64).max

    def settle(self, numbers: NDArray, block: int) -> NDArray:
        """Return numbers of a block, kept as 8 bytes each, as numbers of a common type that sort as all of them do."""
        bits, odd = numbers.view(np.int64), self._odd[block]
        numbers = numbers.view(np.float64 if self.is_float[block] else np.int64)
        if self.clash or all(not odd.numbers for odd in self._odd):
            return numbers.astype(self.kind, copy=False)
        places = self._line.places(numbers)
        if odd.numbers:
            at = np.searchsorted(odd.codes, bits).clip(max=len(odd.codes) - 1)
            own = np.array([self._line.odd[number] for number in odd.numbers], dtype=np.uint64)
            places = np.where(odd.codes[at] == bits, own[at], places)
        return places

    @cached_property
    def _line(self) -> _Line:
        odd = (number for odd in self._odd for number in odd.numbers)
        return _Line(odd, any(self.is_float), self._lowest, self._highest)

    def _read(self, cells: pa.Array, rows: NDArray) -> tuple[NDArray, NDArray[np.bool_] | None, Odd]:
        cells = _without_type_of_time(cells)
        if not self.times and (found := _as_numbers(cells)) is not None:
            self.times = False if len(found[0]) else self.times
            return found[0], None, found[1]
        text = _as_text(cells)
        blank = text.str.lower().isin({*MISSING, "na"}) if self.words is None else text.isin(["", *self.words])
        empty = blank.to_numpy(dtype=np.bool_)
        there = text[~empty]
        if not len(there):
            return np.zeros(len(text), dtype=np.int64), empty, _NONE
        typed = cells.filter(pa.array(~empty)) if pa.types.is_floating(cells.type) else pa.array(there, pa.string())
        odd, found = _NONE, None if self.times else _as_numbers(typed)
        if found is not None:
            numbers, odd = found
            unread = np.zeros(len(there), dtype=np.bool_)
        elif not self.times:
            numbers = pd.to_numeric(there, errors="coerce").to_numpy(dtype=np.float64)
            unread = ~np.isfinite(numbers)
        if self.times is None:
            self.times = bool(unread[0])
        if self.times:
            numbers, unread = self._as_times(there)
            numbers, odd = _coded(numbers.tolist()) if numbers.dtype == object else (numbers, _NONE)
            self._count_zones(there, unread, rows)
        self.read += int((~unread).sum())
        if unread.any():
            bad = there[unread]
            self.unread += len(bad)
            self._first = self._first or (int(rows[bad.index[0]]), bad.iloc[0])
            self._fitting = [form for form in self._fitting if all(_are_times(x, form) for x in (bad[:1000], bad))]
            numbers = np.where(unread, 0, numbers)
        if not empty.any():
            return numbers, None, odd
        full = np.zeros(len(text), dtype=numbers.dtype)
        full[~empty] = numbers
        return full, empty, odd

    def _as_times(self, text: pd.Series) -> tuple[NDArray, NDArray[np.bool_]]:
        """Return nanoseconds since 1970 (Python's integers where int64 does not hold them), and which are no times."""

        def parsed(text: pd.Series) -> pd.Series:
            return pd.to_datetime(text, errors="coerce", utc=True, format=self.date_format or "ISO8601")

        times = parsed(text)
        numbers, unread = _nanoseconds(times), times.isna().to_numpy(copy=True)
        # Beside times that name nanoseconds, pandas takes years before 1678 and after 2261 for no times.
        if unread.any() and (far := parsed(text[unread])).notna().any():
            numbers = numbers.astype(object)
            numbers[unread] = _nanoseconds(far)
            unread[unread] = far.isna().to_numpy()
        return numbers, unread

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
        if self.clash:
            row, text = self._long or (0, "")
            raise ReadError(
                f"{where(row, 'order')}: {label} is {text!r}: {self.long} whole numbers above 2^53 stand in a column "
                "of which other parts hold decimals, or numbers above 2^63, so that they cannot be ordered exactly; "
                "write all of them as whole numbers of at most 18 digits"
            )
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


class _Line:
    """Places of numbers as uint64, where some numbers are of no one type.

    What the type holds has a place by itself; each of the other numbers moves all that are greater up by one place.
    """

    def __init__(self, odd: Iterable[int | Decimal], as_floats: bool, lowest: int, highest: int) -> None:
        """Take the numbers that the type does not hold, the type, and the bounds of what it holds as int64."""
        self.as_floats, self.lowest = as_floats, lowest
        self.odd: dict[int | Decimal, int] = {}
        """Places of the numbers that the type does not hold."""
        above: list[int] = []
        for number in sorted(set(odd)):
            if not as_floats:
                start, held = min(max(math.floor(number) + 1, lowest), highest + 1) - lowest, False
            else:
                near, held = float(number), _is_float(number)
                below = near if held or Decimal(repr(near)) < number else np.nextafter(near, -np.inf)
                start = int(self._bare(np.array([below]))[0]) + (not held)
            self.odd[number] = start + len(above)
            above += [] if held else [start]
        self.above = np.array(above, dtype=np.uint64)

    def places(self, numbers: NDArray) -> NDArray[np.uint64]:
        """Return the places of numbers that the type holds."""
        bare = self._bare(numbers)
        return bare + np.searchsorted(self.above, bare, side="right").astype(np.uint64)

    def _bare(self, numbers: NDArray) -> NDArray[np.uint64]:
        if not self.as_floats:
            return numbers.view(np.uint64) - np.uint64(self.lowest % (1 << 64))
        bits = (numbers.astype(np.float64) + 0.0).view(np.uint64)  # -0.0 becomes 0.0
        sign = np.uint64(1 << 63)
        return np.where(bits & sign, ~bits, bits | sign)


def _without_type_of_time(cells: pa.Array) -> pa.Array:
    """Return dates, times and durations as integers (as text beyond int64); other cells as they are, in one chunk."""
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    cells = cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells
    if pa.types.is_duration(cells.type) or pa.types.is_time64(cells.type):
        return pc.cast(cells, pa.int64())
    if pa.types.is_time32(cells.type):
        return pc.cast(cells, pa.int32())
    if pa.types.is_date32(cells.type):
        counts, scale = pc.cast(cells, pa.int32()), 86_400 * 10**9
    elif pa.types.is_date64(cells.type):
        counts, scale = cells, 10**6
    elif pa.types.is_timestamp(cells.type):
        counts, scale = cells, _NANOSECONDS[cells.type.unit]
    else:
        return cells
    counts = pc.cast(counts, pa.int64())
    bounds = pc.min_max(counts).as_py()
    if max(-(bounds["min"] or 0), bounds["max"] or 0) * scale <= np.iinfo(np.int64).max:
        return pc.multiply(counts, scale)
    return pa.array([None if count is None else str(count * scale) for count in counts.to_pylist()], pa.string())


def _nanoseconds(times: pd.Series) -> NDArray:
    """Return nanoseconds since 1970, as Python's integers where int64 does not hold them; 0 for no time."""
    counts = times.to_numpy(dtype=f"datetime64[{times.dt.unit}]").astype(np.int64)
    counts[times.isna().to_numpy()] = 0
    scale = _NANOSECONDS[times.dt.unit]
    far = (np.abs(counts) > np.iinfo(np.int64).max // scale).any()
    return (counts.astype(object) if far else counts) * scale


def _as_text(cells: pa.Array) -> pd.Series:
    """Return cells as text without blanks around it; "" for none."""
    if pa.types.is_integer(cells.type) or pa.types.is_decimal(cells.type):
        cells = pc.cast(cells, pa.string())  # pandas would round them
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return cells.to_pandas().astype("str").fillna("").str.strip()
    return pd.Series([spelled(value) for value in cells.to_pylist()], dtype="str")


def _as_numbers(cells: pa.Array) -> tuple[NDArray, Odd] | None:
    """Return int64 or float64, and what these do not hold exactly, where all cells are finite numbers, else None."""
    typed = pa.types.is_floating(cells.type)
    try:
        if not typed and not (numbers := pc.cast(cells, pa.int64())).null_count:
            return numbers.to_numpy(zero_copy_only=False), _NONE
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    try:
        text = cells if typed or pa.types.is_large_string(cells.type) else pc.cast(cells, pa.string())
        numbers = pc.cast(text, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if numbers.null_count or not np.isfinite(found := numbers.to_numpy(zero_copy_only=False)).all():
        return None
    return (found, _NONE) if typed else _exactly(text, numbers)


def _exactly(text: pa.Array, numbers: pa.Array) -> tuple[NDArray, Odd]:
    """Return float64, or int64 where there are whole numbers that float64 does not hold, and what these do not hold.

    Decimals that are different numbers as float64 too stay float64: it rounds them, and keeps their order.
    """
    found = numbers.to_numpy(zero_copy_only=False)
    short = pc.less_equal(pc.binary_length(text), _DIGITS)
    sure = pc.and_(short, pa.array(np.abs(found) > _TINY))
    rows = np.flatnonzero(~pc.or_(sure, pc.equal(text, pc.cast(numbers, text.type))).to_numpy(zero_copy_only=False))
    if not len(rows):
        return found, _NONE
    large = text.take(pa.array(rows[np.abs(found[rows]) >= _WHOLE])).to_pylist()
    if any(not _is_float(number) for number in map(_exact, large)):
        return _coded([_exact(one) for one in text.to_pylist()])
    if len(np.unique(found)) == pc.count_distinct(text).as_py():
        return found, _NONE
    exact = zip(rows.tolist(), map(_exact, text.take(pa.array(rows)).to_pylist()), strict=True)
    odd = {row: number for row, number in exact if not _is_float(number)}
    several = sorted(set(odd.values()))
    codes = np.arange(_NAN, _NAN + len(several))
    code = dict(zip(several, codes.tolist(), strict=True))
    bits = found.view(np.int64).copy()
    bits[list(odd)] = [code[number] for number in odd.values()]
    return bits.view(np.float64), Odd(codes, several)


def _is_float(number: int | Decimal) -> bool:
    """Tell whether a number is one of those that float64 is written as."""
    return Decimal(repr(float(number))) == number


def _coded(numbers: Sequence[int | Decimal]) -> tuple[NDArray[np.int64], Odd]:
    """Return numbers as int64, and those that it does not hold."""
    holds = [isinstance(number, int) and -(1 << 63) <= number < 1 << 63 for number in numbers]
    odd = sorted({number for number, held in zip(numbers, holds, strict=True) if not held})
    used = [number for number, held in zip(numbers, holds, strict=True) if held]
    codes = np.setdiff1d(np.arange(len(used) + len(odd)), np.array(used, dtype=np.int64))[: len(odd)]
    code = dict(zip(odd, codes.tolist(), strict=True))
    found = [number if held else code[number] for number, held in zip(numbers, holds, strict=True)]
    return np.array(found, dtype=np.int64), Odd(codes, odd)


def _exact(text: str) -> int | Decimal:
    """Return the number that a text spells."""
    if text.isdecimal():
        return int(text.lstrip("0") or "0")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits: nothing but 0 is finite
        return 0
    whole = int(number)
    return whole if whole == number else number


def _are_times(text: pd.Series, form: str) -> bool:
    return bool(pd.to_datetime(text, errors="coerce", format=form).notna().all())
