"""How far Encoder 2 agrees with a reference model: divergences, scales, correlations, and thresholds with their reach.

Everything is over the scored steps of the tables that a run leaves; what the reference holds is joined to them by
student and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.errors import DataError
from gainkt.evaluation.statistics.breakdowns import auc, centred_by
from gainkt.evaluation.statistics.correlation import spearman
from gainkt.files import write_json

Floats = NDArray[np.floating]

LEAST_STEPS = 5
"""Scored steps from which a student has a correlation of its own."""
MOST = {"l_21": 0.15, "l_22": 0.10, "l_23": 0.15}
"""Thresholds of the research line: divergence in nats, squared distances in logits^2."""
LEAST_CORRELATION = 0.85
"""Its threshold for ability and difficulty."""
REFERENCE = ("probability", "ability", "static_ability", "reference_mastery")
"""What the reference says of each step: chance of a right response, ability before it and over the whole history,
least mastery over the step's skills."""
_TINY = 1e-9


def alignment(
    predictions: pd.DataFrame,
    skills: pd.DataFrame,
    reference: pd.DataFrame,
    difficulty: pd.Series,
    learn_rate: pd.Series | None = None,
) -> dict[str, Any]:
    """Compare a run's tables with what a reference says of the same steps, as plain data for JSON.

    Args:
        predictions: of one part of the data (gainkt.evaluation.schema).
        skills: of the same part.
        reference: student, step and `REFERENCE`, a row a step.
        difficulty: the reference's difficulty of each skill in logits, by skill name.
        learn_rate: how fast it says each skill is learnt, by skill name; None where it knows no learning.

    Returns:
        Figures by name; None where one side of a correlation does not vary.

    Raises:
        DataError: the reference says nothing of a scored step.
    """
    rows = predictions[predictions["scored"]].merge(reference, on=["student", "step"], how="left", validate="1:1")
    missing = rows[list(REFERENCE)].isna().any(axis=1)
    if missing.any():
        first = rows[missing].iloc[0]
        raise DataError(
            f"the reference says nothing of {int(missing.sum())} of {len(rows)} scored steps, the first of student "
            f"{first['student']!r}, step {first['step']}; ask it about the students of this part of the data"
        )
    student = pd.factorize(rows["student"])[0]
    q, p1, p2 = (rows[name].to_numpy(np.float64) for name in ("probability", "p1", "p2"))
    theta, dynamic, static = (rows[n].to_numpy(np.float64) for n in ("readiness", "ability", "static_ability"))
    met = skills["practised_steps"].to_numpy() > 0
    beta = skills["offset"].to_numpy(np.float64)[met]
    beta_reference = difficulty.reindex(skills["skill"]).to_numpy(np.float64)[met]
    own_mastery, mastery = (rows[name].to_numpy(np.float64) for name in ("mastery", "reference_mastery"))
    losses = {
        "l_21": divergence(q, p2),
        "l_22": float(np.mean((beta - beta_reference) ** 2)),
        "l_23": {kind: distances(theta, ability, student) for kind, ability in _kinds(dynamic, static)},
    }
    agreement = {
        "prediction": correlations(p2, q, student),
        "mastery": correlations(own_mastery, mastery, student),
        "ability, dynamic": correlations(theta, dynamic, student),
        "ability, static": {"pearson": pearson(theta, static), "spearman": spearman(theta, static)},
        "ability, mean a student": _by_student(theta, static, student),
        "difficulty": {"pearson": pearson(beta, beta_reference), "spearman": spearman(beta, beta_reference)},
        "Encoder 1's prediction": correlations(p1, q, student),
    }
    if learn_rate is not None:
        gain = skills["gain_practised_mean"].to_numpy(np.float64)[met]
        rate = learn_rate.reindex(skills["skill"]).to_numpy(np.float64)[met]
        agreement["gain, mean a skill"] = {"pearson": pearson(gain, rate), "spearman": spearman(gain, rate)}
    content = {
        "steps": len(rows),
        "students": int(student.max()) + 1 if len(student) else 0,
        "auc": {
            "encoder1": auc(rows, "p1"),
            "encoder2": auc(rows, "p2"),
            "reference": auc(rows.assign(scored=True), "probability"),
        },
        "losses": losses,
        "scales": {
            "theta": spread(theta),
            "reference ability, dynamic": spread(dynamic),
            "reference ability, static": spread(static),
            "beta": spread(beta),
            "reference difficulty": spread(beta_reference),
        },
        "agreement": agreement,
        "thresholds": thresholds(losses, agreement, reach(q, dynamic, static, student)),
    }
    known: dict[str, Any] = _known(content)
    return known


def divergence(q: Floats, p: Floats) -> dict[str, float]:
    """Divergence of predictions p from the reference's q, in nats a step.

    Returns:
        kl; bce, the cross-entropy of p with q as target; entropy of q, under which bce cannot fall (kl = bce -
        entropy); constant, the kl of the best constant prediction.
    """
    p, q = np.clip(p, _TINY, 1 - _TINY), np.clip(q, _TINY, 1 - _TINY)

    def crossed(x: Floats) -> float:
        return float(np.mean(-q * np.log(x) - (1 - q) * np.log1p(-x)))

    entropy = crossed(q)
    return {
        "kl": crossed(p) - entropy,
        "bce": crossed(p),
        "entropy": entropy,
        "constant": crossed(np.full_like(q, q.mean())) - entropy,
    }


def distances(theta: Floats, ability: Floats, student: NDArray[np.int64]) -> dict[str, float]:
    """Mean squared distance of abilities in the three forms of l_23, logits^2."""
    count = np.bincount(student)
    means = [np.bincount(student, x) / count for x in (theta, ability)]
    return {
        "averaged": float(np.mean((means[0] - means[1]) ** 2)),
        "per_step": float(np.mean((theta - ability) ** 2)),
        "standardized": float(np.mean((theta - (ability - ability.mean()) / max(ability.std(), _TINY)) ** 2)),
    }


def spread(values: Floats) -> dict[str, float]:
    """Mean, standard deviation and range."""
    return {name: float(getattr(values, name)()) for name in ("mean", "std", "min", "max")}


def correlations(x: Floats, y: Floats, student: NDArray[np.int64]) -> dict[str, float]:
    """Pearson and Spearman correlation, pooled, and the mean over students of their own.

    A student counts from LEAST_STEPS scored steps on, if both sides vary; nan where none does.
    """
    rank_x, rank_y = (pd.Series(z).groupby(student).rank().to_numpy() for z in (x, y))
    return {
        "pearson": pearson(x, y),
        "spearman": spearman(x, y),
        "pearson_per_student": _mean_per_group(x, y, student),
        "spearman_per_student": _mean_per_group(rank_x, rank_y, student),
    }


def pearson(x: Floats, y: Floats) -> float:
    """Pearson correlation; nan where one side does not vary beyond rounding."""
    if len(x) < 3 or min(x.std(), y.std()) < 1e-7:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def reach(q: Floats, dynamic: Floats, static: Floats, student: NDArray[np.int64]) -> dict[str, float]:
    """What can be attained: a head that says just what the reference says before each step.

    Against the reference's own quantities that is perfect; against one ability a student from the whole history it is
    what a history up to the step tells of the whole.
    """
    slope, level = np.polyfit(dynamic, static, 1) if dynamic.std() > 1e-7 else (0.0, float(static.mean()))
    return {
        "bce": divergence(q, q)["bce"],
        "static distance": float(np.mean((slope * dynamic + level - static) ** 2)),
        "static correlation": pearson(dynamic, static),
    }


def thresholds(
    losses: Mapping[str, Any], agreement: Mapping[str, Any], attainable: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The research line's thresholds: measured, bound, what is attainable, and the verdict."""
    l_23, bce = losses["l_23"], losses["l_21"]["bce"]
    entries = [
        ("l_21 as published (cross-entropy)", bce, MOST["l_21"], attainable["bce"], "<"),
        ("l_21 (KL)", losses["l_21"]["kl"], MOST["l_21"], 0.0, "<"),
        ("l_22", losses["l_22"], MOST["l_22"], 0.0, "<"),
        ("l_23, per step, dynamic", l_23["dynamic"]["per_step"], MOST["l_23"], 0.0, "<"),
        ("l_23, per step, static", l_23["static"]["per_step"], MOST["l_23"], attainable["static distance"], "<"),
        ("r of abilities, dynamic", agreement["ability, dynamic"]["pearson"], LEAST_CORRELATION, 1.0, ">"),
        (
            "r of abilities, static",
            agreement["ability, static"]["pearson"],
            LEAST_CORRELATION,
            attainable["static correlation"],
            ">",
        ),
        ("r of difficulties", agreement["difficulty"]["pearson"], LEAST_CORRELATION, 1.0, ">"),
    ]
    return [
        {"name": name, "value": value, "bound": bound, "relation": sign, "attainable": best}
        | {"verdict": _verdict(value, bound, best, sign)}
        for name, value, bound, best, sign in entries
    ]


def write_alignment(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a report as JSON, whole or not at all."""
    write_json(path, content)


def _verdict(value: float, bound: float, best: float, sign: str) -> str:
    side = 1.0 if sign == "<" else -1.0
    if side * value < side * bound:
        return "pass"
    return "fail" if side * best < side * bound else "out of reach"


def _known(content: Any) -> Any:
    """Plain data with None in place of nan, which JSON does not have."""
    if isinstance(content, dict):
        return {name: _known(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_known(value) for value in content]
    return None if isinstance(content, float) and np.isnan(content) else content


def _kinds(dynamic: Floats, static: Floats) -> tuple[tuple[str, Floats], ...]:
    return ("dynamic", dynamic), ("static", static)


def _by_student(theta: Floats, static: Floats, student: NDArray[np.int64]) -> dict[str, float]:
    """Correlations of a student's mean ability with the reference's from the whole history, over students."""
    count = np.bincount(student)
    means = [np.bincount(student, x) / count for x in (theta, static)]
    return {"pearson": pearson(*means), "spearman": spearman(*means)}


def _mean_per_group(x: Floats, y: Floats, group: NDArray[np.int64]) -> float:
    """Mean over groups of their own Pearson correlation."""
    count = np.bincount(group)
    a, b = centred_by(group, x), centred_by(group, y)
    both, own_a, own_b = (np.bincount(group, z) for z in (a * b, a * a, b * b))
    known = (count >= LEAST_STEPS) & (np.minimum(own_a, own_b) > 1e-12)
    return float(np.mean(both[known] / np.sqrt(own_a[known] * own_b[known]))) if known.any() else float("nan")
