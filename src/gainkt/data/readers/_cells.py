"""Cells of text as numbers: codes, and a list of distinct names, on which checks are cheap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gainkt.data.log import offsets_of, spans
from gainkt.errors import DataError

Where = Callable[[int], str]
"""Says where a row stands: "file: line 3"."""

_MISSING = frozenset({"", "nan", "NaN", "NAN", "NA", "N/A", "<NA>", "null", "NULL", "None"})
_RESPONSES = {"true": 1, "false": 0}


@dataclass(frozen=True)
class Coded:
    """R cells with V distinct names."""

    codes: NDArray[np.int64]
    """[R], in [0, V)."""
    names: list[str]
    """[V], distinct, without blanks around them; each occurs."""

    def first(self, code: int) -> int:
        """Return the first row that holds a code."""
        return int(np.argmax(self.codes == code))

    def equal(self, name: str) -> NDArray[np.bool_]:
        """Return which rows hold a name."""
        return self.codes == (self.names.index(name) if name in self.names else -1)

    def take(self, rows: NDArray) -> Coded:
        """Return the given rows (numbers or mask), and of the names those that still occur."""
        codes = self.codes[rows]
        used = np.bincount(codes, minlength=len(self.names)) > 0
        return Coded((np.cumsum(used) - 1)[codes], [name for name, kept in zip(self.names, used, strict=True) if kept])


def encode(cells: pa.Array) -> Coded:
    """Return text cells, dictionary-encoded or not, as codes of their distinct names."""
    if not pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_encode()
    codes = cells.indices.to_numpy(zero_copy_only=False)
    names = [name.strip() for name in cells.dictionary.to_pylist()]
    known: dict[str, int] = {}
    renumbered = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
    return Coded(renumbered[codes], list(known))


def split_lists(cells: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the parts of comma-joined cells, one cell after another, and how many each cell has."""
    lists = pc.split_pattern(cells, ",")
    return lists.flatten(), np.diff(lists.offsets.to_numpy()).astype(np.int64)


def require(cells: Coded, what: str, where: Where, also_missing: frozenset[str] = frozenset()) -> None:
    """Refuse cells that are empty or say that the value is missing.

    Raises:
        DataError: names the first row that has no value.
    """
    rows = [cells.first(i) for i, name in enumerate(cells.names) if name in _MISSING | also_missing]
    if rows:
        found = cells.names[cells.codes[min(rows)]]
        raise DataError(f"{where(min(rows))}: {what} is {found!r}; fill it in or leave the row out")


def parse_responses(cells: Coded, where: Where) -> NDArray[np.uint8]:
    """Return responses as 0 (wrong) and 1 (right); 0, 1, 0.0, 1.0, true and false are understood.

    Raises:
        DataError: names the first row with another response.
    """
    values = [_response(name) for name in cells.names]
    rows = [cells.first(i) for i, value in enumerate(values) if value is None]
    if rows:
        found = cells.names[cells.codes[min(rows)]]
        raise DataError(f"{where(min(rows))}: response is {found!r}, not 0 or 1; correct it or leave the row out")
    return np.array(values, dtype=np.uint8)[cells.codes]


def parse_folds(cells: Coded, where: Where) -> NDArray[np.int16]:
    """Return folds: 0, 1, .. for training folds and -1 for a held-out test set.

    Raises:
        DataError: names the first row with another fold.
    """
    values: list[int] = []
    for i, name in enumerate(cells.names):
        number = _number(name)
        if number is None or not number.is_integer() or not -1 <= number < 1 << 15:
            raise DataError(f"{where(cells.first(i))}: fold is {name!r}; it must be 0, 1, .. or -1 for the test set")
        values.append(int(number))
    return np.array(values, dtype=np.int16)[cells.codes]


def split_skills(cells: Coded, separator: str, where: Where) -> tuple[Coded, NDArray[np.int64]]:
    """Return the skills of all rows, one row after another, and the number of skills of each row.

    A skill that a cell names twice counts once.

    Raises:
        DataError: a cell names an empty skill.
    """
    known: dict[str, int] = {}
    flat: list[int] = []
    sizes: list[int] = []
    for i, cell in enumerate(cells.names):
        names = dict.fromkeys(part.strip() for part in cell.split(separator))
        if not _MISSING.isdisjoint(names):
            raise DataError(f"{where(cells.first(i))}: skill cell {cell!r} names an empty skill; correct the cell")
        flat.extend(known.setdefault(name, len(known)) for name in names)
        sizes.append(len(names))
    counts = np.array(sizes, dtype=np.int64)
    slots = spans(offsets_of(counts)[:-1][cells.codes], counts[cells.codes])
    return Coded(np.array(flat, dtype=np.int64)[slots], list(known)), counts[cells.codes]


def _response(name: str) -> int | None:
    number = _number(name)
    return int(number) if number in (0.0, 1.0) else _RESPONSES.get(name.lower())


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
