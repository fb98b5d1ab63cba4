"""The five immediate checks: does Encoder 2 predict, does its mastery mean anything, did training hold?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.check import LEVELS, Measured, Need, Rule, above
from gainkt.evaluation.evidence import Evidence, auc_estimate
from gainkt.evaluation.statistics.bootstrap import Estimate, StudentBootstrap, quantiles_of_weights
from gainkt.evaluation.statistics.breakdowns import within_student_correlation
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable, column_of, scored_rows

YARDSTICK_AUC = 0.65
"""Encoder 1 is a yardstick of the data only if it clears what is asked of Encoder 2: a broken one excuses nothing."""
GRADIENT_BOUND = 1e3
"""Largest gradient norm, before clipping at 1, that counts as bounded: beyond it a step is all clipping."""
FINITE = {
    "predictions": ("p1", "p2", "mastery", "mastery_mean"),
    "predictions of all steps": ("gain_practised",),
    "predictions over all skills": ("gain_mean", "gain_std"),
    "trajectories": ("gain", "practice", "mastery", "mastery_final"),
}
"""Columns by table that must hold numbers."""


def encoder2_auc(evidence: Evidence) -> Measured:
    """AUC of p2 on the scored steps; of this part and validation, where given, the lower one."""
    lower, part = evidence.auc("p2"), ""
    validation = _validation_auc(evidence)
    further = {"auc": lower.value, "validation_auc": None if validation is None else validation.value}
    if validation is not None and validation.value < lower.value:
        lower, part = validation, " (on validation, the lower of the two)"
    return Measured.of(
        lower,
        further=further,
        ceiling_reason="no bound below 1 is known; Encoder 1 shows what an unconstrained model reaches",
        reading=f"Given a right and a wrong step, Encoder 2 puts the right one higher in {lower.value:.1%} of "
        f"cases{part}.",
    )


def _validation_auc(evidence: Evidence) -> Estimate | None:
    """AUC of p2 on validation; None without it, and where its responses are all alike."""
    if evidence.validation is None:
        return None
    rows = scored_rows(evidence.validation, "student", "scored", "response", "p2")
    student, students = pd.factorize(rows["student"])
    resamples = StudentBootstrap(len(students), evidence.resamples, evidence.seed)
    try:
        return auc_estimate(rows, student, resamples, "p2")
    except ModelFault:
        raise
    except Unmeasurable:
        return None


def mastery_response_correlation(evidence: Evidence) -> Measured:
    """Correlation of mastery before a step with its response; its ceiling is Encoder 1's, or its own where higher."""
    found = evidence.correlation("mastery")
    ceiling, reason, further = _correlation_of_encoder1(evidence)
    try:
        further["within_student"] = within_student_correlation(evidence.predictions, "mastery")
    except Unmeasurable:
        further["within_student"] = None
    within = further["within_student"]
    seen = "undefined" if within is None else f"{within:.3f}"
    share = "" if ceiling is None or ceiling <= 0 else f", {found.value / ceiling:.0%} of what Encoder 1 attains"
    if ceiling is not None and found.value > ceiling:
        reason += f"; mastery itself reaches more, {found.value:.3f}, which is taken"
        ceiling = found.value
    return Measured.of(
        found,
        further=further,
        ceiling=ceiling,
        ceiling_reason=reason,
        ceiling_is_bound=False,
        reading=f"Mastery before a step goes with its response at r = {found.value:.3f}{share}; within students "
        f"{seen}.",
    )


def _correlation_of_encoder1(evidence: Evidence) -> tuple[float | None, str, dict[str, Any]]:
    """Return Encoder 1's correlation with the response if it is a yardstick, the reason, and its interval."""
    try:
        auc, ceiling = evidence.auc("p1").value, evidence.correlation("p1")
    except Unmeasurable as error:
        return None, f"Encoder 1 gives no yardstick: {error}", {}
    if auc < YARDSTICK_AUC:
        return None, f"Encoder 1 (AUC {auc:.3f}, under {YARDSTICK_AUC}) is no yardstick of what the data allows", {}
    reason = (
        "a probability correlates with a binary response only as far as responses can be predicted; Encoder 1, "
        f"unconstrained, reaches r(p1, response) = {ceiling.value:.3f} on these steps (AUC {auc:.3f})"
    )
    return ceiling.value, reason, {"ceiling_interval": ceiling.interval}


def prediction_range(evidence: Evidence) -> Measured:
    """Width from the 1st to the 99th percentile of p2 over the scored steps."""
    p2 = _several(evidence.of_scored("p2"), "scored steps")
    quantiles = quantiles_of_weights(evidence.scored_student, p2, [0.01, 0.99])
    width = evidence.bootstrap.estimate(lambda weights: float(np.diff(quantiles(weights))[0]))
    low, high = quantiles(np.ones(len(evidence.students)))
    right = evidence.of_scored("response").mean()
    return Measured.of(
        width,
        further={"low": low, "high": high, "min": p2.min(), "max": p2.max(), "responses_right": right},
        ceiling=1.0,
        ceiling_reason="a probability lies in [0, 1]",
        reading=f"98% of p2 lie in {low:.2f} to {high:.2f} and all in {p2.min():.2f} to {p2.max():.2f}, while "
        f"{right:.0%} of responses are right.",
    )


def stability(evidence: Evidence) -> Measured:
    """No NaN or Inf in training and in the tables, and a bounded gradient norm."""
    bad = _not_finite(evidence)
    further: dict[str, Any] = {"tables_finite": not bad, "gradient_bound": GRADIENT_BOUND, "gradient_norm_max": None}
    tables = "the tables are finite" if not bad else f"values that are not finite in {', '.join(bad)}"
    if evidence.training is None:
        if not len(evidence.predictions):
            raise Unmeasurable("training was not watched and the tables are empty")
        reading = f"Training was not watched, so this speaks of the tables alone: {tables}."
        return Measured(value=not bad, reading=reading, further={**further, "watched": False})
    norm, finite = evidence.training.get("gradient_norm_max"), bool(evidence.training["finite"])
    bounded = norm is not None and bool(norm <= GRADIENT_BOUND)  # a nan is not
    further |= {"gradient_norm_max": norm, "training_finite": finite, "epochs": evidence.training.get("epochs")}
    seen = "No NaN or Inf in training" if finite else "NaN or Inf in training"
    size = "largest gradient norm unknown" if norm is None else f"largest gradient norm {norm:.3g}"
    return Measured(
        value=finite and bounded and not bad,
        further={**further, "watched": True},
        reading=f"{seen}; {size} (bound {GRADIENT_BOUND:g}, before clipping); {tables}.",
    )


def _not_finite(evidence: Evidence) -> list[str]:
    """Name the columns with values that are missing or not finite."""
    predictions = evidence.predictions
    tables = (
        scored_rows(predictions, *FINITE["predictions"]),
        predictions,
        predictions if evidence.has_all_skills.all() else predictions[evidence.has_all_skills],
        evidence.trajectories,
    )
    return [
        f"{column} of the {name}"
        for (name, columns), rows in zip(FINITE.items(), tables, strict=True)
        for column in columns
        if not np.isfinite(rows[column].to_numpy(dtype=np.float32, na_value=np.nan)).all()
    ]


def gain_std(evidence: Evidence) -> Measured:
    """Standard deviation over all steps of the gain at the step's own skills."""
    gain = _several(column_of(evidence.predictions, "gain_practised"), "steps")
    found = evidence.bootstrap.std(evidence.student, gain)
    return Measured.of(
        found,
        further={"mean": gain.mean(), "min": gain.min(), "max": gain.max()},
        ceiling=0.5,
        ceiling_reason="gains lie in [0, 1]: the std is at most 1/2, half of them 0 and half 1",
        reading=f"What a step adds to the skill it practises is {gain.mean():.3f} on average and varies by "
        f"{found.value:.3f} (std) from step to step.",
    )


def _several(x_N: np.ndarray, what: str) -> np.ndarray:
    """Return values of which there are at least two."""
    if len(x_N) < 2:
        raise Unmeasurable(f"{len(x_N)} {what}; how much they differ takes two")
    return x_N


IMMEDIATE = (
    Rule("encoder2_auc", "Encoder 2 AUC", above(0.55, 0.60, 0.65), encoder2_auc),
    Rule(
        "mastery_response_correlation",
        "Mastery-response correlation",
        above(0.3, 0.5, 0.6),
        mastery_response_correlation,
    ),
    Rule("prediction_range", "Prediction range of p2", above(0.3, 0.4), prediction_range),
    Rule("stability", "Stability of training", dict.fromkeys(LEVELS, (Need("is", True),)), stability),
    Rule("gain_std", "Gain std at the practised skill", above(0.05, 0.10, 0.15), gain_std),
)
