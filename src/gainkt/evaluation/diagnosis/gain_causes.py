"""Findings on the gains: what they depend on, where they go, and what the left-over tensor says of them."""

from __future__ import annotations

import numpy as np

from gainkt.evaluation.diagnosis.findings import Finding, mean_or_none, mean_std
from gainkt.evaluation.diagnosis.headroom import Tables
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import auc_of
from gainkt.evaluation.statistics.measurable import column_of

MOST = 0.5
"""Share of all gains that, where it goes to skills not practised, is a cause."""
LEAST_STD, LEAST_RATIO = 0.05, 1.2
"""The scorecard's minimum for the spread of gains at the practised skill, and for gains after right over wrong."""
SAME = 1e-3
"""Difference under which the left-over is the gain itself."""
HISTOGRAM_BINS = 50


def elsewhere(tables: Tables) -> float:
    """Share of all gains that goes to skills which the step does not practise, [0, 1]."""
    row, _ = tables.members
    own = float((column_of(tables.predictions, "gain_practised") * np.bincount(row)).sum())
    total = float(column_of(tables.predictions, "gain_mean").sum() * len(tables.skills))
    return max(0.0, 1 - own / total) if total > 0 else 0.0


def gains(tables: Tables) -> Finding:
    """Gains at the practised skill, across skills within a step, and after right and wrong responses."""
    gain = column_of(tables.predictions, "gain_practised")
    right = column_of(tables.predictions, "response") > 0
    after_right, after_wrong = mean_or_none(gain[right]), mean_or_none(gain[~right])
    ratio = after_right / after_wrong if after_right is not None and after_wrong else None
    apart, spread = elsewhere(tables), float(gain.std())
    y = tables.response
    permuted = column_of(tables.scored, "p2_gains_permuted")
    fall = auc_of(tables.logit, y) - auc_of(permuted, y)
    measured = {
        "practised": mean_std(gain),
        "across_skills_std": float(column_of(tables.predictions, "gain_std").mean()),
        "after_right": after_right,
        "after_wrong": after_wrong,
        "ratio": ratio,
        "to_skills_not_practised": apart,
        "auc_lost_when_permuted": fall,
    }
    alike = ratio is not None and ratio < LEAST_RATIO
    advice = "let Encoder 2's loss weigh more, so that gains tell right from wrong", "loss.bce1=0.3 loss.bce2=0.7"
    if _is_left_over(tables):
        advice = "give the gain head weights of its own", "model/gain_head=linear"
    if apart > MOST:
        advice = "give a step's gain to the skills that it practises only", "model/receivers=practised"
    after = "-" if after_right is None or after_wrong is None else f"{after_right:.3f} / {after_wrong:.3f}"
    return Finding(
        measured,
        f"gain at the practised skill {gain.mean():.3f} (std {spread:.3f}), after right / wrong {after}; {apart:.0%} "
        f"of all gains go to skills not practised; permuting a student's gains costs {fall:.3f} AUC",
        is_cause=apart > MOST or spread < LEAST_STD or alike,
        stake=tables.stake(
            tables.own_history, "earlier right and wrong responses to the step's skills, which gains could carry, added"
        ),
        advice=advice[0],
        override=advice[1],
    )


def left_over(tables: Tables) -> Finding:
    """The number that the research line reported as the gain, sigmoid(mean of relu(v)), beside the real one."""
    probe, gain = (column_of(tables.predictions, name) for name in ("left_over", "gain_practised"))
    is_gain = _is_left_over(tables)
    bins = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    measured = {
        "left_over": mean_std(probe),
        "gain": mean_std(gain),
        "is_the_gain": is_gain,
        "histogram": {"edges": bins.tolist(), "left_over": _counts(probe, bins), "gain": _counts(gain, bins)},
    }
    said = f'"gains are uniform: mean {probe.mean():.4f}, std {probe.std():.4f}" would have been reported'
    real = f"the gain that practice sums has mean {gain.mean():.4f}, std {gain.std():.4f}"
    return Finding(
        measured,
        f"{said}, and here it is the gain: the head has nothing to learn" if is_gain else f"{said}; {real}",
        is_cause=is_gain,
        stake=None,
        advice="give the gain head weights of its own",
        override="model/gain_head=linear",
    )


def _is_left_over(tables: Tables) -> bool:
    probe, gain = (column_of(tables.predictions, name) for name in ("left_over", "gain_practised"))
    return bool(np.abs(probe - gain).max() < SAME)


def _counts(x: Array, bins: Array) -> list[int]:
    return np.histogram(x, bins)[0].tolist()
