"""Reader for EdNet KT1 (github.com/riiid/ednet): a folder of a file a student, scored with questions.csv."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import encode
from gainkt.data.readers.frame import KEY, Columns, Options, build_log, natural_key
from gainkt.data.readers.text import TextTable
from gainkt.errors import DataError

_QUESTION = ("question_id", "correct_answer", "tags")
_ANSWER = ("timestamp", "question_id", "user_answer")


@dataclass(frozen=True, kw_only=True)
class EdnetReader(Options):
    """Reads u1.csv, u2.csv, ...: timestamp, question_id and user_answer, a letter; a question's tags are its skills."""

    questions: str | None = None
    """questions.csv, with question_id, correct_answer and tags; looked for in and beside the folder where null."""
    separator: str | None = ";"
    """What joins the tags of a question."""

    def __call__(self, path: str | Path) -> InteractionLog:
        """Read the folder (KT1, or the one that holds it).

        Raises:
            DataError: no files or no questions, or they cannot be used.
        """
        path = Path(path)
        folder = path / "KT1" if (path / "KT1").is_dir() else path
        files = sorted(folder.glob("u*.csv"), key=lambda file: natural_key(file.stem)) if folder.is_dir() else []
        if not files:
            raise DataError(f"{path}: no u*.csv in this folder; give EdNet's folder KT1")
        questions = self._questions(path)
        header = files[0].read_text(encoding="utf-8-sig").partition("\n")[0] + "\n"
        texts = [file.read_text(encoding="utf-8-sig").partition("\n") for file in files]
        odd = next((file for file, text in zip(files, texts, strict=True) if text[0].strip() != header.strip()), None)
        if odd is not None:
            raise DataError(
                f"{odd}: line 1: another header than in {files[0].name} ({header.strip()}); export it again"
            )
        counts = np.array([len(text[2].splitlines()) for text in texts])
        body = header + "".join(text[2] if text[2].endswith("\n") or not text[2] else text[2] + "\n" for text in texts)
        try:
            table = pa.csv.read_csv(
                io.BytesIO(body.encode()),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=list(_ANSWER),
                    column_types=dict.fromkeys(_ANSWER[1:], pa.string()),
                    strings_can_be_null=False,
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            width = header.count(",")
            bad = [
                (f, n)
                for f, t in zip(files, texts, strict=True)
                for n, line in enumerate(t[2].splitlines(), 2)
                if line and line.count(",") != width
            ]
            place = (
                f"{bad[0][0]}: line {bad[0][1]} has another number of cells than the header (so in {len(bad)} lines)"
            )
            reason = place if bad else f"{folder}: cannot be parsed ({str(error).splitlines()[0]})"
            raise DataError(f"{reason}; export it again") from error
        if table.num_rows != counts.sum():
            raise DataError(f"{folder}: {table.num_rows} rows in {int(counts.sum())} lines; export them again")
        student = np.repeat(np.arange(len(files)), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])

        def where(row: int, role: str = "correct") -> str:
            return f"{files[student[row]]}: line {row - int(starts[student[row]]) + 2}"

        asked, answer = encode(table["question_id"]), encode(table["user_answer"])
        known: dict[str, int] = {}
        lines = list(zip(*(questions[column].to_pylist() for column in _QUESTION), strict=True))
        for row, line in enumerate(lines):
            if lines[known.setdefault(line[0], row)] != line:
                raise DataError(
                    f"questions.csv: line {row + 2}: question {line[0]!r} stands there twice, with other answers or "
                    "tags; keep one of them"
                )
        strange = [code for code, name in enumerate(asked.names) if name not in known]
        if strange:
            rows = asked.among(strange)
            row = int(np.argmax(rows))
            raise DataError(
                f"{where(row)}: question {asked.names[asked.codes[row]]!r} is not in questions.csv ({len(strange)} of "
                f"{len(asked.names)} questions are not, in {int(rows.sum())} rows); give the file that belongs to it"
            )
        row_of = np.array([known[name] for name in asked.names])
        letters = [letter.strip().lower() for letter in questions["correct_answer"].to_pylist()]
        right = np.array(letters, dtype=object)[row_of][asked.codes]
        given = np.array([name.lower() for name in answer.names], dtype=object)[answer.codes]
        correct = np.where(given == "", "", np.where(given == right, "1", "0"))
        tags = ["" if tag == "-1" else tag for tag in questions["tags"].to_pylist()]
        columns = Columns(
            student=pa.DictionaryArray.from_arrays(pa.array(student), pa.array([file.stem for file in files])),
            skill=pa.array(np.array(tags, dtype=object)[row_of][asked.codes], pa.string()),
            correct=pa.array(correct, pa.string()),
            item=table["question_id"],
            order=table["timestamp"],
            where=where,
            labels={"skill": "skill (tags of the question)", "correct": "user_answer"},
        )
        return build_log(self.name or path.name, columns, self)

    def _questions(self, path: Path) -> pa.Table:
        near = [place / "questions.csv" for place in (path, path / "contents", path.parent, path.parent / "contents")]
        found = [Path(self.questions).expanduser()] if self.questions else [place for place in near if place.is_file()]
        if not found:
            raise DataError(
                f"{path}: answers are letters, and questions.csv, which says which is right, is not in or beside this "
                f"folder; it comes with EdNet's contents: give it as {KEY}.questions"
            )
        return TextTable.look(found[0], _QUESTION).read(_QUESTION, dict.fromkeys(_QUESTION, pa.string()))
