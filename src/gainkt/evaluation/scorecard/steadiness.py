"""Beside the checks: how steady mastery is, how true, and how far it agrees with the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.schema import MASTERED
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import step_skills
from gainkt.evaluation.statistics.edustudio import degree_of_agreement, identifiability
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable, column_of, or_reason
from gainkt.evaluation.statistics.steadiness import calibration, direction, separation


def of_mastery(evidence: Evidence) -> dict[str, Any]:
    """Measure what the tables say of mastery itself; what they do not define is null, with a reason.

    Returns:
        `steadiness`: movement, direction, and, of simulated students, calibration (as `gainkt teach` has them; its
        `separation` is the AUC for true mastery of `MASTERED` and more). `edustudio`: doa and identifiability, of
        mastery at the end of each student's history, over the students of the mastery table.
    """
    return {
        "steadiness": {
            "movement": or_reason(lambda: _movement(evidence.movement)),
            "direction": or_reason(lambda: _direction(evidence.practised)),
            "calibration": or_reason(lambda: _calibration(evidence.practised, evidence.truth)),
        },
        "edustudio": _edustudio(evidence.predictions, evidence.mastery),
    }


def _movement(table: pd.DataFrame | None) -> dict[str, Any]:
    if table is None:
        raise Unmeasurable("the tables hold no movement: they were recorded without it")
    found = {"met" if row.pop("met") else "unmet": row for row in table.to_dict("records")}
    if any(row["cells"] and pd.isna(row["mean"]) for row in found.values()):
        raise ModelFault("a mastery is not finite")
    return {kind: {name: None if pd.isna(x) else x for name, x in row.items()} for kind, row in found.items()}


def _direction(practised: pd.DataFrame) -> dict[str, Any]:
    change = column_of(practised, "mastery") - column_of(practised, "mastery_before")
    return {"answers": len(practised), **direction(change, column_of(practised, "response") > 0)}


def _calibration(practised: pd.DataFrame, truth: pd.DataFrame | None) -> dict[str, Any]:
    if truth is None:
        raise Unmeasurable("true mastery is known of simulated students only")
    key = ["student", "step", "skill"]
    rows = practised[[*key, "mastery"]].astype({"student": object, "skill": object}).merge(truth, on=key)
    estimate, true = column_of(rows, "mastery"), column_of(rows, "true_mastery")
    found = calibration(estimate, true)
    return {"answers": len(rows), **found, "separation": separation(estimate, true >= MASTERED)}


@dataclass(frozen=True)
class _Answers:
    """The answers of the students whose mastery is known, from 0 on in their order, and that mastery."""

    student_N: Array
    item_N: Array
    """Without items, an exercise is known by its skills."""
    right_N: Array
    skills_N: pd.Series
    skills: pd.Index
    mastery_SK: csr_array

    @classmethod
    def of(cls, predictions: pd.DataFrame, mastery: pd.DataFrame | None) -> _Answers:
        """Raise `Unmeasurable` where the tables do not hold it."""
        if mastery is None:
            raise Unmeasurable("the tables hold no mastery at the end: they were recorded without it")
        who, students = pd.factorize(mastery["student"])
        skill, skills = pd.factorize(mastery["skill"])
        known = csr_array((column_of(mastery, "mastery"), (who, skill)), (len(students), len(skills)))
        own, names = pd.factorize(predictions["student"])
        student_N = pd.Index(np.asarray(students)).get_indexer(pd.Index(np.asarray(names)))[own]
        has_items = "item" in predictions and predictions["item"].notna().any()
        item_N = pd.factorize(predictions["item" if has_items else "skills"])[0]
        here = (student_N >= 0) & (item_N >= 0)
        right_N = column_of(predictions, "response")[here]
        names_K = pd.Index(np.asarray(skills))
        return cls(student_N[here], item_N[here], right_N, predictions.loc[here, "skills"], names_K, known)

    def agreement(self) -> dict[str, Any]:
        """`degree_of_agreement`, an answer on several skills under each of them."""
        row, skill = step_skills(self.skills_N, self.skills)
        mastery = np.asarray(self.mastery_SK[self.student_N[row], skill]).ravel()
        return degree_of_agreement(skill, self.item_N[row], mastery, self.right_N[row])

    def identifiability(self) -> dict[str, Any]:
        """`identifiability` of all answers."""
        return identifiability(self.student_N, self.item_N, self.right_N, self.mastery_SK)


def _edustudio(predictions: pd.DataFrame, mastery: pd.DataFrame | None) -> dict[str, Any]:
    try:
        answers = _Answers.of(predictions, mastery)
    except Unmeasurable as error:
        return {key: {"value": None, "reason": str(error)} for key in ("doa", "identifiability")}
    return {"doa": or_reason(answers.agreement), "identifiability": or_reason(answers.identifiability)}
