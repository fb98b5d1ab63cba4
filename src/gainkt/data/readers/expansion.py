"""Row expansion: several rows, one a skill, that are one answer, and whose label leaks where they are read apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MINIMUM = 20
"""Pairs of steps that a pair of skills needs before its agreement says anything."""
CHANCE = 1e-9
"""Chance at which agreement is no longer one."""


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


def suspected_expansion(student: NDArray, skill: NDArray, response: NDArray) -> NDArray[np.bool_]:
    """Return which steps look like the step before them, once more for another skill: no item is needed to see it.

    Two skills of one item always follow one another with the same response. For each ordered pair (a, b) of skills,
    let n be the number of steps on a that a step on b of the same student follows, with w wrong and n - w right
    responses to a. If all n responses to b agree, which by chance has probability (1 - r_b)^w r_b^(n-w), with r_b the
    rate of right responses to b drawn half of the way to agreement (students differ), the steps on b are suspected.

    Args:
        student: [M] in the order of the log.
        skill: [M], a number for the skill set of each step.
        response: [M].
    """
    suspects = np.zeros(len(student), dtype=np.bool_)
    follows = np.flatnonzero((student[1:] == student[:-1]) & (skill[1:] != skill[:-1])) + 1
    if len(follows) < MINIMUM:
        return suspects
    width = int(skill.max()) + 1
    right = np.bincount(skill, weights=response, minlength=width)
    rate = (right + 1) / (np.bincount(skill, minlength=width) + 2)
    pair = skill[follows - 1].astype(np.int64) * width + skill[follows]
    pairs = np.arange(width**2)
    if width > 1_000:
        pairs, pair = np.unique(pair, return_inverse=True)
    before, after = response[follows - 1].astype(bool), response[follows].astype(bool)
    count = np.bincount(pair, minlength=len(pairs))
    wrong = np.bincount(pair, weights=~before, minlength=len(pairs))
    agreeing = np.bincount(pair, weights=before == after, minlength=len(pairs))
    r = rate[pairs % width]
    log_chance = wrong * np.log((1 + (1 - r)) / 2) + (count - wrong) * np.log((1 + r) / 2)
    # A few rows apart (a pair may also be met by chance) do not hide thousands together.
    suspect = (count >= MINIMUM) & (agreeing >= 0.995 * count) & (wrong > 0) & (log_chance < np.log(CHANCE))
    suspects[follows] = suspect[pair] & (before == after)
    return suspects
