"""Findings on the way from practice to prediction: reachable range, saturation, agreement, the right skill."""

from __future__ import annotations

from typing import Any

import numpy as np

from gainkt.evaluation.diagnosis.findings import Finding, mean_or_none
from gainkt.evaluation.diagnosis.gain_causes import MOST, elsewhere
from gainkt.evaluation.diagnosis.headroom import Stake, Tables
from gainkt.evaluation.statistics.breakdowns import auc_of, encoder_agreement
from gainkt.evaluation.statistics.logistic import fit_logistic, log_loss, logit_of, sigmoid
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of
from gainkt.evaluation.statistics.practice import worth

STEP_BINS = ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, None))
"""First and last step number of each bin of the saturated share."""
MUCH = 0.5
"""Share of steps or cells over which a thing is called a cause."""
SAME = 1e-3
"""Difference under which two figures of the float32 tables are the same."""


def reachable_range(tables: Tables) -> Finding:
    """Range of p2 from no practice to endless practice, for an item as hard as its skill.

    p2 = sigmoid((m - theta) / T), m from M_sat sigmoid(-offset) to M_sat
    """
    saturation, offset, theta, temperature = (
        tables.parameter(name) for name in ("saturation", "offset", "threshold", "temperature")
    )
    low = sigmoid((saturation * sigmoid(-offset) - theta) / temperature)
    high = sigmoid((saturation - theta) / temperature)
    steps = tables.skills["practised_steps"].to_numpy(dtype=np.float64)
    right = tables.skills["responses_right"].to_numpy(dtype=np.float64, na_value=np.nan)
    met = (steps > 0) & np.isfinite(right)
    out = met & ((right < low) | (right > high))
    base = float(tables.response.mean())
    p2 = column_of(tables.scored, "p2")
    rescaled = fit_logistic(tables.logit[:, None], tables.response)
    if np.dot(rescaled - rescaled.mean(), tables.logit - tables.logit.mean()) < 0:
        rescaled = np.full(len(p2), logit_of(base))  # a scale keeps its sign
    nats = log_loss(tables.logit, tables.response) - log_loss(rescaled, tables.response)
    share = float(steps[out].sum() / max(steps[met].sum(), 1))
    pooled = [float(low.min()), float(high.max())]
    beyond = float(((p2 < pooled[0] - SAME) | (p2 > pooled[1] + SAME)).mean())
    bounds = beyond < 0.01
    measured = {
        "pooled": pooled,
        "mean_over_skills": [float(low.mean()), float(high.mean())],
        "base_rate": base,
        "skills_out_of_reach": int(out.sum()),
        "skills_met": int(met.sum()),
        "steps_out_of_reach": share,
        "predictions_beyond_the_range": beyond,
        "predicted": [float(p2.min()), float(p2.max())],
        "by_skill": [
            {"skill": str(name), "low": a, "high": b, "right": c if m else None}
            for name, a, b, c, m in zip(tables.skills["skill"], low, high, right, met, strict=True)
        ],
    }
    verdict = (
        f"p2 can reach [{pooled[0]:.2f}, {pooled[1]:.2f}]; {base:.0%} of responses are right; "
        f"{out.sum()} of {met.sum()} skills ({share:.0%} of steps) have a base rate that their curve cannot reach"
    )
    if not bounds:
        verdict += f"; {beyond:.0%} of predictions lie beyond it, so inferred parts widen the range"
    return Finding(
        measured,
        verdict,
        is_cause=bounds and share > MUCH,
        stake=Stake(0.0, nats, "log loss of p2 less that of its best logistic rescaling, which keeps the AUC"),
        advice="learn the temperature, from a lower start, and start the threshold lower",
        override="model.readout.temperature.mean=0.25 model.readout.temperature.learn=true "
        "model.readout.threshold.mean=0.3",
    )


def saturation(tables: Tables) -> Finding:
    """Share of (step, skill) cells where practice no longer moves mastery (dm/dP under .01), by step number."""
    step = tables.predictions["step"].to_numpy()
    practised, other = (column_of(tables.predictions, f"saturated_{which}") for which in ("practised", "other"))
    by_step: list[dict[str, Any]] = []
    for first, last in STEP_BINS:
        rows = (step >= first) & (step <= (step.max() if last is None else last))
        by_step.append(
            {
                "steps": f"{first}+" if last is None else str(first) if first == last else f"{first}-{last}",
                "count": int(rows.sum()),
                "practised": mean_or_none(practised[rows]),
                "other": mean_or_none(other[rows]),
            }
        )
    half = next((x["steps"] for x in by_step if x["practised"] is not None and x["practised"] > MUCH), None)
    share = float(practised.mean())
    hidden = tables.own_history * practised[tables.is_scored][:, None]
    measured: dict[str, Any] = {
        "practised": share,
        "other": float(other.mean()),
        "by_step": by_step,
        "half_saturated_from_step": half,
    }
    where = "" if half is None else f"; most practised skills are from step {half} on"
    return Finding(
        measured | _velocity_that_fits(tables),
        f"{share:.0%} of practised and {other.mean():.0%} of other (step, skill) cells are saturated{where}",
        is_cause=share > MUCH,
        stake=tables.stake(
            hidden, "earlier right and wrong responses to the step's skills, at saturated steps, added to p2"
        ),
        **_slow_down(tables),
    )


def _velocity_that_fits(tables: Tables) -> dict[str, float | None]:
    """Practice before the median step, and the velocity at which that practice brings mastery to half of M_sat."""
    try:
        practice = float(np.median(tables.own.practice_N)) if len(tables.own.practice_N) else 0.0
        beta, offset = (float(np.mean(tables.parameter(name))) for name in ("beta", "offset"))
    except Unmeasurable:
        return {"median_practice": None, "velocity_that_fits": None}
    counts = worth(np.asarray(practice), tables.skills["experience"].to_numpy(np.float64, na_value=np.nan)).mean()
    fits = float(offset / (beta * counts)) if practice > 0 and offset > 0 and beta > 0 else None
    return {"median_practice": practice, "velocity_that_fits": fits}


def _slow_down(tables: Tables) -> dict[str, str]:
    velocity = _velocity_that_fits(tables)["velocity_that_fits"]
    if elsewhere(tables) > MOST:
        return {
            "advice": "give a step's gain to the skills that it practises only; the others run into saturation unseen",
            "override": "model/receivers=practised",
        }
    return {
        "advice": "slow the curve down, so that the practice of a usual student spans it",
        "override": f"model.velocity.mean={velocity or 0.1:.2g}",
    }


def agreement(tables: Tables) -> Finding:
    """How far the two encoders say the same, and how far apart their figures are."""
    both = encoder_agreement(tables.predictions)
    y, p1 = tables.response, logit_of(column_of(tables.scored, "p1"))
    figures = {
        "encoder1_auc": auc_of(p1, y),
        "encoder2_auc": auc_of(tables.logit, y),
        "encoder1_log_loss": log_loss(p1, y),
        "encoder2_log_loss": log_loss(tables.logit, y),
    }
    return Finding(
        {**both, **figures},
        f"correlation of p1 and p2 {both['pearson']:.2f} (Spearman {both['spearman']:.2f}); AUC "
        f"{figures['encoder1_auc']:.3f} against {figures['encoder2_auc']:.3f}",
        stake=tables.stake(p1, "Encoder 1's logit added to p2: all that is known to be there"),
    )


def wrong_skill(tables: Tables) -> Finding:
    """Recompute from the trajectories what each scored step should have been predicted from, and count what differs.

    mastery = least over the step's own skills of the mastery after the student's previous step;
    p2 = sigmoid((mastery - theta) / T - item difficulty) at steps of one skill.
    """
    own, y = tables.own, tables.response
    least, single = own.least(own.mastery_N), own.single_M
    if not len(least):
        raise Unmeasurable("the trajectories hold no scored step of these predictions")
    recorded = column_of(tables.scored, "mastery")[own.row_M]
    mismatches = int((np.abs(recorded - least) > SAME).sum())
    skill = own.skill_N[own.first_M]
    margin = (least - tables.parameter("threshold")[skill]) / tables.parameter("temperature")[skill]
    margin = margin - column_of(tables.scored, "item_difficulty")[own.row_M]
    p2 = column_of(tables.scored, "p2")
    misread = int((np.abs(sigmoid(margin) - p2[own.row_M]) > SAME)[single].sum())
    wrong = column_of(tables.scored, "p2_wrong_skill")
    auc, auc_wrong = auc_of(p2, y), auc_of(wrong, y)
    part = y[own.row_M]
    can = single.any() and 0 < part[single].mean() < 1
    fixed = auc_of(margin[single], part[single]) - auc_of(p2[own.row_M][single], part[single]) if can else 0.0
    measured = {
        "steps_checked": len(least),
        "steps_at_seams": own.seams,
        "steps_not_in_trajectories": own.missing,
        "mastery_mismatches": mismatches,
        "p2_mismatches": misread,
        "single_skill_steps": int(single.sum()),
        "auc": auc,
        "auc_of_the_skill_practised_last": auc_wrong,
    }
    broken = mismatches + misread > 0
    return Finding(
        measured,
        f"{mismatches} of {len(least)} steps are scored against another skill's mastery and {misread} read otherwise; "
        f"scoring the skill practised last would give AUC {auc_wrong:.3f} instead of {auc:.3f}",
        is_cause=broken,
        stake=Stake(fixed if broken else 0.0, 0.0, "AUC of the own skill's mastery less that of p2"),
        advice="steps are not scored by their own skills' mastery: a defect of the pipeline; report it with this file",
    )
