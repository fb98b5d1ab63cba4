"""What carries the prediction: Encoder 2's AUC without each part of the mastery path, and its share of the logit."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.measurable import Unmeasurable, or_reason, scored_rows

PARTS = {
    "gains": "p2_gains_permuted",
    "gain_sizes": "p2_gains_mean",
    "velocity": "p2_velocity_mean",
    "readiness": "p2_readiness_mean",
    "right_skill": "p2_wrong_skill",
}
"""Parts of the mastery path, and p2 with each ablated (gain_sizes: how much each step taught, rather than that it was
one; right_skill: reading the next step's own skill)."""
LOGIT_LIMIT = 1e-6


def carries(evidence: Evidence) -> dict[str, Any]:
    """Measure what each part of the mastery path carries: the fall in AUC without it, its share of the logit.

        share_of_logit = var(logit p2 - logit p2_without) / var(logit p2)

    Shares need not add up to 1, and one may exceed 1 where parts work against each other. A part that the
    model does not have, or that is not defined here, has a null value and a reason.
    """
    return {part: or_reason(partial(_fall, evidence, column)) for part, column in PARTS.items()}


def _fall(evidence: Evidence, column: str) -> dict[str, Any]:
    evidence.require_trained()
    if len(evidence.scored_student) and scored_rows(evidence.predictions, column)[column].isna().all():
        raise Unmeasurable("the model has no such part")
    with_it, without = evidence.auc("p2"), evidence.auc(column)
    fall = with_it - without
    logit, logit_without = (_logit(evidence.of_scored(name)) for name in ("p2", column))
    return {
        "auc_without": without.value,
        "fall": fall.value,
        "interval": fall.interval,
        "share_of_logit": (logit - logit_without).var() / logit.var() if logit.std() > 1e-7 else None,
    }


def _logit(p: Array) -> Array:
    p = np.clip(p, LOGIT_LIMIT, 1 - LOGIT_LIMIT)
    return np.log(p) - np.log1p(-p)
