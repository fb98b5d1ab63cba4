"""What the diagnosis reads: the tables of a run, lookups in them, and what a piece of information is worth.

What a cause costs Encoder 2 is measured by what it hides: the information is added to Encoder 2's logit by logistic
regression, and the rise in AUC and fall in log loss are the stake. A model trained without the cause may win more
or less; the order of stakes is the order of expected effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import auc_of
from gainkt.evaluation.statistics.logistic import fit_logistic, log_loss, logit_of
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of

SEAM = 1e-3
"""Share of practice that is missing from one step to the next where a long history was cut into windows."""


@dataclass(frozen=True)
class Stake:
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
    """Mastery after the student's previous step."""
    seams: int
    """Steps left out because a long history was cut into windows before them."""
    missing: int
    """Steps left out because the trajectories lack them: they were cut to a few students."""

    def least(self, x_N: Array) -> Array:
        """Least over each step's skills, [M]."""
        return np.minimum.reduceat(x_N, self.first_M) if len(self.first_M) else np.empty(0)

    @property
    def single_M(self) -> Array:
        """Whether a step has one skill only."""
        return np.diff(self.first_M, append=len(self.skill_N)) == 1


class Tables:
    """The tables of one part of the data (gainkt.evaluation.schema), with what several findings need of them."""

    def __init__(
        self, predictions: pd.DataFrame, trajectories: pd.DataFrame, skills: pd.DataFrame, metrics: pd.DataFrame | None
    ) -> None:
        """Keep the tables.

        Args:
            predictions: all steps.
            trajectories: of the same students, or of some.
            skills: of the same part.
            metrics: metrics.csv, one row an epoch; None where there is none.

        Raises:
            ValueError: no step is scored.
        """
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
        set_N, sets = pd.factorize(self.predictions["skills"])
        names = pd.Index(self.skills["skill"])
        members = [names.get_indexer(pd.Index(str(joined).split(";"))) for joined in sets]
        counts = np.array([len(numbers) for numbers in members], dtype=np.int64)
        begin, count_N = np.cumsum(counts) - counts, counts[set_N]
        row = np.repeat(np.arange(len(set_N)), count_N)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count_N) - count_N, count_N)
        return row, np.concatenate(members).astype(np.int64)[begin[set_N[row]] + nth]

    @cached_property
    def own(self) -> OwnSkills:
        """State of their own skills before the scored steps."""
        return _own_skills(self)

    @cached_property
    def own_history(self) -> Array:
        """Log of 1 + earlier right and of 1 + earlier wrong responses to the step's skills (mean over them), [M, 2]."""
        row, skill = self.members
        y = column_of(self.predictions, "response")[row]
        student = pd.factorize(self.predictions["student"])[0].astype(np.int64)[row]
        order = np.argsort(student * (len(self.skills) + 1) + skill, kind="stable")  # rows of a student are in order
        pair = (student * (len(self.skills) + 1) + skill)[order]
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
        """Logit of the share of right responses of the *other* students to the step's skills, least over them, [M]."""
        row, skill = self.members
        y = column_of(self.predictions, "response")[row]
        student = pd.factorize(self.predictions["student"])[0].astype(np.int64)[row]
        pair = pd.factorize(student * (len(self.skills) + 1) + skill)[0]
        skill = skill + 1  # unknown ones are one skill
        count, right = np.bincount(skill), np.bincount(skill, y)
        others = count[skill] - np.bincount(pair)[pair]
        others_right = right[skill] - np.bincount(pair, y)[pair]
        share = (others_right + 2 * y.mean()) / (others + 2)  # two responses of an average student keep it off 0 and 1
        return np.minimum.reduceat(logit_of(share), np.flatnonzero(np.diff(row, prepend=-1)))[self.is_scored]

    def stake(self, hidden: Array, basis: str) -> Stake:
        """What the columns [M, F] (or a column [M]) add to Encoder 2's logit.

        Raises:
            Unmeasurable: the scored steps hold one class of responses only.
        """
        y = self.response
        if not 0 < y.mean() < 1:
            raise Unmeasurable("the scored steps hold one class of responses only")
        fitted = fit_logistic(np.column_stack([self.logit, hidden]), y)
        alone = fit_logistic(self.logit[:, None], y)
        return Stake(
            auc=auc_of(fitted, y) - auc_of(self.logit, y), nats=log_loss(alone, y) - log_loss(fitted, y), basis=basis
        )


def _own_skills(tables: Tables) -> OwnSkills:
    """Look up in the trajectories the state before each scored step of the skills that the step is said to practise."""
    predictions, trajectories = tables.predictions, tables.trajectories
    names, students = pd.Index(tables.skills["skill"]), pd.Index(predictions["student"].unique())
    steps = predictions["step"].to_numpy(dtype=np.int64)
    longest = int(steps.max()) + 2
    whose = students.get_indexer(pd.Index(trajectories["student"])).astype(np.int64)
    which = names.get_indexer(pd.Index(trajectories["skill"]))
    key = (whose * len(names) + which) * longest + trajectories["step"].to_numpy()
    order = np.argsort(key, kind="stable")
    key = key[order]
    gain, practice, mastery = (
        trajectories[name].to_numpy(dtype=np.float64)[order] for name in ("gain", "practice", "mastery")
    )
    row, skill = tables.members
    keep = tables.is_scored[row]
    row, skill = row[keep], skill[keep]
    student = pd.factorize(predictions["student"])[0].astype(np.int64)[row]
    wanted = np.where(skill >= 0, (student * len(names) + skill) * longest + steps[row], -9)
    if not len(key):
        raise Unmeasurable("the trajectories are empty")
    now = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    before = np.maximum(now - 1, 0)
    found, follows = key[now] == wanted, key[before] == wanted - 1
    started = practice[now] - gain[now]
    # A new window starts anew with practice, and with the skills that it meets.
    seam = found & (~follows | (np.abs(started - practice[before]) > SEAM * (1 + practice[now])))
    number = (np.cumsum(tables.is_scored) - 1)[row]  # among the scored rows
    missing_M = np.bincount(number, ~found, len(tables.scored)) > 0
    seam_M = (np.bincount(number, seam, len(tables.scored)) > 0) & ~missing_M
    kept = ~(missing_M | seam_M)[number]
    first = np.flatnonzero(np.diff(number[kept], prepend=-1))
    return OwnSkills(
        row_M=number[kept][first],
        first_M=first,
        skill_N=skill[kept],
        practice_N=started[kept],
        mastery_N=mastery[before[kept]],
        seams=int(seam_M.sum()),
        missing=int(missing_M.sum()),
    )
