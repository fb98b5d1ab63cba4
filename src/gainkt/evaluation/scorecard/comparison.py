"""Beside the checks: both encoders side by side, and criteria of earlier phases of the research line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.check import Check
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.statistics import breakdowns
from gainkt.evaluation.statistics.bootstrap import Estimate
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of, or_reason, scored_rows
from gainkt.names import SEVERAL

V3_CRITERIA = ("encoder2_auc", "mastery_response_correlation", "prediction_range", "gain_std")
PHASE2 = {"encoder1": 0.685, "encoder2": 0.540}
ALPHAS = (0.5, 1.0)
BETA_SPREAD = 0.3


def comparison(evidence: Evidence, checks: Sequence[Check]) -> dict[str, Any]:
    """Collect the metrics beside the checks; what these tables do not define is null, with a reason."""
    return {
        "threshold_logic": or_reason(lambda: _threshold_logic(evidence)),
        "beta_spread": or_reason(lambda: _beta_spread(evidence)),
        "v3_criteria": [
            {"name": check.name, "value": check.value, "level": check.level, "verdict": check.verdict}
            for check in checks
            if check.name in V3_CRITERIA
        ],
        "encoder1_auc": or_reason(lambda: _estimate(evidence.auc("p1"))),
        "encoder2_auc": or_reason(lambda: _estimate(evidence.auc("p2"))),
        "encoder1_lead": or_reason(lambda: _estimate(evidence.auc("p1") - evidence.auc("p2"))),
        "phase2": or_reason(lambda: _phase2(evidence)),
        "combined_score": or_reason(lambda: _combined(evidence)),
        "agreement": or_reason(lambda: breakdowns.encoder_agreement(evidence.predictions)),
        "views": {
            "encoder1": _breakdowns(evidence.predictions, "p1"),
            "encoder2": _breakdowns(evidence.predictions, "p2"),
        },
    }


def _threshold_logic(evidence: Evidence) -> dict[str, Any]:
    """Compare minimum and mean mastery over a step's skills, at steps with several, by r with the response."""
    rows = scored_rows(evidence.predictions, "skills", "response", "mastery", "mastery_mean")
    several = rows["skills"].str.contains(SEVERAL).to_numpy(dtype=bool)
    if not several.any():
        raise Unmeasurable("no scored step has several skills")
    rows, student = rows[several], evidence.scored_student[several]
    y = column_of(rows, "response")
    minimum, mean = (
        evidence.bootstrap.correlation(student, column_of(rows, name), y) for name in ("mastery", "mastery_mean")
    )
    difference = minimum - mean
    return {
        "steps": len(rows),
        "least": minimum.value,
        "mean": mean.value,
        "difference": difference.value,
        "interval": difference.interval,
        "holds": bool(difference.value > 0),
    }


def _beta_spread(evidence: Evidence) -> dict[str, Any]:
    beta = column_of(evidence.skills, "beta")
    if np.ptp(beta) == 0:
        raise Unmeasurable("one steepness serves all skills")
    return _criterion(beta.std(), BETA_SPREAD, beta.std() > BETA_SPREAD)


def _phase2(evidence: Evidence) -> dict[str, Any]:
    auc = {"encoder1": evidence.auc("p1").value, "encoder2": evidence.auc("p2").value}
    each = {name: _criterion(auc[name], asked, auc[name] >= asked) for name, asked in PHASE2.items()}
    return {**each, "holds": all(criterion["holds"] for criterion in each.values())}


def _criterion(value: float, threshold: float, holds: bool) -> dict[str, Any]:
    return {"value": value, "threshold": threshold, "holds": bool(holds)}


def _combined(evidence: Evidence) -> dict[str, float]:
    auc1, auc2 = evidence.auc("p1").value, evidence.auc("p2").value
    return {f"alpha_{alpha:g}": auc1 + alpha * auc2 for alpha in ALPHAS}


def _breakdowns(predictions: pd.DataFrame, column: str) -> dict[str, Any]:
    return {
        "within_student": or_reason(lambda: asdict(breakdowns.within_student_auc(predictions, column))),
        "within_skill": or_reason(lambda: asdict(breakdowns.within_skill_auc(predictions, column))),
        "attempts": breakdowns.first_and_later(predictions, column),
        "within_student_correlation": or_reason(
            lambda: {"value": breakdowns.within_student_correlation(predictions, column)}
        ),
        "calibration": or_reason(
            lambda: {
                "error": breakdowns.expected_calibration_error(predictions, column),
                "reliability": breakdowns.reliability_table(predictions, column).to_dict("records"),
            }
        ),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": estimate.interval}
