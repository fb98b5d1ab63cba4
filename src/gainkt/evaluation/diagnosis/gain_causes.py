"""Findings on the gains: what they depend on, where they go, and what the artefact says of them."""

from __future__ import annotations

import numpy as np

from gainkt.evaluation.diagnosis.findings import Finding, mean_std
from gainkt.evaluation.diagnosis.headroom import Tables
from gainkt.evaluation.evidence import has_all_skills, of_all_skills, rests_on
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import auc_of
from gainkt.evaluation.statistics.measurable import column_of

MAX_ELSEWHERE = 0.5
"""Share of all gains that, where it goes to skills not practised, is a cause."""
MIN_STD, MIN_RATIO = 0.05, 1.2
"""The scorecard's minimum for the spread of gains at the practised skill, and for gains after right over wrong."""
SAME = 1e-3
"""Difference under which the artefact is the gain itself."""
HISTOGRAM_BINS = 50
OWN_HEAD = ("give the gain head weights of its own", "model/gain_head=linear")


def elsewhere(tables: Tables) -> float:
    """Share of all gains that goes to skills which the step does not practise, [0, 1]."""
    row, _ = tables.members
    rows = has_all_skills(tables.predictions)
    own = float((column_of(tables.predictions, "gain_practised") * np.bincount(row))[rows].sum())
    total = float(of_all_skills(tables.predictions, "gain_mean").sum() * len(tables.skills))
    return max(0.0, 1 - own / total) if total > 0 else 0.0


def gains(tables: Tables) -> Finding:
    """Gains at the practised skill, across skills within a step, and after right and wrong responses."""
    gain = column_of(tables.predictions, "gain_practised")
    right = column_of(tables.predictions, "response") > 0
    after_right, after_wrong = (mean_std(gain[rows])["mean"] for rows in (right, ~right))
    ratio = after_right / after_wrong if after_right is not None and after_wrong else None
    apart, spread = elsewhere(tables), float(gain.std())
    y = tables.response
    fall = auc_of(tables.logit, y) - auc_of(column_of(tables.scored, "p2_gains_permuted"), y)
    alike = ratio is not None and ratio < MIN_RATIO
    advice = "let Encoder 2's loss weigh more, so that gains tell right from wrong", "loss.bce1=0.3 loss.bce2=0.7"
    if _is_artefact(tables):
        advice = OWN_HEAD
    if apart > MAX_ELSEWHERE:
        advice = "give a step's gain to the skills that it practises only", "model/receivers=practised"
    after = "-" if after_right is None or after_wrong is None else f"{after_right:.3f} / {after_wrong:.3f}"
    return Finding(
        {
            "practised": mean_std(gain),
            "across_skills_std": float(of_all_skills(tables.predictions, "gain_std").mean()),
            "after_right": after_right,
            "after_wrong": after_wrong,
            "ratio": ratio,
            "to_skills_not_practised": apart,
            "auc_lost_when_permuted": fall,
        },
        f"gain at the practised skill {gain.mean():.3f} (std {spread:.3f}), after right / wrong {after}; {apart:.0%} "
        f"of all gains go to skills not practised{rests_on(tables.predictions)}; permuting a student's gains costs "
        f"{fall:.3f} AUC",
        apart > MAX_ELSEWHERE or spread < MIN_STD or alike,
        tables.headroom(
            tables.own_history, "earlier right and wrong responses to the step's skills, which gains could carry, added"
        ),
        *advice,
    )


def left_over(tables: Tables) -> Finding:
    """The artefact that the research line reported as the gain, sigmoid(mean of relu(v)), beside the real one."""
    artefact, gain = (column_of(tables.predictions, name) for name in ("left_over", "gain_practised"))
    is_gain = _is_artefact(tables)
    bins = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    histogram = {name: np.histogram(x, bins)[0].tolist() for name, x in (("left_over", artefact), ("gain", gain))}
    said = f'"gains are uniform: mean {artefact.mean():.4f}, std {artefact.std():.4f}" would have been reported'
    real = f"the gain that practice sums has mean {gain.mean():.4f}, std {gain.std():.4f}"
    return Finding(
        {
            "left_over": mean_std(artefact),
            "gain": mean_std(gain),
            "is_the_gain": is_gain,
            "histogram": {"edges": bins.tolist(), **histogram},
        },
        f"{said}, and here it is the gain: the head has nothing to learn" if is_gain else f"{said}; {real}",
        is_gain,
        None,
        *OWN_HEAD,
    )


def _is_artefact(tables: Tables) -> bool:
    artefact, gain = (column_of(tables.predictions, name) for name in ("left_over", "gain_practised"))
    difference: Array = np.abs(artefact - gain)
    return bool(difference.max() < SAME)
