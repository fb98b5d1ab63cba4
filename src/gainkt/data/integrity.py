"""Whether a log holds what a log may hold, and whether a saved one is what was saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gainkt.errors import DataError

if TYPE_CHECKING:
    from gainkt.data.log import InteractionLog

WHOLE = 1 << 26
"""Bytes up to which an array is read whole for its seal; of a larger one BLOCKS blocks are."""
BLOCK, BLOCKS = 1 << 16, 256
MEND = "prepare the log again, or mend the reader that made it"


def seal_of(meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> str:
    """16 hex digits of a saved log: of what meta.json says, and of each array's type, shape and bytes.

    Of an array of more than 64 MiB, 256 blocks of 64 KiB are read, at equal distances, the first and the last of it
    among them.
    """
    state = hashlib.blake2b(json.dumps(meta, sort_keys=True).encode(), digest_size=8)
    for name, array in arrays.items():
        state.update(f"{name}:{array.dtype}:{array.shape}".encode())
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
        starts = range(0, len(content), BLOCK)
        if len(content) > WHOLE:
            starts = np.linspace(0, len(content) - BLOCK, BLOCKS).astype(int).tolist()
        for start in starts:
            state.update(content[start : start + BLOCK].tobytes())
    return state.hexdigest()


def check_ranges(log: InteractionLog) -> None:
    """Check every value of a log's arrays; a mapped one is read through.

    Raises:
        DataError: responses other than 0 and 1, skills or items that the log does not have, offsets that do not
            increase, or numbers that are no integers.
    """
    for name in ("offsets", "skill_offsets", "responses", "skills", "items", "folds"):
        kind = getattr(log, name).dtype
        if kind.kind not in "iub":
            raise DataError(f"{log.name}: {name} are of type {kind}; they must be integers; {MEND}")
    k, i = log.num_skills, log.num_items
    _require(log, "offsets", lambda x: np.diff(x) >= 0, "decrease", "student", overlap=1)
    _require(log, "skill_offsets", lambda x: np.diff(x) >= 1, "give a step no skill", overlap=1)
    _require(log, "responses", lambda x: (x == 0) | (x == 1), "are neither 0 nor 1")
    _require(log, "skills", lambda x: (x >= 0) & (x < k), f"are not in [0, {k})", "slot")
    if i:
        _require(log, "items", lambda x: (x >= 0) & (x < i), f"are not in [0, {i})")
    else:
        _require(log, "items", lambda x: x == -1, "are not -1, though the log has no items")


def _require(
    log: InteractionLog,
    name: str,
    fits: Callable[[NDArray], NDArray[np.bool_]],
    fault: str,
    place: str = "step",
    overlap: int = 0,
) -> None:
    values, wrong, first = getattr(log, name), 0, None
    for start, piece in _pieces(values, overlap):
        bad = np.flatnonzero(~fits(piece))
        wrong += len(bad)
        if first is None and len(bad):
            first = start + int(bad[0])
    if first is not None:
        found = "" if overlap else f" ({values[first]})"
        raise DataError(
            f"{log.name}: {wrong} of {len(values) - overlap} {name} {fault}, the first at {place} {first}{found}; "
            f"{MEND}"
        )


def _pieces(array: NDArray, overlap: int, size: int = 1 << 22) -> Iterator[tuple[int, NDArray]]:
    for start in range(0, len(array) - overlap, size):
        yield start, array[start : start + size + overlap]
