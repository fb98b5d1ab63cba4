"""The one builder: the columns of a source become an InteractionLog and an account of what was done to them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, TEST, TRAIN, VALID, InteractionLog, offsets_of, spans
from gainkt.data.readers.cells import (
    RIGHT,
    WRONG,
    Coded,
    Where,
    encode,
    joined,
    missing_codes,
    one_spelling,
    parse_folds,
    parse_order,
    parse_responses,
    split_skills,
)
from gainkt.data.readers.expansion import alike, step_starts, suspected_expansion
from gainkt.data.readers.text import ReadError
from gainkt.errors import ConfigError, nearest

_logger = logging.getLogger(__name__)
KEY = "dataset.read"
"""Where a reader's settings stand in a run's config, for messages."""
_CHOICES = {
    "missing": ("fail", "drop"),
    "partial": ("fail", "drop", "round", "threshold"),
    "duplicates": ("fail", "keep", "drop"),
    "row_expansion": (None, "fold", "keep"),
}


_CALLED = {"correct": "response"}
ASKED = 2
"""Stands for the response of a row that has none and asks for a prediction."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every reader of tables may be told; nothing is left out, folded or converted unless it is."""

    missing: str = "fail"
    """Rows without student, skill, item, place in the order or response: `fail`, or `drop` them."""
    partial: str = "fail"
    """Responses between 0 and 1: `fail`, `drop`, `round` (.5 is right), or `threshold` (see there)."""
    threshold: float = 1.0
    """With partial=threshold, the credit from which a response is right, in (0, 1]."""
    duplicates: str = "fail"
    """Rows of one student at one place in the order with the same item (skill, without items): `fail`, `keep`, `drop`
    all but the first."""
    responses: Mapping[str, float | None] | None = None
    """What words mean: {correct: 1, incorrect: 0}, in any case; null leaves such rows out."""
    row_expansion: str | None = None
    """Rows that are one answer to an item of several skills: `fold` them into one step, or `keep` them apart. By
    default they are folded where items are known and refused where they are not."""
    separator: str | None = "auto"
    """What joins the skills of a cell; `list` for [3, 71]; null for nothing; `auto` for ";" after a look."""
    missing_words: Sequence[str] | None = None
    """Words that say a cell is empty, exactly; the common ones in any case by default."""
    date_format: str | None = None
    """How times are written, such as "%m/%d/%Y %I:%M:%S %p"; numbers and ISO 8601 by default."""
    published: Mapping[str, int] | None = None
    """Counts that the data set is known to have, by name as in the account; others are warned of and recorded."""
    name: str | None = None
    """Name of the data set in results; the file's or folder's by default."""

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            value = getattr(self, key)
            if value not in known:
                listed = nearest(str(value), [choice for choice in known if choice])
                raise ConfigError(f"{KEY}.{key}={value}: no such choice{listed}")
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"{KEY}.threshold={self.threshold}: must lie above 0 and not above 1")
        for word, value in (self.responses or {}).items():
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ConfigError(f"{KEY}.responses: {word} is {value!r}; give 0, 1, a number between them, or null")
        if self.separator == "":
            raise ConfigError(f"{KEY}.separator is empty; give what joins skills in a cell, such as ';', or null")


@dataclass
class Columns:
    """R rows of a source as columns of cells, of any Arrow type, and where they come from."""

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
    account: dict[str, Any] = field(default_factory=dict)
    """What the format has left out already: {"rows": as listed by the source, "left_out": {reason: rows}}."""

    def label(self, role: str) -> str:
        """Return what messages call a role's cells."""
        return self.labels.get(role, _CALLED.get(role, role))


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


def build_log(name: str, columns: Columns, options: Options) -> InteractionLog:
    """Return the log of a source's columns: students in order of appearance, skills and items in natural order.

    Raises:
        DataError: what the options do not allow, with the first place, the count, and the option that would.
    """
    return _read(columns, options, asks=False).log(name)


def build_rows(name: str, columns: Columns, options: Options) -> RowLog:
    """Return the same, and where each row went; a row without a response asks for a prediction.

    Raises:
        DataError: as build_log.
    """
    work = _read(columns, options, asks=True)
    log, asked = work.log(name), work.response[work.starts] >= ASKED
    step, slots = np.full(work.num_rows, -1), np.zeros((work.num_rows, 2), dtype=np.int64)
    step[work.rows] = np.cumsum(work.starts) - 1
    bounds = offsets_of(work.counts)
    slots[work.rows] = np.stack([bounds[:-1], bounds[1:]], axis=1)
    return RowLog(log, step, slots, asked)


def _read(columns: Columns, options: Options, *, asks: bool) -> _Rows:
    work = _Rows(columns, options, asks=asks)
    work.leave_out_missing()
    work.read_responses()
    work.name_and_sort()
    work.check_repeats()
    return work


class _Rows:
    """The rows of a source on their way to a log; each step narrows or renumbers what the one before left."""

    def __init__(self, columns: Columns, options: Options, *, asks: bool) -> None:
        self.columns, self.options, self.asks = columns, options, asks
        self.cells: dict[str, Coded] = {}
        for role in ("student", "skill", "correct", "item"):
            given = getattr(columns, role)
            if given is not None:
                several = isinstance(given, list | tuple)
                self.cells[role] = joined([encode(part) for part in given]) if several else encode(given)
        self.converted: dict[str, int] = dict(columns.account.get("converted", {}))
        for role in ("student", "item"):
            if role in self.cells:
                self.cells[role], changed = one_spelling(self.cells[role])
                self._converted_names(role, changed)
        self.size = self.num_rows = len(self.cells["student"].codes)
        self.rows = np.arange(self.size)
        self.left_out: dict[str, int] = dict(columns.account.get("left_out", {}))
        self.num_listed = int(columns.account.get("rows", self.size))
        self.num_named = len(self.cells["student"].names) - len(
            missing_codes(self.cells["student"], options.missing_words)
        )
        self.order: NDArray | None = None

    def place(self, row: int, role: str = "correct") -> str:
        """Say where a row of those still there stands in the source."""
        return self.columns.where(int(self.rows[row]), role)

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Leave out all rows but these."""
        self.rows = self.rows[kept]
        self.cells = {role: cells.take(kept) for role, cells in self.cells.items()}
        self.order = None if self.order is None else self.order[kept]
        if not len(self.rows):
            raise ReadError(f"{self.columns.where(0)}: no row is left, out of {self.num_listed}: {self.left_out}")

    def leave_out_missing(self) -> None:
        """Find rows without a value in a role that needs one; leave them out, or refuse."""
        empty: dict[str, NDArray[np.bool_]] = {}
        words = self.options.missing_words
        for role, cells in self.cells.items():
            codes = missing_codes(cells, words, names=role != "correct")
            if codes and not (self.asks and role == "correct"):
                empty[role] = cells.among(codes)
        if self.columns.order is not None:
            label = self.columns.label("order")
            form = self.options.date_format
            self.order, unplaced = parse_order(self.columns.order, words, form, self.columns.where, label)
            if unplaced is not None:
                empty["order"] = unplaced
        if not empty:
            return
        gone = np.logical_or.reduce(list(empty.values()))
        counts = {role: int(rows.sum()) for role, rows in empty.items()}
        if self.options.missing == "fail":
            row = int(np.argmax(gone))
            role = next(role for role, rows in empty.items() if rows[row])
            found = self._text(role, row)
            blank = int(np.logical_and.reduce(list(empty.values())).sum()) if len(empty) >= 3 else 0
            also = f", {blank} of them blank" if blank else ""
            listed = ", ".join(f"{count} without {_CALLED.get(role, role)}" for role, count in counts.items())
            raise ReadError(
                f"{self.place(row, role)}: {self.columns.label(role)} is {found!r} ({listed}: {int(gone.sum())} of "
                f"{self.size} rows{also}); {KEY}.missing=drop leaves these rows out, or fill them in",
                missing="drop",
            )
        first = np.zeros(self.size, dtype=np.bool_)
        for role, rows in empty.items():
            self._left_out(f"no {_CALLED.get(role, role)}", int((rows & ~first).sum()))
            first |= rows
        self.keep(~gone)

    def _text(self, role: str, row: int) -> str:
        return "" if role == "order" else self.cells[role].names[self.cells[role].codes[row]]

    def _left_out(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def read_responses(self) -> None:
        """Turn responses into 0 and 1."""
        cells, options = self.cells["correct"], self.options
        values = parse_responses(cells, options.responses)
        label = self.columns.label("correct")
        blank = missing_codes(cells, options.missing_words, names=False) if self.asks else []
        values = [ASKED if code in blank else value for code, value in enumerate(values)]
        left = {str(word).strip().lower() for word, value in (options.responses or {}).items() if value is None}
        asked = [code for code, name in enumerate(cells.names) if name.lower() in left]
        unread = [code for code, value in enumerate(values) if value is None and code not in asked]
        between = [code for code, value in enumerate(values) if value is not None and 0 < value < 1]
        counts = np.bincount(cells.codes, minlength=len(cells.names))
        if unread:
            row = int(np.argmax(cells.among(unread)))
            words = sorted(unread, key=lambda code: -counts[code])
            shown = ", ".join(f"{cells.names[code]!r} in {counts[code]}" for code in words[:6])
            meant = {cells.names[code]: _guess(cells.names[code]) for code in words}
            told = ",".join(f"{word}:{'?' if value is None else value}" for word, value in list(meant.items())[:6])
            found = f"{label} is {cells.names[cells.codes[row]]!r}, not 0 or 1"
            raise ReadError(
                f"{self.place(row)}: {found} ({counts[unread].sum()} of {len(cells.codes)} rows: {shown}); "
                f"correct them, or say what the words mean: '{KEY}.responses={{{told}}}' (null leaves such rows out)",
                **({} if None in meant.values() else {"responses": {**(options.responses or {}), **meant}}),
            )
        if between and options.partial == "fail":
            row = int(np.argmax(cells.among(between)))
            found = f"{label} is {cells.names[cells.codes[row]]!r}, not 0 or 1"
            raise ReadError(
                f"{self.place(row)}: {found} ({counts[between].sum()} of {len(cells.codes)} rows have "
                f"partial credit); {KEY}.partial=drop leaves them out, round or threshold makes them 0 or 1",
                partial="drop",
            )
        limit = options.threshold if options.partial == "threshold" else 0.5
        numbers = np.array([0 if value is None else value >= limit if 0 < value < 1 else value for value in values])
        if between and options.partial != "drop":
            self.converted[f"partial credit, right from {limit:g} on"] = int(counts[between].sum())
        self.response = (numbers.astype(np.int64) if self.asks else numbers.astype(np.uint8))[cells.codes]
        if self.asks and "item" not in self.cells:  # each asks for itself: nothing tells which of them were one answer
            self.response[self.response == ASKED] += np.arange((self.response == ASKED).sum())
        gone = asked + (between if options.partial == "drop" else [])
        for code in asked:
            self._left_out(f"response {cells.names[code]!r}", int(counts[code]))
        if gone:
            self._left_out("partial credit", int(counts[between].sum()) if options.partial == "drop" else 0)
            kept = ~cells.among(gone)
            self.response = self.response[kept]
            self.keep(kept)

    def name_and_sort(self) -> None:
        """Number students, skills and items, and bring the rows into the order of histories."""
        skills, counts, split = split_skills(self.cells["skill"], self.options.separator, self.place)
        skills, changed = one_spelling(skills)
        self._converted_names("skill", changed)
        if split:
            self.converted["skill cells split into several skills"] = split
        student, self.student_names = _by_appearance(self.cells["student"])
        skill, self.skill_names = _by_nature(skills)
        item = np.full(len(student), -1)
        self.item_names: list[str] = []
        if "item" in self.cells:
            item, self.item_names = _by_nature(self.cells["item"])
        folds = self.columns.fold
        if folds is not None and not isinstance(folds, np.ndarray):
            folds = parse_folds(encode(folds).take(self.rows), self.place)
        elif folds is not None:
            folds = folds[self.rows]
        self.folds = _student_folds(student, self.student_names, folds, self.place)

        sequence = _sequence(student, self.order, item)
        self.rows = self.rows[sequence]
        self.student, self.item, self.response = student[sequence], item[sequence], self.response[sequence]
        self.order = None if self.order is None else self.order[sequence]
        self.counts = counts[sequence]
        self.skill = skill[spans(offsets_of(counts)[:-1][sequence], self.counts)]

    def _converted_names(self, role: str, changed: int) -> None:
        if changed:
            self.converted[f"{role} names like 1.0 read as 1"] = changed

    def check_repeats(self) -> None:
        """Find the rows that are one answer, and those that stand twice; fold, keep, drop or refuse them."""
        self.starts = np.ones(len(self.student), dtype=np.bool_)
        how = self.options.row_expansion
        place = None if self.order is None else np.cumsum(np.r_[True, ~alike(self.student, self.order)])
        if self.item_names and how != "keep":
            self.starts = self._starts(self.item)
        elif place is not None and how != "keep":
            folded = self._starts(place)
            if how is None:
                self._refuse_expansion(~folded, "place in the order")
            self.starts = folded
        elif how == "fold":
            raise ConfigError(
                f"{KEY}.row_expansion=fold: without an item or an order column it cannot be told which rows are one "
                f"answer; give {KEY}.item{self._likely()}"
            )
        if not self.item_names and how is None:
            for column, cells in self.columns.beside.items():
                coded = encode(cells)
                likely = np.where(coded.among(missing_codes(coded, None)), -1, coded.codes)
                self._refuse_expansion(~self._starts(likely[self.rows]), column, column)
            if self.counts.max() == 1:
                suspects = np.zeros(len(self.student), dtype=np.bool_)
                given = self.response < ASKED if self.asks else slice(None)
                suspects[given] = suspected_expansion(self.student[given], self.skill[given], self.response[given])
                self._refuse_expansion(suspects, "response, always, for these pairs of skills")
        if place is not None:
            self._check_duplicates(place)

    def _starts(self, item: NDArray) -> NDArray[np.bool_]:
        return step_starts(self.student, item, self.response, self.skill, self.counts)

    def _likely(self) -> str:
        return "".join(f"={column!r}" for column in list(self.columns.beside)[:1])

    def _refuse_expansion(self, again: NDArray[np.bool_], what: str, column: str | None = None) -> None:
        """Refuse rows that repeat an answer for another skill."""
        if not again.any():
            return
        row = int(np.argmax(again))
        likely = column or next(iter(self.columns.beside), None)
        name = f"{KEY}.item={likely}" if likely else f"the item column as {KEY}.item"
        fold = "fold makes them one step, " if self.order is not None else ""
        raise ReadError(
            f"{self.place(row)}: repeats the answer before it for another skill, with the same {what} (so do "
            f"{int(again.sum())} of {len(again)} rows): read as steps of their own such rows give the label away; give "
            f"{name}, or decide by {KEY}.row_expansion: {fold}keep leaves them apart",
            **({"item": likely} if likely else {"row_expansion": "fold"} if self.order is not None else {}),
        )

    def _check_duplicates(self, place: NDArray[np.int64]) -> None:
        """Find steps of one student at one place in the order with the same item, or skill where there are no items."""
        tied = np.zeros(len(place), dtype=np.bool_)
        tied[1:] = alike(place)
        tied[:-1] |= tied[1:]
        at = np.flatnonzero(tied & self.starts)
        if self.options.duplicates == "keep" or not len(at):
            return
        by_item = bool(self.item_names)
        keys = {"place": place[at], "item": self.item[at]}
        if not by_item or self.options.row_expansion == "keep":
            keys |= {"skill": self.skill[offsets_of(self.counts)[:-1][at]], "skills": self.counts[at]}
        again = at[pd.DataFrame(keys).duplicated().to_numpy()]
        if not len(again):
            return
        if self.options.duplicates == "fail":
            row = int(again[0])
            what = f"item {self.item_names[self.item[row]]!r}" if by_item else "the same skill"
            raise ReadError(
                f"{self.place(row)}: student {self.student_names[self.student[row]]!r} has {what} twice at the same "
                f"place in the order (so in {len(again)} rows); {KEY}.duplicates=drop leaves out all but the first, "
                "keep takes them as attempts; or give a finer order column, or none if the file is in order",
                duplicates="drop",
            )
        step = np.cumsum(self.starts) - 1
        gone = np.isin(step, step[again])
        self._left_out("duplicates", int(gone.sum()))
        self.skill = self.skill[~np.repeat(gone, self.counts)]
        for what in ("rows", "student", "item", "response", "counts", "starts"):
            setattr(self, what, getattr(self, what)[~gone])

    def log(self, name: str) -> InteractionLog:
        """Return the log and its account."""
        first_rows = np.flatnonzero(self.starts)
        lengths = np.bincount(self.student[first_rows], minlength=len(self.student_names))
        account: dict[str, Any] = {
            "rows": self.num_listed,
            "left_out": self.left_out,
            "converted": self.converted,
            "folded": len(self.student) - len(first_rows),
            "steps": len(first_rows),
            "students": len(lengths),
            "students_dropped": self.num_named - len(lengths),
            "skills": len(self.skill_names),
            "items": len(self.item_names),
        }
        if self.options.row_expansion == "keep":
            account["row_expansion"] = "keep"
        known = {what: (account[what], count) for what, count in (self.options.published or {}).items()}
        differs = {what: list(counts) for what, counts in known.items() if counts[0] != counts[1]}
        if differs:
            account["differs"] = differs
            listed = ", ".join(f"{found:,} {what} ({count:,} published)" for what, (found, count) in differs.items())
            _logger.warning("%s: %s; is it the whole file, of the same version?", name, listed)
        return InteractionLog(
            name=name,
            offsets=offsets_of(lengths),
            responses=(self.response[first_rows] == 1).astype(np.uint8),
            skill_offsets=offsets_of(np.add.reduceat(self.counts, first_rows)),
            skills=self.skill.astype(np.int32),
            items=self.item[first_rows].astype(np.int32),
            students=np.array(self.student_names, dtype=np.str_),
            skill_names=np.array(self.skill_names, dtype=np.str_),
            item_names=np.array(self.item_names, dtype=np.str_),
            folds=self.folds,
            account=account,
        )


def _guess(word: str) -> int | None:
    return 1 if word.lower() in RIGHT else 0 if word.lower() in WRONG else None


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Return a key that sorts names as people do: -1, 2, 10, "a2", "a10"."""
    parts = re.findall(r"\d+|\D+", name) if not re.fullmatch(r"-?\d+", name) else [name]
    return [(False, int(p), "") if p.lstrip("-").isdecimal() else (True, 0, p) for p in parts], name


def _by_appearance(cells: Coded) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes renumbered by first appearance, and the names that occur."""
    size = len(cells.codes)
    first = np.full(len(cells.names), size)
    # Of several values for one place, numpy keeps the last: walking backwards leaves the first row.
    first[cells.codes[::-1]] = np.arange(size)[::-1]
    return _renumbered(cells, [int(i) for i in np.argsort(first, kind="stable") if first[i] < size])


def _by_nature(cells: Coded) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes renumbered by the natural order of names, and the names that occur."""
    used = np.flatnonzero(np.bincount(cells.codes, minlength=len(cells.names)))
    return _renumbered(cells, sorted(used.tolist(), key=lambda i: natural_key(cells.names[i])))


def _renumbered(cells: Coded, wanted: list[int]) -> tuple[NDArray[np.int64], list[str]]:
    number = np.full(len(cells.names), -1)
    number[wanted] = np.arange(len(wanted))
    return number[cells.codes], [cells.names[i] for i in wanted]


def _sequence(student: NDArray, order: NDArray | None, item: NDArray) -> NDArray[np.int64]:
    """Return the rows student by student, by order where there is one, otherwise as listed."""
    if order is None:
        return np.argsort(student, kind="stable")
    sequence = np.lexsort((order, student))
    tied = np.zeros(len(sequence), dtype=np.bool_)
    tied[1:] = alike(student[sequence], order[sequence])
    tie = np.cumsum(~tied)
    tied[:-1] |= tied[1:]
    at = np.flatnonzero(tied)
    if len(at) and item[0] >= 0:
        # Rows of one item at one place in the order stand together, at the place of the first of them.
        rows, tie = sequence[at], tie[at]
        by_item = np.lexsort((item[rows], tie))
        heads = np.ones(len(at), dtype=np.bool_)
        heads[1:] = ~alike(tie[by_item], item[rows][by_item])
        first = np.empty(len(at), dtype=np.int64)
        first[by_item] = by_item[heads][np.cumsum(heads) - 1]
        sequence[at] = rows[np.lexsort((first, tie))]
    return sequence


def _student_folds(
    student: NDArray, names: list[str], fold: NDArray[np.int16] | None, where: Where
) -> NDArray[np.int16]:
    """Return the fold of each student, [N] or, of several splits, [N, F]; none is given where there are no folds."""
    if fold is None:
        return np.full(len(names), NO_FOLD, dtype=np.int16)
    folds = np.full((len(names), *fold.shape[1:]), NO_FOLD, dtype=np.int16)
    folds[student] = fold
    clash = np.flatnonzero((folds[student] != fold).reshape(len(fold), -1).any(axis=1))
    if len(clash):
        row = int(clash[0])
        one, other = sorted({*np.ravel(fold[row]).tolist(), *np.ravel(folds[student[row]]).tolist()})[:2]
        parts = f"in the test set and in fold {other}" if one == TEST else f"in folds {one} and {other}"
        if one < TEST:
            parts = f"in the {PART_NAMES[one]} and in the {PART_NAMES.get(other, 'test')} part"
        crossing = len(np.unique(student[clash]))
        raise ReadError(
            f"{where(row, 'fold')}: student {names[student[row]]!r} is {parts} ({crossing} of {len(names)} students "
            "are in two); keep a student in one of them, or leave out the fold column"
        )
    return folds


PART_NAMES = {TRAIN: "train", VALID: "valid", TEST: "test"}
