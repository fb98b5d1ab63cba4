"""Why is Encoder 2 weak? Eight questions answered from a run's tables, and what to change first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gainkt.digests import exists, read_table
from gainkt.evaluation.diagnosis import causes, gain_causes, training_causes
from gainkt.evaluation.diagnosis.findings import CAUSE, Question
from gainkt.evaluation.diagnosis.headroom import Tables
from gainkt.files import plain

QUESTIONS = (
    Question("reachable_range", "Which probabilities can Encoder 2 say at all?", causes.reachable_range),
    Question("saturation", "Where does practice no longer move mastery?", causes.saturation),
    Question("gradients", "Which loss steers the gains?", training_causes.gradients),
    Question("gains", "Do gains depend on skill and response?", gain_causes.gains),
    Question("left_over", "What would the artefact have reported as the gain?", gain_causes.left_over),
    Question("parameters", "Where did the parameters go?", training_causes.parameters),
    Question("agreement", "Do the two encoders say the same?", causes.agreement),
    Question("wrong_skill", "Is each step scored by the mastery of its own skills?", causes.wrong_skill),
)
"""In the order in which they are reported."""


def diagnose(
    predictions: pd.DataFrame,
    trajectories: pd.DataFrame,
    skills: pd.DataFrame,
    metrics: str | Path | None = None,
) -> dict[str, Any]:
    """Answer why Encoder 2 is weak, as plain data for JSON.

    Args:
        predictions: of one part of the data, all steps (gainkt.evaluation.schema).
        trajectories: of the same students, or of some of them.
        skills: of the same part.
        metrics: metrics.csv of the run; what training tells is not measured without it.

    Returns:
        findings: one a question, with name, question, measured, status (cause, fine, unmeasured), verdict (one
            line), stake (the headroom: auc, nats, basis; or null), advice and override (null unless it is a cause).
        changes: what to change, in order of expected effect: by headroom in AUC, then in log loss; what no
            table can weigh comes last. Causes with the same change are one entry.
        protocol: students, scored_steps, trajectories_complete, at_stake.

    Raises:
        ValueError: no step is scored.
    """
    path = None if metrics is None else Path(metrics)
    way = f"`python -m gainkt.train run.resume={path.parent}` writes it again" if path is not None else ""
    table = read_table(path, way, ("epoch",)) if path is not None and exists(path, way) else None
    tables = Tables(predictions, trajectories, skills, table)
    findings = [question.ask(tables) for question in QUESTIONS]
    students = predictions["student"].nunique()
    return plain(
        {
            "findings": findings,
            "changes": changes(findings),
            "protocol": {
                "students": students,
                "scored_steps": len(tables.scored),
                "trajectories_complete": trajectories["student"].nunique() == students,
                "at_stake": "what the information that a cause hides adds to Encoder 2's logit by logistic regression "
                "on these steps, with no training",
            },
        }
    )


def changes(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what to change, the largest headroom first: change, override, because (findings), auc, nats."""
    merged: dict[str, dict[str, Any]] = {}
    for found in (found for found in findings if found["status"] == CAUSE):
        headroom = found["stake"] or {"auc": None, "nats": None}
        new = {
            "change": found["advice"],
            "override": found["override"],
            "because": [found["name"]],
            "auc": headroom["auc"],
            "nats": headroom["nats"],
        }
        key = found["override"] or found["advice"]
        old = merged.get(key, {"because": []})
        keeps_old = old["because"] and _weight(old) >= _weight(new)
        merged[key] = {**(old if keeps_old else new), "because": [*old["because"], found["name"]]}
    return sorted(merged.values(), key=_weight, reverse=True)


def _weight(change: Mapping[str, Any]) -> tuple[float, float]:
    """AUC to three decimals, then log loss; a change of unknown headroom comes last."""
    if change["auc"] is None:
        return (-1.0, -1.0)
    return (round(max(change["auc"], 0.0), 3), max(change["nats"], 0.0))
