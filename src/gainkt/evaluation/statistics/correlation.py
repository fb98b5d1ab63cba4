"""Correlation, with one rule for a side that does not vary."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from gainkt.evaluation.statistics.bootstrap import Array

CONSTANT = 1e-7
"""Standard deviation under which a column varies by the rounding of float32 only."""


def pearson(x_N: Array, y_N: Array) -> float:
    """Pearson correlation; nan of fewer than 3 pairs, and where one side does not vary."""
    if len(x_N) < 3 or min(x_N.std(), y_N.std()) < CONSTANT:
        return float("nan")
    return float(np.corrcoef(x_N, y_N)[0, 1])


def ranks(x_N: Array) -> Array:
    """Ranks from 1, ties at their mean; float32 values that are equal but for rounding tie."""
    return np.asarray(rankdata(np.round(x_N.astype(np.float64), 7)))


def spearman(x_N: Array, y_N: Array) -> float:
    """Rank correlation of the pairs that are known; nan as `pearson`."""
    both = np.isfinite(x_N) & np.isfinite(y_N)
    return pearson(ranks(x_N[both]), ranks(y_N[both]))


def group_means(group_N: Array, x_N: Array) -> Array:
    """Mean of each group's rows, [G]; 0 where a group has none."""
    return np.bincount(group_N, x_N) / np.maximum(np.bincount(group_N), 1)


def centred_by(group_N: Array, x_N: Array) -> Array:
    """Subtract from each row its group's mean."""
    return x_N - group_means(group_N, x_N)[group_N]


def mean_within(group_N: Array, x_N: Array, y_N: Array, at_least: int) -> float:
    """Mean over groups of their own Pearson correlation; nan where no group has one.

    A group counts from `at_least` rows on, if both sides vary in it.
    """
    x, y = centred_by(group_N, x_N), centred_by(group_N, y_N)
    both, own_x, own_y = (np.bincount(group_N, z) for z in (x * y, x * x, y * y))
    counts = (np.bincount(group_N) >= at_least) & (np.minimum(own_x, own_y) > 1e-12)
    return float(np.mean(both[counts] / np.sqrt(own_x[counts] * own_y[counts]))) if counts.any() else float("nan")
