"""How far Encoder 2 agrees with a reference model: divergences, scales, correlations, and thresholds with their reach.

Everything is over the scored steps of the tables that a run leaves; what the reference holds is joined to them by
student and step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.digests import exists, read_table
from gainkt.errors import DataError
from gainkt.evaluation.check import Measured, Need, judge
from gainkt.evaluation.statistics.breakdowns import auc
from gainkt.evaluation.statistics.correlation import CONSTANT, group_means, mean_within, pearson, spearman
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable
from gainkt.files import plain

Floats = NDArray[np.floating]

MIN_STEPS = 5
"""Scored steps from which a student has a correlation of its own."""
MAXIMUM = {"l_21": 0.15, "l_22": 0.10, "l_23": 0.15}
"""Thresholds of the research line: divergence in nats, squared distances in logits^2."""
MIN_CORRELATION = 0.85
"""Its threshold for ability and difficulty."""
REFERENCE = ("probability", "ability", "static_ability", "reference_mastery")
"""What the reference says of each step: chance of a right response, ability before it and over the whole history,
minimum of mastery over the step's skills."""
PLACES = ("gain_head", "curve")
"""Where metrics.csv has each term's gradient: at what Encoder 2 reads (its gain head, or the stream where that has no
parameters), and at the curves, whose offsets are the difficulties."""
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class ReferenceTables:
    """What a fitted reference says of some students, as tables."""

    name: str
    rows: pd.DataFrame
    """student, step and `REFERENCE`, a row a step."""
    difficulty: pd.Series
    """Of each skill in logits, by skill name."""
    learn_rate: pd.Series | None
    """How fast each skill is learnt, by skill name; None where the reference knows no learning."""


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
        reference: as `ReferenceTables.rows`; so `difficulty` and `learn_rate`.
        difficulty: in logits.
        learn_rate: in the reference's own unit.

    Returns:
        Numbers by name; None where one side of a correlation does not vary.

    Raises:
        DataError: the reference says nothing of a scored step.
    """
    rows = _joined(predictions, reference)
    student = pd.factorize(rows["student"])[0]
    column = {name: rows[name].to_numpy(np.float64) for name in ("p1", "p2", "mastery", "readiness", *REFERENCE)}
    q, p2, theta = column["probability"], column["p2"], column["readiness"]
    dynamic, static = column["ability"], column["static_ability"]
    met = skills["practised_steps"].to_numpy() > 0

    def of_skills(values: pd.Series) -> Floats:
        return values.reindex(skills["skill"]).to_numpy(np.float64)[met]

    beta, beta_reference = skills["offset"].to_numpy(np.float64)[met], of_skills(difficulty)
    losses = {
        "l_21": divergence(q, p2),
        "l_22": float(np.mean((beta - beta_reference) ** 2)),
        "l_23": {
            "dynamic": distances(theta, dynamic, student),
            "static": distances(theta, static, student),
        },
    }
    agreement = {
        "prediction": correlations(p2, q, student),
        "mastery": correlations(column["mastery"], column["reference_mastery"], student),
        "ability, dynamic": correlations(theta, dynamic, student),
        "ability, static": correlations(theta, static),
        "ability, mean a student": correlations(*(group_means(student, x) for x in (theta, static))),
        "difficulty": correlations(beta, beta_reference),
        "Encoder 1's prediction": correlations(column["p1"], q, student),
    }
    if learn_rate is not None:
        gain = skills["gain_practised_mean"].to_numpy(np.float64)[met]
        agreement["gain, mean a skill"] = correlations(gain, of_skills(learn_rate))
    attainable = reach(q, dynamic, static, student) | {"difficulty correlation": _perfect(beta_reference)}
    content: dict[str, Any] = plain(
        {
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
            "thresholds": thresholds(losses, agreement, attainable),
        }
    )
    return content


def _joined(predictions: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """Scored steps with what the reference says of them."""
    rows = predictions[predictions["scored"]].merge(reference, on=["student", "step"], how="left", validate="1:1")
    missing = rows[list(REFERENCE)].isna().any(axis=1)
    if missing.any():
        first = rows[missing].iloc[0]
        raise DataError(
            f"the reference says nothing of {int(missing.sum())} of {len(rows)} scored steps, the first of student "
            f"{first['student']!r}, step {first['step']}; ask it about the students of this part of the data"
        )
    return rows


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
    means = [group_means(student, x) for x in (theta, ability)]
    return {
        "averaged": float(np.mean((means[0] - means[1]) ** 2)),
        "per_step": float(np.mean((theta - ability) ** 2)),
        "standardized": float(np.mean((theta - (ability - ability.mean()) / max(ability.std(), _TINY)) ** 2)),
    }


def spread(values: Floats) -> dict[str, float]:
    """Mean, standard deviation and range."""
    return {name: float(getattr(values, name)()) for name in ("mean", "std", "min", "max")}


def correlations(x: Floats, y: Floats, student: NDArray[np.int64] | None = None) -> dict[str, float]:
    """Pearson and Spearman correlation, pooled, and with students the mean over them of their own.

    A student counts from MIN_STEPS scored steps on, if both sides vary; nan where none does.
    """
    pooled = {"pearson": pearson(x, y), "spearman": spearman(x, y)}
    if student is None:
        return pooled
    rank_x, rank_y = (pd.Series(z).groupby(student).rank().to_numpy() for z in (x, y))
    return pooled | {
        "pearson_per_student": mean_within(student, x, y, MIN_STEPS),
        "spearman_per_student": mean_within(student, rank_x, rank_y, MIN_STEPS),
    }


def reach(q: Floats, dynamic: Floats, static: Floats, student: NDArray[np.int64]) -> dict[str, float]:
    """What can be attained: a head that says just what the reference says before each step.

    Against the reference's own quantities that is perfect; against one ability a student from the whole history it is
    what a history up to the step tells of the whole. nan where the reference does not vary.
    """
    slope, level = np.polyfit(dynamic, static, 1) if dynamic.std() > CONSTANT else (0.0, float(static.mean()))
    return {
        "bce": divergence(q, q)["bce"],
        "static distance": float(np.mean((slope * dynamic + level - static) ** 2)),
        "static correlation": pearson(dynamic, static) if dynamic.std() > CONSTANT else 0 * _perfect(static),
        "dynamic correlation": _perfect(dynamic),
        "difficulty correlation": 1.0,
    }


def _perfect(values: Floats) -> float:
    """The correlation of what varies with itself; nan of what does not."""
    return 1.0 if values.std() > CONSTANT else float("nan")


def thresholds(
    losses: Mapping[str, Any], agreement: Mapping[str, Any], attainable: Mapping[str, float]
) -> list[dict[str, Any]]:
    """The research line's thresholds: measured, bound, what is attainable, and the verdict (gainkt.evaluation.check).

    What is attainable is an estimate: where the measured number is better, it stands in its place.
    """
    l_21, l_23 = losses["l_21"], losses["l_23"]
    rows = [
        ("l_21 as published (cross-entropy)", l_21["bce"], "<", MAXIMUM["l_21"], attainable["bce"]),
        ("l_21 (KL)", l_21["kl"], "<", MAXIMUM["l_21"], 0.0),
        ("l_22", losses["l_22"], "<", MAXIMUM["l_22"], 0.0),
        ("l_23, per step, dynamic", l_23["dynamic"]["per_step"], "<", MAXIMUM["l_23"], 0.0),
        ("l_23, per step, static", l_23["static"]["per_step"], "<", MAXIMUM["l_23"], attainable["static distance"]),
        *(
            (f"r of {what}", agreement[of]["pearson"], ">", MIN_CORRELATION, attainable[best])
            for what, of, best in (
                ("abilities, dynamic", "ability, dynamic", "dynamic correlation"),
                ("abilities, static", "ability, static", "static correlation"),
                ("difficulties", "difficulty", "difficulty correlation"),
            )
        ),
    ]
    return [_threshold(*row) for row in rows]


def _threshold(name: str, value: float, relation: str, bound: float, attainable: float) -> dict[str, Any]:
    best = (max if relation == ">" else min)(attainable, value)

    def measure() -> Measured:
        if np.isnan(attainable):
            raise Unmeasurable("the reference does not vary")
        if np.isnan(value):
            raise ModelFault("Encoder 2 does not vary")
        return Measured(value, f"{value:.3f}, {best:.3f} attainable", ceiling=best, ceiling_is_bound=False)

    found = judge(name, name, {"minimum": (Need(relation, bound),)}, measure)
    about = {"name": name, "value": value, "bound": bound, "relation": relation}
    return about | {"attainable": attainable if np.isnan(value) else best, "verdict": found.verdict}


def training_course(metrics: Path) -> list[dict[str, Any]]:
    """Weight and share of the gradient of each term by epoch, as metrics.csv tells; empty where there is none.

    Shares are of the sum of the terms' norms, at each of `PLACES`.
    """
    way = f"`python -m gainkt.train run.resume={metrics.parent}` writes it again"
    if not exists(metrics, way):
        return []
    course = []
    for row in read_table(metrics, way, ("epoch",)).to_dict("records"):
        values = {str(name): float(x) for name, x in row.items() if isinstance(x, int | float) and not np.isnan(x)}
        weight = {name.removeprefix("weight/"): w for name, w in values.items() if name.startswith("weight/") and w}
        entry: dict[str, Any] = {"epoch": int(values["epoch"]), "weight": weight}
        for place in PLACES:
            ending = f"_at_{place}"
            norms = {n.split("/")[1].removesuffix(ending): x for n, x in values.items() if n.endswith(ending)}
            total = sum(norms.values())
            entry[f"gradient_share{ending}"] = {name: x / total for name, x in norms.items() if total}
        course.append(entry)
    return course
