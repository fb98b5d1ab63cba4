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

CALIBRATION_BINS = 10
SHIFT = 15
"""Bits of a float32 that its bin leaves out: 256 bins from any number to its double."""
BINS = 1 << (32 - SHIFT - 1)


class Movement:
    """Changes of mastery at steps that do not practise the skill, summed up as they come: memory does not grow.

    change[t, k] = m[t, k] - m[t - 1, k], mastery as believed after step t and after the step before it, k not in S[t].
    Skills are split by whether the student has met them: practised them before the step. An estimator in which only
    answers on a skill change its estimate has 0 throughout. Mean and share of falls are exact, the percentile is the
    middle of its bin, .2 % away at most.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._histogram = torch.zeros(2 * BINS, dtype=torch.int64, device=device)
        self._cells, self._drops = torch.zeros(2, 2, dtype=torch.int64, device=device)
        self._moved = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, change: Tensor, met: Tensor, counts: Tensor) -> None:
        """Take changes.

        Args:
            change: of any shape.
            met: bool of its shape.
            counts: bool of its shape; False where the change is none of those that are looked at.
        """
        kept = torch.where(counts, change, 0)
        size, drop = kept.abs(), kept < -DROP
        # A float's bits without the sign rise with it; the lowest of its bin's number says whether the skill was met.
        place = size.float().view(torch.int32).bitwise_right_shift(SHIFT).mul_(2).add_(met)
        found = torch.bincount(place.flatten())
        self._histogram[: len(found)] += found
        for sums, of in ((self._cells, counts), (self._drops, drop)):
            sums += torch.stack([torch.count_nonzero(of), torch.count_nonzero(of & met)])
        of_met = size * met
        self._moved += torch.stack([(size - of_met).sum(), of_met.sum()])

    def __iadd__(self, other: Movement) -> Movement:
        """Take what another one has taken."""
        for name in ("_histogram", "_cells", "_drops", "_moved"):
            mine = getattr(self, name)
            mine += getattr(other, name).to(mine.device)
        return self

    def figures(self) -> dict[str, dict[str, Any]]:
        """Of met and of unmet skills: cells; mean and 95th percentile of |change|; drops, the share of falls over .05.

        All but cells are None where there is no cell, or a mastery is not finite.
        """
        (cells, met_cells), (drops, met_drops) = self._cells.tolist(), self._drops.tolist()
        (moved, met_moved), (unmet, met) = self._moved.tolist(), self._histogram.view(BINS, 2).cpu().numpy().T
        return {
            "met": _figures(met, met_cells, met_moved, met_drops),
            "unmet": _figures(unmet, cells - met_cells, moved, drops - met_drops),
        }


def _figures(histogram: Array, cells: int, moved: float, drops: int) -> dict[str, Any]:
    if not cells or not np.isfinite(moved):
        return {"cells": cells, "mean": None, "p95": None, "drops": None}
    # The first bin is that of 0, to which what does not count was set.
    upto = np.cumsum(np.r_[cells - histogram[1:].sum(), histogram[1:]])
    place = int(np.searchsorted(upto, 0.95 * cells))
    ends = (np.array([place, place + 1], dtype=np.int32) << SHIFT).view(np.float32)
    p95 = float(ends.mean(dtype=np.float64)) if place else 0.0
    return {"cells": cells, "mean": moved / cells, "p95": p95, "drops": drops / cells}


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


def separation(estimate: Array, mastered: Array, skill: Array | None = None) -> float | None:
    """AUC of an estimate for being mastered (bool), ties counting half; None where all or none are.

    With the skill of each, from 0 on, the AUC over pairs of one skill: the lower it is without, the less does one
    threshold fit all skills.
    """
    groups = np.zeros(len(estimate), dtype=np.int64) if skill is None else skill
    above, pairs = concordance(groups, estimate, mastered, int(groups.max(initial=0)) + 1)
    return float(above.sum() / pairs.sum()) if pairs.any() else None
