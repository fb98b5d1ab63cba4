"""From rows to an InteractionLog: order, fold row-expanded items, number students, skills and items."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.data.readers._cells import Coded, Where
from gainkt.errors import DataError


@dataclass(frozen=True)
class Rows:
    """R interactions with L skill slots, as a source lists them."""

    student: Coded
    """[R]."""
    response: NDArray[np.uint8]
    """[R], 1 right, 0 wrong."""
    skill: Coded
    """[L], the skills of one row after another."""
    skill_counts: NDArray[np.int64]
    """[R], skills of each row; at least 1."""
    item: Coded | None = None
    """[R]; None where the source has no items."""
    order: NDArray | None = None
    """[R], numbers that order a student's rows; None where the source lists them in order."""
    fold: NDArray[np.int16] | None = None
    """[R], 0.. or -1 for the test set; None where the source gives none."""


def build_log(name: str, rows: Rows, where: Where) -> InteractionLog:
    """Return the log of rows; students are numbered as they first appear, skills and items in natural order.

    Args:
        name: name of the data set.
        rows: the interactions.
        where: says where row r of `rows` stands in the source.

    Raises:
        DataError: a student in two folds, the same student, order and item twice, or one step a student only.
    """
    student, student_names = _by_appearance(rows.student)
    skill, skill_names = _by_nature(rows.skill)
    item, item_names = _by_nature(rows.item) if rows.item is not None else (np.full(len(student), -1), [])
    folds = _student_folds(student, student_names, rows.fold, where)

    sequence = _sequence(student, rows.order, item)
    student, item, response = student[sequence], item[sequence], rows.response[sequence]
    counts = rows.skill_counts[sequence]
    skill = skill[spans(offsets_of(rows.skill_counts)[:-1][sequence], counts)]

    starts = step_starts(student, item, response, skill, counts)
    if rows.order is not None and rows.item is not None:
        order = rows.order[sequence]
        again = np.flatnonzero(starts[1:] & _alike(student, order, item))
        if len(again):
            row = again[0] + 1
            raise DataError(
                f"{where(int(sequence[row]))}: student {student_names[student[row]]!r} has item "
                f"{item_names[item[row]]!r} twice at the same place in the order; "
                "drop the copy, use a finer order column, or none if the file is in order"
            )
    first_rows = np.flatnonzero(starts)
    lengths = np.bincount(student[first_rows], minlength=len(student_names))
    if lengths.max() < 2:
        raise DataError(f"{where(0)}: every student has one step only, so no response can be predicted from a history")
    return InteractionLog(
        name=name,
        offsets=offsets_of(lengths),
        responses=response[first_rows],
        skill_offsets=offsets_of(np.add.reduceat(counts, first_rows)),
        skills=skill.astype(np.int32),
        items=item[first_rows].astype(np.int32),
        students=np.array(student_names, dtype=np.str_),
        skill_names=np.array(skill_names, dtype=np.str_),
        item_names=np.array(item_names, dtype=np.str_),
        folds=folds,
    )


def step_starts(
    student: NDArray, item: NDArray, response: NDArray, skill: NDArray, skill_counts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which rows start a step: row-expanded items (one row a skill) are one step each.

    A row joins the step before it if student, item and response are the same and none of its skills is in
    that step already. Item -1 means that the item is unknown: such a row joins nothing.

    Args:
        student: [R] in the order of the log.
        item: [R].
        response: [R].
        skill: [L], skills of one row after another, without repeats in a row.
        skill_counts: [R].
    """
    starts = np.ones(len(student), dtype=np.bool_)
    starts[1:] = ~_alike(student, item, response) | (item[1:] < 0)
    runs = np.cumsum(starts)
    in_long_run = np.bincount(runs)[runs] > 1
    if not in_long_run.any():
        return starts

    # The last row of the same run that shares a skill with this one, or -1.
    slots = np.flatnonzero(np.repeat(in_long_run, skill_counts))
    row_of_slot = np.repeat(np.arange(len(student)), skill_counts)[slots]
    by_skill = np.lexsort((skill[slots], runs[row_of_slot]))
    row, kept = row_of_slot[by_skill], skill[slots][by_skill]
    repeats = np.flatnonzero(_alike(runs[row], kept)) + 1
    shares = np.full(len(student), -1)
    np.maximum.at(shares, row[repeats], row[repeats - 1])

    # A repeat of the row just before starts a step whatever the step holds; a repeat of an earlier row only
    # if that row is in the same step, which depends on the starts between them.
    rows = np.arange(len(student))
    starts |= (shares >= 0) & (shares == rows - 1)
    open_rows = np.flatnonzero((shares >= 0) & ~starts)
    known_start = np.maximum.accumulate(np.where(starts, rows, 0))[open_rows]
    found = 0
    for i, shared, known in zip(open_rows.tolist(), shares[open_rows].tolist(), known_start.tolist(), strict=True):
        if shared >= max(known, found):
            found = i
            starts[i] = True
    return starts


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
    tied[1:] = _alike(student[sequence], order[sequence])
    tie = np.cumsum(~tied)
    tied[:-1] |= tied[1:]
    at = np.flatnonzero(tied)
    if len(at) and item[0] >= 0:
        # Rows of one item at one place in the order stand together, at the place of the first of them.
        rows, tie = sequence[at], tie[at]
        by_item = np.lexsort((item[rows], tie))
        heads = np.ones(len(at), dtype=np.bool_)
        heads[1:] = ~_alike(tie[by_item], item[rows][by_item])
        first = np.empty(len(at), dtype=np.int64)
        first[by_item] = by_item[heads][np.cumsum(heads) - 1]
        sequence[at] = rows[np.lexsort((first, tie))]
    return sequence


def _student_folds(
    student: NDArray, names: list[str], fold: NDArray[np.int16] | None, where: Where
) -> NDArray[np.int16]:
    """Return the fold of each student, -2 where none is given."""
    folds = np.full(len(names), -2, dtype=np.int16)
    if fold is None:
        return folds
    folds[student] = fold
    clash = np.flatnonzero(folds[student] != fold)
    if len(clash):
        row = int(clash[0])
        one, other = sorted((int(fold[row]), int(folds[student[row]])))
        parts = f"in the test set and in fold {other}" if one == -1 else f"in folds {one} and {other}"
        raise DataError(f"{where(row)}: student {names[student[row]]!r} is {parts}; keep a student in one of them")
    return folds


def _alike(*columns: NDArray) -> NDArray[np.bool_]:
    """Return, for each row but the first, whether it equals the row before it in every column."""
    return np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
