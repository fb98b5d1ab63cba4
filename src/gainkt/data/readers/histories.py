"""Rows of a part of the students become their histories: sorted, looked through for repeats, and put into a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.data.log import NO_FOLD, TEST, TRAIN, VALID, offsets_of, spans
from gainkt.data.readers.cells import Where
from gainkt.data.readers.cleaning import ASKED
from gainkt.data.readers.expansion import Twos, alike, step_starts
from gainkt.data.readers.options import KEY, Options
from gainkt.data.readers.text import ReadError
from gainkt.errors import ConfigError

PART_NAMES = {TRAIN: "train", VALID: "valid", TEST: "test"}
CLOCK, FOLD, PLACE, BESIDE, SAME_TIME, PAIRS, TWICE = range(7)
"""What is looked for in a history, in the order in which it is refused."""


@dataclass(frozen=True)
class Vocabularies:
    """What the numbers of records mean."""

    students: list[str]
    items: list[str]
    skills: list[str]
    cells: NDArray[np.int64]
    """Skills of each skill cell, one after another."""
    sizes: NDArray[np.int64]
    """How many skills each skill cell has."""


class Histories:
    """The arrays of a log, filled part after part; a part holds whole students, whose numbers rise from part to part.

    Records have `row`, `student`, `skill` (the number of a cell), `response`, and where the source has them `item` (-1:
    none beside it), `order`, `fold`, `beside` (like `item`, of a column that no role was given to) and `clock`.
    """

    def __init__(
        self,
        names: Vocabularies,
        counts: NDArray[np.int64],
        options: Options,
        where: Where,
        beside: str | None,
        clock: str,
        *,
        asks: bool = False,
    ) -> None:
        """Make room.

        Args:
            names: what the numbers mean.
            counts: rows of each skill cell.
            options: of the reader.
            where: says where a row stands.
            beside: column of `beside`.
            clock: column of `clock`.
            asks: whether responses may be ASKED, and where rows went is kept.
        """
        self.names, self.options, self.where, self.beside, self.clock = names, options, where, beside, clock
        self.size, slots = int(counts.sum()), int((counts * names.sizes).sum())
        self.cell_starts = offsets_of(names.sizes)[:-1]
        self.lengths = np.zeros(len(names.students), dtype=np.int64)
        self.folds: NDArray[np.int16] | None = None
        self.steps = self.slots = self.folded = self.duplicates = 0
        self.responses = np.empty(self.size, dtype=np.uint8)
        self.items = np.empty(self.size, dtype=np.int32)
        self.skill_offsets = np.zeros(self.size + 1, dtype=np.int64)
        self.skills = np.empty(slots, dtype=np.int32)
        self.clock_is_place = True
        """Whether all rows of one value of an unused column of the order are one answer, for all that can be seen."""
        self.asks = asks
        self.trail: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
        """Of kept rows: their numbers in the source, their steps, where their skills begin and end."""
        self.asked: list[NDArray[np.int64]] = []
        """Steps without a response."""
        self._found: dict[int, tuple[int, Callable[[int], ReadError]]] = {}
        single = bool(names.sizes[counts > 0].max() == 1) if self.size else False
        self.twos = Twos() if not names.items and options.row_expansion is None and single else None

    def add(self, records: NDArray) -> None:
        """Sort, check and keep the rows of some students."""
        part = _Rows(records, self)
        self._check_clock(records)
        self._take_folds(part)
        starts = self._starts(part)
        if self.twos is not None:
            given = part.response < ASKED
            if given.any():
                self.twos.add(part.student[given], part.skill[given], part.response[given])
        if part.order is not None:
            part, starts = self._without_repeats(part, starts)
        if not self._found.keys() - {SAME_TIME}:
            self._keep(part, starts)

    def finish(self, parts: Callable[[], Iterable[NDArray]]) -> None:
        """Refuse what was found, with the count over all parts.

        Args:
            parts: gives all records again; asked for only where pairs of skills are suspected.

        Raises:
            DataError: the options do not allow what the histories hold.
        """
        if not self.clock_is_place:
            self._found.pop(SAME_TIME, None)
        if self.twos is not None and min(self._found, default=TWICE) >= PAIRS and len(self.twos.suspicious()):
            for records in parts():
                part = _Rows(records, self)
                given = part.response < ASKED
                marks = np.zeros(len(given), dtype=np.bool_)
                marks[given] = self.twos.marks(part.student[given], part.skill[given], part.response[given])
                self._found_expansion(PAIRS, marks, part, "response, always, for these pairs of skills")
        if self._found:
            count, tell = self._found[min(self._found)]
            raise tell(count)

    def _find(self, stage: int, rows: NDArray[np.bool_] | int, tell: Callable[[int], ReadError]) -> None:
        """Remember rows that may have to be refused; `tell` makes the error of their count over all parts."""
        count = int(np.sum(rows))
        if count:
            before, first = self._found.get(stage, (0, tell))
            self._found[stage] = (before + count, first)

    def _check_clock(self, records: NDArray) -> None:
        """Find rows that do not stand in the order that an unused column tells."""
        if "clock" not in (records.dtype.names or ()):
            return
        listed = np.argsort(records["student"], kind="stable")
        student, clock = records["student"][listed], records["clock"][listed]
        back = (student[1:] == student[:-1]) & (clock[1:] < clock[:-1])

        def tell(count: int) -> ReadError:
            place = self.where(int(records["row"][listed[int(np.argmax(back)) + 1]]), "order")
            return ReadError(
                f"{place}: rows of a student do not stand in the order of column {self.clock!r} ({count} of "
                f"{self.size} rows come before the row above them); {KEY}.order={self.clock} sorts them, "
                f"{KEY}.order=false takes them as they stand",
                order=self.clock,
            )

        self._find(CLOCK, back, tell)

    def _take_folds(self, part: _Rows) -> None:
        """Keep the fold of each student; a student in two is refused."""
        if part.fold is None:
            return
        if self.folds is None:
            self.folds = np.full((len(self.names.students), *part.fold.shape[1:]), NO_FOLD, dtype=np.int16)
        self.folds[part.student] = part.fold
        clash = np.flatnonzero((self.folds[part.student] != part.fold).reshape(len(part.fold), -1).any(axis=1))
        if not len(clash):
            return
        row = int(clash[np.argmin(part.rows[clash])])
        codes = np.ravel(part.fold[row]).tolist() + np.ravel(self.folds[part.student[row]]).tolist()
        place = self.where(int(part.rows[row]), "fold")
        name = self.names.students[part.student[row]]
        one, other = sorted(set(codes))[:2]
        parts = f"in the test set and in fold {other}" if one == TEST else f"in folds {one} and {other}"
        if one < TEST:
            parts = f"in the {PART_NAMES[one]} and in the {PART_NAMES.get(other, 'test')} part"
        self._find(
            FOLD,
            len(np.unique(part.student[clash])),
            lambda count: ReadError(
                f"{place}: student {name!r} is {parts} ({count} of {len(self.names.students)} students "
                "are in two); keep a student in one of them, or leave out the fold column"
            ),
        )

    def _starts(self, part: _Rows) -> NDArray[np.bool_]:
        """Return which rows start a step: where rows of one answer are folded, the first of them does."""
        starts = np.ones(len(part.student), dtype=np.bool_)
        how, items = self.options.row_expansion, bool(self.names.items)
        if items and how != "keep":
            starts = part.starts(part.item)
        elif part.order is not None and how != "keep":
            starts = part.starts(part.place)
            if how is None:
                self._found_expansion(PLACE, ~starts, part, "place in the order")
        elif how == "fold":
            likely = f"={self.beside!r}" if self.beside else ""
            raise ConfigError(
                f"{KEY}.row_expansion=fold: without an item or an order column it cannot be told which rows are one "
                f"answer; give {KEY}.item{likely}"
            )
        if part.clock is not None and not items and how is None:
            tied = alike(part.student, part.clock)
            again = ~part.starts(np.cumsum(np.r_[True, ~tied]))
            self.clock_is_place &= int(again.sum()) == int(tied.sum())
            self._found_expansion(SAME_TIME, again, part, f"value of {self.clock}, which names nothing else twice")
        if part.beside is not None and not items and how is None:
            self._found_expansion(BESIDE, ~part.starts(part.beside), part, str(self.beside))
        return starts

    def _found_expansion(self, stage: int, again: NDArray[np.bool_], part: _Rows, what: str) -> None:
        """Remember rows that repeat an answer for another skill."""
        name = f"{KEY}.item={self.beside}" if self.beside else f"the item column as {KEY}.item"
        fold = "fold makes them one step, " if part.order is not None else ""
        settings = {"item": self.beside} if self.beside else {"row_expansion": "fold"} if part.order is not None else {}
        self._find(
            stage,
            again,
            lambda count: ReadError(
                f"{part.place_of(int(np.argmax(again)))}: repeats the answer before it for another skill, with the "
                f"same {what} (so do {count} of {self.size} rows): read as steps of their own such rows give the label "
                f"away; give {name}, or decide by {KEY}.row_expansion: {fold}keep leaves them apart",
                **settings,
            ),
        )

    def _without_repeats(self, part: _Rows, starts: NDArray[np.bool_]) -> tuple[_Rows, NDArray[np.bool_]]:
        """Find steps of one student at one place in the order with the same item, or skill where there are no items."""
        tied = np.zeros(len(part.student), dtype=np.bool_)
        tied[1:] = alike(part.place)
        tied[:-1] |= tied[1:]
        at = np.flatnonzero(tied & starts)
        if self.options.duplicates == "keep" or not len(at):
            return part, starts
        items = self.names.items
        keys = {"place": part.place[at], "item": part.item[at]}
        if not items or self.options.row_expansion == "keep":
            keys |= {"skill": part.skill[offsets_of(part.counts)[:-1][at]], "skills": part.counts[at]}
        again = at[pd.DataFrame(keys).duplicated().to_numpy()]
        if not len(again):
            return part, starts
        if self.options.duplicates == "fail":
            row = int(again[0])
            what = f"item {items[part.item[row]]!r}" if items else "the same skill"
            self._find(
                TWICE,
                len(again),
                lambda count: ReadError(
                    f"{part.place_of(row)}: student {self.names.students[part.student[row]]!r} has {what} twice at the "
                    f"same place in the order (so in {count} rows); {KEY}.duplicates=drop leaves out all but the "
                    "first, keep takes them as attempts; or give a finer order column, or none if the file is in order",
                    duplicates="drop",
                ),
            )
            return part, starts
        step = np.cumsum(starts) - 1
        gone = np.isin(step, step[again])
        self.duplicates += int(gone.sum())
        return part.without(gone), starts[~gone]

    def _keep(self, part: _Rows, starts: NDArray[np.bool_]) -> None:
        first = np.flatnonzero(starts)
        self.folded += len(starts) - len(first)
        self.lengths += np.bincount(part.student[first], minlength=len(self.lengths))
        steps = slice(self.steps, self.steps + len(first))
        slots = slice(self.slots, self.slots + len(part.skill))
        self.responses[steps], self.items[steps] = part.response[first], part.item[first]
        if self.asks:
            bounds, asked = self.slots + offsets_of(part.counts), np.flatnonzero(part.response[first] >= ASKED)
            self.trail.append((part.rows, self.steps + np.cumsum(starts) - 1, bounds[:-1], bounds[1:]))
            self.asked.append(self.steps + asked)
            self.responses[self.steps + asked] = 0
        self.skills[slots] = part.skill
        ends = np.add.reduceat(part.counts, first).cumsum() + self.slots
        self.skill_offsets[steps.start + 1 : steps.stop + 1] = ends
        self.steps, self.slots = steps.stop, slots.stop

    def arrays(self) -> Mapping[str, NDArray]:
        """Return the arrays of a log."""
        folds = self.folds
        return {
            "offsets": offsets_of(self.lengths),
            "responses": self.responses[: self.steps],
            "skill_offsets": self.skill_offsets[: self.steps + 1],
            "skills": self.skills[: self.slots],
            "items": self.items[: self.steps],
            "folds": np.full(len(self.lengths), NO_FOLD, dtype=np.int16) if folds is None else folds,
        }


class _Rows:
    """Rows of some students in the order of their histories."""

    def __init__(self, records: NDArray, histories: Histories) -> None:
        has, self.where = records.dtype.names or (), histories.where
        columns = {name: np.ascontiguousarray(records[name]) for name in has}
        sequence = _sequence(columns["student"], columns.get("order"), columns.get("item"))
        if sequence is not None:
            columns = {name: column[sequence] for name, column in columns.items()}
        self.rows, self.student, self.response = columns["row"], columns["student"], columns["response"]
        self.item = columns["item"] if "item" in has else np.full(len(records), -1, np.int32)
        self.order, self.fold, self.beside = (columns.get(name) for name in ("order", "fold", "beside"))
        self.clock = columns.get("clock")
        cell, names = columns["skill"], histories.names
        self.counts = names.sizes[cell]
        self.skill = names.cells[spans(histories.cell_starts[cell], self.counts)]
        if histories.asks and "item" not in has:  # each asks for itself: nothing tells which of them were one answer
            self.response = self.response.astype(np.int64)
            self.response[self.response == ASKED] += np.arange((self.response == ASKED).sum())
        self.place = np.empty(0, np.int64)
        if self.order is not None:
            self.place = np.cumsum(np.r_[True, ~alike(self.student, self.order)])

    def place_of(self, row: int, role: str = "correct") -> str:
        """Say where a row stands in the source."""
        return self.where(int(self.rows[row]), role)

    def starts(self, item: NDArray) -> NDArray[np.bool_]:
        """Return which rows start a step if rows of one of these items are folded."""
        return step_starts(self.student, item, self.response, self.skill, self.counts)

    def without(self, gone: NDArray[np.bool_]) -> _Rows:
        """Leave out rows."""
        self.skill = self.skill[~np.repeat(gone, self.counts)]
        for what in ("rows", "student", "item", "response", "counts", "place"):
            setattr(self, what, getattr(self, what)[~gone])
        return self


def _sequence(student: NDArray, order: NDArray | None, item: NDArray | None) -> NDArray[np.int64] | None:
    """Return the rows student by student, by order where there is one, otherwise as listed; None if they stand so."""
    sequence = None
    if (student[1:] < student[:-1]).any():
        sequence = np.argsort(student, kind="stable")
        student, order = student[sequence], None if order is None else order[sequence]
    if order is None:
        return sequence
    same = student[1:] == student[:-1]
    if (same & (order[1:] < order[:-1])).any():
        by_order = np.lexsort((order, student))
        sequence = by_order if sequence is None else sequence[by_order]
        student, order = student[by_order], order[by_order]
    if item is None or not (same & (order[1:] == order[:-1])).any():
        return sequence
    sequence = np.arange(len(student)) if sequence is None else sequence
    tied = np.zeros(len(sequence), dtype=np.bool_)
    tied[1:] = alike(student, order)
    tie = np.cumsum(~tied)
    tied[:-1] |= tied[1:]
    at = np.flatnonzero(tied)
    # Rows of one item at one place in the order stand together, at the place of the first of them.
    rows, tie = sequence[at], tie[at]
    by_item = np.lexsort((item[rows], tie))
    heads = np.ones(len(at), dtype=np.bool_)
    heads[1:] = ~alike(tie[by_item], item[rows][by_item])
    first = np.empty(len(at), dtype=np.int64)
    first[by_item] = by_item[heads][np.cumsum(heads) - 1]
    sequence[at] = rows[np.lexsort((first, tie))]
    return sequence
