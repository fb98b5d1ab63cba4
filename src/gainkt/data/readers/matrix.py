"""Reader for matrices of 0 and 1, a row a student and a column a question, as Piech's simulated students come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from gainkt.data.log import InteractionLog
from gainkt.data.readers.frame import Columns, Options, build_log
from gainkt.data.readers.text import read_lines, stem_of
from gainkt.errors import DataError


@dataclass(frozen=True, kw_only=True)
class MatrixReader(Options):
    """Reads a file without a header whose rows are students and whose columns are questions, answered in that order.

    Students and questions are named by their number, from 1; a question is its own skill. Commas, semicolons or tabs
    separate cells, with or without blanks beside them, or blanks alone. An empty cell is an answer that is missing.
    """

    separator: str | None = None
    """Nothing joins skills here."""

    def __call__(self, path: str | Path) -> InteractionLog:
        """Read a file (github.com/chrispiech/DeepKnowledgeTracing, data/synthetic).

        Raises:
            DataError: rows differ in length, or the file cannot be used.
        """
        path = Path(path)
        lines = read_lines(path)
        mark = next((mark for mark in ";\t," if mark in lines[0]), None)  # None: blanks, one or several
        rows = [line.split(mark) for line in lines]
        width = len(rows[0])
        ragged = [number for number, row in enumerate(rows) if len(row) != width]
        if ragged:
            raise DataError(
                f"{path}: line {ragged[0] + 1} has {len(rows[ragged[0]])} cells, line 1 has {width} (so in "
                f"{len(ragged)} lines); a matrix has a row a student and a column a question"
            )
        columns = Columns(
            student=pa.array(np.repeat(np.arange(1, len(rows) + 1), width)),
            skill=pa.array(np.tile(np.arange(1, width + 1), len(rows))),
            correct=pa.array([cell for row in rows for cell in row], pa.string()),
            where=lambda row, role="correct": f"{path}: line {row // width + 1} (question {row % width + 1})",
        )
        return build_log(self.name or stem_of(path), columns, self)
