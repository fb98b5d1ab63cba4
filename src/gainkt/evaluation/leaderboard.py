"""Models on data sets, folds and seeds as one table: means, spreads, and differences from a baseline by student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import torch

from gainkt.evaluation.paired import holm, tested
from gainkt.evaluation.statistics.bootstrap import Estimate, StudentBootstrap
from gainkt.evaluation.statistics.metrics import prediction_metrics

KEYS = ("student", "step", "response")
FIGURES = ("auc", "accuracy", "log_loss", "rmse", "calibration_error")
SPEED = ("interactions_a_second", "seconds_to_best")


@dataclass(frozen=True)
class Entry:
    """What came of one model on one data set and fold with one seed."""

    dataset: str
    model: str
    fold: int
    seed: int | None
    """None where the model draws nothing: it is compared with every seed of others."""
    error: str | None = None
    """Why there are no predictions."""
    digest: str = ""
    """Of the scored steps and their responses: equal for all models of a data set and fold."""
    data: str | None = None
    """Of all that was read, training students too: equal for all models of a data set; None where not known."""
    read: Callable[[], pd.DataFrame] = pd.DataFrame
    """Returns the predictions: `KEYS`, and a column of probabilities a row of the table."""
    seconds: float | None = None
    peak_mib: float | None = None
    speed: Mapping[str, float] | None = None
    """Training interactions_a_second, and seconds_to_best, the end of the best epoch; None without epochs."""
    audits: Mapping[str, Any] = field(default_factory=dict)
    """By column: {"passed", "guards"}."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Run:
    entry: Entry
    figures: dict[str, float]
    auc: Estimate


def leaderboard(entries: Sequence[Entry], baseline: str, resamples: int = 200, seed: int = 0) -> dict[str, Any]:
    """Tabulate what models predicted.

    AUC and its difference from the baseline are means over folds and seeds, with the 95 % interval of bootstrap
    resamples of whole students; a student who is in the test part of several folds is drawn for all of them. Runs are
    paired by fold and seed. p as in `gainkt.evaluation.paired`, corrected by Holm's method for the rows of a data set.

    Args:
        entries: one a model, data set, fold and seed.
        baseline: name of a row, or of a model, whose first row is taken.
        resamples: of students.
        seed: of the resamples.

    Returns:
        baseline, and for each data set: name, students, and rows, best AUC first. A row: model, runs (and of how many),
        each of FIGURES and its standard deviation over runs (`auc_sd`; None of one run), auc_interval, difference
        (value, interval, p, holm, pairs, and how many of its own runs are in them; None of the baseline), steps (of
        each run), seconds (mean), peak_mib (largest), interactions_a_second and seconds_to_best (means), audit (passed,
        failed guards; None where there was none), notes, and error. Runs on other steps or data than the baseline's
        (or, without one, than most) count as errors.
    """
    names = dict.fromkeys(entry.dataset for entry in entries)
    boards = [_board(name, [e for e in entries if e.dataset == name], baseline, resamples, seed) for name in names]
    return {"baseline": baseline, "resamples": resamples, "datasets": boards}


def _board(name: str, entries: list[Entry], baseline: str, resamples: int, seed: int) -> dict[str, Any]:
    read = _model_for(entries, baseline, lambda entry: entry.data)
    scored = {
        fold: _model_for([e for e in entries if e.fold == fold], baseline, lambda entry: entry.digest)
        for fold in {entry.fold for entry in entries}
    }
    errors = {id(e): e.error or _unread(e, read) or _unequal(e, scored[e.fold]) for e in entries}
    good = [entry for entry in entries if errors[id(entry)] is None]
    one_a_fold = {entry.fold: entry for entry in good}
    students = pd.Index(sorted({s for e in one_a_fold.values() for s in e.read()["student"].astype(str).unique()}))
    bootstrap = StudentBootstrap(len(students), resamples, seed) if len(students) else None
    runs: dict[str, list[_Run]] = {}
    labels: dict[str, list[str]] = {}
    for entry in good:
        assert bootstrap is not None
        table = entry.read()
        student, y = students.get_indexer(table["student"].astype(str)), table["response"].to_numpy(dtype=np.float32)
        for label in table.columns.drop(list(KEYS)):
            p = table[label].to_numpy(dtype=np.float32, copy=True)
            figures = prediction_metrics(torch.from_numpy(p), torch.from_numpy(y)) | {"steps": len(y)}
            runs.setdefault(label, []).append(_Run(entry, figures, bootstrap.auc(student, p, y)))
            labels.setdefault(entry.model, []).append(label)
    first = next((label for label in (baseline, f"{baseline} E1", *labels.get(baseline, ())) if label in runs), None)
    rows = []
    for model in dict.fromkeys(entry.model for entry in entries):
        own = [entry for entry in entries if entry.model == model]
        said = list(dict.fromkeys(f"fold {e.fold}: {errors[id(e)]}" for e in own if errors[id(e)]))
        error = said[0] + (f" (and {len(said) - 1} more)" if said[1:] else "") if said else None
        for label in dict.fromkeys(labels.get(model, [model])):
            mine, base = runs.get(label, []), runs[first] if first not in (None, label) else []
            found = {"difference": _difference(mine, base), "error": error}
            rows.append({"model": label, "of": len(own), **_row(label, mine), **found})
    if len(students) < 2:  # nobody to resample
        for row in rows:
            row["auc_interval"] = None
    compared = [row["difference"] for row in rows if row["difference"]]
    for difference, corrected in zip(compared, holm([one["p"] for one in compared]), strict=True):
        difference["holm"] = corrected
    rows.sort(key=lambda row: -1.0 if row["auc"] is None else -2.0 - row["auc"])
    return {"name": name, "baseline": first, "students": len(students), "rows": rows}


def _model_for(entries: Sequence[Entry], baseline: str, said: Callable[[Entry], str | None]) -> Entry | None:
    """The entry that others must agree with in what they say: the baseline's, or one of those that most agree with."""
    known = [entry for entry in entries if entry.error is None and said(entry) is not None]
    most = Counter(map(said, known)).most_common(1)
    own = (entry for entry in known if baseline == entry.model or baseline.startswith(f"{entry.model} E"))
    return next(own, next((entry for entry in known if said(entry) == most[0][0]), None))


def _unread(entry: Entry, wanted: Entry | None) -> str | None:
    if wanted is None or entry.data in (None, wanted.data):
        return None
    return "read other data than other jobs, since they have changed; give name=... for another benchmark"


def _unequal(entry: Entry, wanted: Entry | None) -> str | None:
    if wanted is None or entry.digest == wanted.digest:
        return None
    mine, others = len(entry.read()), len(wanted.read())
    return f"scored other steps ({mine:,}) than {wanted.model} ({others:,}); not compared"


def _row(label: str, runs: Sequence[_Run]) -> dict[str, Any]:
    row: dict[str, Any] = {"runs": len(runs)}
    for name in FIGURES:
        values = [run.figures[name] for run in runs]
        row |= {name: mean(values) if values else None}
        row |= {f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
    memory = [run.entry.peak_mib for run in runs if run.entry.peak_mib is not None]
    seconds = [run.entry.seconds for run in runs if run.entry.seconds is not None]
    speeds = {name: [s[name] for run in runs if (s := run.entry.speed) and s[name] is not None] for name in SPEED}
    audits = [run.entry.audits[label] for run in runs if label in run.entry.audits]
    failed = dict.fromkeys(g["name"] for audit in audits for g in audit["guards"] if g["passed"] is False)
    return row | {
        "auc_interval": _mean([run.auc for run in runs]).interval if runs else None,
        "steps": [int(run.figures["steps"]) for run in runs],
        "seconds": mean(seconds) if seconds else None,
        "peak_mib": max(memory, default=None),
        **{name: mean(found) if found else None for name, found in speeds.items()},
        "audit": {"passed": not failed, "failed": list(failed)} if audits else None,
        "notes": list(dict.fromkeys(note for run in runs for note in run.entry.notes)),
    }


def _difference(runs: Sequence[_Run], others: Sequence[_Run]) -> dict[str, Any] | None:
    """Mean over pairs of runs of one fold and seed; a model without seeds is paired with every one."""
    pairs = [
        (one, one.auc - other.auc)
        for one in runs
        for other in others
        if one.entry.fold == other.entry.fold
        and (one.entry.seed == other.entry.seed or None in (one.entry.seed, other.entry.seed))
    ]
    if not pairs:
        return None
    difference = tested(_mean([difference for _, difference in pairs]))
    return {**difference, "pairs": len(pairs), "runs": len({id(one) for one, _ in pairs})}


def _mean(found: Sequence[Estimate]) -> Estimate:
    return Estimate(mean(one.value for one in found), np.mean([one.replicates_R for one in found], axis=0))
