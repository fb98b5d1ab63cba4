"""The Rasch model over skills: a student has one ability, a skill one difficulty, and practice changes neither."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.errors import ConfigError
from gainkt.references.base import (
    Floats,
    Ints,
    Prediction,
    Reference,
    Students,
    chosen_of,
    pack,
    sigmoid,
    spread,
    trained_on,
)

logger = logging.getLogger(__name__)

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
class RaschPrediction(Prediction):
    """What Rasch says about a log; `mastery_before_L` is sigmoid(ability before the step - the skill's difficulty)."""

    ability_after_M: Floats
    """Ability by the responses up to and including the step, logits; before the first one it is 0, the prior's mean."""
    difficulty_M: Floats
    """Of the step: the mean over its skills, logits."""


@dataclass(frozen=True, eq=False)
class Rasch(Reference):
    """Difficulties of skills, logits.

        P(right) = sigmoid(theta_i - mean of beta_k over the step's skills)

    The mean keeps the posterior concave. theta_i ~ N(0, ability_sd^2) and beta_k ~ N(mean, difficulty_sd^2), so that
    students and skills whose responses are all right or all wrong stay finite. Predictions use the ability filtered
    before each step (`predict`, `abilities`); one ability a student from the whole history (`static_abilities`) is no
    prediction.
    """

    ability_sd: float
    """Standard deviation of the prior of abilities."""
    difficulty_sd: float
    """Standard deviation of the prior of difficulties."""
    ability_spread: float
    """Standard deviation of the training students' abilities as fitted."""
    responses: int
    """Steps in the training data."""
    log_likelihood: float
    """Mean log-likelihood of a step in training at the fitted abilities, nats."""
    iterations: int
    """Newton steps that fitting took."""

    version: ClassVar[int] = 2

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        students: Students,
        *,
        ability_sd: float | None = None,
        difficulty_sd: float = 1.0,
        max_iterations: int = 100,
    ) -> Self:
        """Fit abilities and difficulties together, as the maximum of their posterior; deterministic.

        Args:
            log: the data; only the given students are read.
            students: places of the training students in the log.
            ability_sd: standard deviation of the prior of abilities, > 0; where None, the one of 0.25, 0.35, 0.5, ... 4
                whose filtered abilities predict the training students' next responses best (log loss). The posterior
                itself cannot tell: it grows without bound as the spread falls.
            difficulty_sd: standard deviation of the prior of difficulties, > 0.
            max_iterations: Newton steps at most, at least 1.

        Raises:
            ConfigError: a setting is out of range.
            DataError: there is nothing to fit on.

        Source: Rasch 1960; the joint maximum of the posterior as in Swaminathan and Gifford 1982.
        """
        for name, value in (("ability_sd", ability_sd), ("difficulty_sd", difficulty_sd)):
            if value is not None and not 0 < value < np.inf:
                raise ConfigError(f"{name}={value}: must be above 0 and finite, so that every estimate stays finite")
        if max_iterations < 1:
            raise ConfigError(f"max_iterations={max_iterations}: give at least 1")
        data = _Responses.of(log, trained_on(log, students, "Rasch"))
        limits: dict[str, Any] = {"difficulty_sd": difficulty_sd, "max_iterations": max_iterations}

        def loss(sd: float) -> float:
            difficulty_Z = data.weight_ZK @ fit_jointly(data, ability_sd=sd, **limits).difficulty_K
            before, _ = follow_abilities(data, difficulty_Z, sd)
            eta = before - difficulty_Z[data.set_R]
            return float((np.logaddexp(0, eta) - data.right_R * eta).mean())

        if ability_sd is None:
            ability_sd = min(ABILITY_SDS, key=loss)
        found = fit_jointly(data, ability_sd=ability_sd, **limits)
        if not found.converged:
            logger.warning("Rasch: not converged after %d steps; raise max_iterations", found.iterations)
        return cls(
            pd.DataFrame({"difficulty": found.difficulty_K}, index=log.skill_names.astype(object)),
            {"difficulty": found.mean},
            ability_sd=ability_sd,
            difficulty_sd=difficulty_sd,
            ability_spread=float(found.ability_N.std()),
            responses=len(data.set_R),
            log_likelihood=found.log_likelihood / len(data.set_R),
            iterations=found.iterations,
        )

    def predict(self, log: InteractionLog, students: Students | None = None) -> RaschPrediction:
        """Predict each step by the ability filtered before it; an unseen skill has the mean difficulty."""
        data, difficulty_K = _Responses.of(log, chosen_of(log, students)), self.difficulties(log)
        difficulty_Z = data.weight_ZK @ difficulty_K
        before, after = follow_abilities(data, difficulty_Z, self.ability_sd)
        difficulty, counts = difficulty_Z[data.set_R], np.diff(log.skill_offsets)[data.steps_R]
        slots = spans(log.skill_offsets[:-1][data.steps_R], counts)

        by_step = (sigmoid(before - difficulty), after, difficulty, before)
        probability, *followed, ability = (spread(x, data.steps_R, log.num_steps) for x in by_step)
        by_slot = sigmoid(np.repeat(before, counts) - difficulty_K[log.skills[slots]])
        mastery = spread(by_slot, slots, len(log.skills))
        return RaschPrediction(probability, mastery, *followed, ability_before_M=ability)

    def difficulty_of(self, parameters: pd.DataFrame) -> Floats:
        """Return beta, [K] logits."""
        return parameters["difficulty"].to_numpy()

    def static_abilities(self, log: InteractionLog, students: Students | None = None) -> Floats:
        """Return theta smoothed, one a student from the WHOLE history, [N] logits; NaN for students left out.

        Not causal: for the published `static` targets of training students and for reading only. It has seen every
        response of the student, so that a prediction made from it is not one.
        """
        chosen = chosen_of(log, students)
        after, some = self.predict(log, chosen).ability_after_M, chosen[log.lengths[chosen] > 0]
        ability = np.full(log.num_students, np.nan)
        ability[chosen] = 0.0
        ability[some] = after[log.offsets[1:][some] - 1]
        return ability


@dataclass(frozen=True, eq=False)
class _Responses:
    """The R responses of N students, one history after another, to Z different sets of skills."""

    steps_R: Ints
    """Places in the log."""
    student_R: Ints
    """In [0, N)."""
    set_R: Ints
    """In [0, Z)."""
    right_R: NDArray[np.bool_]
    weight_ZK: Floats
    """1 / size of the set where it holds the skill, 0 elsewhere: a product with it is a mean over the set's skills."""
    num_students: int

    @classmethod
    def of(cls, log: InteractionLog, students: Students) -> _Responses:
        """Number the sets of the steps of some students; order and repeats within a step do not matter."""
        steps, none = log.steps_of(students), log.num_skills
        counts = np.diff(log.skill_offsets)[steps]
        padded = np.full((len(steps), counts.max(initial=1)), none)
        padded[np.arange(padded.shape[1]) < counts[:, None]] = log.skills[spans(log.skill_offsets[:-1][steps], counts)]
        padded.sort(axis=1)
        padded[:, 1:][padded[:, 1:] == padded[:, :-1]] = none
        padded.sort(axis=1)
        table = pd.DataFrame(np.where(padded == none, -1, padded))
        columns = table.columns.to_list()
        set_R, sets = (
            table.groupby(columns).ngroup().to_numpy(),
            table.drop_duplicates().sort_values(columns).to_numpy(),
        )
        holds = np.zeros((len(sets), none + 1))
        holds[np.arange(len(sets))[:, None], sets] = 1.0  # the last column stands for no skill
        weight = holds[:, :-1] / holds[:, :-1].sum(1, keepdims=True)
        student = np.repeat(np.arange(len(students)), log.lengths[students])
        return cls(steps, student, set_R, log.responses[steps] == 1, weight, len(students))

    @cached_property
    def cells(self) -> tuple[Ints, Ints, Floats, Floats]:
        """Each (student, set) that occurs, by student: the two, its responses, and the right ones."""
        cells, place = np.unique(self.student_R * len(self.weight_ZK) + self.set_R, return_inverse=True)
        tried, right = np.bincount(place), np.bincount(place, weights=self.right_R)
        student, at = np.divmod(cells, len(self.weight_ZK))
        return student, at, tried.astype(np.float64), right.astype(np.float64)

    @cached_property
    def courses(self) -> tuple[Ints, list[slice]]:
        """The responses, packed by student."""
        return pack(self.student_R)


class Fitted(NamedTuple):
    """What maximises the posterior."""

    ability_N: Floats
    difficulty_K: Floats
    mean: float
    """Mean that difficulties are drawn to."""
    log_likelihood: float
    """Sum over responses, nats."""
    iterations: int
    converged: bool


def fit_jointly(data: _Responses, *, ability_sd: float, difficulty_sd: float, max_iterations: int) -> Fitted:
    """Find abilities, difficulties and their mean by Newton's method on the log-posterior, which is concave.

        sum_c right_c eta_c - tried_c log(1 + exp eta_c) - |theta|^2 / 2 ability_sd^2 - |d|^2 / 2 difficulty_sd^2
        eta_c = theta_student - common - mean of d_k over the set's skills

    The sum is over (student, set) cells. The abilities' block of the Hessian is diagonal, so that a step costs one
    K x K solve (Schur complement): two to eight times faster than scipy's trust-region methods on ASSISTments 2015, and
    closer to the maximum.
    """
    num_students, (num_sets, num_skills) = data.num_students, data.weight_ZK.shape
    student, at, tried, rights = data.cells

    def sums(values: Floats, of: Ints, size: int) -> Floats:
        return np.bincount(of, weights=values, minlength=size).astype(np.float64, copy=False)

    design = np.column_stack([data.weight_ZK, np.ones(num_sets)])
    ability_pull = np.full(num_students, ability_sd**-2)
    pull = np.append(np.full(num_skills, difficulty_sd**-2), _MEAN_SD**-2)

    def judge(theta: Floats, d: Floats) -> tuple[float, float, Floats]:
        eta = theta[student] - (design @ d)[at]
        likelihood = float((rights * eta - tried * np.logaddexp(0, eta)).sum())
        return likelihood - 0.5 * float(ability_pull @ theta**2 + pull @ d**2), likelihood, eta

    theta, d = np.zeros(num_students), np.zeros(num_skills + 1)
    reached, likelihood, eta = judge(theta, d)
    iterations, moved = 0, np.inf
    while moved >= _SETTLED and iterations < max_iterations:
        p = sigmoid(eta)
        residual, curvature = rights - tried * p, tried * p * (1 - p)
        to_theta = sums(residual, student, num_students) - ability_pull * theta
        to_d = -design.T @ sums(residual, at, num_sets) - pull * d
        diagonal = sums(curvature, student, num_students) + ability_pull
        hessian = design.T @ (sums(curvature, at, num_sets)[:, None] * design) + np.diag(pull)
        rows = max(1, _BLOCK // num_sets)
        for start in range(0, num_students, rows):
            stop = min(start + rows, num_students)
            some = slice(*np.searchsorted(student, (start, stop)))
            cell = (student[some] - start) * num_sets + at[some]
            block = sums(curvature[some], cell, (stop - start) * num_sets).reshape(stop - start, -1) @ design
            hessian -= block.T @ (block / diagonal[start:stop, None])
        # d acts with a minus sign, so that what couples it to theta is negative.
        to_both = to_d + design.T @ sums(curvature * (to_theta / diagonal)[student], at, num_sets)
        move_d = np.linalg.solve(hessian, to_both)
        move_theta = (to_theta + sums(curvature * (design @ move_d)[at], student, num_students)) / diagonal
        share, enough = 1.0, reached - 1e-12 * abs(reached)  # less by rounding alone is no fall
        while share > 1e-6 and judge(theta + share * move_theta, d + share * move_d)[0] < enough:
            share /= 2
        theta, d = theta + share * move_theta, d + share * move_d
        reached, likelihood, eta = judge(theta, d)
        moved = max(float(np.abs(move_theta).max()), float(np.abs(move_d).max()))
        iterations += 1
    return Fitted(theta, d[-1] + d[:-1], float(d[-1]), likelihood, iterations, moved < _SETTLED)


def follow_abilities(data: _Responses, difficulty_Z: Floats, ability_sd: float) -> tuple[Floats, Floats]:
    """Return the most probable ability before and after each step given the responses before or up to it, [R] each.

        argmax_theta  sum_{s <= t} log p(r_s | theta) - theta^2 / 2 ability_sd^2

    The loop runs over the number of a step, all students at once. Given the difficulties, what a history says is its
    count of each set and its number right; Newton's method starts at the last ability and is kept within brackets, so
    that it always converges. A response changes no earlier number and nobody else's, to the bit.
    """
    order, blocks = data.courses
    row_A = np.concatenate([np.arange(block.stop - block.start) for block in blocks] or [order])
    set_A, right_A = data.set_R[order], data.right_R[order]
    # Cells stand in the order of their first step: what comes later adds exact zeros at the end of a sum.
    _, first, place = np.unique(row_A * len(difficulty_Z) + set_A, return_index=True, return_inverse=True)
    by_first = np.lexsort((first, row_A[first]))
    cell_A = np.argsort(by_first)[place]
    row_C, difficulty_C = row_A[first][by_first], difficulty_Z[set_A[first]][by_first]
    cells_up_to = offsets_of(np.bincount(row_C))

    before_R, after_R = np.zeros(len(order)), np.zeros(len(order))
    theta, tried_C = np.zeros(data.num_students), np.zeros(len(row_C))
    right = np.zeros(data.num_students)
    for number, block in enumerate(blocks, start=1):
        size = block.stop - block.start
        cells = slice(0, cells_up_to[size])
        before_R[order[block]] = theta[:size]
        tried_C[cell_A[block]] += 1
        right[:size] += right_A[block]
        theta[:size] = _most_probable(
            theta[:size], tried_C[cells], right[:size], row_C[cells], difficulty_C[cells], ability_sd, number
        )
        after_R[order[block]] = theta[:size]
    return before_R, after_R


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
