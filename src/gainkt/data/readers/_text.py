"""Text files: opening and parsing them, and saying where in a file something is wrong."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from gainkt.errors import DataError, nearest

# A row must fit in one block; the longest histories of public data take a few megabytes as text.
_BLOCK_BYTES = 1 << 25


def existing_file(path: str | Path) -> Path:
    """Return the path of a file that exists and is not empty.

    Raises:
        DataError: it is missing, a folder, empty, or may not be read.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the path of a file")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path (relative paths start at {Path.cwd()})")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read by this user; change its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; export it again")
    return path


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a UTF-8 file without their ends; empty lines at the end of the file are left out.

    Raises:
        DataError: the file is missing, empty, or not UTF-8.
    """
    path = existing_file(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file holds empty lines only; export it again")
    return lines


def header_of(path: Path) -> list[str]:
    """Return the column names of a CSV file."""
    try:
        return next((row for _, row in _rows(path) if row), [])
    except UnicodeDecodeError:
        raise not_utf8(path) from None


def read_columns(
    path: str | Path, required: Sequence[str], optional: Sequence[str], types: Mapping[str, pa.DataType]
) -> pa.Table:
    """Return the named columns of a CSV file as text, in one chunk each; other columns are not read.

    Args:
        path: a UTF-8 file with a header; cells are separated by commas and may be quoted.
        required: columns that must be there.
        optional: columns that are read where they are there.
        types: Arrow type of each column.

    Raises:
        DataError: a file missing, empty, not UTF-8 or ragged; a column missing or twice there.
    """
    path = existing_file(path)
    header = header_of(path)
    for column in required:
        if column not in header:
            if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
                raise DataError(f"{path}: line 1 has one cell, {header[0]!r}; separate cells by commas")
            raise DataError(f"{path}: no column {column!r}{nearest(column, header)}")
    columns = [*required, *(column for column in optional if column in header)]
    for column in columns:
        if header.count(column) > 1:
            raise DataError(f"{path}: column {column!r} stands {header.count(column)} times; rename all but one")
    try:
        table = pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types={c: types[c] for c in columns},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _explained(path, len(header), error) from error
    if table.num_rows == 0:
        raise DataError(f"{path}: nothing but a header; export the file again with its rows")
    return table.unify_dictionaries().combine_chunks()


def line_of(path: Path, row: int) -> int:
    """Return the line (from 1) on which a row (from 0, header not counted) of a CSV file starts.

    Walks through the file, since empty lines and line ends in quotes count: for error messages only.
    """
    filled = (line for line, cells in _rows(path) if cells)
    return next(line for number, line in enumerate(filled) if number == row + 1)


def not_utf8(path: Path) -> DataError:
    """Return the error for a file that is not UTF-8, with the place of the first wrong byte."""
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start
        line, column = data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at)
        return DataError(
            f"{path}: line {line}, byte {column} is 0x{data[at]:02x}, not UTF-8 text; save the file as UTF-8"
        )
    raise AssertionError(f"{path} is UTF-8")


def _explained(path: Path, width: int, error: pa.ArrowInvalid) -> DataError:
    """Return the error for a file that Arrow refused, with the line where it can be told."""
    if "UTF" in str(error):
        return not_utf8(path)
    try:
        for line, cells in _rows(path):
            if cells and len(cells) != width:
                return DataError(
                    f"{path}: line {line} has {len(cells)} cells, the header has {width}; "
                    "quote cells that hold commas, or export the file again"
                )
    except UnicodeDecodeError:
        return not_utf8(path)
    return DataError(f"{path}: cannot be parsed as CSV ({str(error).splitlines()[0]}); export the file again")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line (from 1) on which each row starts, and its cells."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            line = 1
            for cells in reader:
                yield line, cells
                line = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)
