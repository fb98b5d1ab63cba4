"""What a check of the scorecard is: a rule (what is asked) applied to a measurement (what was found)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.bootstrap import Array, Estimate, StudentBootstrap
from gainkt.evaluation.statistics.breakdowns import Unmeasurable, column_of

LEVELS = ("minimum", "target", "optimal")
RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "is": operator.eq,
}


@dataclass(frozen=True)
class Need:
    """One condition of a threshold: a figure (the value, or a further one by name) in relation to a bound."""

    relation: str
    bound: float | bool
    of: str = "value"

    def holds(self, figures: Mapping[str, Any]) -> bool:
        """Tell whether the figure is known and in the relation."""
        figure = figures[self.of]
        return figure is not None and RELATIONS[self.relation](figure, self.bound)

    def above(self, ceiling: float | None) -> bool:
        """Tell whether nothing up to the ceiling can meet it."""
        upward = self.of == "value" and self.relation in (">", ">=")
        return upward and ceiling is not None and not RELATIONS[self.relation](ceiling, self.bound)


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        value: the figure that is judged.
        reading: one sentence for a person.
        interval: 95 %, over students.
        further: more figures by name; a need may refer to one.
        ceiling: the most that `value` can be on this data; None where no bound is known.
        ceiling_reason: the arithmetic of the ceiling, or why there is none.
    """

    value: float | bool
    reading: str
    interval: tuple[float, float] | None = None
    further: dict[str, Any] = field(default_factory=dict)
    ceiling: float | None = None
    ceiling_reason: str = ""


@dataclass(frozen=True)
class Check:
    """A judged measurement, as it stands in scorecard.json.

    Attributes:
        value, interval, further, ceiling, ceiling_reason, reading: of `Measured`; value None if not measurable.
        thresholds: by level, its needs as dicts (of, relation, bound).
        level: the highest level all of whose needs, and those of all levels below, hold; or "none".
        out_of_reach: by level not met, the arithmetic that shows its threshold to lie above the ceiling.
        verdict: "pass" at minimum or better; else "out_of_reach" where the minimum itself is; else "fail".
    """

    name: str
    title: str
    value: float | bool | None
    interval: tuple[float, float] | None
    thresholds: dict[str, list[dict[str, Any]]]
    ceiling: float | None
    ceiling_reason: str
    verdict: str
    level: str
    out_of_reach: dict[str, str]
    reading: str
    further: dict[str, Any]

    def reaches(self, level: str, leave_aside: bool = True) -> bool:
        """Tell whether the check holds at a level.

        Args:
            level: one of LEVELS.
            leave_aside: count a level shown out of reach as held, if every lower one is held too.
        """
        at = LEVELS.index(level)
        held = LEVELS.index(self.level) if self.level in LEVELS else -1
        return all(i <= held or (leave_aside and LEVELS[i] in self.out_of_reach) for i in range(at + 1))


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables that checks read, with the bootstrap of their students.

    Attributes:
        predictions, trajectories, skills: gainkt.evaluation.schema, of one part of the data.
        validation: predictions of the validation part, or None.
        training: finite (of losses, gradients, parameters), gradient_norm_max (before clipping), epochs; or None.
        num_skills: K of the model, met in these tables or not.
        resamples, seed: of the bootstrap.
    """

    predictions: pd.DataFrame
    trajectories: pd.DataFrame
    skills: pd.DataFrame
    validation: pd.DataFrame | None
    training: Mapping[str, Any] | None
    num_skills: int
    resamples: int
    seed: int
    aucs: dict[str, Estimate] = field(default_factory=dict, init=False)  # known so far: resampling takes longest

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The scored rows of the predictions."""
        return self.predictions[self.predictions["scored"]]

    @cached_property
    def practised(self) -> pd.DataFrame:
        """The rows of the trajectories at which the step practises the skill."""
        return self.trajectories[self.trajectories["relevant"]]

    @cached_property
    def students(self) -> pd.Index:
        """The students of the predictions."""
        return pd.Index(self.predictions["student"].unique())

    @cached_property
    def bootstrap(self) -> StudentBootstrap:
        """Resamples of the students of the predictions."""
        return StudentBootstrap(len(self.students), self.resamples, self.seed)

    @cached_property
    def scored_student(self) -> Array:
        """Student code of each scored row."""
        return self.code(self.scored)

    def code(self, rows: pd.DataFrame) -> Array:
        """Return the code of each row's student.

        Raises:
            ValueError: a student is not in the predictions.
        """
        code = self.students.get_indexer(pd.Index(rows["student"]))
        if (code < 0).any():
            stranger = rows["student"].iloc[int(np.argmin(code))]
            raise ValueError(
                f"student {stranger!r} is in the trajectories but not in the predictions: two different runs?"
            )
        return code

    def auc(self, column: str) -> Estimate:
        """AUC of a column of probabilities over the scored rows.

        Raises:
            Unmeasurable: a value is not finite, or only one class occurs.
        """
        if column not in self.aucs:
            self.aucs[column] = auc_of(self.scored, self.scored_student, self.bootstrap, column)
        return self.aucs[column]

    def correlation(self, column: str) -> Estimate:
        """Correlation of a column with the response over the scored rows.

        Raises:
            Unmeasurable: a value is not finite, or one side does not vary.
        """
        x, y = column_of(self.scored, column), column_of(self.scored, "response")
        found = self.bootstrap.correlation(self.scored_student, x, y)
        return known(found, f"no correlation of {column} and response: one of them does not vary")


@dataclass(frozen=True)
class Rule:
    """One row of the scorecard: its name, what each level asks, and how it is measured."""

    name: str
    title: str
    levels: Mapping[str, tuple[Need, ...]]
    measure: Callable[[Evidence], Measured]

    def judge(self, evidence: Evidence) -> Check:
        """Measure and judge; what cannot be measured fails, and the reading says why."""
        thresholds = {level: [asdict(need) for need in self.levels[level]] for level in LEVELS}
        try:
            found = self.measure(evidence)
        except Unmeasurable as error:
            reading = f"Not measurable: {error}."
            return Check(self.name, self.title, None, None, thresholds, None, "", "fail", "none", {}, reading, {})
        figures = {**found.further, "value": found.value}
        held = [all(need.holds(figures) for need in self.levels[level]) for level in LEVELS]
        reached = held.index(False) if False in held else len(LEVELS)
        out_of_reach = {
            level: f"{need.relation} {need.bound:g} asked, {found.ceiling:.4g} attainable: {found.ceiling_reason}"
            for level in LEVELS[reached:]
            for need in self.levels[level]
            if need.above(found.ceiling) and not need.holds(figures)
        }
        failed = "out_of_reach" if "minimum" in out_of_reach else "fail"
        return Check(
            name=self.name,
            title=self.title,
            value=found.value,
            interval=found.interval,
            thresholds=thresholds,
            ceiling=found.ceiling,
            ceiling_reason=found.ceiling_reason,
            verdict="pass" if reached else failed,
            level=LEVELS[reached - 1] if reached else "none",
            out_of_reach=out_of_reach,
            reading=found.reading,
            further=found.further,
        )


def above(minimum: float, target: float, optimal: float | None = None) -> dict[str, tuple[Need, ...]]:
    """Levels that ask for more than a number each; optimal is target where there are two."""
    bounds = (minimum, target, target if optimal is None else optimal)
    return {level: (Need(">", bound),) for level, bound in zip(LEVELS, bounds, strict=True)}


def known(estimate: Estimate, otherwise: str) -> Estimate:
    """Return an estimate that has a value.

    Raises:
        Unmeasurable: with the message `otherwise`, where the value is not finite.
    """
    if not np.isfinite(estimate.value):
        raise Unmeasurable(otherwise)
    return estimate


def auc_of(scored: pd.DataFrame, student_N: Array, bootstrap: StudentBootstrap, column: str) -> Estimate:
    """AUC of a column over scored rows, with resamples.

    Raises:
        Unmeasurable: a value is not finite, or only one class occurs.
    """
    p, y = column_of(scored, column), column_of(scored, "response")
    return known(bootstrap.auc(student_N, p, y), "no AUC: all responses are alike")
