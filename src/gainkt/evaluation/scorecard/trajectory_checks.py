"""The six trajectory checks T1 to T6: do gains and mastery behave like learning?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from gainkt.evaluation.check import LEVELS, Measured, Need, Rule, above
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.schema import FALL
from gainkt.evaluation.scorecard.curves import MIN_OPPORTUNITIES, curve_shapes, history_codes
from gainkt.evaluation.statistics.bootstrap import Array, quantiles_of_weights
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable, column_of, known

MAX_ACTIVE = {"minimum": 5, "target": 3, "optimal": 3}
"""T2: maximum of skills that may gain at a step."""
MIN_STEPS = 30
"""T5: practised steps that a skill needs for its mean gain to be judged."""
SMALLEST_GAIN = 1e-3
"""T6: a mean gain after wrong responses counts as at least this, so that none at all gives no infinite ratio."""


def differentiation(evidence: Evidence) -> Measured:
    """T1: std of the gains over all K skills at a step, mean over opportunities; and CV over skills of mean gains."""
    if evidence.num_skills < 2:
        raise Unmeasurable("the model has one skill, so that there is nothing to tell apart")
    found = evidence.bootstrap.mean(*evidence.of_all_skills("gain_std", evidence.opportunities))
    gain = evidence.skills["gain_mean"]
    ceiling, reason, is_bound = _std_ceiling(found.value, evidence)
    possible = f"{ceiling:.4f} possible" + ("" if is_bound else " with the few active skills that T2 asks for")
    return Measured.of(
        found,
        further={"cv_of_mean_gain": gain.std(ddof=0) / gain.mean() if gain.mean() > 0 else None},
        ceiling=ceiling,
        ceiling_reason=reason,
        ceiling_is_bound=is_bound,
        reading=f"At a step the gains of the {evidence.num_skills} skills differ by {found.value:.4f} (std), "
        f"of {possible}{evidence.rests_on}{evidence.without_further_attempts}.",
    )


def _std_ceiling(found: float, evidence: Evidence) -> tuple[float, str, bool]:
    """Bound the std of K gains in [0, 1], n at 1 and the others at 0: bound, arithmetic, and if it binds any model.

    For any model n is K / 2. Where the median step has as many active skills as T2 asks for, n is that many: T1 and T2
    then exclude each other above the bound. It binds no model whose steps differ in that, so one that exceeds it has
    the bound of any.
    """

    def bound(n: int) -> float:
        return float(np.sqrt(n / k * (1 - n / k)))

    k = evidence.num_skills
    median = _median_active(evidence)(np.ones(len(evidence.students)))
    n = int(min(median, k // 2))
    arithmetic = f"with n of K = {k} gains at 1 and the others at 0 the std is sqrt(n/K (1 - n/K))"
    if 1 <= median <= MAX_ACTIVE["minimum"] and found <= bound(n):
        active = evidence.of_all_skills("active_skills", evidence.opportunities)[1].mean()
        return (
            bound(n),
            f"{arithmetic}; the median step has n = {n} active: at most {bound(n):.4f} for a model that keeps to T2; "
            f"{active:.2f} are active on average",
            n == k // 2,
        )
    return bound(k // 2), f"{arithmetic}: at most {bound(k // 2):.4f}, with half of them at 1", True


def sparse_activation(evidence: Evidence) -> Measured:
    """T2: median over opportunities of the number of skills with a gain over .1."""
    active = evidence.of_all_skills("active_skills", evidence.opportunities)[1]
    median = evidence.bootstrap.estimate(_median_active(evidence))
    return Measured.of(
        median,
        further={"mean": active.mean(), "share_of_steps_with_none": (active == 0).mean()},
        ceiling_reason="a range is asked, which any model can choose to meet",
        reading=f"The median step moves {median.value:.0f} of {evidence.num_skills} skills by more than .1; "
        f"{(active == 0).mean():.0%} of steps move none{evidence.rests_on}{evidence.without_further_attempts}.",
    )


def _median_active(evidence: Evidence) -> Callable[[Array], float]:
    quantile = quantiles_of_weights(*evidence.of_all_skills("active_skills", evidence.opportunities), [0.5])
    return lambda weights: float(quantile(weights)[0])


def monotonicity(evidence: Evidence) -> Measured:
    """T3: times that the mastery of a skill fell, on the curves at the final belief; of all skills, and as written.

    Learning is monotone where the belief is held fixed; how often the running belief was revised downwards is told too.
    """
    student, falls = evidence.of_all_skills("mastery_falls")
    counted = evidence.bootstrap.of_sums(student, [falls], lambda falls: falls)
    in_table, pairs = _falls(evidence.trajectories)
    revised = float((column_of(evidence.predictions, "belief_falls") > 0).mean())
    value = max(counted.value, float(in_table))
    where = f"{(falls > 0).mean():.1%} of steps" if value else "all student-skill curves rise or stay"
    return Measured(
        value=value,
        interval=counted.interval if counted.value >= in_table else None,
        further={
            "falls_in_table": in_table,
            "pairs_in_table": pairs,
            "share_of_steps": (falls > 0).mean(),
            "share_of_steps_with_revision": revised,
        },
        ceiling_reason="0 is attainable: gains are not negative",
        reading=f"Mastery at the final belief falls {value:.0f} times ({where}){evidence.rests_on}; in the "
        f"trajectories {in_table} of {pairs} moves are falls. The running belief was revised downwards at "
        f"{revised:.1%} of steps.",
    )


def _falls(trajectories: pd.DataFrame) -> tuple[int, int]:
    """Count falls and all moves between successive rows of one student and skill."""
    mastery = column_of(trajectories, "mastery_final")
    history, skill = history_codes(trajectories)[0], pd.factorize(trajectories["skill"])[0]
    curve = history * (int(skill.max()) + 1) + skill
    order = np.argsort(curve, kind="stable")
    same = np.diff(curve[order]) == 0
    return int((np.diff(mastery[order])[same] < -FALL).sum()), int(same.sum())


def curve_shape(evidence: Evidence) -> Measured:
    """T4: share of student-skill curves for which a rising sigmoid beats a line and a constant by BIC."""
    curves = curve_shapes(evidence.at_opportunities(evidence.trajectories))
    share = evidence.bootstrap.mean(evidence.code(curves), curves["is_sigmoid"].to_numpy(dtype=np.float64))
    is_line = curves["line"] < curves["constant"]
    line, flat = (float((~curves["is_sigmoid"] & others).mean()) for others in (is_line, ~is_line))
    return Measured.of(
        share,
        further={"curves": len(curves), "line": line, "constant": flat},
        ceiling=1.0,
        ceiling_reason="a share is at most 1",
        reading=f"Of {len(curves)} curves with {MIN_OPPORTUNITIES} or more opportunities {share.value:.0%} rise "
        f"like a sigmoid; {line:.0%} are no better than a line and {flat:.0%} than a constant"
        f"{evidence.without_further_attempts}.",
    )


def skill_difficulty(evidence: Evidence) -> Measured:
    """T5: CV over skills of the mean gain at their practised steps.

    Easy and hard are the quarters of skills (one at least) with the highest and lowest share of right
    responses: ordering them by the gain itself would find an easiest and a hardest in any noise.
    """
    rows = evidence.practised
    gain, right = column_of(rows, "gain"), column_of(rows, "response")
    skill, names = pd.factorize(rows["skill"])
    enough = np.flatnonzero(np.bincount(skill) >= MIN_STEPS)
    if len(enough) < 2:
        raise Unmeasurable(f"{len(enough)} of {len(names)} skills have {MIN_STEPS} practised steps; two are needed")
    mean_gain_of = _skill_means(evidence.code(rows), skill, gain, enough)

    def cv(weights: Array) -> float:
        mean = mean_gain_of(weights)
        mean = mean[np.isfinite(mean)]
        return float(mean.std() / mean.mean()) if len(mean) and mean.mean() > 0 else np.nan

    found = known(evidence.bootstrap.estimate(cv), ModelFault("no skill receives any gain"))
    mean_gain = mean_gain_of(np.ones(len(evidence.students)))
    by_ease = np.argsort((np.bincount(skill, right) / np.bincount(skill))[enough], kind="stable")
    quarter = max(1, len(enough) // 4)
    easy, hard = mean_gain[by_ease[-quarter:]].mean(), mean_gain[by_ease[:quarter]].mean()
    return Measured.of(
        found,
        further={"easy": easy, "hard": hard, "skills": len(enough)},
        ceiling_reason="a ratio without an upper bound",
        reading=f"Mean gains of {len(enough)} skills vary by {found.value:.0%} of their mean; the easiest quarter "
        f"gains {easy:.3f} a step, the hardest {hard:.3f}.",
    )


def _skill_means(student_N: Array, skill_N: Array, x_N: Array, skills: Array) -> Callable[[Array], Array]:
    """Prepare the mean of x for each of `skills` as a function of the students' weights."""
    num = int(skill_N.max()) + 1
    pairs, pair_N = np.unique(student_N.astype(np.int64) * num + skill_N, return_inverse=True)
    student, skill = pairs // num, pairs % num
    count, total = np.bincount(pair_N).astype(float), np.bincount(pair_N, x_N)

    def means(weight_S: Array) -> Array:
        weight = weight_S[student]
        with np.errstate(invalid="ignore", divide="ignore"):
            return (np.bincount(skill, weight * total, num) / np.bincount(skill, weight * count, num))[skills]

    return means


def response_conditional(evidence: Evidence) -> Measured:
    """T6: mean gain at the practised skill at right responses, over that at wrong ones."""
    gain = column_of(evidence.predictions, "gain_practised")
    right = column_of(evidence.predictions, "response") > 0
    if right.all() or not right.any():
        raise Unmeasurable("all responses are alike")
    found = evidence.bootstrap.of_sums(
        evidence.student,
        [right, right * gain, ~right, ~right * gain],
        lambda n1, gain1, n0, gain0: (gain1 / n1) / np.maximum(gain0 / n0, SMALLEST_GAIN),
    )
    after_right, after_wrong = gain[right].mean(), gain[~right].mean()
    return Measured.of(
        found,
        further={"after_right": after_right, "after_wrong": after_wrong},
        ceiling_reason=f"no bound (a mean after wrong counts as at least {SMALLEST_GAIN:g})",
        reading=f"A right response brings a gain of {after_right:.3f}, a wrong one {after_wrong:.3f}.",
    )


_rule = partial(Rule, group="trajectory")
TRAJECTORY = (
    _rule("t1_gain_differentiation", "T1 gain differentiation", above(0.05, 0.10), differentiation),
    _rule(
        "t2_sparse_activation",
        "T2 sparse activation",
        {level: (Need(">=", 1), Need("<=", maximum)) for level, maximum in MAX_ACTIVE.items()},
        sparse_activation,
    ),
    _rule("t3_monotonicity", "T3 monotonicity violations", dict.fromkeys(LEVELS, (Need("<=", 0),)), monotonicity),
    _rule("t4_curve_shape", "T4 curve shape", above(0.5, 0.8), curve_shape),
    _rule(
        "t5_skill_difficulty",
        "T5 skill difficulty",
        {
            "minimum": (Need(">", 0.2),),
            **dict.fromkeys(LEVELS[1:], (Need(">", 0.6, "easy"), Need("<", 0.4, "hard"))),
        },
        skill_difficulty,
    ),
    _rule(
        "t6_response_conditional",
        "T6 response-conditional gains",
        {"minimum": (Need(">", 1.2),), **dict.fromkeys(LEVELS[1:], (Need(">=", 1.5),))},
        response_conditional,
    ),
)
