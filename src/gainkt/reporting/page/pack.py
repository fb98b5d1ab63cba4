"""Tables in a page: columns of small whole numbers, compressed, that a browser reads as typed arrays."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gainkt.files import plain
from gainkt.names import visible

MISSING = -(2**15)
"""Thousandths of a number that is not known."""


def thousandths(values: Any) -> np.ndarray:
    """Return numbers rounded to three decimals, as int16 thousandths: up to +-32.767, MISSING where not finite."""
    x = np.asarray(values, dtype=np.float64)
    known = np.isfinite(x)
    rounded = np.clip(np.rint(np.where(known, x, 0) * 1000), 1 - 2**15, 2**15 - 1)
    return np.where(known, rounded, MISSING).astype(np.int16)


def packed(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return columns as JSON takes them: their types and lengths, and all of their bytes, compressed, as base64.

    Unsigned integers take the smallest type that holds them; int16 stays. Wide columns come first, so that each begins
    where a typed array may.
    """
    fitted = {name: _fitted(np.asarray(column)) for name, column in columns.items()}
    order = sorted(fitted, key=lambda name: -fitted[name].itemsize)
    raw = b"".join(fitted[name].tobytes() for name in order)
    return {
        "columns": [[name, fitted[name].dtype.str[1:], len(fitted[name])] for name in order],
        "bytes": base64.b64encode(gzip.compress(raw, compresslevel=6, mtime=0)).decode("ascii"),
    }


def _fitted(column: np.ndarray) -> np.ndarray:
    if column.dtype == np.int16:
        return column.astype("<i2")
    kind = next(kind for kind in ("<u1", "<u2", "<u4") if not len(column) or column.max() <= np.iinfo(kind).max)
    return column.astype(kind)


def codes(names: pd.Series, known: pd.Index | None = None) -> tuple[np.ndarray, list[str]]:
    """Return the number of each name, and the names as a page shows them; 0 is nothing.

    Args:
        names: may be missing.
        known: in this order; as they appear where None.
    """
    if known is None:
        found, known = pd.factorize(names)
    else:
        found = known.get_indexer(pd.Index(names))
    return found + 1, ["", *map(visible, known)]


def starts(codes_N: np.ndarray, size: int) -> np.ndarray:
    """Return where each code's rows begin and the last ones end, [size + 1]; the codes ascend."""
    return np.searchsorted(codes_N, np.arange(size + 1))


def script_json(content: Any) -> str:
    """Return JSON that no HTML parser reads as anything else, whatever names are in it."""
    text = json.dumps(plain(content), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
