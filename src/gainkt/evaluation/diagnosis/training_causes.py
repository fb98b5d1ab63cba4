"""Findings read off metrics.csv: which loss term pulls at Encoder 2, and where its parameters went."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.diagnosis.findings import Finding
from gainkt.evaluation.diagnosis.headroom import Tables
from gainkt.evaluation.statistics.measurable import Unmeasurable

PLACES = {"gain_head": "the gain head", "encoder2": "Encoder 2"}
LOSS_OF_ENCODER2 = "bce2"
SMALL_PULL = 0.5
"""Share of the gradient under which Encoder 2's own loss no longer decides."""
WORTH = 0.005
"""AUC from which a level of its own for every skill is worth having."""


def gradients(tables: Tables) -> Finding:
    """Share of each weighted loss term in the sum of gradient norms, at the gain head and in Encoder 2, by epoch."""
    metrics = tables.metrics
    by_place = {place: _shares(metrics, place) for place in PLACES}
    if not any(by_place.values()):
        raise Unmeasurable("metrics.csv holds no gradient norms (gradient_every=0)")
    epochs = metrics["epoch"].tolist()
    moments = {"first": 0, "middle": len(epochs) // 2, "last": len(epochs) - 1}
    measured: dict[str, Any] = {"epochs": epochs, "by_epoch": by_place}
    for place, shares in by_place.items():
        measured[place] = {
            moment: {"epoch": epochs[at], **{term: share[at] for term, share in shares.items()}}
            for moment, at in moments.items()
        }
    last = {place: {term: share[-1] for term, share in shares.items()} for place, shares in by_place.items()}
    rivals = {term: share for term, share in last["gain_head"].items() if term != LOSS_OF_ENCODER2 and share > 0}
    said = "; ".join(
        f"at {title} {', '.join(f'{term} {share:.0%}' for term, share in last[place].items() if share >= 0.005) or '-'}"
        for place, title in PLACES.items()
    )
    advice = "Encoder 2's loss does not reach the gain head: weigh it more", "loss.bce2=0.5"
    if rivals:
        strongest = max(rivals, key=lambda term: rivals[term])
        advice = "terms other than Encoder 2's loss steer the gains: weigh them less", f"loss.{strongest}=0.0"
    return Finding(
        measured,
        f"share of the gradient in the last epoch: {said}",
        last["gain_head"].get(LOSS_OF_ENCODER2, 0.0) < SMALL_PULL,
        None,
        *advice,
    )


def _shares(metrics: pd.DataFrame, place: str) -> dict[str, list[float]]:
    """Share of each term by epoch; a term that a phase leaves out has none there."""
    norms = metrics.filter(regex=rf"^gradient/.*_at_{place}$").fillna(0.0)
    total = norms.to_numpy(dtype=np.float64).sum(1)
    shares = norms.div(np.where(total > 0, total, np.inf), axis=0)
    return {str(c).removeprefix("gradient/").removesuffix(f"_at_{place}"): shares[c].tolist() for c in shares}


def parameters(tables: Tables) -> Finding:
    """Mean and standard deviation by epoch of every parameter of curve, readout and velocity."""
    metrics = tables.metrics
    paths = [str(c).removesuffix("_mean") for c in metrics.filter(regex="^parameter/.*_mean$")]
    if not paths:
        raise Unmeasurable("metrics.csv holds no parameters")
    by_epoch = {
        path.removeprefix("parameter/").rpartition(".")[2]: {
            which: metrics[f"{path}_{which}"].tolist() for which in ("mean", "std")
        }
        for path in paths
    }
    ends = {
        name: {f"{at}_{which}": series[which][i] for at, i in (("first", 0), ("last", -1)) for which in series}
        for name, series in by_epoch.items()
    }
    headroom = tables.headroom(
        tables.skill_level, "a level for every skill, other students' share of right responses, added"
    )
    shared = float(tables.skills["offset"].std(ddof=0)) < 1e-6  # nan, so False, where the curve has none
    moved = ", ".join(
        f"{name} {e['first_mean']:.2f} -> {e['last_mean']:.2f} (std {e['last_std']:.3f})" for name, e in ends.items()
    )
    return Finding(
        {"epochs": metrics["epoch"].tolist(), "by_epoch": by_epoch, "ends": ends},
        moved,
        headroom.auc > WORTH and shared,
        headroom,
        "let skills differ from the start: an offset (initial mastery) of its own for every skill",
        "model.curve.offset.per_skill=true",
    )
