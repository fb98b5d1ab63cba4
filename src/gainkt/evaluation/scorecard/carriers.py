"""Beside the eleven checks: what carries the prediction, criteria of earlier phases, views of both encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.check import Check, Evidence
from gainkt.evaluation.statistics import breakdowns as views
from gainkt.evaluation.statistics.bootstrap import Array, Estimate
from gainkt.evaluation.statistics.breakdowns import Unmeasurable, column_of

PARTS = {
    "gains": "p2_gains_permuted",
    "gain_sizes": "p2_gains_mean",
    "velocity": "p2_velocity_mean",
    "readiness": "p2_readiness_mean",
    "right_skill": "p2_wrong_skill",
}
"""Parts of the mastery path, and p2 with each out of action (gain_sizes: how much each step taught, rather than that
it was one; right_skill: reading the next step's own skill)."""
V3_CRITERIA = ("encoder2_auc", "mastery_response_correlation", "prediction_range", "gain_std")
PHASE2 = {"encoder1": 0.685, "encoder2": 0.540}
ALPHAS = (0.5, 1.0)
BETA_SPREAD = 0.3
LOGIT_LIMIT = 1e-6


def carries(evidence: Evidence) -> dict[str, Any]:
    """Measure what each part of the mastery path carries: the fall in AUC without it, its share of the logit.

        share_of_logit = var(logit p2 - logit p2_without) / var(logit p2)

    Shares need not add up to 1, and one may exceed 1 where parts work against each other. A part that the
    model does not have, or that is not defined here, has a null value and a reason.
    """
    return {part: _or_reason(partial(_fall, evidence, column)) for part, column in PARTS.items()}


def _fall(evidence: Evidence, column: str) -> dict[str, Any]:
    if len(evidence.scored) and evidence.scored[column].isna().all():
        raise Unmeasurable("the model has no such part")
    with_it, without = evidence.auc("p2"), evidence.auc(column)
    fall = with_it - without
    logit, logit_without = (_logit(column_of(evidence.scored, name)) for name in ("p2", column))
    share = (logit - logit_without).var() / logit.var() if logit.std() > 1e-7 else None
    return {
        "auc_without": without.value,
        "fall": fall.value,
        "interval": fall.interval,
        "share_of_logit": share,
    }


def _logit(p: Array) -> Array:
    p = np.clip(p, LOGIT_LIMIT, 1 - LOGIT_LIMIT)
    return np.log(p) - np.log1p(-p)


def further(evidence: Evidence, checks: Sequence[Check]) -> dict[str, Any]:
    """Collect the figures beside the checks; what these tables do not define is null, with a reason."""
    return {
        "threshold_logic": _or_reason(lambda: _threshold_logic(evidence)),
        "beta_spread": _or_reason(lambda: _beta_spread(evidence)),
        "v3_criteria": [
            {"name": check.name, "value": check.value, "level": check.level, "verdict": check.verdict}
            for check in checks
            if check.name in V3_CRITERIA
        ],
        "encoder1_auc": _or_reason(lambda: _estimate(evidence.auc("p1"))),
        "encoder2_auc": _or_reason(lambda: _estimate(evidence.auc("p2"))),
        "encoder1_lead": _or_reason(lambda: _estimate(evidence.auc("p1") - evidence.auc("p2"))),
        "phase2": _or_reason(lambda: _phase2(evidence)),
        "combined_score": _or_reason(lambda: _combined(evidence)),
        "agreement": _or_reason(lambda: views.encoder_agreement(evidence.predictions)),
        "views": {
            "encoder1": _views(evidence.predictions, "p1"),
            "encoder2": _views(evidence.predictions, "p2"),
        },
    }


def _threshold_logic(evidence: Evidence) -> dict[str, Any]:
    """Compare least and mean mastery over a step's skills, at steps with several, by r with the response."""
    several = evidence.scored["skills"].str.contains(";", regex=False).to_numpy(dtype=bool)
    if not several.any():
        raise Unmeasurable("no scored step has several skills")
    rows, student = evidence.scored[several], evidence.scored_student[several]
    y = column_of(rows, "response")
    least, mean = (
        evidence.bootstrap.correlation(student, column_of(rows, name), y) for name in ("mastery", "mastery_mean")
    )
    difference = least - mean
    return {
        "steps": len(rows),
        "least": least.value,
        "mean": mean.value,
        "difference": difference.value,
        "interval": difference.interval,
        "holds": bool(difference.value > 0),
    }


def _beta_spread(evidence: Evidence) -> dict[str, Any]:
    beta = column_of(evidence.skills, "beta")
    if np.ptp(beta) == 0:
        raise Unmeasurable("one steepness serves all skills")
    std = beta.std()
    return {"value": std, "threshold": BETA_SPREAD, "holds": bool(std > BETA_SPREAD)}


def _phase2(evidence: Evidence) -> dict[str, Any]:
    auc = {"encoder1": evidence.auc("p1").value, "encoder2": evidence.auc("p2").value}
    return {
        **{
            name: {"value": auc[name], "threshold": least, "holds": auc[name] >= least}
            for name, least in PHASE2.items()
        },
        "holds": all(auc[name] >= least for name, least in PHASE2.items()),
    }


def _combined(evidence: Evidence) -> dict[str, float]:
    auc1, auc2 = evidence.auc("p1").value, evidence.auc("p2").value
    return {f"alpha_{alpha:g}": auc1 + alpha * auc2 for alpha in ALPHAS}


def _views(predictions: pd.DataFrame, column: str) -> dict[str, Any]:
    return {
        "within_student": _or_reason(lambda: asdict(views.within_student_auc(predictions, column))),
        "within_skill": _or_reason(lambda: asdict(views.within_skill_auc(predictions, column))),
        "attempts": views.first_and_later(predictions, column),
        "within_student_correlation": _or_reason(
            lambda: {"value": views.within_student_correlation(predictions, column)}
        ),
        "calibration": _or_reason(
            lambda: {
                "error": views.expected_calibration_error(predictions, column),
                "reliability": views.reliability_table(predictions, column).to_dict("records"),
            }
        ),
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": estimate.interval}


def _or_reason(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a measurement, or a null value with the reason that there is none."""
    try:
        return measure()
    except Unmeasurable as error:
        return {"value": None, "reason": str(error)}
