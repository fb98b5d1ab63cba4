"""Leakage guards on what was recorded: chance on shuffled labels, one score a step, students apart, kt-audit.

A guard gives {name, passed (None: not measured), verdict (gainkt.evaluation.check), measured, reading}. Those that need
the model: gainkt.runs.leakage_probe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.check import FAIL, NOT_MEASURABLE, PASS
from gainkt.evaluation.statistics.bootstrap import Array, StudentBootstrap
from gainkt.evaluation.statistics.breakdowns import auc_of
from gainkt.evaluation.statistics.measurable import column_of
from gainkt.names import SEVERAL, unjoined

Guard = dict[str, Any]
NUM_SHUFFLES = 20
AUDIT_ROWS = 200_000
"""Rows over which kt-audit leaves out its baseline."""
ABOUT_MODEL = frozenset({"cheap_baseline", "degenerate"})
"""Checks of kt-audit that find a weak model, not a leak."""
VERDICTS = {True: PASS, False: FAIL, None: NOT_MEASURABLE}


def guard(name: str, passed: bool | None, measured: Mapping[str, Any], reading: str) -> Guard:
    """Return the result of a guard."""
    passed = None if passed is None else bool(passed)
    return {
        "name": name,
        "passed": passed,
        "verdict": VERDICTS[passed],
        "measured": dict(measured),
        "reading": reading,
    }


def chance_level(
    predictions: pd.DataFrame, column: str = "p2", *, labels: Array | None = None, resamples: int = 200, seed: int = 0
) -> Guard:
    """Tell whether .5 lies within the 95 % student-bootstrap interval of an AUC.

    For a model that was trained on shuffled labels the labels are its own; a trained model is scored against 20
    shuffles of them. Their mean AUC must then lie no further from .5 than half of the interval of one is wide (one
    shuffle alone misses .5 one time in 20).

    Args:
        predictions: of one part of the data.
        column: p1 or p2.
        labels: responses of the scored rows to score against; 20 shuffles of the recorded ones where None.
        resamples: of the bootstrap.
        seed: of shuffles and bootstrap.
    """
    name, scored = f"shuffled_labels_{column}", _scored(predictions)
    p, student = column_of(scored, column), pd.factorize(scored["student"])[0]
    y = column_of(scored, "response") if labels is None else labels
    if np.ptp(y) == 0:
        return guard(name, None, {}, f"{column}: all responses are alike, so that there is no AUC")
    draw = np.random.default_rng(seed)
    tried = [draw.permutation(y) for _ in range(NUM_SHUFFLES)] if labels is None else [labels]
    found = float(np.mean([auc_of(p, y) for y in tried]))
    estimate = StudentBootstrap(int(student.max()) + 1, resamples, seed).auc(student, p, tried[0])
    low, high = (found + end - estimate.value for end in estimate.interval or (np.nan, np.nan))
    passed = low <= 0.5 <= high
    what = f"{NUM_SHUFFLES} shuffles of the labels" if labels is None else "these labels"
    away = "" if passed else ", away from .5: predictions know what they should not"
    reading = f"{column} against {what}: AUC {found:.4f} [{low:.4f}, {high:.4f}]{away}"
    return guard(name, passed, {"auc": found, "interval": [low, high]}, reading)


def scored_once(predictions: pd.DataFrame, lengths: Mapping[str, int]) -> Guard:
    """Tell whether each step is scored once, the first of a history never, and no item's skills lie on rows apart.

    Args:
        predictions: of one part of the data, all steps.
        lengths: steps of each student of the part, by name.
    """
    scored, expanded = _scored(predictions), _expanded(predictions)
    measured = {
        "scored": len(scored),
        "expected": int(sum(max(length - 1, 0) for length in lengths.values())),
        "scored_twice": int(scored.duplicated(["student", "step"]).sum()),
        "of_unknown_students": int((~predictions["student"].isin(list(lengths))).sum()),
        "steps_of_several_skills": int(scored["skills"].str.contains(SEVERAL).sum()),
        "expanded_rows": expanded,
    }
    faults = measured["scored_twice"], measured["of_unknown_students"], expanded or 0
    several = f"{measured['steps_of_several_skills']} have several skills"
    repeats = "items are not named"
    if expanded is not None:
        repeats = f"{expanded} rows repeat the item before them for another skill"
    return guard(
        "scored_once",
        len(scored) == measured["expected"] and not any(faults),
        measured,
        f"{len(scored)} scored steps, {measured['expected']} expected (steps less one a student), "
        f"{measured['scored_twice']} of them twice; {several}; {repeats}",
    )


def _scored(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["scored"].to_numpy(dtype=bool)]


def _expanded(predictions: pd.DataFrame) -> int | None:
    """Rows that repeat student, item and response of the row before with a new skill; None without items."""
    if predictions["item"].isna().all():
        return None
    rows = predictions[["student", "item", "response"]]
    same = (rows == rows.shift()).all(axis=1)
    return int((same & (predictions["skills"] != predictions["skills"].shift())).sum())


def students_apart(parts: Mapping[str, Array]) -> Guard:
    """Tell whether no student stands in two parts (or twice in one).

    Args:
        parts: the students' names by part.
    """
    everyone = pd.Series(np.concatenate([np.asarray(names).astype(str) for names in parts.values()]))
    crossing = int(everyone[everyone.duplicated()].nunique())
    counts = {name: len(students) for name, students in parts.items()}
    said = ", ".join(f"{name} {count}" for name, count in counts.items())
    measured = {**counts, "in_two_parts": crossing}
    return guard("students_apart", crossing == 0, measured, f"{crossing} students cross parts ({said})")


def export_audit(parts: Mapping[str, pd.DataFrame], column: str = "p1") -> pd.DataFrame:
    """Return scored predictions in the format of kt-audit: a row a (student, step), the step number as its time.

    Args:
        parts: predictions by part of the data (train, valid, test).
        column: p1 or p2.
    """
    rows = pd.concat([_scored(table).assign(split=name) for name, table in parts.items()], ignore_index=True)
    table = pd.DataFrame(
        {
            "user_id": rows["student"],
            "timestamp": rows["step"].astype(np.int64),
            "split": rows["split"],
            "kc_ids": rows["skills"].map(lambda joined: json.dumps(unjoined(str(joined)))),
            "item_id": rows["item"],
            "y_true": rows["response"].astype(np.int64),
            "y_pred": rows[column].astype(np.float64),
        }
    )
    return table.drop(columns="item_id") if table["item_id"].isna().all() else table


def kt_audit(export: pd.DataFrame, column: str = "p1") -> Guard:
    """Run the audit of the public package kt-audit over an export; a weak model is no leak, but is told.

    Args:
        export: as `export_audit` gives it.
        column: what was exported, for the guard's name.
    """
    name = f"kt_audit_{column}"
    try:
        import kt_audit as package
    except ImportError:
        return guard(name, None, {}, "kt-audit is not installed: pip install 'gainkt[dev]'")
    report = package.audit_frame(export, package.AuditConfig())
    found = [
        {"check": f.check, "severity": f.severity, "message": f.message, "count": int(f.count)} for f in report.findings
    ]
    leaks = [f for f in found if f["severity"] == "error" and f["check"] not in ABOUT_MODEL]
    baseline = next(iter(report.baselines.values()), {})
    said = "; ".join(f"{f['check']}: {f['message']}" for f in found if f["severity"] != "info")
    said = said or "no error, no warning"
    if baseline:
        said += f" (a tree over past counts has AUC {baseline['baseline_auc']:.3f})"
    return guard(
        name,
        not leaks,
        {"verdict": report.verdict, "version": package.__version__, "rows": len(export), "findings": found, **baseline},
        f"kt-audit {package.__version__}, {len(export)} rows: {said}",
    )
