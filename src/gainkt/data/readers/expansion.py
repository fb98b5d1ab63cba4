"""Row expansion: several rows, one a skill, that are one answer, and whose label leaks where they are read apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MINIMUM = 20
"""Pairs of steps that a pair of skills needs before its agreement says anything by itself."""
FEW = 3
"""And together with that of other pairs."""
ENOUGH = 30
"""Twos from which on a log is suspected whose rows all repeat an answer."""
MANY = 2_000
"""Twos over which the probability is bounded and not computed."""
LEVEL = 1e-3
"""Share of logs without row expansion that are suspected of it at most."""


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
    such twos and k that of those whose responses agree, with q = r_a r_b + (1 - r_a)(1 - r_b) the agreement of
    independent responses, r being the rates of right responses. Suspected are

    1. a pair of skills of 20 twos or more with k / n of .98 or more and 5 standard deviations over (1 + q) / 2;
    2. pairs of 3 twos or more with k = n, where all such pairs hold more twos than would come about in one of 1,000
       logs whose responses agree q + .4 (1 - q) of the time: for small logs;
    3. all pairs, where adjacent steps on different skills agree more beyond chance than those on the same skill, by 3
       standard deviations: a response tells most about the same skill.

    Responses of one student agree q + .08 to .26 (1 - q) of the time in ASSISTments 2009 (folded), 2015 and 2017,
    on the same skill always more than on another. All three, whole and their first 20, 60 and 300 students, are not
    suspected; 2009 read apart is, each time.
    """

    def __init__(self) -> None:
        self._pairs = np.empty(0, dtype=np.int64)
        self._sums: NDArray = np.empty((4, 0))
        """Of each pair: adjacent steps, those that agree, twos, those that agree."""
        self._rates: NDArray = np.empty((2, 0))
        """Of each skill: steps, right ones."""

    def add(self, student: NDArray, skill: NDArray, response: NDArray) -> None:
        """Count the twos of some students.

        Args:
            student: [M] in the order of the log.
            skill: [M], a number for the skill set of each step.
            response: [M].
        """
        agree = response[1:] == response[:-1]
        step = np.flatnonzero(student[1:] == student[:-1]) + 1
        second = _seconds(student, skill)
        pair = np.concatenate([self._pairs, _pair(skill, step), _pair(skill, second)])
        self._pairs, at = np.unique(pair, return_inverse=True)
        known, steps, twos = np.split(at, np.cumsum([self._sums.shape[1], len(step)]))
        size = len(self._pairs)
        counted = ((steps, None), (steps, agree[step - 1]), (twos, None), (twos, agree[second - 1]))
        sums = [np.bincount(where, weight, size) for where, weight in counted]
        self._sums = np.array([np.bincount(known, old, size) + new for old, new in zip(self._sums, sums, strict=True)])
        size = max(self._rates.shape[1], int(skill.max(initial=-1)) + 1)
        rates = np.array([np.bincount(skill, weight, size) for weight in (None, response)])
        rates[:, : self._rates.shape[1]] += self._rates
        self._rates = rates

    @property
    def num_telling(self) -> int:
        """Twos of pairs of skills that have enough of them to tell anything."""
        return int(self._sums[2][self._sums[2] >= FEW].sum())

    def suspicious(self) -> NDArray[np.int64]:
        """Return the pairs of skills whose twos are suspected, ascending."""
        rate = self._rates[1] / np.maximum(self._rates[0], 1)
        one, other = self._pairs >> 32, self._pairs & 0xFFFFFFFF
        chance = rate[one] * rate[other] + (1 - rate[one]) * (1 - rate[other])
        steps, agreeing_steps, count, agreeing = self._sums
        different = one != other
        expected = (1 + chance) / 2
        found = (count >= MINIMUM) & (agreeing >= 0.98 * count)
        found &= agreeing - count * expected > 5 * np.sqrt(count * expected * (1 - expected))
        perfect = (agreeing == count) & (count >= FEW)
        if _bound(count[count >= FEW], (chance + 0.4 * (1 - chance))[count >= FEW], count[perfect].sum()) < LEVEL:
            found |= perfect
        beyond, variance = [], 0.0
        for chosen in (different, ~different):
            size, by_chance = steps[chosen].sum(), (steps * chance)[chosen].sum()
            if size < MINIMUM or by_chance >= size:
                return self._pairs[found]
            beyond.append((agreeing_steps[chosen].sum() - by_chance) / (size - by_chance))
            variance += size / 4 / (size - by_chance) ** 2
        if beyond[0] - beyond[1] > 3 * variance**0.5:
            found |= different & (agreeing > 0)
        return self._pairs[found]

    def marks(self, student: NDArray, skill: NDArray, response: NDArray) -> NDArray[np.bool_]:
        """Return which steps of some students, as in `add`, are suspected."""
        second, marks = _seconds(student, skill), np.zeros(len(student), dtype=np.bool_)
        suspected = np.isin(_pair(skill, second), self.suspicious())
        marks[second] = suspected & (response[second] == response[second - 1])
        return marks


def _bound(count: NDArray, rate: NDArray, found: float) -> float:
    """Return the probability that pairs whose twos all agree hold `found` twos or more, or a bound on it for many twos.

    P(S >= s) <= min over t of exp(-t s) prod (1 + rate^n (exp(t n) - 1)), the factors being those of independent pairs
    (Chernoff).
    """
    if not found:
        return 1.0
    alike = count * np.log(np.minimum(rate, 1 - 1e-9))
    if count.sum() <= MANY:
        chance = np.zeros(int(count.sum()) + 1)
        chance[0] = 1
        for size, one in zip(count.astype(int), np.exp(alike), strict=True):
            chance[size:], chance[:size] = (1 - one) * chance[size:] + one * chance[:-size], (1 - one) * chance[:size]
        return float(chance[int(found) :].sum())
    bounds = [
        np.logaddexp(np.log1p(-np.exp(alike)), alike + t * count).sum() - t * found for t in np.geomspace(1e-3, 4)
    ]
    return float(np.exp(min(0.0, *bounds)))


def _pair(skill: NDArray, second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pair of skills of steps and the steps before them: the smaller number in the upper 32 bits."""
    low, high = (side(skill[second - 1], skill[second]).astype(np.int64) for side in (np.minimum, np.maximum))
    return low << 32 | high


def _seconds(student: NDArray, skill: NDArray) -> NDArray[np.int64]:
    """Return the second steps of twos."""
    # Changes of skill in a row between the same two skills form a run; each change is in one run.
    change = np.flatnonzero((student[1:] == student[:-1]) & (skill[1:] != skill[:-1])) + 1
    if not len(change):
        return change
    goes_on = np.zeros(len(change), dtype=np.bool_)
    goes_on[1:] = (np.diff(change) == 1) & (skill[change[1:]] == skill[change[1:] - 2])
    starts = np.flatnonzero(~goes_on)
    lengths = np.diff(np.append(starts, len(change)))
    place = np.arange(len(change)) - np.repeat(starts, lengths)
    return change[np.repeat(lengths % 2 == 1, lengths) & (place % 2 == 0)]
