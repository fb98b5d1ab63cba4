"""Correlation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.bootstrap import Array


def ranks(x_N: Array) -> Array:
    """Ranks from 1, ties at their mean; float32 values that are equal but for rounding tie."""
    return pd.Series(np.round(x_N.astype(np.float64), 7)).rank().to_numpy()


def spearman(x_N: Array, y_N: Array) -> float:
    """Rank correlation; nan where one side does not vary or fewer than 3 pairs are known."""
    known = np.isfinite(x_N) & np.isfinite(y_N)
    x, y = ranks(x_N[known]), ranks(y_N[known])
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
