"""Findings on the way from practice to prediction: reachable range, saturation, agreement, the right skill."""

from __future__ import annotations

from typing import Any

import numpy as np

from gainkt.evaluation.diagnosis.findings import Finding, mean_std
from gainkt.evaluation.diagnosis.gain_causes import MAX_ELSEWHERE, elsewhere
from gainkt.evaluation.diagnosis.headroom import Headroom, Tables
from gainkt.evaluation.evidence import has_all_skills, of_all_skills, rests_on
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import auc_of, encoder_agreement
from gainkt.evaluation.statistics.logistic import fit_logistic, log_loss, logit_of, sigmoid
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of
from gainkt.evaluation.statistics.practice import worth

STEP_BINS = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3": (3, 3), "4": (4, 4), "5-9": (5, 9), "10-19": (10, 19)}
"""First and last step number of each bin of the saturated share; all later steps are one more."""
LATER = 20
MOST = 0.5
"""Share of steps or cells over which a thing is called a cause."""
SAME = 1e-3
"""Difference under which two numbers of the float32 tables are the same."""


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
    base, p2 = float(tables.response.mean()), column_of(tables.scored, "p2")
    share = float(steps[out].sum() / max(steps[met].sum(), 1))
    pooled = [float(low.min()), float(high.max())]
    beyond = float(((p2 < pooled[0] - SAME) | (p2 > pooled[1] + SAME)).mean())
    bounds = beyond < 0.01
    widened = "" if bounds else f"; {beyond:.0%} of predictions lie beyond it, so inferred parts widen the range"
    return Finding(
        {
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
        },
        f"p2 can reach [{pooled[0]:.2f}, {pooled[1]:.2f}]; {base:.0%} of responses are right; {out.sum()} of "
        f"{met.sum()} skills ({share:.0%} of steps) have a base rate that their curve cannot reach{widened}",
        is_cause=bounds and share > MOST,
        headroom=_of_rescaling(tables),
        advice="learn the temperature, from a lower start, and start the threshold lower",
        override="model.readout.temperature.mean=0.25 model.readout.temperature.learn=true "
        "model.readout.threshold.mean=0.3",
    )


def _of_rescaling(tables: Tables) -> Headroom:
    """What the best level and (positive) scale of Encoder 2's logit save."""
    logit, y = tables.logit, tables.response
    rescaled = fit_logistic(logit[:, None], y)
    if np.dot(rescaled - rescaled.mean(), logit - logit.mean()) < 0:
        rescaled = np.full(len(logit), logit_of(float(y.mean())))  # a scale keeps its sign
    basis = "log loss of p2 less that of its best logistic rescaling, which keeps the AUC"
    return Headroom(0.0, log_loss(logit, y) - log_loss(rescaled, y), basis)


def saturation(tables: Tables) -> Finding:
    """Share of (step, skill) cells where practice no longer moves mastery (dm/dP under .01), by step number."""
    step, drawn = tables.predictions["step"].to_numpy(), has_all_skills(tables.predictions)
    shares = {
        "practised": (step, column_of(tables.predictions, "saturated_practised")),
        "other": (step[drawn], of_all_skills(tables.predictions, "saturated_other")),
    }
    bins = {**STEP_BINS, f"{LATER}+": (LATER, step.max())}
    by_step: list[dict[str, Any]] = []
    for name, (first, last) in bins.items():
        means = {of: mean_std(x[(at >= first) & (at <= last)])["mean"] for of, (at, x) in shares.items()}
        by_step.append({"steps": name, "count": int(((step >= first) & (step <= last)).sum()), **means})
    half = next((x["steps"] for x in by_step if x["practised"] is not None and x["practised"] > MOST), None)
    practised, other = (float(x.mean()) for _, x in shares.values())
    hidden = tables.own_history * shares["practised"][1][tables.is_scored][:, None]
    fits = _velocity_that_fits(tables)
    if elsewhere(tables) > MAX_ELSEWHERE:
        advice = "give a step's gain to the skills that it practises only; the others run into saturation unseen"
        override = "model/receivers=practised"
    else:
        advice = "slow the curve down, so that the practice of a usual student spans it"
        override = f"model.velocity.mean={fits['velocity_that_fits'] or 0.1:.2g}"
    where = "" if half is None else f"; most practised skills are from step {half} on"
    return Finding(
        {"practised": practised, "other": other, "by_step": by_step, "half_saturated_from_step": half, **fits},
        f"{practised:.0%} of practised and {other:.0%} of other (step, skill) cells are saturated"
        f"{rests_on(tables.predictions)}{where}",
        practised > MOST,
        tables.headroom(
            hidden, "earlier right and wrong responses to the step's skills, at saturated steps, added to p2"
        ),
        advice,
        override,
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


def agreement(tables: Tables) -> Finding:
    """How far the two encoders say the same, and how far apart their metrics are."""
    both = encoder_agreement(tables.predictions)
    y, p1, p2 = tables.response, logit_of(column_of(tables.scored, "p1")), tables.logit
    auc1, auc2 = auc_of(p1, y), auc_of(p2, y)
    losses = {"encoder1_log_loss": log_loss(p1, y), "encoder2_log_loss": log_loss(p2, y)}
    return Finding(
        {**both, "encoder1_auc": auc1, "encoder2_auc": auc2, **losses},
        f"correlation of p1 and p2 {both['pearson']:.2f} (Spearman {both['spearman']:.2f}); AUC "
        f"{auc1:.3f} against {auc2:.3f}",
        headroom=tables.headroom(p1, "Encoder 1's logit added to p2: all that is known to be there"),
    )


def wrong_skill(tables: Tables) -> Finding:
    """Recompute from the trajectories what each scored step should have been predicted from, and count what differs.

    mastery = minimum over the step's own skills of their curves' mastery before the step;
    p2 = sigmoid((mastery - theta) / T - item difficulty) at steps of one skill.
    """
    own, y = tables.own, tables.response
    mastery, single = own.minimum(own.mastery_N), own.single_M
    if not len(mastery):
        raise Unmeasurable("the trajectories hold no scored step of these predictions")

    def recorded(name: str) -> Array:
        return column_of(tables.scored, name)

    mismatches = int((np.abs(recorded("mastery")[own.row_M] - mastery) > SAME).sum())
    skill = own.skill_N[own.first_M]
    margin = (mastery - tables.parameter("threshold")[skill]) / tables.parameter("temperature")[skill]
    margin = margin - recorded("item_difficulty")[own.row_M]
    p2 = recorded("p2")[own.row_M]
    misread = int((np.abs(sigmoid(margin) - p2) > SAME)[single].sum())
    auc, auc_wrong = auc_of(recorded("p2"), y), auc_of(recorded("p2_wrong_skill"), y)
    part, broken = y[own.row_M][single], mismatches + misread > 0
    can = broken and len(part) and 0 < part.mean() < 1
    won = auc_of(margin[single], part) - auc_of(p2[single], part) if can else 0.0
    measured: dict[str, Any] = {
        "steps_checked": len(mastery),
        "steps_not_in_trajectories": own.missing,
        "mastery_mismatches": mismatches,
        "p2_mismatches": misread,
        "single_skill_steps": int(single.sum()),
        "auc": auc,
        "auc_of_the_skill_practised_last": auc_wrong,
    }
    return Finding(
        measured,
        f"{mismatches} of {len(mastery)} steps are scored against another skill's mastery and {misread} read otherwise"
        f"; scoring the skill practised last would give AUC {auc_wrong:.3f} instead of {auc:.3f}",
        broken,
        Headroom(won, 0.0, "AUC of the own skill's mastery less that of p2"),
        "steps are not scored by their own skills' mastery: a defect of the pipeline; report it with this file",
    )
