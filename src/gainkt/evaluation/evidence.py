"""What checks read: the tables of one part of the data, with a bootstrap of their students."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.evaluation.statistics.bootstrap import Array, Estimate, StudentBootstrap
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable, column_of, known, scored_rows


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables that checks read (gainkt.evaluation.schema), of one part of the data."""

    predictions: pd.DataFrame
    trajectories: pd.DataFrame
    skills: pd.DataFrame
    validation: pd.DataFrame | None
    """Predictions of the validation part."""
    training: Mapping[str, Any] | None
    """finite (of losses, gradients, parameters), gradient_norm_max (before clipping), epochs."""
    num_skills: int
    """K of the model, met in these tables or not."""
    resamples: int
    seed: int
    mastery: pd.DataFrame | None = None
    movement: pd.DataFrame | None = None
    is_trained: bool = True
    """Whether Encoder 2 was fitted to anything."""
    truth: pd.DataFrame | None = None
    """True mastery of simulated students after steps that practise the skill: student, step, skill, true_mastery."""
    aucs: dict[str, Estimate] = field(default_factory=dict, init=False)  # known so far: resampling takes longest

    def require_trained(self) -> None:
        """Raise Unmeasurable where Encoder 2 was not trained, whatever its numbers look like."""
        if not self.is_trained:
            raise Unmeasurable("Encoder 2 was not trained")

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The scored rows of the predictions: a copy, where `of_scored` copies one column."""
        return self.predictions[self.predictions["scored"]]

    def of_scored(self, column: str) -> Array:
        """A column of the scored rows; errors are those of `column_of`."""
        return column_of(scored_rows(self.predictions, column), column)

    @cached_property
    def practised(self) -> pd.DataFrame:
        """The rows of the trajectories at which the step practises the skill: all, but in tables of older versions."""
        return practised(self.trajectories)

    @cached_property
    def has_all_skills(self) -> NDArray[np.bool_]:
        """Rows of the predictions that hold figures over all skills: every one, or those of the students drawn."""
        return has_all_skills(self.predictions)

    def of_all_skills(self, column: str, among: NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
        """Student code and value of a column at those rows, of some of the rows; errors are those of `column_of`."""
        student, values = self.student[self.has_all_skills], of_all_skills(self.predictions, column)
        if among is None or among.all():
            return student, values
        kept = among[self.has_all_skills]
        return student[kept], values[kept]

    @cached_property
    def opportunities(self) -> NDArray[np.bool_]:
        """Rows of the predictions that are opportunities to learn: no further attempts."""
        return ~further_attempts(self.predictions)

    def at_opportunities(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table (student, step) whose step is an opportunity."""
        if self.opportunities.all():
            return rows
        steps = self.predictions["step"].to_numpy(dtype=np.int64)
        longest = int(steps.max()) + 1
        others = (self.student * longest + steps)[~self.opportunities]
        return rows[~np.isin(self.code(rows) * longest + rows["step"].to_numpy(dtype=np.int64), others)]

    @property
    def without_further_attempts(self) -> str:
        """Words for a reading: how many steps are no opportunities; empty where there are none."""
        count = int((~self.opportunities).sum())
        return f"; {count:,} further attempts at an item are left out" if count else ""

    @property
    def rests_on(self) -> str:
        """Words for a reading: `rests_on` of the predictions."""
        return rests_on(self.predictions)

    @cached_property
    def students(self) -> pd.Index:
        """The students of the predictions."""
        return pd.Index(np.asarray(pd.factorize(self.predictions["student"])[1]))

    @cached_property
    def bootstrap(self) -> StudentBootstrap:
        """Resamples of the students of the predictions."""
        return StudentBootstrap(len(self.students), self.resamples, self.seed)

    @cached_property
    def scored_student(self) -> Array:
        """Student code of each scored row."""
        return self.student[self.predictions["scored"].to_numpy(dtype=bool)]

    @cached_property
    def student(self) -> Array:
        """Student code of each row of the predictions."""
        return pd.factorize(self.predictions["student"])[0]

    def code(self, rows: pd.DataFrame) -> Array:
        """Return the code of each row's student.

        Raises:
            ValueError: a student is not in the predictions.
        """
        own, names = pd.factorize(rows["student"])
        code = self.students.get_indexer(pd.Index(np.asarray(names)))
        if (code < 0).any():
            stranger = names[int(np.argmin(code))]
            raise ValueError(
                f"student {stranger!r} is in the trajectories but not in the predictions: two different runs?"
            )
        return code[own]

    def auc(self, column: str) -> Estimate:
        """AUC of a column of probabilities over the scored rows.

        Raises:
            Unmeasurable: only one class occurs.
            ModelFault: a value is not finite.
        """
        if column not in self.aucs:
            self.aucs[column] = auc_estimate(self.predictions, self.scored_student, self.bootstrap, column)
        return self.aucs[column]

    def correlation(self, column: str) -> Estimate:
        """Correlation of a column with the response over the scored rows.

        Raises:
            Unmeasurable: all responses are alike.
            ModelFault: a value is not finite, or the column does not vary.
        """
        x, y = self.of_scored(column), self.of_scored("response")
        if np.ptp(y) == 0:
            raise Unmeasurable(f"no correlation of {column} and response: all responses are alike")
        constant = ModelFault(f"no correlation of {column} and response: {column} does not vary")
        return known(self.bootstrap.correlation(self.scored_student, x, y), constant)


def further_attempts(predictions: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row of predictions, in any order, is on the item of the student's step before.

    As in tables of opportunities a student's first attempt at a problem step counts (Koedinger et al., A data
    repository for the EDM community: the PSLC DataShop, 2010).
    """
    again = np.zeros(len(predictions), dtype=bool)
    if "item" in predictions and predictions["item"].notna().any():
        student, item = (pd.factorize(predictions[name])[0] for name in ("student", "item"))
        order = np.lexsort((predictions["step"].to_numpy(), student))
        student, item = student[order], item[order]
        again[order[1:]] = (item[1:] == item[:-1]) & (student[1:] == student[:-1]) & (item[1:] >= 0)
    return again


def has_all_skills(predictions: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether each row of predictions holds figures over all skills: not where K is large and others were drawn."""
    if "active_skills" not in predictions:
        return np.ones(len(predictions), dtype=bool)
    return predictions["active_skills"].notna().to_numpy()


def of_all_skills(predictions: pd.DataFrame, column: str) -> Array:
    """A column of predictions at the rows that hold figures over all skills; errors are those of `column_of`."""
    return column_of(predictions.loc[has_all_skills(predictions), [c for c in (column,) if c in predictions]], column)


def rests_on(predictions: pd.DataFrame) -> str:
    """Words for a reading: on how many steps figures over all skills rest; empty where on every one."""
    rows = has_all_skills(predictions)
    return "" if rows.all() else f" (of {rows.sum():,} of {len(rows):,} steps, students drawn)"


def practised(trajectories: pd.DataFrame) -> pd.DataFrame:
    """The rows of trajectories at which the step practises the skill."""
    relevant = trajectories["relevant"].to_numpy(dtype=bool)
    return trajectories if relevant.all() else trajectories[relevant]


def auc_estimate(predictions: pd.DataFrame, student_N: Array, bootstrap: StudentBootstrap, column: str) -> Estimate:
    """AUC of a column over scored rows, whose students are given, with resamples.

    Raises:
        Unmeasurable: only one class occurs.
        ModelFault: a value is not finite.
    """
    rows = scored_rows(predictions, "response", column)
    p, y = column_of(rows, column), column_of(rows, "response")
    return known(bootstrap.auc(student_N, p, y), Unmeasurable("no AUC: all responses are alike"))
