"""Reader for a log that was saved before (InteractionLog.save, scripts/prepare_data.py)."""

from __future__ import annotations

from pathlib import Path

from gainkt.data.log import InteractionLog


def read_log(path: str | Path) -> InteractionLog:
    """Open a saved log; its arrays are memory-mapped and read when they are used.

    Raises:
        DataError: the folder is missing, incomplete, damaged, or of another format.
    """
    return InteractionLog.open(path)
