"""Reader for EdNet KT1 (github.com/riiid/ednet): a folder of a file a student, scored with questions.csv."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from gainkt.arguments import quoted
from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import Coded, Where, encode, missing_codes
from gainkt.data.readers.frame import KEY, Columns, Options, build_log, natural_key
from gainkt.data.readers.text import ReadError, TextTable, read_lines
from gainkt.errors import DataError

_QUESTION = ("question_id", "correct_answer", "tags")
_ANSWER = ("timestamp", "question_id", "user_answer")
_WRONG, _RIGHT, _UNSCORED = "wrong answer", "right answer", "to a question without correct answer"
"""Responses as the builder is told them; not 0 and 1, which may be answers."""


@dataclass(frozen=True, kw_only=True)
class EdnetReader(Options):
    """Reads u1.csv, u2.csv, ...: timestamp, question_id and user_answer, a letter; a question's tags are its skills.

    An answer is one of a, b, c, d and the letters of correct answers (or of 1, 2, 3, 4, where correct answers are
    digits). Rows without an answer, and those of questions without a correct answer, are left out by `missing=drop`;
    any other answer is refused unless `responses` says what it means.
    """

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
        table, counts = _answers(files)
        student = np.repeat(np.arange(len(files)), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])

        def where(row: int, role: str = "correct") -> str:
            file, number = files[student[row]], row - int(starts[student[row]])
            filled = [line for line, text in enumerate(_lines(file), start=1) if text.strip()]
            return f"{file}: line {filled[number + 1]}"

        asked = encode(table["question_id"])
        strange = [code for code, name in enumerate(asked.names) if name not in questions]
        if strange:
            rows = asked.among(strange)
            row = int(np.argmax(rows))
            raise DataError(
                f"{where(row)}: question {asked.names[asked.codes[row]]!r} is not in questions.csv ({len(strange)} of "
                f"{len(asked.names)} questions are not, in {int(rows.sum())} rows); give the file that belongs to it"
            )
        letters = [questions[name][0] for name in asked.names]
        correct = self._scored(asked, letters, encode(table["user_answer"]), where)
        tags = np.array([questions[name][1] for name in asked.names], dtype=object)
        columns = Columns(
            student=pa.DictionaryArray.from_arrays(pa.array(student), pa.array([file.stem for file in files])),
            skill=pa.array(tags[asked.codes], pa.string()),
            correct=correct,
            item=table["question_id"],
            order=table["timestamp"],
            where=where,
            labels={"skill": "skill (tags of the question)", "correct": "user_answer"},
        )
        meanings: dict[str, float | None] = {**self.meanings, _WRONG: 0, _RIGHT: 1, _UNSCORED: None}
        return build_log(self.name or path.name, columns, replace(self, responses=meanings))

    def _scored(self, asked: Coded, letters: Sequence[str], answer: Coded, where: Where) -> pa.DictionaryArray:
        """Return what each answer is: _RIGHT, _WRONG, _UNSCORED, or itself where it is empty or `responses` knows it.

        Args:
            asked: questions of the rows.
            letters: correct answer of each question, empty where it has none.
            answer: answers of the rows.
            where: says where a row stands.

        Raises:
            DataError: an answer is no choice; or a question has no correct answer, and its rows may not be left out.
        """
        right = dict.fromkeys(letter for letter in letters if letter)
        choices = list(dict.fromkeys([*right, *("1234" if all(map(str.isdigit, right)) and right else "abcd")]))
        keys = [choices.index(letter) if letter else -1 for letter in letters]
        unscored = [code for code, key in enumerate(keys) if key < 0]
        if unscored and self.missing == "fail":
            rows = asked.among(unscored)
            row = int(np.argmax(rows))
            raise ReadError(
                f"{where(row)}: question {asked.names[asked.codes[row]]!r} has no correct answer in questions.csv "
                f"({len(unscored)} of {len(asked.names)} questions have none, in {int(rows.sum())} of {len(rows)} "
                f"rows); {KEY}.missing=drop leaves these rows out, or fill them in",
                missing="drop",
            )
        told = {str(word).strip().lower() for word in self.meanings}
        empty = set(missing_codes(answer.names, self.missing_words, responses=True))
        given, unknown = np.full(len(answer.names), -1), []
        for code, name in enumerate(answer.names):
            if code in empty or name.lower() in told:
                continue
            if name.lower() in choices:
                given[code] = choices.index(name.lower())
            else:
                unknown.append(code)
        if unknown:
            rows = answer.among(unknown)
            sizes = np.bincount(answer.codes, minlength=len(answer.names))
            names = [answer.names[code] for code in sorted(unknown, key=lambda code: -sizes[code])[:6]]
            shown = ", ".join(f"{name!r} in {sizes[answer.names.index(name)]}" for name in names)
            words = [name if re.fullmatch(r"[\w.-]+", name) else quoted(name) for name in names]
            row = int(np.argmax(rows))
            raise ReadError(
                f"{where(row)}: user_answer is {answer.names[answer.codes[row]]!r}, not one of {', '.join(choices)} "
                f"({int(rows.sum())} of {len(rows)} rows: {shown}); correct them, or leave such rows out: "
                f"'{KEY}.responses={{{','.join(f'{word}:null' for word in words)}}}'"
            )
        key, choice = np.array(keys)[asked.codes], given[answer.codes]
        words = [_WRONG, _RIGHT, _UNSCORED]
        codes = np.where(choice < 0, answer.codes + len(words), choice == key)
        codes[key < 0] = words.index(_UNSCORED)
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([*words, *answer.names], pa.string()))

    def _questions(self, path: Path) -> dict[str, tuple[str, str]]:
        """Return the correct answer, in lower case, and the tags of each question; empty where it has none."""
        near = [place / "questions.csv" for place in (path, path / "contents", path.parent, path.parent / "contents")]
        found = [Path(self.questions).expanduser()] if self.questions else [place for place in near if place.is_file()]
        if not found:
            raise DataError(
                f"{path}: answers are letters, and questions.csv, which says which is right, is not in or beside this "
                f"folder; it comes with EdNet's contents: give it as {KEY}.questions"
            )
        look = TextTable.look(found[0], _QUESTION)
        table = look.read(_QUESTION, dict.fromkeys(_QUESTION, pa.string()))
        ids, letters, tags = ([cell.strip() for cell in table[column].to_pylist()] for column in _QUESTION)
        none = {letters[code].lower() for code in missing_codes(letters, self.missing_words, responses=True)} | {"-1"}
        letters = [letter.lower() for letter in letters]
        filled = [row for row, letter in enumerate(letters) if letter not in none]
        kind, form = ("digit", "[0-9]") if all(letters[row].isdigit() for row in filled) else ("letter", "[a-z]")
        odd = [row for row in filled if not re.fullmatch(form, letters[row])]
        if odd:
            raise DataError(
                f"{look.path}: line {look.line_of(odd[0])}: correct_answer is {letters[odd[0]]!r}, not one {kind} (so "
                f"for {len(odd)} of {len(ids)} questions); correct it, or empty the cell if there is none"
            )
        questions: dict[str, tuple[str, str]] = {}
        for row, (name, letter, tag) in enumerate(zip(ids, letters, tags, strict=True)):
            line = ("" if letter in none else letter, "" if tag == "-1" else tag)
            if questions.setdefault(name, line) != line:
                raise DataError(
                    f"{look.path}: line {look.line_of(row)}: question {name!r} stands there twice, with other answers "
                    "or tags; keep one of them"
                )
        return questions


def _answers(files: Sequence[Path]) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the answers of all files, one after another, and how many each file has.

    Raises:
        DataError: a file cannot be read, has another header than the first, lacks a column, or is ragged.
    """
    header, counts, odd, body = "", [], [], io.BytesIO()
    for file in files:
        first, *lines = [line for line in _lines(file) if line.strip()]
        header = header or first.strip()
        if first.strip() != header:
            odd.append(file)
        counts.append(len(lines))
        body.write("\n".join([*lines, ""]).encode())
    look = TextTable.look(files[0], _ANSWER)
    look.raw_names(_ANSWER)  # each is there, once
    if odd:
        raise DataError(
            f"{odd[0]}: line 1: another header than in {files[0].name} ({header}; so in {len(odd)} of {len(files)} "
            "files); export it again"
        )
    if not body.tell():
        raise DataError(f"{files[0].parent}: no answers in {len(files)} files; export them again")
    body.seek(0)
    try:
        table = pa.csv.read_csv(
            body,
            read_options=pa.csv.ReadOptions(column_names=[name.strip() for name in look.header]),
            parse_options=pa.csv.ParseOptions(delimiter=look.delimiter),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(_ANSWER),
                column_types=dict.fromkeys(_ANSWER[1:], pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _unparsed(files, look, str(error).splitlines()[0]) from error
    if table.num_rows != sum(counts):
        raise _unparsed(files, look, f"{table.num_rows} rows in {sum(counts)} lines")
    return table, np.array(counts)


def _lines(file: Path) -> list[str]:
    """Return the lines of a file, blank ones too; at least one is filled.

    There are as many files as students: of a file that is as it should be nothing is asked twice.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8").lstrip("\ufeff")
    except IsADirectoryError:
        raise DataError(f"{file}: is a folder, where the file of a student is expected; remove or rename it") from None
    except (OSError, UnicodeDecodeError):
        return read_lines(file)
    return read_lines(file) if "\0" in text or not text or text.isspace() else text.split("\n")


def _unparsed(files: Sequence[Path], look: TextTable, reason: str) -> DataError:
    """Return the error for files that were not parsed, with the first line that is not as the header is."""
    bad = [
        (file, number)
        for file in files
        for number, line in enumerate(_lines(file), start=1)
        if line.strip() and (line.count(look.delimiter) != len(look.header) - 1 or line.count('"') % 2)
    ]
    if not bad:
        return DataError(f"{files[0].parent}: cannot be parsed ({reason}); export it again")
    return DataError(
        f"{bad[0][0]}: line {bad[0][1]} has another number of cells than the header, or an open quote (so in "
        f"{len(bad)} lines); export it again"
    )
