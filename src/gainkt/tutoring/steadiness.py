"""How steady the estimates are that an estimator gives of a log it is told, and how true where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gainkt.data.log import InteractionLog
from gainkt.evaluation.statistics.steadiness import Movement, calibration, direction
from gainkt.references.base import Students
from gainkt.tutoring.estimator.base import Estimator, Floats
from gainkt.tutoring.replay import Told, steps_of

FOLLOWED = 200
"""Students in whom all skills are followed, at most."""


def volatility(log: InteractionLog, students: Students, estimator: Estimator) -> dict[str, Any]:
    """Follow some students, all skills at each step: how much estimates move at steps that do not practise the skill.

    A model whose estimate of a skill is changed by answers on it alone has 0 throughout. Skills are split by whether
    the student has met them (practised them before).

    Args:
        log: numbered as the estimator was fitted.
        students: places in the log; all are followed at once, so that some hundred are enough.
        estimator: fitted.

    Returns:
        Figures of `Movement`.
    """
    moved, num_skills = Movement(), log.num_skills
    seen = np.zeros((len(students), num_skills), dtype=bool)
    estimates = np.zeros((len(students), num_skills))
    for number, (answers, held) in enumerate(steps_of(log, students, estimator)):
        rows = answers.rows
        every = np.broadcast_to(np.arange(num_skills), (len(rows), num_skills))
        if not number:
            estimates[rows] = estimator.mastery(rows, every)
        estimator.observe(answers)
        after = estimator.mastery(rows, every)
        change, others = after - estimates[rows], np.ones((len(rows), num_skills), dtype=bool)
        at = np.broadcast_to(np.arange(len(rows))[:, None], answers.skills.shape)[held], answers.skills[held]
        others[at] = False
        moved.add(*map(torch.from_numpy, (change, seen[rows], others)))
        estimates[rows] = after
        practised = seen[rows]
        practised[at] = True
        seen[rows] = practised
    return moved.figures()


def steadiness(
    log: InteractionLog, students: Students, estimator: Estimator, told: Told, truth_L: Floats | None = None
) -> dict[str, Any]:
    """Volatility over some of the students, direction and, where the truth is known, calibration over all of them.

    Args:
        log: numbered as the estimator was fitted.
        students: places in the log.
        estimator: fitted.
        told: what it said of them.
        truth_L: true mastery after each step, [L].

    Returns:
        `movement` (met and unmet), `direction`, and `calibration`, None where the truth is not known or the estimate is
        no number in [0, 1].
    """
    slots = np.flatnonzero(np.isfinite(told.after_L))
    right_L = np.repeat(log.responses == 1, np.diff(log.skill_offsets))
    estimate, is_share = told.after_L[slots], bool(((told.after_L[slots] >= 0) & (told.after_L[slots] <= 1)).all())
    every = max(1, len(students) // FOLLOWED)
    return {
        "movement": volatility(log, np.asarray(students)[::every][:FOLLOWED], estimator),
        "direction": direction((told.after_L - told.before_L)[slots], right_L[slots]),
        "calibration": calibration(estimate, truth_L[slots]) if truth_L is not None and is_share else None,
    }
