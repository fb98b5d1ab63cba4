"""When a number has no value: the data do not define it, or the model's own output does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.bootstrap import Array, Estimate


class Unmeasurable(ValueError):
    """A number that these data do not define, whatever the model; the message says why."""


class ModelFault(Unmeasurable):
    """A number that the model's own output leaves undefined (not finite, or constant): its check fails."""


def column_of(rows: pd.DataFrame, name: str) -> Array:
    """Return a column as float64.

    Raises:
        Unmeasurable: there are no rows, or no such column.
        ModelFault: a value is missing or not finite.
    """
    if name not in rows:
        raise Unmeasurable(f"the tables hold no {name}: they were recorded without it")
    x = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if not len(x):
        raise Unmeasurable(f"no rows to compute {name} from")
    bad = int((~np.isfinite(x)).sum())
    if bad:
        raise ModelFault(f"{bad} of {len(x)} values of {name} are missing or not finite")
    return x


def scored_rows(predictions: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Some columns of the scored rows; the others would be copied for nothing."""
    return predictions.loc[predictions["scored"].to_numpy(dtype=bool), [c for c in columns if c in predictions]]


def known(estimate: Estimate, otherwise: Unmeasurable) -> Estimate:
    """Return an estimate that has a value.

    Raises:
        Unmeasurable: `otherwise`, where it has none.
    """
    if not np.isfinite(estimate.value):
        raise otherwise
    return estimate


def or_reason(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return a measurement, or a null value with the reason that there is none."""
    try:
        return measure()
    except Unmeasurable as error:
        return {"value": None, "reason": str(error)}
