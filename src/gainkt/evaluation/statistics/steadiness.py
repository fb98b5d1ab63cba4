"""How steady an estimate of mastery is, and how true: its movement, its direction, its calibration.

One definition each, for the scorecard of a run and for the estimators of `gainkt teach`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainkt.evaluation.schema import DROP
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import concordance

BINS = 8192
"""Of the histogram of |change|, equal in its square root: at .05 they are .00005 wide, at .2 .0001."""
CALIBRATION_BINS = 10


class Movement:
    """Changes of mastery at steps that do not practise the skill, summed up as they come: memory does not grow.

    change[t, k] = m[t, k] - m[t - 1, k], mastery as believed after step t and after the step before it, k not in S[t].
    Skills are split by whether the student has met them: practised them before the step. An estimator in which only
    answers on a skill change its estimate has 0 throughout. Mean and share of falls are exact, the percentile is the
    middle of its bin (`BINS`).
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._cells = torch.zeros(2 * BINS, dtype=torch.int64, device=device)
        self._moved, self._drops = torch.zeros(2, 2, dtype=torch.float64, device=device)

    def add(self, change: Tensor, met: Tensor, counts: Tensor) -> None:
        """Take changes.

        Args:
            change: of any shape.
            met: bool, broadcasts to it.
            counts: bool of its shape; False where the change is none of those that are looked at.
        """
        kept = torch.where(counts, change, 0)
        size, drop = kept.abs(), kept < -DROP
        place = (size.sqrt() * BINS).nan_to_num_(BINS).clamp_(max=BINS - 1).int()
        place = torch.where(counts, place + BINS * met, 2 * BINS)
        self._cells += torch.bincount(place.flatten(), minlength=2 * BINS + 1)[:-1]
        for number, of in enumerate((~met, met)):
            self._moved[number] += torch.where(of, size, 0).sum(dtype=torch.float64)
            self._drops[number] += (drop & of).sum()

    def __iadd__(self, other: Movement) -> Movement:
        """Take what another one has taken."""
        for name in ("_cells", "_moved", "_drops"):
            mine = getattr(self, name)
            mine += getattr(other, name).to(mine.device)
        return self

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of met and of unmet skills: cells; mean and 95th percentile of |change|; drops, the share of falls over .05.

        All but cells are None where there is no cell, or a mastery is not finite.
        """
        return {"met": self._of(1), "unmet": self._of(0)}

    def _of(self, met: int) -> dict[str, Any]:
        histogram = self._cells.view(2, BINS)[met].cpu().numpy()
        cells, moved = int(histogram.sum()), float(self._moved[met])
        if not cells or not np.isfinite(moved):
            return {"cells": cells, "mean": None, "p95": None, "drops": None}
        place = int(np.searchsorted(np.cumsum(histogram), 0.95 * cells))
        return {
            "cells": cells,
            "mean": moved / cells,
            "p95": ((place + 0.5) / BINS) ** 2 if place else 0.0,
            "drops": float(self._drops[met]) / cells,
        }


def direction(change_N: Array, right_N: Array) -> dict[str, float | None]:
    """How often the estimate of the practised skill rises after a wrong answer, and falls after a right one.

    Args:
        change_N: estimate after the step less that before it.
        right_N: bool, whether the answer was right.
    """
    wrong_N = ~right_N
    return {
        "rises_after_wrong": float((change_N[wrong_N] > 0).mean()) if wrong_N.any() else None,
        "falls_after_right": float((change_N[right_N] < 0).mean()) if right_N.any() else None,
    }


def calibration(estimate: Array, truth: Array, edges: Sequence[float] | None = None) -> dict[str, Any]:
    """Estimated against true mastery: mean difference, RMSE, and means by bins of the estimate.

    Args:
        estimate: [A], in [0, 1].
        truth: [A], true mastery.
        edges: of the bins; 10 equal ones where None.

    Returns:
        bias (estimate less truth), rmse, error (mean over bins of |bias|, weighed by their size), and bins: count,
        estimate, truth.
    """
    cuts = np.linspace(0, 1, CALIBRATION_BINS + 1) if edges is None else np.asarray(edges)
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


def separation(estimate: Array, mastered: Array) -> float | None:
    """AUC of an estimate for being mastered (bool), ties counting half; None where all or none are."""
    above, pairs = concordance(np.zeros(len(estimate), dtype=np.int64), estimate, mastered, 1)
    return float(above[0] / pairs[0]) if pairs[0] else None
