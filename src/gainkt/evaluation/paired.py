"""Runs held against each other on the same steps of the same students."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gainkt.errors import DataError
from gainkt.evaluation.statistics.bootstrap import Array, Estimate, StudentBootstrap
from gainkt.evaluation.statistics.metrics import LEAST
from gainkt.names import visible

METRICS = {
    **{f"encoder{n}_auc": (f"Encoder {n} AUC", "higher") for n in (1, 2)},
    **{f"encoder{n}_log_loss": (f"Encoder {n} log loss, nats", "lower") for n in (1, 2)},
    **{f"encoder{n}_accuracy": (f"Encoder {n} accuracy", "higher") for n in (1, 2)},
}
"""Title of each metric, and which is better."""
ROUNDING = 1e-9
"""Spread over resamples, as a share of a difference, up to which it is that of sums of floats."""


def paired_differences(predictions: Mapping[str, pd.DataFrame], resamples: int = 500, seed: int = 0) -> dict[str, Any]:
    """Compare runs with the first of them, by whole students.

    A difference has the 95 % interval of the same bootstrap resamples of students in both runs. Its p-value is
    two-sided, from the difference over its bootstrap standard error taken as normal; `holm` corrects it for the runs
    compared by the same metric. `students` asks the same of the log loss without that assumption: Wilcoxon's
    signed-rank test over each student's mean difference.

    Args:
        predictions: by run, as in predictions.parquet; at least two, of the same students and steps.
        resamples: of students.
        seed: of the resamples.

    Returns:
        students, steps (both scored), and for each of METRICS: title, better, values and differences, one a run: value,
        interval, p, holm; None for the first.

    Raises:
        DataError: the runs were scored on other steps.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
    """
    rows = _aligned(predictions)
    first = next(iter(rows.values()))
    student, names = pd.factorize(first["student"])
    response = first["response"].to_numpy(dtype=float)
    bootstrap = StudentBootstrap(len(names), resamples, seed)
    table = []
    for key, (title, better) in METRICS.items():
        column = "p1" if key.startswith("encoder1") else "p2"
        found = [
            _estimate(key, bootstrap, student, own[column].to_numpy(dtype=float), response) for own in rows.values()
        ]
        differences = [None, *(tested(other - found[0]) for other in found[1:])]
        for entry, corrected in zip(differences[1:], holm([d["p"] for d in differences[1:] if d]), strict=True):
            assert entry is not None
            entry["holm"] = corrected
        values = [{"value": one.value, "interval": one.interval} for one in found]
        row = {"name": key, "title": title, "better": better, "values": values, "differences": differences}
        if key.endswith("log_loss"):
            losses = [_loss(own[column].to_numpy(dtype=float), response) for own in rows.values()]
            row["students"] = [None, *(_wilcoxon(student, loss - losses[0], len(names)) for loss in losses[1:])]
        table.append(row)
    return {"students": len(names), "steps": len(first), "metrics": table}


def _aligned(predictions: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Scored rows of each run in one order."""
    keys, made = ["student", "step", "response"], {}
    for name, table in predictions.items():
        scored = table.loc[table["scored"], [*keys, "p1", "p2"]]
        made[name] = scored.sort_values(keys[:2], kind="stable", ignore_index=True)
    first, *others = made
    for other in others:
        one, two = made[first], made[other]
        if len(one) != len(two) or not one[keys].equals(two[keys]):
            raise DataError(
                f"{visible(other)} and {visible(first)} were not scored on the same steps ({len(two):,} of "
                f"{two['student'].nunique():,} students, and {len(one):,} of {one['student'].nunique():,}); compare "
                "runs of one data set, split and window length"
            )
    return made


def _estimate(key: str, bootstrap: StudentBootstrap, student_N: Array, p_N: Array, y_N: Array) -> Estimate:
    if key.endswith("auc"):
        return bootstrap.auc(student_N, p_N, y_N)
    return bootstrap.mean(student_N, _loss(p_N, y_N) if key.endswith("log_loss") else (p_N >= 0.5) == (y_N > 0.5))


def _loss(p_N: Array, y_N: Array) -> Array:
    p = np.clip(p_N, LEAST, 1 - LEAST)
    return -(y_N * np.log(p) + (1 - y_N) * np.log1p(-p))


def tested(found: Estimate) -> dict[str, Any]:
    """Return a difference: value, 95 % interval, and p as `paired_differences` says.

    Where resamples differ by rounding alone, as with one student or with equal ones, there is neither interval nor p,
    but of a difference of exactly 0, whose p is 1.
    """
    known = found.replicates_R[np.isfinite(found.replicates_R)]
    error = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    if found.value == 0:
        return {"value": found.value, "interval": found.interval, "p": 1.0}
    if not np.isfinite(found.value) or error <= ROUNDING * abs(found.value):
        return {"value": found.value, "interval": None, "p": None}
    return {"value": found.value, "interval": found.interval, "p": float(2 * stats.norm.sf(abs(found.value) / error))}


def _wilcoxon(student_N: Array, difference_N: Array, num_students: int) -> dict[str, Any]:
    """Students whose log loss is lower in the other run, and in the first, and how likely that is by chance."""
    count = np.bincount(student_N, minlength=num_students)
    means = np.bincount(student_N, difference_N, num_students) / np.maximum(count, 1)
    p = 1.0 if not means.any() else float(stats.wilcoxon(means).pvalue)
    return {"better": int((means < 0).sum()), "worse": int((means > 0).sum()), "p": p}


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct m p-values for their number: the i-th smallest becomes max over j <= i of (m - j + 1) p_j, at most 1.

    None, where nothing could be tested, stays None and does not count.
    """
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    most = 0.0
    for place, (p, at) in enumerate(known):
        corrected[at] = most = max(most, min((len(known) - place) * p, 1.0))
    return corrected
