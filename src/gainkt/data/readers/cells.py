"""Cells of text as numbers: codes, and a list of distinct names, on which checks are cheap."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, TEST, TRAIN, VALID
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


_WHOLE = re.compile(r"(?<![^/])(-?\d+)\.0+(?![^/])")
"""A whole number with a decimal point: a name, or a part of one that several columns make."""


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


@dataclass(frozen=True)
class Names:
    """V distinct names of a role, and where they occur."""

    names: list[str]
    counts: NDArray[np.int64]
    """[V], rows that hold each."""
    first: Callable[[Sequence[int]], tuple[str, int]]
    """first(codes) says where the first row with one of some names stands, and which of them it holds."""

    def count(self, codes: Sequence[int]) -> int:
        """Return how many rows hold one of some names."""
        return int(self.counts[list(codes)].sum())


class Vocabulary:
    """The spellings of a role's cells, block after block, by order of appearance."""

    def __init__(self) -> None:
        self._spellings: pa.Array | None = None
        self.counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """[1 + spellings], cells that are null, and those of each spelling."""

    def add(self, cells: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """Return the code of each cell of a block, -1 where it is null."""
        part = _dictionary(cells)
        if self._spellings is not None:
            known = pa.DictionaryArray.from_arrays(pa.array([], part.indices.type), self._spellings)
            part = pa.chunked_array([known, part]).unify_dictionaries().chunk(1)
        self._spellings = part.dictionary
        codes = part.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes + 1, minlength=len(self._spellings) + 1)
        counts[: len(self.counts)] += self.counts
        self.counts = counts
        return codes

    def names(self) -> tuple[list[str], NDArray[np.int64], dict[str, int]]:
        """Return the distinct names, the number of each code among them ([-1]: of null), and cells changed, by reason.

        Blanks around a name do not count; names are composed (Unicode NFC), so that one written in two ways is one.
        """
        assert self._spellings is not None
        number, changed, stripped = np.full(len(self.counts), -1, dtype=np.int64), 0, 0
        known: dict[str, int] = {}
        for code, value in enumerate([*self._spellings.to_pylist(), None]):
            count = int(self.counts[(code + 1) % len(self.counts)])
            if not count:
                continue
            name = spelled(value)
            stripped += count if isinstance(value, str) and len(value) > len(name) > 0 else 0
            if not name.isascii() and (composed := unicodedata.normalize("NFC", name)) != name:
                name, changed = composed, changed + count
            number[code] = known.setdefault(name, len(known))
        told = {"names in decomposed Unicode composed": changed, "names without the blanks around them": stripped}
        return list(known), number, {what: count for what, count in told.items() if count}


def _dictionary(cells: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """Return cells of any type dictionary-encoded, names as text or integers."""
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.unify_dictionaries().combine_chunks()
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.chunk(0) if cells.num_chunks else pa.array([], cells.type)
    if pa.types.is_nested(cells.type) or isinstance(cells.type, pa.BaseExtensionType):
        cells = pa.array([None if value is None else str(value) for value in cells.to_pylist()], pa.string())
    if not pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_encode()
    kind = cells.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        values = cells.dictionary.to_pylist()
        if pa.types.is_float16(kind) or pa.types.is_float32(kind):  # as doubles .7 would be .699999988
            values = [None if one is None else float(str(np.float32(one))) for one in values]
        names = pa.array([spelled(value) for value in values], pa.string())
        cells = pa.DictionaryArray.from_arrays(cells.indices, names)
    return cells


def encode(cells: pa.Array | pa.ChunkedArray) -> Coded:
    """Return cells of any type, dictionary-encoded or not, as codes of their distinct names; empty ones are ""."""
    vocabulary = Vocabulary()
    codes = vocabulary.add(cells)
    names, number, _ = vocabulary.names()
    return Coded(number[codes], names)


def spelled(value: object) -> str:
    """Return the name that a value spells; "" for none. Bytes that are no text are spelt in hexadecimal."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            return f"0x{value.hex()}"
    return str(value).strip()


def joined(columns: Sequence[Coded], words: Sequence[str] | None = None) -> Coded:
    r"""Return the names of several columns together, row by row, joined by "/"; empty where one of them is.

    A / within a name is written as \/ and a \ as \\, so that different names stay different when they are joined.

    Args:
        columns: of the parts of a name.
        words: that say a cell is empty, as for `missing_codes`.
    """

    def parts(column: Coded) -> list[str]:
        empty = set(missing_codes(column.names, words))
        escaped = (name.replace("\\", "\\\\").replace("/", "\\/") for name in column.names)
        return ["" if code in empty else name for code, name in enumerate(escaped)]

    first = Coded(columns[0].codes, parts(columns[0]))
    for second in columns[1:]:
        more = parts(second)
        pairs, codes = np.unique(first.codes * len(more) + second.codes, return_inverse=True)
        left, right = np.divmod(pairs, len(more))
        names = [
            f"{first.names[a]}/{more[b]}" if first.names[a] and more[b] else ""
            for a, b in zip(left.tolist(), right.tolist(), strict=True)
        ]
        known: dict[str, int] = {}
        renumbered = np.array([known.setdefault(name, len(known)) for name in names], dtype=np.int64)
        first = Coded(renumbered[codes], list(known))
    return first


def whole_numbers(names: Sequence[str]) -> dict[int, int]:
    """Return the codes of names like 1.0, and those of the name 1 that they are another spelling of.

    So it is with the parts of names that several columns make together: 1.0/3 and 1/3.
    """
    known = {name: code for code, name in enumerate(names)}
    wholes = ((code, name, _WHOLE.sub(r"\1", name)) for name, code in known.items() if ".0" in name)
    return {code: known[whole] for code, name, whole in wholes if whole != name and whole in known}


def missing_codes(names: Sequence[str], words: Sequence[str] | None, *, responses: bool = False) -> list[int]:
    """Return the codes of names that say a cell is empty.

    Args:
        names: distinct names of a column.
        words: the words that say so, exactly; where None, the common ones in any case, and NA unless it stands among
            names that are not numbers, where it is one of them.
        responses: whether they are responses, among which NA always is an empty cell.
    """
    if words is not None:
        return [code for code, name in enumerate(names) if name in words or not name]
    empty = {code for code, name in enumerate(names) if name.lower() in MISSING}
    others = [name for code, name in enumerate(names) if code not in empty and name != "NA"]
    if responses or all(number_of(name) is not None for name in others):
        empty |= {code for code, name in enumerate(names) if name == "NA"}
    return sorted(empty)


def parse_responses(names: Sequence[str], meanings: Mapping[str, float | None] | None) -> list[float | None]:
    """Return the value of each name, [V]: 0 wrong, 1 right, between them partial credit, None not understood.

    Args:
        names: responses; numbers, true and false are understood.
        meanings: what other words mean, in any case.
    """

    def value(name: str) -> float | None:
        if (word := word_for(name, meanings)) is not None:
            return (meanings or {})[word]
        number = {"true": 1.0, "false": 0.0}.get(name.lower(), number_of(name))
        return number if number is not None and 0 <= number <= 1 else None

    return [value(name) for name in names]


def word_for(name: str, meanings: Mapping[str, float | None] | None) -> str | None:
    """Return the word that says what a response means: the same in any case, or the same number; None if none does."""
    for word in meanings or ():
        if str(word).strip().lower() == name.lower():
            return word
    number = number_of(name)
    same = (word for word in meanings or () if number is not None and number_of(str(word)) == number)
    return next(same, None)


def parse_folds(cells: Names) -> NDArray[np.int16]:
    """Return the fold of each name: 0, 1, .., -1 for a held-out test set, other numbers for words (train, valid), [V].

    Raises:
        DataError: names the first row with another fold.
    """
    values: list[int] = []
    for code, name in enumerate(cells.names):
        number, part = number_of(name), PARTS.get(name.lower())
        if part is None and (number is None or not number.is_integer() or not -1 <= number < 1 << 15):
            raise ReadError(
                f"{cells.first([code])[0]}: fold is {name!r} in {cells.count([code])} rows; it must be "
                "0, 1, .. or -1 for the test set, or train, valid, test"
            )
        values.append(part if part is not None else int(number or 0))
    numbered = [code for code, value in enumerate(values) if value >= 0]
    if numbered and (TRAIN in values or VALID in values):
        place, code = cells.first(numbered)
        raise ReadError(f"{place}: fold is {cells.names[code]!r} among words like train or valid; use either")
    assert NO_FOLD not in values
    return np.array(values, dtype=np.int16)


def skill_gaps(names: Sequence[str], separator: str | None, words: Sequence[str] | None) -> list[int]:
    """Return the codes of cells that name no skill, whole or in their parts, such as `;` and `[]`.

    Args:
        names: distinct cells of skills.
        separator: as for `split_skills`.
        words: that say a cell is empty, as for `missing_codes`.
    """
    parts = [_parts(name, ";" if separator == "auto" else separator) for name in names]
    known = list(dict.fromkeys(part for some in parts for part in some))
    empty = {known[code] for code in missing_codes(known, words)}
    gone = {code for code, some in enumerate(parts) if empty.issuperset(some)}
    return sorted(gone.union(missing_codes(names, words)))


def split_skills(
    cells: Names, separator: str | None, words: Sequence[str] | None = None
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Return the names of skills, those of each cell's name (one name after another, as codes), and how many it has.

    A skill that a cell names twice counts once.

    Args:
        cells: skills, or several joined.
        separator: what joins them; `list` for [3, 71]; None where nothing does; `auto` for ";" after a look at the
            names, which refuses where they look like several skills joined otherwise.
        words: that say a skill is empty, as for `missing_codes`.

    Raises:
        DataError: a cell names an empty skill, or looks like several.
    """
    if separator == "auto":
        _ask(cells)
        separator = ";"
    known: dict[str, int] = {}
    flat: list[int] = []
    sizes: list[int] = []
    for code, cell in enumerate(cells.names):
        names = dict.fromkeys(_parts(cell, separator))
        empty = MISSING if words is None else {"", *words}
        if len(names) > 1 and not empty.isdisjoint(map(str.lower, names) if words is None else names):
            raise ReadError(
                f"{cells.first([code])[0]}: skill cell {cell!r} names an empty skill ({cells.count([code])} rows); "
                "correct the cell"
            )
        flat.extend(known.setdefault(name, len(known)) for name in names)
        sizes.append(len(names))
    return list(known), np.array(flat, dtype=np.int64), np.array(sizes, dtype=np.int64)


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
        return [spelled(one) for one in value] if isinstance(value, list | tuple | set) else [spelled(value)]
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


def _ask(cells: Names) -> None:
    found = joiner_of(cells.names)
    if found is None:
        return
    mark, codes = found
    place, code = cells.first(codes)
    what = "are lists" if mark == "list" else f"look like several joined by {mark!r}"
    raise ReadError(
        f"{place}: skill is {cells.names[code]!r}: {len(codes)} of {len(cells.names)} skill names {what} "
        f"({cells.count(codes)} rows); dataset.read.separator={mark!r} splits them, "
        "dataset.read.separator=null takes them as the names of single skills",
        separator=mark,
    )


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
