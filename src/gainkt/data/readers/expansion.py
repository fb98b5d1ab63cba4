"""Row expansion: several rows, one a skill, that are one answer, and whose label leaks where they are read apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MINIMUM = 20
"""Pairs of steps that a pair of skills needs before its agreement says anything."""


def alike(*columns: NDArray) -> NDArray[np.bool_]:
    """Return, for each row but the first, whether it equals the row before it in every column."""
    return np.logical_and.reduce([column[1:] == column[:-1] for column in columns])


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
    starts[1:] = ~alike(student, item, response) | (item[1:] < 0)
    runs = np.cumsum(starts)
    in_long_run = np.bincount(runs)[runs] > 1
    if not in_long_run.any():
        return starts

    # The last row of the same run that shares a skill with this one, or -1.
    slots = np.flatnonzero(np.repeat(in_long_run, skill_counts))
    row_of_slot = np.repeat(np.arange(len(student)), skill_counts)[slots]
    by_skill = np.lexsort((skill[slots], runs[row_of_slot]))
    row, kept = row_of_slot[by_skill], skill[slots][by_skill]
    repeats = np.flatnonzero(alike(runs[row], kept)) + 1
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


class Twos:
    """Steps that look like the step before them, once more for another skill: no item is needed to see them.

    Two skills a, b of one item come as a b or, of several items, as a b a b: alternating runs of even length,
    in which each second step repeats the response of the first. For each pair of skills let n be the number of
    such twos and k that of those whose responses agree. They are suspected where k / n is .98 or more and lies
    5 standard deviations over the agreement (1 + q) / 2, with q = r_a r_b + (1 - r_a)(1 - r_b) that of
    independent responses, r being the rates of right responses: half of the way up to full agreement, since
    students differ.
    ASSISTments 2009 read apart is found so at thousands of steps; folded it is not, nor are 2015 and 2017.
    """

    def __init__(self) -> None:
        self._pairs = np.empty(0, dtype=np.int64)
        self._count: NDArray = np.empty(0)
        self._agreeing: NDArray = np.empty(0)
        self._steps: NDArray = np.empty(0)
        self._right: NDArray = np.empty(0)

    def add(self, student: NDArray, skill: NDArray, response: NDArray) -> None:
        """Count the twos of some students.

        Args:
            student: [M] in the order of the log.
            skill: [M], a number for the skill set of each step.
            response: [M].
        """
        second, pair = _seconds(student, skill)
        pairs, at = np.unique(np.concatenate([self._pairs, pair]), return_inverse=True)
        agree = response[second] == response[second - 1]
        weights = ((self._count, np.ones(len(pair))), (self._agreeing, agree))
        self._count, self._agreeing = (np.bincount(at, np.concatenate(both), len(pairs)) for both in weights)
        self._pairs = pairs
        size = max(len(self._steps), int(skill.max(initial=-1)) + 1)
        self._steps, self._right = (
            np.bincount(skill, weight, size) + np.pad(old, (0, size - len(old)))
            for old, weight in ((self._steps, None), (self._right, response))
        )

    def suspicious(self) -> NDArray[np.int64]:
        """Return the pairs of skills whose twos are suspected, ascending."""
        rate = self._right / np.maximum(self._steps, 1)
        one, other = rate[self._pairs >> 32], rate[self._pairs & 0xFFFFFFFF]
        expected = (1 + one * other + (1 - one) * (1 - other)) / 2
        deviation = np.sqrt(self._count * expected * (1 - expected))
        agrees = (self._count >= MINIMUM) & (self._agreeing >= 0.98 * self._count)
        return self._pairs[agrees & (self._agreeing - self._count * expected > 5 * deviation)]

    def marks(self, student: NDArray, skill: NDArray, response: NDArray) -> NDArray[np.bool_]:
        """Return which steps of some students, as in `add`, are suspected."""
        second, pair = _seconds(student, skill)
        marks = np.zeros(len(student), dtype=np.bool_)
        marks[second] = np.isin(pair, self.suspicious()) & (response[second] == response[second - 1])
        return marks


def _seconds(student: NDArray, skill: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the second steps of twos, and the pair of skills of each: the smaller number in the upper 32 bits."""
    # Changes of skill in a row between the same two skills form a run; each change is in one run.
    change = np.flatnonzero((student[1:] == student[:-1]) & (skill[1:] != skill[:-1])) + 1
    if not len(change):
        return change, change
    goes_on = np.zeros(len(change), dtype=np.bool_)
    goes_on[1:] = (np.diff(change) == 1) & (skill[change[1:]] == skill[change[1:] - 2])
    starts = np.flatnonzero(~goes_on)
    lengths = np.diff(np.append(starts, len(change)))
    place = np.arange(len(change)) - np.repeat(starts, lengths)
    second = change[np.repeat(lengths % 2 == 1, lengths) & (place % 2 == 0)]
    low, high = (side(skill[second - 1], skill[second]).astype(np.int64) for side in (np.minimum, np.maximum))
    return second, low << 32 | high


def suspected_expansion(student: NDArray, skill: NDArray, response: NDArray) -> NDArray[np.bool_]:
    """Return which steps of a whole log look like the step before them, once more for another skill: see `Twos`."""
    twos = Twos()
    twos.add(student, skill, response)
    return twos.marks(student, skill, response)
