"""Reader for a log that was saved before (InteractionLog.save, gainkt.prepare)."""

from __future__ import annotations

from pathlib import Path

from gainkt.data.log import InteractionLog


def read_log(path: str | Path, verify: bool = False) -> InteractionLog:
    """Open a saved log; its arrays are memory-mapped and read when they are used.

    Args:
        path: its folder.
        verify: read every byte first, and not only blocks of arrays over 64 MiB.

    Raises:
        DataError: the folder is missing, incomplete, of another format, or not what was saved.
    """
    return InteractionLog.open(path, verify=verify)
