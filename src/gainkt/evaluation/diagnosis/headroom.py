"""What the diagnosis reads: the tables of a run, lookups in them, and how much a piece of information is worth.

What a cause costs Encoder 2 is measured by what it hides: the information is added to Encoder 2's logit by logistic
regression, and the rise in AUC and fall in log loss are the headroom. A model trained without the cause may win more
or less; the order of headrooms is the order of expected effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gainkt.evaluation.evidence import practised
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import auc_of, step_skills
from gainkt.evaluation.statistics.logistic import fit_logistic, log_loss, logit_of
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of


@dataclass(frozen=True)
class Headroom:
    """What a cause costs Encoder 2."""

    auc: float
    """AUC that could be won."""
    nats: float
    """Log loss that could be saved a step, against Encoder 2 with the best level and scale of its logit."""
    basis: str
    """How it was measured."""


@dataclass(frozen=True)
class OwnSkills:
    """State before each scored step of the skills that the step practises, by the data's own record of the step.

    N entries, one a (scored step, skill of it), those of one step together; M steps.
    """

    row_M: Array
    """Row of each step among the scored predictions."""
    first_M: Array
    """First entry of each step."""
    skill_N: Array
    """Row in the table of skills."""
    practice_N: Array
    """Practice before the step."""
    mastery_N: Array
    """Mastery before the step."""
    missing: int
    """Steps left out because the trajectories lack them: they were cut to a few students."""

    def minimum(self, x_N: Array) -> Array:
        """Minimum over each step's skills, [M]."""
        return np.minimum.reduceat(x_N, self.first_M) if len(self.first_M) else np.empty(0)

    @property
    def single_M(self) -> Array:
        """Whether a step has one skill only."""
        return np.diff(self.first_M, append=len(self.skill_N)) == 1


class Tables:
    """The tables of one part of the data (gainkt.evaluation.schema), with what several findings need of them.

    Args:
        predictions: all steps.
        trajectories: of the same students, or of some.
        skills: of the same part.
        metrics: metrics.csv, one row an epoch; None where there is none.

    Raises:
        ValueError: no step is scored.
    """

    def __init__(
        self, predictions: pd.DataFrame, trajectories: pd.DataFrame, skills: pd.DataFrame, metrics: pd.DataFrame | None
    ) -> None:
        self.predictions, self.trajectories, self.skills = predictions, trajectories, skills
        self._metrics = metrics
        self.is_scored = predictions["scored"].to_numpy(dtype=bool)
        self.scored = predictions[self.is_scored].reset_index(drop=True)
        if not len(self.scored):
            raise ValueError("the predictions hold no scored step; record a part of the data that has some")

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv, one row an epoch.

        Raises:
            Unmeasurable: there is none.
        """
        if self._metrics is None or not len(self._metrics):
            raise Unmeasurable("the run has no metrics.csv")
        return self._metrics

    @cached_property
    def response(self) -> Array:
        """Responses at scored steps, 0 or 1."""
        return column_of(self.scored, "response")

    @cached_property
    def logit(self) -> Array:
        """Encoder 2's logit at scored steps."""
        return logit_of(column_of(self.scored, "p2"))

    def parameter(self, name: str) -> Array:
        """Values over skills of a parameter of the curve or readout.

        Raises:
            Unmeasurable: the model has none.
        """
        x = self.skills[name].to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.isfinite(x).all():
            raise Unmeasurable(f"the model's curve or readout has no {name} for every skill")
        return x

    @cached_property
    def members(self) -> tuple[Array, Array]:
        """Row of the predictions and number of the skill (-1 if unknown) of every (step, skill), rows in order."""
        return step_skills(self.predictions["skills"], pd.Index(self.skills["skill"]))

    @cached_property
    def _entries(self) -> tuple[Array, Array, Array, Array]:
        """Row, skill, response and code of the (student, skill) pair of every (step, skill)."""
        row, skill = self.members
        student = pd.factorize(self.predictions["student"])[0].astype(np.int64)[row]
        y = column_of(self.predictions, "response")[row]
        return row, skill, y, student * (len(self.skills) + 1) + skill

    @cached_property
    def own_history(self) -> Array:
        """Log of 1 + earlier right and of 1 + earlier wrong responses to the step's skills (mean over them), [M, 2]."""
        row, _, y, pair_N = self._entries
        order = np.argsort(pair_N, kind="stable")  # rows of a student are in order
        pair = pair_N[order]
        opens = np.flatnonzero(np.diff(pair, prepend=-2))
        size = np.diff(opens, append=len(pair))
        counts = []
        for hit in (y[order], 1 - y[order]):
            before = np.cumsum(hit) - hit
            of_entry = np.empty(len(order))
            of_entry[order] = np.log1p(before - np.repeat(before[opens], size))
            counts.append(np.bincount(row, of_entry) / np.bincount(row))
        return np.stack(counts, 1)[self.is_scored]

    @cached_property
    def skill_level(self) -> Array:
        """Logit of the *other* students' share of right responses to the step's skills, minimum over them, [M]."""
        row, skill, y, pair = self._entries
        pair, skill = pd.factorize(pair)[0], skill + 1  # unknown ones are one skill
        others = np.bincount(skill)[skill] - np.bincount(pair)[pair]
        right = np.bincount(skill, y)[skill] - np.bincount(pair, y)[pair]
        share = (right + 2 * y.mean()) / (others + 2)  # two responses of an average student keep it off 0 and 1
        return np.minimum.reduceat(logit_of(share), np.flatnonzero(np.diff(row, prepend=-1)))[self.is_scored]

    def headroom(self, hidden: Array, basis: str) -> Headroom:
        """What the columns [M, F] (or a column [M]) add to Encoder 2's logit.

        Raises:
            Unmeasurable: the scored steps hold one class of responses only.
        """
        y = self.response
        if not 0 < y.mean() < 1:
            raise Unmeasurable("the scored steps hold one class of responses only")
        fitted = fit_logistic(np.column_stack([self.logit, hidden]), y)
        alone = fit_logistic(self.logit[:, None], y)
        return Headroom(auc_of(fitted, y) - auc_of(self.logit, y), log_loss(alone, y) - log_loss(fitted, y), basis)

    @cached_property
    def own(self) -> OwnSkills:
        """State of their own skills before the scored steps, looked up in the trajectories.

        Raises:
            Unmeasurable: there are no trajectories.
        """
        rows, names = practised(self.trajectories), pd.Index(np.asarray(self.skills["skill"]))
        if not len(rows):
            raise Unmeasurable("the trajectories are empty")
        student_N, students = pd.factorize(self.predictions["student"])
        steps = self.predictions["step"].to_numpy(dtype=np.int64)

        def key(student: Array, skill: Array, step: Array) -> Array:
            return (student.astype(np.int64) * len(names) + skill) * (int(steps.max()) + 2) + step

        def numbers(column: str, known: pd.Index) -> Array:
            code, found = pd.factorize(rows[column])
            return known.get_indexer(pd.Index(np.asarray(found)))[code]

        held = key(numbers("student", pd.Index(np.asarray(students))), numbers("skill", names), rows["step"].to_numpy())
        order = np.argsort(held, kind="stable")
        held = held[order]
        row, skill = (x[self.is_scored[self.members[0]]] for x in self.members)
        wanted = np.where(skill >= 0, key(student_N[row], skill, steps[row]), -9)
        now = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
        number = (np.cumsum(self.is_scored) - 1)[row]  # among the scored rows
        missing_M = np.bincount(number, held[now] != wanted, len(self.scored)) > 0
        kept = ~missing_M[number]
        first, now = np.flatnonzero(np.diff(number[kept], prepend=-1)), order[now[kept]]
        gain, practice, mastery = (
            rows[name].to_numpy(dtype=np.float64)[now] for name in ("gain", "practice", "mastery_before")
        )
        return OwnSkills(
            row_M=number[kept][first],
            first_M=first,
            skill_N=skill[kept],
            practice_N=practice - gain,
            mastery_N=mastery,
            missing=int(missing_M.sum()),
        )
