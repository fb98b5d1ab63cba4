"""The scorecard of a run: its checks, the level reached, what carries the prediction, both encoders side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from gainkt.evaluation.check import MAY_MISS, Rule, level_reached
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.scorecard.carries import PARTS, carries
from gainkt.evaluation.scorecard.comparison import comparison
from gainkt.evaluation.scorecard.immediate_checks import IMMEDIATE
from gainkt.evaluation.scorecard.steadiness import of_mastery
from gainkt.evaluation.scorecard.trajectory_checks import TRAJECTORY
from gainkt.evaluation.statistics.bootstrap import CONFIDENCE, EXACT_ROWS
from gainkt.files import plain

BUILT_IN = (*IMMEDIATE, *TRAJECTORY)
COLUMNS = {
    "predictions": (
        *("student", "step", "skills", "item", "response", "scored", "p1", "p2", "mastery", "mastery_mean"),
        *("gain_practised", "gain_mean", "gain_std", "active_skills", "mastery_falls", "belief_falls", *PARTS.values()),
    ),
    "trajectories": (
        *("student", "step", "window", "skill", "relevant", "response", "gain", "practice"),
        *("mastery_before", "mastery", "mastery_final"),
    ),
    "mastery": ("student", "skill", "mastery"),
}
"""What the built-in checks read of tables that grow with the data; a check that a config adds may read any column."""


def scorecard(
    predictions: pd.DataFrame,
    trajectories: pd.DataFrame,
    skills: pd.DataFrame,
    mastery: pd.DataFrame | None = None,
    movement: pd.DataFrame | None = None,
    *,
    truth: pd.DataFrame | None = None,
    training: Mapping[str, Any] | None,
    validation: pd.DataFrame | None,
    num_skills: int,
    is_trained: bool = True,
    added: Sequence[Rule] = (),
    seed: int = 0,
    resamples: int = 500,
) -> dict[str, Any]:
    """Judge a run by the tables that it left (gainkt.evaluation.schema), as plain data for JSON.

    Args:
        predictions: of one part of the data, all steps.
        trajectories: of the same students (of some of them, if the table was cut: the protocol then says so).
        skills: of the same part.
        mastery: of the same students as the trajectories.
        movement: of the same part.
        truth: of simulated students: student, step, skill, true_mastery (after the step).
        training: finite (bool), gradient_norm_max (before clipping) and epochs; None if it was not watched.
        validation: predictions of the validation part; Encoder 2's AUC is then judged on the lower of the two.
        num_skills: K of the model.
        is_trained: whether Encoder 2 was fitted to anything; no check is measurable where it was not.
        added: rules beside the eleven built-in ones.
        seed: of the bootstrap of students.
        resamples: of the bootstrap of students.

    Returns:
        checks (as gainkt.evaluation.check.Check, by group), level, missing (by level not reached, the checks in its
        way), groups (by group: checks, measurable, and by level how many are asked and held), carries, further,
        protocol (steps_over_all_skills: on how many figures over all skills rest, where not on every step). A number
        that the tables do not define is null, and the reading or reason says why.

    Raises:
        ValueError: a student of the trajectories is not in the predictions.
        ConfigError: an added rule does not measure what it should.
    """
    evidence = Evidence(
        predictions,
        trajectories,
        skills,
        validation,
        training,
        num_skills,
        resamples,
        seed,
        mastery=mastery,
        movement=movement,
        truth=truth,
        is_trained=is_trained,
    )
    rules = sorted((*BUILT_IN, *added), key=lambda rule: list(MAY_MISS).index(rule.group))
    checks = [rule.judge(evidence) for rule in rules]
    level, missing, groups = level_reached(checks)
    return plain(
        {
            "checks": [asdict(check) for check in checks],
            "level": level,
            "missing": missing,
            "groups": groups,
            "carries": carries(evidence),
            "further": {**comparison(evidence, checks), **of_mastery(evidence)},
            "protocol": _protocol(evidence),
        }
    )


def _protocol(evidence: Evidence) -> dict[str, Any]:
    shown, all_students = evidence.trajectories["student"].nunique(), len(evidence.students)
    rows = evidence.has_all_skills
    how = f"seed {evidence.seed}" + (", AUCs linearised" if len(evidence.scored_student) > EXACT_ROWS else "")
    return {
        "students": all_students,
        "students_in_trajectories": shown,
        "trajectories_complete": shown == all_students,
        "steps": len(evidence.predictions),
        "scored_steps": len(evidence.scored_student),
        "skills": evidence.num_skills,
        **({} if rows.all() else {"steps_over_all_skills": int(rows.sum())}),
        "intervals": f"{CONFIDENCE:.0%}, from {evidence.resamples} resamples of students, {how}",
    }
