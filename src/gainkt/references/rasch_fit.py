"""The Rasch model's two searches: abilities and difficulties together, and one ability after each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import offsets_of
from gainkt.references.base import Floats

Ints = NDArray[np.int64]
ABILITY_SDS = tuple(0.25 * 2 ** (step / 2) for step in range(9))
"""Spreads of abilities that are compared, logits: 0.25 to 4."""
_BLOCK = 1 << 22
"""Cells of a student x set table that are held at once."""
_CLOSE = 1e-10
"""Size of a last step in search of an ability, logits."""
_SETTLED = 1e-7
"""Size of a last step of the joint fit, logits."""
_MEAN_SD = 10.0
"""Of the prior of the mean difficulty around 0: as good as none, but finite where all responses are alike."""


@dataclass(frozen=True, eq=False)
class Counts:
    """C cells, one a (student, skill set) that occurs, sorted by student."""

    student_C: Ints
    """In [0, N)."""
    set_C: Ints
    """In [0, Z)."""
    tried_C: Floats
    """Responses."""
    right_C: Floats
    """Right ones."""
    num_students: int

    @classmethod
    def of(cls, student_R: Ints, set_R: Ints, right_R: NDArray[np.bool_], num_students: int, num_sets: int) -> Counts:
        """Count R responses."""
        cells, place = np.unique(student_R * num_sets + set_R, return_inverse=True)
        tried = np.bincount(place, minlength=len(cells)).astype(float)
        right = np.bincount(place, weights=right_R, minlength=len(cells)).astype(float)
        return cls(cells // num_sets, cells % num_sets, tried, right, num_students)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What maximises the posterior."""

    ability_N: Floats
    difficulty_K: Floats
    mean: float
    """Mean that difficulties are drawn to."""
    log_likelihood: float
    """Sum over responses, nats."""
    iterations: int
    converged: bool


def fit_jointly(
    counts: Counts, weight_ZK: Floats, *, ability_sd: float, difficulty_sd: float, max_iterations: int
) -> Fitted:
    """Find abilities, difficulties and their mean by Newton's method on the log-posterior, which is concave.

        sum_c right_c eta_c - tried_c log(1 + exp eta_c) - |theta|^2 / 2 ability_sd^2 - |d|^2 / 2 difficulty_sd^2
        eta_c = theta_student - common - mean of d_k over the set's skills

    The abilities' block of the Hessian is diagonal, so that a step costs one K x K solve (Schur complement).
    """
    num_skills, student, at = weight_ZK.shape[1], counts.student_C, counts.set_C
    design = np.column_stack([weight_ZK, np.ones(len(weight_ZK))])
    ability_pull = np.full(counts.num_students, ability_sd**-2)
    pull = np.append(np.full(num_skills, difficulty_sd**-2), _MEAN_SD**-2)

    def sums(values: Floats, of: Ints, size: int) -> Floats:
        return np.bincount(of, weights=values, minlength=size).astype(float, copy=False)

    def judge(theta: Floats, d: Floats) -> tuple[float, float, Floats]:
        eta = theta[student] - (design @ d)[at]
        likelihood = float((counts.right_C * eta - counts.tried_C * np.logaddexp(0, eta)).sum())
        return likelihood - 0.5 * float(ability_pull @ theta**2 + pull @ d**2), likelihood, eta

    theta, d = np.zeros(counts.num_students), np.zeros(num_skills + 1)
    reached, likelihood, eta = judge(theta, d)
    iterations, moved = 0, np.inf
    while moved >= _SETTLED and iterations < max_iterations:
        p = sigmoid(eta)
        residual, curvature = counts.right_C - counts.tried_C * p, counts.tried_C * p * (1 - p)
        to_theta = sums(residual, student, len(theta)) - ability_pull * theta
        to_d = -design.T @ sums(residual, at, len(design)) - pull * d
        diagonal = sums(curvature, student, len(theta)) + ability_pull
        hessian = design.T @ (sums(curvature, at, len(design))[:, None] * design) + np.diag(pull)
        rows = max(1, _BLOCK // len(design))
        for start in range(0, len(theta), rows):
            stop = min(start + rows, len(theta))
            cells = slice(*np.searchsorted(student, (start, stop)))
            place = (student[cells] - start) * len(design) + at[cells]
            block = sums(curvature[cells], place, (stop - start) * len(design)).reshape(stop - start, -1) @ design
            hessian -= block.T @ (block / diagonal[start:stop, None])
        # d acts with a minus sign, so that what couples it to theta is negative.
        to_both = to_d + design.T @ sums(curvature * (to_theta / diagonal)[student], at, len(design))
        move_d = np.linalg.solve(hessian, to_both)
        move_theta = (to_theta + sums(curvature * (design @ move_d)[at], student, len(theta))) / diagonal
        share = 1.0
        enough = reached - 1e-12 * abs(reached)  # less by rounding alone is no fall
        while share > 1e-6 and judge(theta + share * move_theta, d + share * move_d)[0] < enough:
            share /= 2
        theta, d = theta + share * move_theta, d + share * move_d
        reached, likelihood, eta = judge(theta, d)
        moved = max(float(np.abs(move_theta).max()), float(np.abs(move_d).max()))
        iterations += 1
    return Fitted(theta, d[-1] + d[:-1], float(d[-1]), likelihood, iterations, moved < _SETTLED)


def select_ability_sd(
    counts: Counts,
    weight_ZK: Floats,
    student_R: Ints,
    set_R: Ints,
    right_R: NDArray[np.bool_],
    *,
    difficulty_sd: float,
    max_iterations: int,
) -> float:
    """Return the spread of abilities under which responses are predicted best, each from the student's earlier ones.

    What is compared is the mean log loss of sigmoid(ability before the step - difficulty) over all R responses. The
    joint posterior itself cannot tell: it grows without bound as the spread falls.

    Args:
        counts: of the responses.
        weight_ZK: skills of each set.
        student_R: the student of each response, one history after another.
        set_R: its skill set.
        right_R: whether it is right.
        difficulty_sd: as in `fit_jointly`.
        max_iterations: as in `fit_jointly`.
    """
    first = np.ones(len(student_R), dtype=bool)
    first[1:] = student_R[1:] != student_R[:-1]

    def loss(sd: float) -> float:
        found = fit_jointly(
            counts, weight_ZK, ability_sd=sd, difficulty_sd=difficulty_sd, max_iterations=max_iterations
        )
        difficulty_Z = weight_ZK @ found.difficulty_K
        after = follow_abilities(student_R, set_R, right_R, difficulty_Z, sd)
        before = np.where(first, 0.0, np.append(0.0, after[:-1]))
        eta = before - difficulty_Z[set_R]
        return float((np.logaddexp(0, eta) - right_R * eta).mean())

    return min(ABILITY_SDS, key=loss)


def follow_abilities(
    student_R: Ints, set_R: Ints, right_R: NDArray[np.bool_], difficulty_Z: Floats, ability_sd: float
) -> Floats:
    """Return the most probable ability after each step given the responses up to it, [R].

        argmax_theta  sum_{s <= t} log p(r_s | theta) - theta^2 / 2 ability_sd^2

    The loop runs over the number of a step, all students at once. Given the difficulties, what a history says is its
    count of each set and its number right; Newton's method starts at the last ability and is kept within brackets, so
    that it always converges. A response changes no earlier number and nobody else's, to the bit.

    Args:
        student_R: the student of each response, one history after another.
        set_R: its skill set.
        right_R: whether it is right.
        difficulty_Z: difficulty of each set.
        ability_sd: standard deviation of the prior of abilities.
    """
    if not len(student_R):
        return np.zeros(0)
    lengths = np.bincount(student_R)
    lengths = lengths[lengths > 0]
    starts = offsets_of(lengths)[:-1]
    # Students from long to short, so that those with a step of a given number are the first rows.
    longest = np.argsort(-lengths, kind="stable")
    rank = np.empty_like(longest)
    rank[longest] = np.arange(len(longest))
    row_R = np.repeat(rank, lengths)
    number_R = np.arange(len(student_R)) - np.repeat(starts, lengths)
    # Cells stand in the order of their first step: what comes later adds exact zeros at the end of a sum.
    key = row_R * len(difficulty_Z) + set_R
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    order = np.lexsort((number_R[first], row_R[first]))
    cell_of = np.empty_like(order)
    cell_of[order] = np.arange(len(order))
    cell_R, row_C, difficulty_C = cell_of[place.reshape(-1)], row_R[first][order], difficulty_Z[set_R[first]][order]
    cells_of = np.searchsorted(row_C, np.arange(len(lengths) + 1))
    by_number = np.lexsort((row_R, number_R))
    bounds = offsets_of(np.bincount(number_R))

    after_R, theta = np.zeros(len(student_R)), np.zeros(len(lengths))
    tried_C, right = np.zeros(len(row_C)), np.zeros(len(lengths))
    for number in range(len(bounds) - 1):
        now = by_number[bounds[number] : bounds[number + 1]]
        size = len(now)
        cells = slice(0, int(cells_of[size]))
        tried_C[cell_R[now]] += 1
        right[:size] += right_R[now]
        theta[:size] = _most_probable(
            theta[:size], tried_C[cells], right[:size], row_C[cells], difficulty_C[cells], ability_sd, number + 1
        )
        after_R[now] = theta[:size]
    return after_R


def _most_probable(
    theta: Floats, tried_C: Floats, right: Floats, row_C: Ints, difficulty_C: Floats, ability_sd: float, number: int
) -> Floats:
    """Solve right - sum tried sigmoid(theta - difficulty) = theta / ability_sd^2 for each row, from a first guess."""
    pull = ability_sd**-2
    # The left side lies between -number and number, and so does theta * pull.
    low, high = np.full(len(theta), -number / pull), np.full(len(theta), number / pull)
    found, open_ = theta.copy(), np.ones(len(theta), dtype=bool)
    for _ in range(200):
        p = sigmoid(found[row_C] - difficulty_C)
        slope = right - np.bincount(row_C, weights=tried_C * p, minlength=len(found)) - pull * found
        bend = np.bincount(row_C, weights=tried_C * p * (1 - p), minlength=len(found)) + pull
        low, high = np.where(slope > 0, found, low), np.where(slope < 0, found, high)
        moved = found + slope / bend
        moved = np.where((moved < low) | (moved > high), 0.5 * (low + high), moved)
        change = np.abs(moved - found)
        found = np.where(open_, moved, found)
        open_ &= change > _CLOSE * (1 + np.abs(found))
        if not open_.any():
            break
    return found


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))
