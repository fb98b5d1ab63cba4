"""Readers: each turns one source format into an InteractionLog, or says in one line why it cannot.

`TableReader(student="uid")(path)` reads a file; `read_csv(path, student="uid")` is the same in one call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gainkt.data.log import InteractionLog
from gainkt.data.readers.akt import AktReader
from gainkt.data.readers.download import DownloadReader
from gainkt.data.readers.ednet import EdnetReader
from gainkt.data.readers.eedi import EediReader
from gainkt.data.readers.matrix import MatrixReader
from gainkt.data.readers.pykt import PyktReader
from gainkt.data.readers.saved import read_log
from gainkt.data.readers.table import TableReader, table_reader

__all__ = [
    "AktReader",
    "DownloadReader",
    "EdnetReader",
    "EediReader",
    "MatrixReader",
    "PyktReader",
    "TableReader",
    "read",
    "read_akt",
    "read_csv",
    "read_log",
    "read_pykt",
]


def read(source: Any, **settings: Any) -> InteractionLog:
    """Read a table: a DataFrame, an Arrow table or a file, with the settings of `TableReader`."""
    return table_reader(settings)(source)


def read_csv(path: str | Path, **settings: Any) -> InteractionLog:
    """Read a file of one interaction a row, with the settings of `TableReader`."""
    return TableReader(**settings)(path)


def read_pykt(path: str | Path, **settings: Any) -> InteractionLog:
    """Read pyKT's preprocessed files, with the settings of `PyktReader`."""
    return PyktReader(**settings)(path)


def read_akt(path: str | Path, **settings: Any) -> InteractionLog:
    """Read AKT's or DKVMN's files, with the settings of `AktReader`."""
    return AktReader(**settings)(path)
