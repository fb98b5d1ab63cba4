"""Reader for plain CSV: one interaction a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.data.readers._cells import Where, encode, parse_folds, parse_responses, require, split_skills
from gainkt.data.readers._text import line_of, read_columns
from gainkt.data.readers.frame import Rows, build_log
from gainkt.errors import ConfigError, DataError

_NAMES = pa.dictionary(pa.int32(), pa.string())


def read_csv(
    path: str | Path,
    *,
    student: str = "student",
    skill: str = "skill",
    correct: str = "correct",
    item: str | None = None,
    order: str | None = None,
    fold: str | None = None,
    separator: str = ";",
    name: str | None = None,
) -> InteractionLog:
    """Read a CSV file with a header and one interaction a row, or one row for each skill of an interaction.

    Without an order column rows are taken as they stand and repeats are real attempts. With one, a student's
    rows are sorted by it, and rows with equal values stay as they stand. Where items are known, consecutive
    rows of one student with the same item, the same response and a new skill are folded into one step.

    Args:
        path: UTF-8 text, cells separated by commas.
        student: column of the student's name.
        skill: column of the skill's name, or of several joined by `separator`.
        correct: column of the response: 0 or 1 (0.0, 1.0, true and false are understood).
        item: column of the item's name.
        order: column of a number or an ISO 8601 timestamp.
        fold: column of the student's fold: 0, 1, .. or -1 for a held-out test set.
        separator: what joins the skills of one cell.
        name: name of the data set; the file's name without its ending by default.

    Raises:
        ConfigError: `separator` is empty, or two columns are the same.
        DataError: the file cannot be used; the message names the line.
    """
    columns = {
        "student": student,
        "skill": skill,
        "correct": correct,
        "item": item,
        "order": order,
        "fold": fold,
    }
    given = [column for column in columns.values() if column is not None]
    if len(set(given)) < len(given):
        raise ConfigError(f"columns {given} of {path}: each must be another column")
    if not separator:
        raise ConfigError(f"separator is empty for {path}; give what joins skills in a cell, such as ';'")
    types = dict.fromkeys(given, _NAMES) | ({order: pa.large_string()} if order else {})
    table = read_columns(path, given, [], types)
    path = Path(path)

    def where(row: int) -> str:
        return f"{path}: line {line_of(path, row)}"

    cells = {role: encode(table[column].chunk(0)) for role, column in columns.items() if column and role != "order"}
    for role in ("student", "skill", "item"):
        if role in cells:
            require(cells[role], f"{role} (column {columns[role]!r})", where)
    skills, counts = split_skills(cells["skill"], separator, where)
    rows = Rows(
        student=cells["student"],
        response=parse_responses(cells["correct"], where),
        skill=skills,
        skill_counts=counts,
        item=cells.get("item"),
        order=_parse_order(table[order].chunk(0), order, where) if order else None,
        fold=parse_folds(cells["fold"], where) if fold else None,
    )
    return build_log(name or path.stem, rows, where)


def _parse_order(cells: pa.Array, column: str, where: Where) -> NDArray:
    """Return numbers that sort as the cells do."""
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = pc.cast(cells, kind).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            continue
        if np.isfinite(numbers).all():
            return numbers
    text = cells.to_pandas()
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    unread = ~np.isfinite(numbers)
    if not unread.any():
        return numbers
    # A column that starts with a number is meant to hold numbers; a stray cell does not make it timestamps.
    if unread[0]:
        times = pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601")
        unread = times.isna().to_numpy()
        if not unread.any():
            return times.to_numpy(dtype="datetime64[ns]").astype(np.int64)
    row = int(np.argmax(unread))
    raise DataError(
        f"{where(row)}: order (column {column!r}) is {text[row]!r}, neither a number nor an ISO 8601 "
        "timestamp like the others; correct it or leave the row out"
    )
