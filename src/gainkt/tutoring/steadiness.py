"""How steady an estimate is, and how true: its movement where nothing was practised, its direction, its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gainkt.data.log import InteractionLog
from gainkt.references.base import Students
from gainkt.tutoring.estimator.base import Estimator, Flags, Floats, Ints
from gainkt.tutoring.replay import Told, steps_of

DROP = 0.05
"""A fall by more than this is counted."""
BINS = 10
FOLLOWED = 200
"""Students in whom all skills are followed, at most."""


@dataclass
class Movement:
    """Changes of estimates at steps that do not practise the skill."""

    changes: list[Floats]

    def figures(self) -> dict[str, Any]:
        """Cells; mean and 95th percentile of |change|; share of falls over .05. None where there is no cell."""
        change = np.concatenate(self.changes) if self.changes else np.zeros(0)
        if not len(change):
            return {"cells": 0, "mean": None, "p95": None, "drops": None}
        size = np.abs(change)
        return {
            "cells": len(change),
            "mean": float(size.mean()),
            "p95": float(np.quantile(size, 0.95)),
            "drops": float((change < -DROP).mean()),
        }


def volatility(log: InteractionLog, students: Students, estimator: Estimator) -> dict[str, Any]:
    """Follow some students, all skills at each step: how much estimates move at steps that do not practise the skill.

    A model whose estimate of a skill is changed by answers on it alone has 0 throughout. Skills are split by whether
    the student has met them (practised them before).

    Args:
        log: numbered as the estimator was fitted.
        students: places in the log; all are followed at once, so that some hundred are enough.
        estimator: fitted.

    Returns:
        `met` and `unmet`, figures of `Movement` each.
    """
    met, unmet = Movement([]), Movement([])
    num_skills = log.num_skills
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
        met.changes.append(change[others & seen[rows]])
        unmet.changes.append(change[others & ~seen[rows]])
        estimates[rows] = after
        practised = seen[rows]
        practised[at] = True
        seen[rows] = practised
    return {"met": met.figures(), "unmet": unmet.figures()}


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
        "direction": direction(told, right_L, slots),
        "calibration": calibration(estimate, truth_L[slots]) if truth_L is not None and is_share else None,
    }


def direction(told: Told, right_L: Flags, slots: Ints) -> dict[str, float | None]:
    """How often the estimate of the practised skill rises after a wrong answer, and falls after a right one."""
    change, right = (told.after_L - told.before_L)[slots], right_L[slots]
    return {
        "rises_after_wrong": float((change[~right] > 0).mean()) if (~right).any() else None,
        "falls_after_right": float((change[right] < 0).mean()) if right.any() else None,
    }


def calibration(estimate: Floats, truth: Floats, edges: Sequence[float] | None = None) -> dict[str, Any]:
    """Estimated against true mastery: mean difference, RMSE, and means by bins of the estimate.

    Args:
        estimate: [A], in [0, 1].
        truth: [A], true mastery.
        edges: of the bins; 10 equal ones where None.

    Returns:
        bias (estimate less truth), rmse, error (mean over bins of |bias|, weighed by their size), and bins: count,
        estimate, truth.
    """
    cuts = np.linspace(0, 1, BINS + 1) if edges is None else np.asarray(edges)
    place = np.clip(np.searchsorted(cuts, estimate, side="right") - 1, 0, len(cuts) - 2)
    count = np.bincount(place, minlength=len(cuts) - 1)
    told, true = (np.bincount(place, x, len(cuts) - 1) for x in (estimate, truth))
    used = count > 0
    return {
        "bias": float((estimate - truth).mean()),
        "rmse": float(np.sqrt(np.square(estimate - truth).mean())),
        "error": float(np.abs(told - true).sum() / count.sum()),
        "bins": [
            {"count": int(n), "estimate": float(a / n), "truth": float(b / n)}
            for n, a, b in zip(count[used], told[used], true[used], strict=True)
        ],
    }
