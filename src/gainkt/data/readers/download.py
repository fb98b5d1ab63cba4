"""What lies under a path: the format of a file or folder, found by looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from gainkt.data.log import InteractionLog
from gainkt.data.readers.akt import AktReader
from gainkt.data.readers.frame import Options
from gainkt.data.readers.pykt import FILES, REQUIRED, PyktReader
from gainkt.data.readers.table import TableReader
from gainkt.data.readers.text import encoding_of, head_of
from gainkt.errors import DataError


def format_of(path: Path) -> str | None:
    """Return log, pykt, akt, ednet, eedi, matrix or table; None for a folder of which nothing is known.

    Raises:
        DataError: the path does not exist or cannot be read.
    """
    if path.is_dir():
        return _folder_format(path)
    if path.suffix.lower() in (".parquet", ".feather", ".arrow", ".xlsx"):
        return "table"
    head = head_of(path)
    lines = head.decode(encoding_of(head), errors="replace").lstrip("\ufeff").splitlines()
    filled = [line.strip() for line in lines if line.strip()]
    if not filled:
        return "table"
    if {*REQUIRED} <= {cell.strip() for cell in filled[0].split(",")}:
        return "pykt"
    digits = [line.removesuffix(",") for line in (filled[:-1] if len(head) == 1 << 16 else filled)]
    if (
        all(set(line) <= set("01,; \t") for line in digits)
        and len({len(line) for line in digits}) == 1
        and len(digits[0]) > 4
    ):
        return "matrix"
    numbers = digits[0].replace(" ", "").split(",")
    if len(numbers) <= 2 and numbers[0].isdigit() and any(_is_akt(digits, height) for height in (3, 4)):
        return "akt"
    return "table"


def _is_akt(lines: Sequence[str], height: int) -> bool:
    """Whether lines come in records of `height` whose sequences are equally long, the last of them 0s and 1s."""
    records = [lines[start : start + height] for start in range(0, len(lines) - height + 1, height)][:20]
    return bool(records) and all(
        record[0].count(",") <= 1
        and len({line.count(",") for line in record[1:]}) == 1
        and set(record[-1]) <= set("01,. ")
        for record in records
    )


def _folder_format(path: Path) -> str | None:
    if (path / "meta.json").is_file() and (path / "offsets.npy").is_file():
        return "log"
    if any((path / train).is_file() for train, _ in FILES):
        return "pykt"
    if any(path.rglob("train_task_3_4.csv")):
        return "eedi"
    shown = (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = sorted(file for file in shown if file.suffix in (".csv", ".txt"))
    if (files and files[0].stem[0] == "u" and files[0].stem[1:].isdigit()) or (path / "KT1").is_dir():
        return "ednet"
    return "akt" if files and all(format_of(file) == "akt" for file in files[:3]) else None


@dataclass(frozen=True, kw_only=True)
class DownloadReader(TableReader):
    """Reads a public data set as its owner distributes it, or as pyKT or AKT preprocessed it; which, is looked up."""

    files: Sequence[str] = ()
    """Names of the owner's file, for a folder that holds it."""

    def __call__(self, source: str | Path | pd.DataFrame | pa.Table) -> InteractionLog:
        """Read a file or folder.

        Raises:
            DataError: it is none of these, or cannot be used.
        """
        if not isinstance(source, str | Path):
            return super().__call__(source)
        table, path = self.table_of(source), Path(source)
        if table is not None:
            log = super().__call__(table)
            return replace(log, account={**log.account, "format": "table"})
        shared = {one.name: getattr(self, one.name) for one in fields(Options)}
        shared = {key: value for key, value in shared.items() if key not in ("separator", "published")}
        return (PyktReader if format_of(path) == "pykt" else AktReader)(**shared)(path)

    def table_of(self, source: str | Path) -> Path | None:
        """Return the file that is read as a table; None where pyKT's or AKT's files lie there.

        Raises:
            DataError: it is a folder of something else.
        """
        path = Path(source)
        if path.is_dir():
            named = [path / name for name in self.files if (path / name).is_file()]
            if named:
                return named[0]
        if format_of(path) in ("pykt", "akt"):
            return None
        if path.is_dir():
            found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "nothing"
            raise DataError(
                f"{path}: none of {', '.join(self.files)} nor pyKT's or AKT's files in this folder (found: {found}); "
                "give the file itself"
            )
        return path
