"""Digests of what was written into a folder, so that a file that was changed since is noticed when it is read.

A folder that holds `digests.json` is watched: that file has the SHA-256 of each of the others. `gainkt.files.replacing`
notes there what it writes into the folder and those below, before the file takes its place and again after: a process
that is killed between the two leaves both digests, and either is whole. `opened` and what stands on it are the only way
in which gainkt reads files of a run. Files that no digest is noted for, as those of older versions, are held to their
form alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from gainkt.errors import ConfigError

DIGESTS = "digests.json"
LEVELS = 3
"""Folders above a file in which its digest is looked for."""
TRIES = 5
"""Looks at a file that another process may be replacing."""


def watch(folder: Path) -> None:
    """Note from now on what is written into a folder."""
    if not (folder / DIGESTS).exists():
        _write(folder, {})


@contextmanager
def noting(path: Path, building: Path) -> Iterator[None]:
    """Note the digest of a file that takes the place of `path` within the block."""
    folder = _watched(path)
    if folder is None:
        yield
        return
    name = path.absolute().relative_to(folder).as_posix()
    with building.open("rb") as file:
        new = _digest(file)
    with _alone(folder):
        noted = _read(folder)
        old = noted.get(name, [])
        # That a digest is known must be on the disk before the file is; that an older one is not, need not.
        _write(folder, {**noted, name: [*old, new]}, sync=True)
    yield
    with _alone(folder):
        noted = _read(folder)
        _write(folder, {**noted, name: [x for x in noted.get(name, []) if x == new or x not in old]})


@contextmanager
def opened(path: Path, way: str) -> Iterator[BufferedReader]:
    """Open a file to be read, if it is what was written there.

    Args:
        path: the file.
        way: what to do where it is not.

    Raises:
        ConfigError: it is missing, or is not what was written.
    """
    for attempt in range(TRIES):
        # An open file stays the same one, whatever takes its place meanwhile.
        try:
            file = path.open("rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ConfigError(f"{path}: is missing; {way}") from None
        with file:
            known = _noted(path)
            if known is None or _digest(file) in known:
                file.seek(0)
                yield file
                return
        time.sleep(0.02 * attempt)
    raise ConfigError(
        f"{path}: was changed since it was written (its digest is not the one in {DIGESTS}); {way}, or, if the change "
        f"is meant, take its line out of {DIGESTS}"
    )


def exists(path: Path, way: str) -> bool:
    """Tell whether a file was written.

    Raises:
        ConfigError: it was, and is missing.
    """
    if not path.is_file() and _noted(path):
        raise ConfigError(f"{path}: is missing; {way}")
    return path.is_file()


@contextmanager
def held_to(path: Path, way: str, *errors: type[Exception]) -> Iterator[None]:
    """Take errors of reading or using a file's content for damage of the file.

    Raises:
        ConfigError: one occurred.
    """
    caught = errors or (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
    try:
        yield
    except ConfigError:
        raise
    except caught as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: is damaged ({type(error).__name__}: {reason}); {way}") from error


def read_json(path: Path, way: str, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Read a file of JSON that holds a dictionary.

    Args:
        path: the file.
        way: what to do where it cannot be read.
        kinds: keys that it must have, and the type of each value.

    Raises:
        ConfigError: it is missing or changed, is not JSON, or lacks a key.
    """
    with opened(path, way) as file, held_to(path, way):
        content = json.loads(file.read().decode("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}")
        for key, kind in kinds.items():
            if key not in content:
                raise ValueError(f"{key} is missing")
            if not isinstance(content[key], kind) or (isinstance(content[key], bool) and kind is int):
                raise ValueError(f"{key} is a {type(content[key]).__name__}")
        return content


def read_table(
    path: Path, way: str, columns: Collection[str] = (), categories: Collection[str] = (), **options: Any
) -> Any:
    """Read a table, of Parquet or else of CSV, as a pandas.DataFrame.

    Args:
        path: the file.
        way: what to do where it cannot be read.
        columns: that it must have; of Parquet, no other is read.
        categories: columns of strings that become categories, of Parquet.
        options: of `pyarrow.parquet.read_table` or `pandas.read_csv`.

    Raises:
        ConfigError: it is missing or changed, is no table, has no rows, or lacks a column.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    with opened(path, way) as file, held_to(path, way, Exception):  # Arrow has errors of its own
        if path.suffix == ".parquet":
            read = pq.read_table(file, columns=list(columns) or None, read_dictionary=list(categories), **options)
            table = read.to_pandas(split_blocks=True, self_destruct=True)
        else:
            table = pd.read_csv(file, **options)
        if lacking := [name for name in columns if name not in table]:
            raise ValueError(f"it lacks {', '.join(lacking[:5])}")
        if table.empty:
            raise ValueError("it has no rows")
        return table


def _watched(path: Path) -> Path | None:
    """The folder whose digests a file's is among."""
    folders = list(path.absolute().parents)[:LEVELS]
    return next((folder for folder in folders if (folder / DIGESTS).is_file()), None)


def _noted(path: Path) -> list[str] | None:
    """Digests that a file may have; None where none was noted."""
    folder = _watched(path)
    return None if folder is None else _read(folder).get(path.absolute().relative_to(folder).as_posix())


def _digest(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, list[str]]:
    path = folder / DIGESTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        assert all(isinstance(digest, str) for digests in content.values() for digest in digests)
    except (ValueError, TypeError, AssertionError, RecursionError):
        raise ConfigError(
            f"{path}: is damaged; put it back, or remove it if you know that the other files are whole"
        ) from None
    return content


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the digests of a folder against other processes for a moment, where the file system knows locks."""
    if os.name != "posix":
        yield
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _write(folder: Path, content: Mapping[str, list[str]], *, sync: bool = False) -> None:
    building = folder / f".{DIGESTS}.{platform.node()}-{os.getpid()}"
    with building.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    building.replace(folder / DIGESTS)
