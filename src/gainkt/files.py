"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` at the end, drop it on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield building
        with building.open("rb") as written:
            os.fsync(written.fileno())
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a temporary file and rename it to `path`.

    Raises:
        OSError: it cannot be written; `path` is as it was.
    """
    with replacing(path) as building:
        try:
            write(building)
        except RuntimeError as error:
            # torch.save reports a full disk as a RuntimeError of its archive writer.
            raise OSError(f"{path}: cannot be written ({error}); is the disk full?") from error


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON, readable by a person, whole or not at all."""
    write_whole(path, lambda building: building.write_text(json.dumps(content, indent=2) + "\n"))


def plain(content: Any) -> Any:
    """Turn numpy numbers, tuples and mappings into what JSON has; what is not finite becomes None."""
    if isinstance(content, Mapping):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.generic):
        return plain(content.item())
    if isinstance(content, float) and not np.isfinite(content):
        return None
    return content
