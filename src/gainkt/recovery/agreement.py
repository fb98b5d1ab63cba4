"""Recovery: how far estimates of simulated students agree with the truth, beside the best that can be attained.

All functions take arrays or tables; M steps, L slots (a slot is one skill of one step), K skills.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import concordance
from gainkt.evaluation.statistics.correlation import spearman
from gainkt.evaluation.statistics.practice import worth

MIN_CELLS = 30
"""Slots that a skill needs for a correlation of its own."""
_LEVEL_EDGE = 1e-3
"""Distance from 0 and 1 at which a level's logit is still to be trusted in float32."""

PARAMETERS: dict[str, tuple[bool, str]] = {
    "mastery at first opportunity": (True, "mean over students before they first practise the skill"),
    "initial mastery": (True, "M_sat sigmoid(-offset), for the mean student, as far as one readout serves all skills"),
    "steepness x gain": (True, "logits that a practised step adds, in mean: this is what responses show"),
    "steepness": (False, "half the steepness with twice the gains (and experience) is the same curve"),
    "gain": (False, "twice the gains (and experience) with half the steepness is the same curve"),
    "saturation": (False, "trades off with threshold and temperature of the readout; few students come near it"),
    "velocity": (True, "of students, up to a common factor; weak evidence, see what the Bayes filter attains"),
    "ability": (True, "of students, up to a shift"),
}
"""What is compared, whether responses identify its order over skills or students, and why."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """What one source says, aligned with the log's flat arrays; NaN where it says nothing."""

    name: str
    """The source, as it appears in tables."""
    probability_M: Array
    """Chance of a right response, before it is seen."""
    mastery_before_L: Array | None = None
    """Mastery of the slot's skill before the step, in [0, 1]."""
    mastery_after_L: Array | None = None
    """The same after the step."""
    gain_L: Array | None = None
    """What the step added to the slot's skill, in the source's own unit of practice."""
    logits_L: Array | None = None
    """What the step moved the average student's curve by, in logits: steepness x gain, where practice does not wear
    off. Responses tell this; how it is shared between gain and steepness they do not."""


def agreement(estimate_N: Array, truth_N: Array, skill_N: Array, min_cells: int = MIN_CELLS) -> dict[str, float]:
    """Agreement of estimates with the truth, pooled and within skills.

    Args:
        estimate_N: finite.
        truth_N: finite.
        skill_N: skill of each cell.
        min_cells: cells that a skill needs to count in the mean within skills.

    Returns:
        spearman, rmse, spearman_within_skill (plain mean over skills), skills (in that mean), cells.

    Raises:
        ValueError: there are no cells, or an estimate is not finite.
    """
    if not len(estimate_N):
        raise ValueError("no cells to compare: no test student practises anything; simulate more students")
    bad = int((~np.isfinite(estimate_N)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(estimate_N)} estimates are missing or not finite")
    within = []
    for skill in np.flatnonzero(np.bincount(skill_N) >= min_cells):
        cells = skill_N == skill
        within.append(spearman(estimate_N[cells], truth_N[cells]))
    known = [value for value in within if np.isfinite(value)]
    return {
        "spearman": spearman(estimate_N, truth_N),
        "rmse": float(np.sqrt(np.mean((estimate_N - truth_N) ** 2))),
        "spearman_within_skill": float(np.mean(known)) if known else float("nan"),
        "skills": len(known),
        "cells": len(estimate_N),
    }


def auc_of(probability_N: Array, response_N: Array) -> float:
    """AUC, ties as half; nan where only one class occurs."""
    concordant, pairs = concordance(np.zeros(len(response_N), dtype=np.int64), probability_N, response_N, 1)
    return float(concordant[0] / pairs[0]) if pairs[0] else float("nan")


def with_shares(figures: Mapping[str, Any], best: Mapping[str, Any] | None) -> dict[str, Any]:
    """Add what each figure is of the best attainable one, 1 for as good; nothing where that is unknown.

    Correlations: figure / best. AUC: (AUC - .5) / (best - .5). RMSE: best / figure.
    """
    shares = {}
    for name in figures.keys() & (best or {}).keys():
        assert best is not None
        if name == "auc":
            shares["auc_share"] = _ratio(figures[name] - 0.5, best[name] - 0.5)
        elif name == "rmse":
            shares["rmse_share"] = _ratio(best[name], figures[name])
        elif name in ("spearman", "spearman_within_skill"):
            shares[f"{name}_share"] = _ratio(figures[name], best[name])
    return {**figures, **shares}


def _ratio(x: float, y: float) -> float:
    return x / y if y else float("nan")


def first_opportunities(student_L: Array, skill_L: Array) -> Array:
    """Tell for every slot whether the student meets the skill for the first time; slots stand in order of steps."""
    return ~pd.DataFrame({"student": student_L, "skill": skill_L}).duplicated().to_numpy()


def mean_by(values_L: Array, group_L: Array, size: int) -> Array:
    """Mean of each group, [size]; nan where it is empty."""
    count = np.bincount(group_L, minlength=size)
    total = np.bincount(group_L, values_L, minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def students_from_curves(trajectories: pd.DataFrame, skills: pd.DataFrame) -> pd.DataFrame:
    """Velocity and readiness of each student as believed at the end, read off the curves of a run's tables.

    At the final belief logit(m / M_sat[k]) = beta[k] gamma W(P) - offset[k] + o[k], W what practice is worth. So,
    within a student, beta[k] W(P) against that logit has slope gamma over the steps of a skill (least squares, all
    skills together), and what remains is o, whose mean over the student's skills stands for ability.

    Args:
        trajectories: columns student, skill, practice, mastery_final; one window a student.
        skills: columns skill, beta, saturation, offset, experience (nan where practice does not wear off).

    Returns:
        Index student; columns velocity, ability. nan where no skill of a student gained practice.
    """
    rows = trajectories.merge(skills[["skill", "beta", "saturation", "offset", "experience"]], on="skill")
    worth_N = worth(rows["practice"].to_numpy(np.float64), rows["experience"].to_numpy(np.float64))
    rows = rows.assign(level=rows["mastery_final"] / rows["saturation"], x=rows["beta"] * worth_N)
    rows = rows[rows["level"].between(_LEVEL_EDGE, 1 - _LEVEL_EDGE)]
    rows = rows.assign(logit=np.log(rows["level"] / (1 - rows["level"])) + rows["offset"])
    curve = rows.groupby(["student", "skill"])
    x, y = (rows[name] - curve[name].transform("mean") for name in ("x", "logit"))
    student = rows["student"]
    total, cross = (x * x).groupby(student).sum(), (x * y).groupby(student).sum()
    velocity = (cross / total).where(total > 1e-6)
    ability = (rows["logit"] - student.map(velocity).fillna(0.0) * rows["x"]).groupby(student).mean()
    # Mastery is kept in float32: what varies less than this is the same for all.
    return pd.DataFrame({"velocity": velocity, "ability": ability}).round(3)


def parameter_rows(
    source: str, estimated: Mapping[str, Array], truth: Mapping[str, Array]
) -> list[dict[str, str | float | bool]]:
    """Compare parameters over skills or students, in the order of PARAMETERS; those not estimated are left out."""
    return [
        {
            "source": source,
            "parameter": name,
            "spearman": spearman(estimated[name], truth[name]),
            "over": int((np.isfinite(estimated[name]) & np.isfinite(truth[name])).sum()),
            "identified": identified,
            "note": note,
        }
        for name, (identified, note) in PARAMETERS.items()
        if name in estimated
    ]


def edge_recovery(score_KK: Array, transfer_KK: Array, order_K: Array) -> dict[str, float]:
    """How well scores find the edges of the transfer graph.

    Args:
        score_KK: [from, to], higher where an edge is likelier; the diagonal is not read.
        transfer_KK: true strengths, 0 where there is no edge.
        order_K: the skills in the order of the curriculum: edges go forwards only.

    Returns:
        edges, their number E; precision, the share of edges among the E highest scores; chance, the same for random
        scores, and chance_in_order for random ones of who knows the order; auc over pairs; auc_in_order over the
        forward pairs alone, where knowing the order helps nobody. Ties count by their expectation.
    """
    size = len(score_KK)
    place = np.argsort(order_K)
    apart, forward = ~np.eye(size, dtype=bool), place[:, None] < place[None, :]
    edge = transfer_KK > 0
    num_edges = int(edge.sum())
    score, is_edge = score_KK[apart], edge[apart]
    precision = float("nan")
    if num_edges:
        limit = np.sort(score)[-num_edges]
        above, tied = score > limit, score == limit
        places = num_edges - above.sum()
        precision = float((is_edge[above].sum() + places * is_edge[tied].mean()) / num_edges)
    return {
        "edges": num_edges,
        "precision": precision,
        "chance": num_edges / max(size * (size - 1), 1),
        "chance_in_order": num_edges / max(size * (size - 1) // 2, 1),
        "auc": auc_of(score, is_edge.astype(np.float64)),
        "auc_in_order": auc_of(score_KK[forward], edge[forward].astype(np.float64)),
    }


def less_receivers_mean(gain_KK: Array) -> Array:
    """Subtract from [from, to] each receiver's mean over givers: a skill that gains from all says nothing."""
    apart = np.where(np.eye(len(gain_KK), dtype=bool), np.nan, gain_KK)
    known = np.isfinite(apart)
    mean = np.where(known, apart, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known, apart - mean, 0.0)
