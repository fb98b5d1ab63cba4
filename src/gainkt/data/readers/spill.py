"""Arrays on their way through a reader: kept in memory up to a limit, in temporary files beyond it."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MEMORY = 1 << 26
"""Bytes that are kept in memory."""


class Spill:
    """Records under a key, in the order in which they were appended; the files go with the object."""

    def __init__(self) -> None:
        self._room = MEMORY
        self._held: dict[int, list[NDArray]] = defaultdict(list)
        self._folder: tempfile.TemporaryDirectory | None = None
        self._dtype: np.dtype | None = None

    def append(self, key: int, records: NDArray) -> None:
        """Add records, all of one dtype, to those of a key."""
        self._dtype = records.dtype
        if records.nbytes <= self._room:
            self._room -= records.nbytes
            self._held[key].append(records)
            return
        self._room = 0  # whatever comes later follows this in the files
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="gainkt-")
        with self._file(key).open("ab") as file:
            file.write(np.ascontiguousarray(records).data)

    def load(self, key: int) -> NDArray:
        """Return the records of a key."""
        parts = list(self._held.get(key, []))
        if self._folder is not None and self._file(key).exists():
            assert self._dtype is not None
            parts.append(np.fromfile(self._file(key), dtype=self._dtype))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def drop(self, key: int) -> None:
        """Forget a key."""
        self._held.pop(key, None)
        if self._folder is not None:
            self._file(key).unlink(missing_ok=True)

    def _file(self, key: int) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, str(key))
