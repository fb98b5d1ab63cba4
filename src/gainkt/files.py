"""Files that appear whole or not at all, and folders that one process holds at a time."""

from __future__ import annotations

import glob
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from gainkt.digests import noting
from gainkt.errors import ConfigError

LOCK = ".lock"
"""File whose lock a process holds on a folder that is its own."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; rename it to `path` at the end, drop it on an error.

    What a killed process of this machine left of the same file is removed; another machine's is not known to be dead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path.parent.glob(f".{glob.escape(path.name)}{_OF_A_PROCESS}"))
    building = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}")
    try:
        yield building
        with building.open("rb") as written:
            os.fsync(written.fileno())
        with noting(path, building):
            building.replace(path)
    finally:
        building.unlink(missing_ok=True)


_OF_A_PROCESS = f".{glob.escape(platform.node())}-*"
"""How the names of temporary files of this machine end."""


def _remove_left(files: Iterable[Path]) -> None:
    """Remove those of some temporary files whose process is dead."""
    for file in files:
        process = file.name.rpartition("-")[2]
        if process.isdecimal() and not _lives(int(process)):
            file.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Tell whether a process of this machine runs."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


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


@contextmanager
def claimed(folder: Path, name: str = LOCK, way: str = "wait for it to end, or end it") -> Iterator[None]:
    """Hold a folder as long as this process lives; the system lets go of it however the process ends.

    Temporary files that killed processes left in it are removed. A folder that was made here, and that an error leaves
    with nothing in it, is removed again.

    Raises:
        ConfigError: another process holds it; the message ends with the `way` out.
    """
    made = not folder.exists()
    lock = _opened_lock(folder, name, way)
    with lock:
        _remove_left(folder.rglob(f".*{_OF_A_PROCESS}"))
        try:
            yield
        except BaseException:
            if made and folder.is_dir() and [path.name for path in folder.iterdir()] == [name]:
                (folder / name).unlink()
                folder.rmdir()
            raise


def _opened_lock(folder: Path, name: str, way: str) -> IO[str]:
    """Open and lock the file by which a folder is held."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = (folder / name).open("a")
        except FileNotFoundError:  # the folder was taken back at this moment
            continue
        if not _lock(lock.fileno()):
            lock.close()
            raise ConfigError(f"{folder}: another process is at work here; {way}")
        if (folder / name).exists() and os.path.samestat(os.fstat(lock.fileno()), (folder / name).stat()):
            return lock
        lock.close()  # it was taken back between the two


def is_claimed(folder: Path) -> bool:
    """Tell whether a process holds a folder."""
    if not (folder / LOCK).exists():
        return False
    with (folder / LOCK).open("a") as lock:
        return not _lock(lock.fileno())


def _lock(file: int) -> bool:
    """Lock an open file; True too where the file system knows no locks."""
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
