"""The scorecard of a run: eleven checks, the level reached, what carries the prediction, further figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.check import LEVELS, Check, Evidence
from gainkt.evaluation.scorecard.carriers import carries, further
from gainkt.evaluation.scorecard.immediate_checks import IMMEDIATE
from gainkt.evaluation.scorecard.trajectory_checks import TRAJECTORY
from gainkt.evaluation.statistics.bootstrap import CONFIDENCE
from gainkt.files import write_json


def scorecard(
    predictions: pd.DataFrame,
    trajectories: pd.DataFrame,
    skills: pd.DataFrame,
    *,
    training: Mapping[str, Any] | None,
    validation: pd.DataFrame | None,
    num_skills: int,
    seed: int = 0,
    resamples: int = 500,
) -> dict[str, Any]:
    """Judge a run by the tables that it left (gainkt.evaluation.schema), as plain data for JSON.

    Args:
        predictions: of one part of the data, all steps.
        trajectories: of the same students (of some of them, if the table was cut: the protocol then says so).
        skills: of the same part.
        training: finite (bool), gradient_norm_max (before clipping) and epochs; None if it was not watched.
        validation: predictions of the validation part; Encoder 2's AUC is then judged on the lower of the two.
        num_skills: K of the model.
        seed: of the bootstrap of students.
        resamples: of the bootstrap of students.

    Returns:
        checks (eleven, as gainkt.evaluation.check.Check), level, missing (by level not reached, the checks in
        its way), carries, further, protocol. A figure that the tables do not define is null; its check fails
        and its reading says why.

    Raises:
        ValueError: a student of the trajectories is not in the predictions.
    """
    evidence = Evidence(
        predictions, trajectories, skills, validation, training, num_skills, resamples=resamples, seed=seed
    )
    immediate = [rule.judge(evidence) for rule in IMMEDIATE]
    trajectory = [rule.judge(evidence) for rule in TRAJECTORY]
    level, missing = level_reached(immediate, trajectory)
    return plain(
        {
            "checks": [asdict(check) for check in (*immediate, *trajectory)],
            "level": level,
            "missing": missing,
            "carries": carries(evidence),
            "further": further(evidence, immediate),
            "protocol": _protocol(evidence),
        }
    )


def level_reached(immediate: Sequence[Check], trajectory: Sequence[Check]) -> tuple[str, dict[str, list[str]]]:
    """Return the level of a run, and by level not reached the names of the checks that do not hold at it.

    minimum: 4 of 5 immediate and 4 of 6 trajectory checks at their minimum, nothing left aside.
    target:  minimum, and 5 of 5 and 5 of 6 at target, leaving aside what is shown out of reach.
    optimal: target, and all at optimal (which asks Encoder 2 AUC > .65), leaving aside likewise.
    """
    allowed = {"minimum": (1, 2), "target": (0, 1), "optimal": (0, 0)}
    reached = "none"
    missing: dict[str, list[str]] = {}
    for level in LEVELS:
        misses = [
            [check.name for check in group if not check.reaches(level, leave_aside=level != "minimum")]
            for group in (immediate, trajectory)
        ]
        if missing or any(len(names) > most for names, most in zip(misses, allowed[level], strict=True)):
            missing[level] = misses[0] + misses[1]
        else:
            reached = level
    return reached, missing


def write_scorecard(card: Mapping[str, Any], path: str | Path) -> None:
    """Write a scorecard as JSON, whole or not at all."""
    write_json(path, card)


def _protocol(evidence: Evidence) -> dict[str, Any]:
    shown, all_students = evidence.trajectories["student"].nunique(), len(evidence.students)
    return {
        "students": all_students,
        "students_in_trajectories": shown,
        "trajectories_complete": shown == all_students,
        "steps": len(evidence.predictions),
        "scored_steps": len(evidence.scored),
        "skills": evidence.num_skills,
        "intervals": f"{CONFIDENCE:.0%}, from {evidence.resamples} resamples of students, seed {evidence.seed}",
    }


def plain(content: Any) -> Any:
    """Turn numpy numbers, tuples and mappings into plain Python; what is not finite becomes None."""
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
