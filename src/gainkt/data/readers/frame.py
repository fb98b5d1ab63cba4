"""The one builder: the columns of a source become an InteractionLog and an account of what was done to them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import Names, Vocabulary, Where, encode, joined, missing_codes, parse_folds, split_skills
from gainkt.data.readers.cells import whole_numbers as other_spellings
from gainkt.data.readers.cleaning import CALLED, Gaps, Responses, among
from gainkt.data.readers.histories import Histories, Vocabularies
from gainkt.data.readers.options import KEY, Options
from gainkt.data.readers.order import Order
from gainkt.data.readers.spill import Spill
from gainkt.data.readers.text import ReadError

__all__ = ["KEY", "Columns", "Options", "RowLog", "build_log", "build_rows", "natural_key"]
_logger = logging.getLogger(__name__)
ROLES = ("student", "skill", "correct", "item")
"""Roles whose cells are names."""
PART_ROWS = 1 << 20
"""Rows that are put into order at once: those of some students."""
LONGEST_NUMBER = 1000
"""Digits that are taken for a number in sorting; longer ones are text."""
_UNSEEN = np.iinfo(np.int64).max


@dataclass
class Columns:
    """R rows of a source, all or a block of them, as columns of cells of any Arrow type, and where they come from."""

    student: pa.Array | Sequence[pa.Array]
    skill: pa.Array
    correct: pa.Array
    where: Where
    """where(row, role) says where a cell stands."""
    item: pa.Array | Sequence[pa.Array] | None = None
    order: pa.Array | None = None
    fold: pa.Array | NDArray[np.int16] | None = None
    """Text, or folds as a log keeps them, [R] or, of several splits, [R, F]."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """What messages call a role's cells."""
    beside: Mapping[str, pa.Array] = field(default_factory=dict)
    """Columns that no role was given to and whose name is that of an item, by name."""
    clock: pa.Array | None = None
    """A column that seems to tell the order though no role was given to it: rows must stand in its order."""
    rows: NDArray[np.int64] | None = None
    """The rows' numbers in the source; they follow one another where None."""
    account: dict[str, Any] = field(default_factory=dict)
    """What the format has left out already: {"rows": as listed by the source, "left_out": {reason: rows}}."""

    def label(self, role: str) -> str:
        """Return what messages call a role's cells."""
        return self.labels.get(role, CALLED.get(role, role))


@dataclass(frozen=True)
class RowLog:
    """A log, and where each of the R rows of its source went: for predictions row by row."""

    log: InteractionLog
    step: NDArray[np.int64]
    """[R], step of the log that a row became, or became a part of; -1 for a row that was left out."""
    slots: NDArray[np.int64]
    """[R, 2], a row's skills are log.skills[start : stop]; as its cell has them, names that repeat aside."""
    asked: NDArray[np.bool_]
    """[M], steps without a response, which only build_rows lets in; `log.responses` is 0 there."""


def build_log(name: str, columns: Columns | Iterable[Columns], options: Options) -> InteractionLog:
    """Return the log of a source's columns: students in order of appearance, skills and items in natural order.

    Rows are gone through block by block: names become numbers; what is missing and what responses mean is settled; rows
    are dealt to parts that hold whole students; each part becomes histories. At no time is more of them in memory than
    the numbers of a block or part, what `Spill` keeps, and the log.

    Raises:
        DataError: what the options do not allow, with the first place, the count, and the option that would.
    """
    return _taken(columns, options, asks=False).log(name)[0]


def build_rows(name: str, columns: Columns | Iterable[Columns], options: Options) -> RowLog:
    """Return the same, and where each row went; a row without a response asks for a prediction.

    Raises:
        DataError: as build_log.
    """
    rows = _taken(columns, options, asks=True)
    log, histories = rows.log(name)
    row, at, first, last = (np.concatenate(column) for column in zip(*histories.trail, strict=True))
    step, slots = np.full(rows.next_row, -1), np.zeros((rows.next_row, 2), dtype=np.int64)
    step[row], slots[row] = at, np.stack([first, last], axis=1)
    asked = np.zeros(log.num_steps, dtype=np.bool_)
    asked[np.concatenate(histories.asked)] = True
    return RowLog(log, step, slots, asked)


def _taken(columns: Columns | Iterable[Columns], options: Options, *, asks: bool) -> _Rows:
    rows = _Rows(options, asks=asks)
    for block in [columns] if isinstance(columns, Columns) else columns:
        rows.take(block)
    rows.leave_out()
    return rows


class _Rows:
    """The rows of a source on their way to a log."""

    def __init__(self, options: Options, *, asks: bool) -> None:
        self.options, self.asks = options, asks
        self.vocabularies: dict[str, Vocabulary] = {}
        self.order = Order(options.missing_words, options.date_format)
        self.clock = Order(None, options.date_format)
        self.blocks = Spill()
        self.unplaced: list[NDArray[np.bool_] | None] = []
        self.num_blocks = self.size = self.next_row = 0

    def take(self, block: Columns) -> None:
        """Number the names of a block, and keep the numbers."""
        self.columns = block
        cells: dict[str, NDArray] = {}
        beside = next(iter(block.beside.values()), None)
        texts = {role: getattr(block, role) for role in (*ROLES, "fold")} | {"beside": beside}
        for role, given in texts.items():
            if isinstance(given, np.ndarray):
                cells[role] = given
                continue
            if isinstance(given, list | tuple):
                several = joined([encode(part) for part in given], self.options.missing_words)
                given = pa.DictionaryArray.from_arrays(pa.array(several.codes), pa.array(several.names, pa.string()))
            if given is not None:
                cells[role] = self.vocabularies.setdefault(role, Vocabulary()).add(given)
        size = len(cells["student"])
        rows = np.arange(self.next_row, self.next_row + size) if block.rows is None else block.rows
        cells["row"] = rows.astype(np.uint32)
        unplaced = None
        if block.order is not None:
            places, unplaced = self.order.add(block.order, rows)
            cells["order"] = places.view(np.int64)
        if block.clock is not None:
            places, gaps = self.clock.add(block.clock, rows)
            cells["clock"] = places.view(np.int64)
            self.clock.unread += 0 if gaps is None else int(gaps.sum())
        self.unplaced.append(unplaced)
        self.blocks.append(self.num_blocks, _records(cells))
        self.num_blocks, self.size, self.next_row = (
            self.num_blocks + 1,
            self.size + size,
            int(rows[-1]) + 1 if size else self.next_row,
        )

    def place(self, row: int, role: str = "correct") -> str:
        """Say where a row stands in the source."""
        return self.columns.where(row, role)

    def leave_out(self) -> None:
        """Settle what is missing and what responses mean; note which rows are kept, and refuse what is not allowed."""
        account = self.columns.account
        self.listed = int(account.get("rows", self.size))
        self.left_out: dict[str, int] = dict(account.get("left_out", {}))
        self.converted: dict[str, int] = dict(account.get("converted", {}))
        self.order.refuse(self.place, self.columns.label("order"))
        self.names: dict[str, list[str]] = {}
        self.codes: dict[str, NDArray[np.int64]] = {}
        """Of each role: the name of each spelling."""
        for role, vocabulary in self.vocabularies.items():
            self._settle_names(role, vocabulary)
        needed = [role for role in ROLES if role in self.names and not (self.asks and role == "correct")]
        gaps = Gaps({role: self.names[role] for role in needed}, bool(self.order.size), self.options)
        responses = Responses(self.names["correct"], self.options, asks=self.asks)
        self.counts = {role: np.zeros(len(names), dtype=np.int64) for role, names in self.names.items()}
        met = np.zeros(len(self.names["correct"]), dtype=np.int64)
        self.first_rows = np.full(len(self.names["student"]), _UNSEEN)
        self.kept: list[NDArray[np.bool_] | None] = []
        for number in range(self.num_blocks):
            records = self.blocks.load(number)
            codes = {role: code[records[role]] for role, code in self.codes.items()}
            gone = gaps.find(codes, self.unplaced[number], records["row"])
            met += np.bincount(codes["correct"] if gone is None else codes["correct"][~gone], minlength=len(met))
            if responses.gone.any():
                gone = responses.gone[codes["correct"]] | (False if gone is None else gone)
            kept = None if gone is None else ~gone
            self.kept.append(kept)
            rows = records["row"] if kept is None else records["row"][kept]
            for role, found in codes.items():
                found = found if kept is None else found[kept]
                self.counts[role] += np.bincount(found, minlength=len(self.counts[role]))
                if role == "student":
                    self._meet(found, rows)
        gaps.refuse(self.place, self.columns.label)
        cells = Names(self.names["correct"], met, lambda codes: self._first_row("correct", codes))
        responses.refuse(cells, self.columns.label("correct"))
        reasons = {f"no {CALLED.get(role, role)}": count for role, count in gaps.first_reasons.items()}
        for reason, count in (reasons | responses.left_out(cells)).items():
            self._left_out(reason, count)
        self.converted |= responses.converted(cells)
        self.responses = responses.values
        self.num_named = len(self.names["student"]) - len(gaps.codes["student"])
        self.num_kept = int(self.counts["student"].sum())
        if not self.num_kept:
            raise ReadError(f"{self.place(0)}: no row is left, out of {self.listed}: {self.left_out}")

    def _settle_names(self, role: str, vocabulary: Vocabulary) -> None:
        names, code, changed = vocabulary.names()
        if role in ("student", "item") and (other := other_spellings(names)):
            spelled = among(list(other), len(names))[code[:-1]] & (vocabulary.counts[1:] > 0)
            changed["names like 1.0 read as 1"] = int(vocabulary.counts[1:][spelled].sum())
            same = np.arange(len(names))
            same[list(other)] = list(other.values())
            kept, number = np.unique(same, return_inverse=True)
            names, code = [names[one] for one in kept], np.where(code < 0, -1, number[code])
        self.names[role], self.codes[role] = names, code
        self.converted |= {f"{role} {what}": count for what, count in changed.items()}

    def _meet(self, student: NDArray, rows: NDArray) -> None:
        """Note the first row of students who were not met before."""
        first = np.full(len(self.first_rows), -1)
        # Of several values for one place, numpy keeps the last: walking backwards leaves the first row.
        first[student[::-1]] = rows[::-1]
        new = (first >= 0) & (self.first_rows == _UNSEEN)
        self.first_rows[new] = first[new]

    def _first_row(self, role: str, codes: Sequence[int]) -> tuple[str, int]:
        """Say where the first kept row with one of some names stands, and which of them it holds."""
        wanted = among(codes, len(self.names[role]))
        for number, kept in enumerate(self.kept):
            records = self.blocks.load(number)
            found = self.codes[role][records[role]]
            hits = wanted[found] & (True if kept is None else kept)
            if hits.any():
                row = int(np.argmax(hits))
                return self.place(int(records["row"][row]), role), int(found[row])
        raise AssertionError(f"no row has one of the names {codes} of {role}")

    def _used(self, role: str) -> tuple[NDArray[np.int64], Names]:
        """Return the codes of names that occur in kept rows, and these names."""
        codes = np.flatnonzero(self.counts[role])

        def first(chosen: Sequence[int]) -> tuple[str, int]:
            place, code = self._first_row(role, codes[list(chosen)].tolist())
            return place, int(np.searchsorted(codes, code))

        return codes, Names([self.names[role][code] for code in codes], self.counts[role][codes], first)

    def _left_out(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def log(self, name: str) -> tuple[InteractionLog, Histories]:
        """Deal the rows to parts, put each into order, and return the log with its account, and where rows went."""
        codes, students = self._used("student")
        by_row = np.argsort(self.first_rows[codes], kind="stable")
        tables: dict[str, NDArray] = {
            "student": _ranks(codes[by_row], len(self.names["student"])),
            "correct": self.responses,
        }
        sizes = students.counts[by_row]
        cells = self._skills(tables)
        items: list[str] = []
        if "item" in self.names:
            tables["item"], items = _by_nature(self.names["item"], self.counts["item"] > 0)
        if "fold" in self.names:
            codes, folds = self._used("fold")
            tables["fold"] = np.zeros(len(self.names["fold"]), dtype=np.int16)
            tables["fold"][codes] = parse_folds(folds)
        if "beside" in self.names:
            tables["beside"] = np.arange(len(self.names["beside"]))
            tables["beside"][missing_codes(self.names["beside"], None)] = -1
        names = Vocabularies([students.names[one] for one in by_row], items, *cells[:3])
        part_of = ((np.cumsum(sizes) - 1) // PART_ROWS).astype(np.int16)
        parts = self._deal(tables, part_of)
        beside, clock = next(iter(self.columns.beside), None), self.columns.label("clock")
        histories = Histories(names, cells[3], self.options, self.place, beside, clock, asks=self.asks)
        numbers = np.unique(part_of).tolist()
        for part in numbers:
            histories.add(parts.load(part))
            if histories.twos is None:
                parts.drop(part)
        histories.finish(lambda: map(parts.load, numbers))
        self._left_out("duplicates", histories.duplicates)
        log = InteractionLog(
            name=name,
            students=np.array(names.students, dtype=np.str_),
            skill_names=np.array(names.skills, dtype=np.str_),
            item_names=np.array(names.items, dtype=np.str_),
            account=self._account(name, names, histories),
            **histories.arrays(),
        )
        return log, histories

    def _skills(self, tables: dict[str, NDArray]) -> tuple[list[str], NDArray, NDArray, NDArray]:
        """Return the skills' names, those of each cell (one cell after another), how many it has, its rows."""
        codes, cells = self._used("skill")
        tables["skill"] = _ranks(codes, len(self.names["skill"]))
        names, flat, sizes = split_skills(cells, self.options.separator, self.options.missing_words)
        if several := int(cells.counts[sizes > 1].sum()):
            self.converted["skill cells split into several skills"] = several
        if other := other_spellings(names):
            same = np.arange(len(names))
            same[list(other)] = list(other.values())
            changed = int(np.repeat(cells.counts, sizes)[same[flat] != flat].sum())
            self.converted["skill names like 1.0 read as 1"] = changed
            flat = same[flat]
        number, names = _by_nature(names, among(flat, len(names)))
        return names, number[flat], sizes, cells.counts

    def _deal(self, tables: Mapping[str, NDArray], part_of: NDArray[np.int16]) -> Spill:
        """Return the kept rows under the number of their student's part; names are numbers of the log in them."""
        parts = Spill()
        numbers = {role: table[self.codes[role]] for role, table in tables.items()}
        types = {"correct": np.uint8, "fold": np.int16}
        for number, kept in enumerate(self.kept):
            records = self.blocks.load(number)
            self.blocks.drop(number)
            records = records if kept is None else records[kept]
            cells = {role: records[role] for role in records.dtype.names or ()}
            for role, table in numbers.items():
                cells[role] = table.astype(types.get(role, np.int32))[records[role]]
            cells["response"] = cells.pop("correct")
            for role, order in (("order", self.order), ("clock", self.clock)):
                if role in cells:
                    cells[role] = order.settle(cells[role], number)
            if self.clock.unread:
                cells.pop("clock", None)
            dealt, part = _records(cells), part_of[cells["student"]]
            if (part[1:] < part[:-1]).any():
                by_part = np.argsort(part, kind="stable")
                dealt, part = dealt[by_part], part[by_part]
            starts = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
            for start, end in zip(starts, [*starts[1:], len(part)], strict=True):
                if end > start:
                    parts.append(int(part[start]), dealt[start:end])
        return parts

    def _account(self, name: str, names: Vocabularies, histories: Histories) -> dict[str, Any]:
        account: dict[str, Any] = {
            "rows": self.listed,
            "left_out": self.left_out,
            "converted": self.converted,
            "folded": histories.folded,
            "steps": histories.steps,
            "students": len(names.students),
            "students_dropped": self.num_named - len(names.students),
            "skills": len(names.skills),
            "items": len(names.items),
        }
        if "encoding" in self.columns.account:
            account["encoding"] = self.columns.account["encoding"]
        if self.options.row_expansion == "keep":
            account["row_expansion"] = "keep"
        known = {what: (account[what], count) for what, count in (self.options.published or {}).items()}
        differs = {what: list(counts) for what, counts in known.items() if counts[0] != counts[1]}
        if differs:
            account["differs"] = differs
            listed = ", ".join(f"{found:,} {what} ({count:,} published)" for what, (found, count) in differs.items())
            _logger.warning("%s: %s; is it the whole file, of the same version?", name, listed)
        return account


def _records(columns: Mapping[str, NDArray]) -> NDArray:
    """Return columns of R rows as records."""
    kinds = [(name, column.dtype, column.shape[1:]) for name, column in columns.items()]
    records = np.empty(len(next(iter(columns.values()))), dtype=kinds)
    for name, column in columns.items():
        records[name] = column
    return records


def _ranks(codes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return [size]: the place of each number among the codes, 0 elsewhere."""
    rank = np.zeros(size, dtype=np.int64)
    rank[codes] = np.arange(len(codes))
    return rank


def _by_nature(names: Sequence[str], used: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the number of each name in the natural order of those used, and these names in that order."""
    codes = sorted(np.flatnonzero(used).tolist(), key=lambda code: natural_key(names[code]))
    return _ranks(np.array(codes), len(names)), [names[code] for code in codes]


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a key that sorts names as people do: -1, 2, 10, "a2", "a10"."""
    parts = re.findall(r"\d+|\D+", name) if not re.fullmatch(r"-?\d+", name) else [name]
    numbers = (p.lstrip("-").isdecimal() and len(p) < LONGEST_NUMBER for p in parts)
    return [(False, int(p), "") if is_one else (True, 0, p) for p, is_one in zip(parts, numbers, strict=True)], name
