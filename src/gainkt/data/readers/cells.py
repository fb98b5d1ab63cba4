"""Cells of text as numbers: codes, and a list of distinct names, on which checks are cheap."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, TEST, TRAIN, VALID, offsets_of, spans
from gainkt.data.readers.text import ReadError

Where = Callable[..., str]
"""where(row, role="correct") says where a cell stands: "file: line 3"."""

MISSING = frozenset({"", "nan", "<na>", "null", "none", "n/a", "#n/a", "nat"})
"""Words, in lower case, that say a cell is empty; NA does so only among numbers."""
RIGHT = frozenset({"correct", "right", "true", "yes", "y", "t", "pass", "passed", "ok", "1", "success"})
WRONG = frozenset(
    {"incorrect", "wrong", "false", "no", "n", "f", "fail", "failed", "bug", "hint", "error", "0", "failure"}
)
"""Words that are proposed as right and wrong; only true, false and numbers are taken without asking."""
PARTS = {
    **dict.fromkeys(("train", "training", "learn"), TRAIN),
    **dict.fromkeys(("valid", "validation", "validate", "val", "dev", "development"), VALID),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "held_out", "held-out", "holdout", "heldout"), TEST),
}
"""Words for the parts of a split."""
DATES = tuple(
    f"{day}{time}"
    for day in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%Y")
    for time in (" %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f", " %H:%M:%S", " %H:%M", "")
)
"""Formats of times that are tried where a column holds other times than ISO 8601."""


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

    def among(self, codes: Sequence[int]) -> NDArray[np.bool_]:
        """Return which rows hold one of the codes."""
        chosen = np.zeros(len(self.names), dtype=np.bool_)
        chosen[list(codes)] = True
        return chosen[self.codes]

    def take(self, rows: NDArray) -> Coded:
        """Return the given rows (numbers or mask), and of the names those that still occur."""
        codes = self.codes[rows]
        used = np.bincount(codes, minlength=len(self.names)) > 0
        return Coded((np.cumsum(used) - 1)[codes], [name for name, kept in zip(self.names, used, strict=True) if kept])


def encode(cells: pa.Array | pa.ChunkedArray) -> Coded:
    """Return cells of any type, dictionary-encoded or not, as codes of their distinct names; empty ones are ""."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.unify_dictionaries().combine_chunks()
    if pa.types.is_nested(cells.type):
        cells = pa.array([None if value is None else str(value) for value in cells.to_pylist()], pa.string())
    if not pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_encode()
    names = [_spelled(name) for name in cells.dictionary.to_pylist()]
    indices = cells.indices
    if indices.null_count:
        indices, names = indices.fill_null(len(names)), [*names, ""]
    known: dict[str, int] = {}
    renumbered = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
    return Coded(renumbered[indices.to_numpy(zero_copy_only=False)], list(known))


def _spelled(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.decode(errors="replace").strip() if isinstance(value, bytes) else str(value).strip()


def joined(columns: Sequence[Coded]) -> Coded:
    """Return the names of several columns together, row by row; empty where one of them is."""
    first = columns[0]
    for second in columns[1:]:
        pairs, codes = np.unique(first.codes * len(second.names) + second.codes, return_inverse=True)
        left, right = np.divmod(pairs, len(second.names))
        names = [
            f"{first.names[a]}/{second.names[b]}" if first.names[a] and second.names[b] else ""
            for a, b in zip(left.tolist(), right.tolist(), strict=True)
        ]
        known: dict[str, int] = {}
        renumbered = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
        first = Coded(renumbered[codes], list(known))
    return first


def one_spelling(cells: Coded) -> tuple[Coded, int]:
    """Return cells in which 1.0 is 1 where both occur, and the number of cells that this changed."""
    known = {name: code for code, name in enumerate(cells.names)}
    changed = {
        code: known[whole[1]]
        for name, code in known.items()
        if name.endswith("0") and (whole := re.fullmatch(r"(-?\d+)\.0+", name)) and whole[1] in known
    }
    if not changed:
        return cells, 0
    number = np.arange(len(cells.names))
    number[list(changed)] = list(changed.values())
    everyone = np.arange(len(cells.codes))
    return Coded(number[cells.codes], cells.names).take(everyone), int(cells.among(list(changed)).sum())


def missing_codes(cells: Coded, words: Sequence[str] | None, *, names: bool = True) -> list[int]:
    """Return the codes of names that say a cell is empty.

    Args:
        cells: a column.
        words: the words that say so, exactly; where None, the common ones in any case, and NA unless it stands among
            names that are not numbers, where it is one of them.
        names: whether the cells are names; among responses NA always is an empty cell.
    """
    if words is not None:
        return [code for code, name in enumerate(cells.names) if name in words or not name]
    empty = {code for code, name in enumerate(cells.names) if name.lower() in MISSING}
    others = [name for code, name in enumerate(cells.names) if code not in empty and name != "NA"]
    if not names or all(number_of(name) is not None for name in others):
        empty |= {code for code, name in enumerate(cells.names) if name == "NA"}
    return sorted(empty)


def parse_responses(cells: Coded, meanings: Mapping[str, float | None] | None) -> list[float | None]:
    """Return the value of each name, [V]: 0 wrong, 1 right, between them partial credit, None not understood.

    Args:
        cells: responses; numbers, true and false are understood.
        meanings: what other words mean, in any case.
    """
    given = {str(word).strip().lower(): value for word, value in (meanings or {}).items()}

    def value(name: str) -> float | None:
        if name.lower() in given:
            return given[name.lower()]
        number = {"true": 1.0, "false": 0.0}.get(name.lower(), number_of(name))
        return number if number is not None and 0 <= number <= 1 else None

    return [value(name) for name in cells.names]


def parse_folds(cells: Coded, where: Where) -> NDArray[np.int16]:
    """Return folds: 0, 1, .. for training folds, -1 for a held-out test set, other numbers for words (train, valid).

    Raises:
        DataError: names the first row with another fold.
    """
    values: list[int] = []
    for i, name in enumerate(cells.names):
        number = number_of(name)
        part = PARTS.get(name.lower())
        if part is None and (number is None or not number.is_integer() or not -1 <= number < 1 << 15):
            raise ReadError(
                f"{where(cells.first(i), 'fold')}: fold is {name!r} in {int(cells.among([i]).sum())} rows; it must be "
                "0, 1, .. or -1 for the test set, or train, valid, test"
            )
        values.append(part if part is not None else int(number or 0))
    if TRAIN in values or VALID in values:
        for i, (name, value) in enumerate(zip(cells.names, values, strict=True)):
            if value >= 0:
                raise ReadError(
                    f"{where(cells.first(i), 'fold')}: fold is {name!r} among words like train or valid; use either"
                )
    assert NO_FOLD not in values
    return np.array(values, dtype=np.int16)[cells.codes]


def split_skills(cells: Coded, separator: str | None, where: Where) -> tuple[Coded, NDArray[np.int64], int]:
    """Return the skills of all rows, one row after another, the number of skills of each row, and how many were split.

    A skill that a cell names twice counts once.

    Args:
        cells: skills, or several joined.
        separator: what joins them; `list` for [3, 71]; None where nothing does; `auto` for ";" after a look at the
            names, which refuses where they look like several skills joined otherwise.
        where: says where a row stands.

    Raises:
        DataError: a cell names an empty skill, or looks like several.
    """
    if separator == "auto":
        _ask(cells, where)
        separator = ";"
    known: dict[str, int] = {}
    flat: list[int] = []
    sizes: list[int] = []
    for i, cell in enumerate(cells.names):
        names = dict.fromkeys(_parts(cell, separator))
        if len(names) > 1 and not MISSING.isdisjoint(map(str.lower, names)):
            raise ReadError(
                f"{where(cells.first(i), 'skill')}: skill cell {cell!r} names an empty skill "
                f"({int(cells.among([i]).sum())} rows); correct the cell"
            )
        flat.extend(known.setdefault(name, len(known)) for name in names)
        sizes.append(len(names))
    counts = np.array(sizes, dtype=np.int64)
    slots = spans(offsets_of(counts)[:-1][cells.codes], counts[cells.codes])
    skills = Coded(np.array(flat, dtype=np.int64)[slots], list(known))
    return skills, counts[cells.codes], int((counts[cells.codes] > 1).sum())


def _parts(cell: str, separator: str | None) -> list[str]:
    if separator is None:
        return [cell]
    if separator == "list":
        return listed(cell)
    if separator not in cell:
        return [cell]
    parts = [part.strip() for part in cell.split(separator)]
    return parts if len(parts) < 3 or parts[-1] else parts[:-1]  # some writers end a list with what joins it


def listed(cell: str) -> list[str]:
    """Return the entries of a list as Python, JSON or NumPy write it: [3, 71], ['a', 'b'], [3 71]."""
    if re.search(r"(['\"])\s+\1", cell):  # as NumPy writes strings, which Python would run together
        return [part for _, part in re.findall(r"(['\"])(.*?)\1", cell)]
    try:
        value = ast.literal_eval(cell)
        return [_spelled(one) for one in value] if isinstance(value, list | tuple | set) else [_spelled(value)]
    except (ValueError, SyntaxError):
        return [part.strip(" '\"") for part in re.split(r"[,\s]\s*", cell.strip("[](){} "))]


def joiner_of(names: Sequence[str]) -> tuple[str, list[int]] | None:
    """Return what seems to join several skills in names, and the codes of names that it joins; None if nothing does.

    A mark joins skills where all that it separates are names by themselves, or numbers.
    """
    lists = [i for i, name in enumerate(names) if len(name) > 2 and name[0] + name[-1] in ("[]", "{}", "()")]
    if lists and (len(lists) == len(names) or any(re.search(r"[,\s]", names[i]) for i in lists)):
        return "list", lists
    known = set(names)
    single = any(name.isdigit() for name in names)
    for mark in ("~~", "_", "|", "+", "&", ",", "/", "-", ":", "\\", "#", "*", "·", ">", " "):
        # Other marks than the usual ones join numbers where all names are made of numbers.
        numbers = mark in "_|+&," or (single and all(set(name) <= {*"0123456789 ()", mark} for name in names))
        found = []
        for i, name in enumerate(names):
            if mark not in name:
                continue
            parts = [part for part in (part.strip(" ()") for part in name.split(mark)) if part]
            if mark == "~~" or (
                len(parts) > 1 and (all(part in known for part in parts) or (numbers and all(map(str.isdigit, parts))))
            ):
                found.append(i)
        if found:
            twice = mark != "~~" and all(2 * mark in names[i] for i in found)
            return 2 * mark if twice else mark, found
    return None


def _ask(cells: Coded, where: Where) -> None:
    found = joiner_of(cells.names)
    if found is None:
        return
    mark, codes = found
    first = min(cells.first(code) for code in codes[:100])
    name = cells.names[cells.codes[first]]
    what = "are lists" if mark == "list" else f"look like several joined by {mark!r}"
    raise ReadError(
        f"{where(first, 'skill')}: skill is {name!r}: {len(codes)} of {len(cells.names)} skill names {what} "
        f"({int(cells.among(codes).sum())} rows); dataset.read.separator={mark!r} splits them, "
        "dataset.read.separator=null takes them as the names of single skills",
        separator=mark,
    )


def parse_order(
    cells: pa.Array, words: Sequence[str] | None, date_format: str | None, where: Where, label: str = "order"
) -> tuple[NDArray, NDArray[np.bool_] | None]:
    """Return numbers that sort as the cells do, and which cells are empty (None: none is).

    Raises:
        DataError: a cell is neither a number nor a time, or not a time of the format given.
    """
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    if pa.types.is_duration(cells.type) or pa.types.is_time64(cells.type):
        cells = pc.cast(cells, pa.int64())
    elif pa.types.is_time32(cells.type):
        cells = pc.cast(cells, pa.int32())
    elif pa.types.is_temporal(cells.type):
        cells = pc.cast(pc.cast(cells, pa.timestamp("ns")), pa.int64())
    if date_format is None:
        for kind in (pa.int64(), pa.float64()):
            try:
                numbers = pc.cast(cells, kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                continue
            if not numbers.null_count and np.isfinite(found := numbers.to_numpy(zero_copy_only=False)).all():
                return found, None
    text = pd.Series(cells.to_pylist() if pa.types.is_dictionary(cells.type) else cells.to_pandas())
    text = text.map(_spelled) if text.dtype != "str" else text.fillna("").str.strip()
    blank = text.str.lower().isin({*MISSING, "na"}) if words is None else text.isin(["", *words])
    empty = blank.to_numpy(dtype=np.bool_)
    there = text[~empty]
    numbers = pd.to_numeric(there, errors="coerce").to_numpy(dtype=np.float64)
    unread = ~np.isfinite(numbers)
    # A column that starts with a number is meant to hold numbers; a stray cell does not make it times.
    if len(there) and (date_format is not None or unread[0]):
        times = pd.to_datetime(there, errors="coerce", utc=True, format=date_format or "ISO8601")
        unread, numbers = times.isna().to_numpy(), times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    if not unread.any():
        if not empty.any():
            return numbers, None
        full = np.zeros(len(text), dtype=numbers.dtype)
        full[~empty] = numbers
        return full, empty
    row = int(np.flatnonzero(~empty)[np.argmax(unread)])
    found = f"{where(row, 'order')}: {label} is {text[row]!r}"
    count = f"{int(unread.sum())} of {len(text)} rows"
    if date_format is not None:
        raise ReadError(f"{found}, not a time like dataset.read.date_format={date_format!r} ({count})")
    fits = [form for form in DATES if all(_are_times(part, form) for part in (there[:1000], there))]
    if fits:
        raise ReadError(
            f"{found}, not an ISO 8601 timestamp ({count}); dataset.read.date_format='{fits[0]}' reads them"
            + (f" (and so does '{fits[1]}': say which it is)" if len(fits) > 1 else ""),
            **({"date_format": fits[0]} if len(fits) == 1 else {}),
        )
    raise ReadError(
        f"{found}, neither a number nor an ISO 8601 timestamp like the others ({count}); correct it, leave "
        "the row out, or give the format as dataset.read.date_format='%d.%m.%Y %H:%M'"
    )


def _are_times(text: pd.Series, form: str) -> bool:
    return bool(pd.to_datetime(text, errors="coerce", format=form).notna().all())


def split_lists(cells: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the parts of comma-joined cells, one cell after another, and how many each cell has."""
    lists = pc.split_pattern(cells, ",")
    return lists.flatten(), np.diff(lists.offsets.to_numpy()).astype(np.int64)


def number_of(name: str) -> float | None:
    """Return the number that a name spells, or None."""
    try:
        return float(name)
    except ValueError:
        return None
