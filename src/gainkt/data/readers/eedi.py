"""Reader for NIPS 2020 education challenge, tasks 3 and 4 (eedi.com/projects/neurips-education-challenge)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import listed
from gainkt.data.readers.frame import Columns, Options, build_log
from gainkt.errors import DataError

_FILES = {
    "train_task_3_4.csv": ("QuestionId", "UserId", "AnswerId", "IsCorrect"),
    "question_metadata_task_3_4.csv": ("QuestionId", "SubjectId"),
    "answer_metadata_task_3_4.csv": ("AnswerId", "DateAnswered"),
    "subject_metadata.csv": ("SubjectId", "Level"),
}


@dataclass(frozen=True, kw_only=True)
class EediReader(Options):
    """Reads train_task_3_4.csv with its metadata: a question's skills are its subjects of the deepest level it has."""

    separator: str | None = ";"
    """What joins the subjects of a question once they are read."""

    def __call__(self, path: str | Path) -> InteractionLog:
        """Read the folder that was unpacked (with data/ and metadata/, or all files in one).

        Raises:
            DataError: a file or column is missing, or a question or answer stands in no metadata.
        """
        path = Path(path)
        tables = {}
        for name, needed in _FILES.items():
            found = sorted(path.rglob(name))
            if not found:
                raise DataError(f"{path}: no {name} in this folder; unpack the challenge's data and metadata into it")
            tables[name] = pd.read_csv(found[0])
            lacking = set(needed) - set(tables[name].columns)
            if lacking:
                raise DataError(f"{found[0]}: no column {', '.join(sorted(lacking))}; download it again")
        answers, questions, times, subjects = tables.values()
        level = dict(zip(subjects["SubjectId"].astype(str), subjects["Level"], strict=True))

        def deepest(cell: str) -> str:
            names = listed(cell)
            bottom = max((level.get(name, 0) for name in names), default=0)
            return ";".join(name for name in names if level.get(name, 0) == bottom)

        skill = dict(zip(questions["QuestionId"], questions["SubjectId"].map(deepest), strict=True))
        time = times.drop_duplicates("AnswerId").set_index("AnswerId")["DateAnswered"]
        columns = Columns(
            student=pa.array(answers["UserId"]),
            skill=pa.array(answers["QuestionId"].map(skill).fillna("")),
            correct=pa.array(answers["IsCorrect"]),
            item=pa.array(answers["QuestionId"]),
            order=pa.array(answers["AnswerId"].map(time).fillna("").astype(str)),
            where=lambda row, role="correct": f"{path}: train_task_3_4.csv: row {row + 1}",
        )
        return build_log(self.name or path.name, columns, self)
