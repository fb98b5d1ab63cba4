"""Files as people have them: `inspect` proposes the reading that is right, or says what it cannot know."""

# ruff: noqa: E501

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gainkt.data.inspection import Finding, inspect
from gainkt.errors import DataError

NAMES = ["student_id", "skill_name", "correct", "timestamp", "problem_id"]
ROLES = {"student": "student_id", "skill": "skill_name", "item": "problem_id", "order": "timestamp"}


def made() -> pd.DataFrame:
    """30 students of 10 answers."""
    draw = np.random.default_rng(0)
    rows = [
        (f"{100 + s}", "ABCD"[item % 4], int(draw.random() < 0.6), f"2023-03-{day:02d} 10:{s:02d}:00", f"q{item}")
        for s in range(30)
        for day, item in enumerate(draw.permutation(60)[:10], 1)
    ]
    return pd.DataFrame(rows, columns=NAMES)


P = made()
ODD = np.arange(len(P)) % 2 == 1
TEXT = P.to_csv(index=False)
LINES = TEXT.splitlines()
SEVEN = np.arange(len(P)) % 7 == 0


def csv(frame: pd.DataFrame, **how: object) -> str:
    return frame.to_csv(index=False, **how)


READ: dict[str, tuple[str | bytes, dict[str, object]]] = {
    "byte order mark": ("\ufeff" + TEXT, {}),
    "mixed line ends": ("".join(line + ("\r\n" if n % 3 else "\n") for n, line in enumerate(LINES)), {}),
    "blank lines": (TEXT.replace("\n", "\n\n"), {}),
    "quoted separators": (csv(P.assign(skill_name=P.skill_name.replace("A", "A, b"))), {}),
    "all quoted": (csv(P, quoting=1), {}),
    "a column without a name at the end": ("\n".join(line + "," for line in LINES), {}),
    "row numbers in front": (P.to_csv(index=True), {}),
    "zones": (csv(P.assign(timestamp=P.timestamp + np.where(ODD, "+02:00", "Z"))), {}),
    "milliseconds": (csv(P.assign(timestamp=10**12 + np.arange(len(P)))), {}),
    "backwards": (csv(P.iloc[::-1]), {}),
    "true and false": (csv(P.assign(correct=P.correct.astype(bool))), {}),
    "words": (csv(P.assign(correct=np.where(P.correct, "correct", "incorrect"))), {"responses": {"correct": 1, "incorrect": 0}}),
    "decimal comma": (csv(P.assign(correct=np.where(P.correct, "1,0", "0,0")), sep=";"), {"responses": {"1,0": 1, "0,0": 0}}),
    "percent": (csv(P.assign(correct=np.where(P.correct, "100%", "0%"))), {"responses": {"100%": 1, "0%": 0}}),
    "a long field": (csv(P.assign(comment=np.where(SEVEN, "x" * 99_999, ""))), {}),
    "fields of two lines": (csv(P.assign(comment=np.where(SEVEN, "one\ntwo", ""))), {}),
    "two skill columns": (csv(P.assign(skill_id=P.skill_name.map(ord))), {"skill": "skill_id"}),
    "utf-16": (TEXT.encode("utf-16"), {}),
    "latin-1": (csv(P.assign(skill_name=P.skill_name + "é")).encode("latin-1"), {"encoding": "latin-1"}),
    "windows": (csv(P.assign(skill_name=P.skill_name + " – b")).encode("cp1252"), {"encoding": "cp1252"}),
    "lists": (csv(P.assign(skill_name='["' + P.skill_name + '"]')), {"separator": "list"}),
    "names in capitals": (csv(P.rename(columns=str.upper)), {role: name.upper() for role, name in ROLES.items()} | {"correct": "CORRECT"}),
}  # fmt: skip
"""What is read whole, and the settings beside those of the columns."""
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "the file is empty"),
    "blank": ("\n\n", "empty|one column"),
    "header only": (LINES[0] + "\n", "nothing but a header"),
    "one column": ("\n".join(P.student_id), "one column"),
    "blanks between": (TEXT.replace(" ", "T").replace(",", " "), "one column: .*delimiter"),
    "no header": ("\n".join(LINES[1:]), "first line seems to hold data"),
    "comments": ("# of 2023\n# mine\n" + TEXT, "line 3 looks like the header"),
    "sep=": ("sep=;\n" + csv(P, sep=";"), "line 2 looks like the header"),
    "titles": ("My class,,,,\n,,,,\n" + TEXT, "line 3 looks like the header"),
    "two headers": (LINES[0] + "\nWho,What,Right?,When,Item\n" + "\n".join(LINES[1:]), "line 2: .*'When'.*1 of 301 rows"),
    "a name twice": (TEXT.replace("problem_id", "correct", 1), "column 'correct' stands 2 times"),
    "ragged": ("\n".join([*LINES[:30], LINES[30] + ",x", *LINES[31:]]), "line 31 has 6 cells, the header has 5"),
    "single quotes": (csv(P.assign(skill_name="'" + P.skill_name + ", b'"), quoting=3, escapechar="\\").replace("\\", ""), "line 2 has 6 cells"),
    "an open quote in another column": ("\n".join(line + (',"oops' if n == 20 else ',x"' if n == 23 else ",") for n, line in enumerate(LINES)), "line 21: .*over 4 lines"),
    "a total below": (TEXT + "Total,,0.6,,\n" + "Total,,x,,\n", "line 302: .*2 without skill.*missing=drop"),
    "zones and none": (csv(P.assign(timestamp=P.timestamp + np.where(ODD, "", "Z"))), "150 times name a time zone and 150 do not"),
    "day or month": (csv(P.assign(timestamp=pd.to_datetime(P.timestamp).dt.strftime("%d/%m/%Y %H:%M"))), "say which it is"),
    "dates in two ways": (csv(P.assign(timestamp=np.where(ODD, P.timestamp, "01/02/2023 10:00"))), "neither a number nor .*150 of 300"),
    "thousands": (csv(P.assign(timestamp=[f"{n:,}" for n in range(1000, 1300)])), "'1,000', neither a number"),
    "percent as numbers": (csv(P.assign(correct=100 * P.correct)), "numbers up to 100 are no share of 1"),
    "points": (csv(P.assign(correct=P.correct + 1)), "numbers up to 2 are no share"),
    "minus one": (csv(P.assign(correct=P.correct.where(~SEVEN, -1))), "43 of 300 rows: '-1' in 43"),
    "other language": (csv(P.assign(correct=np.where(P.correct, "richtig", "falsch"))), "richtig:\\?"),
    "NA is the only skill": (csv(P.assign(skill_name="NA")), r"300 of 300 rows.*missing_words=\[\] that NA is a name"),
    "shift-jis": (csv(P.assign(skill_name="分数")).encode("shift-jis"), r"give its encoding as dataset.read.encoding \(shift_jis"),
    "zero bytes": (TEXT[:99] + "\0" + TEXT[99:], "zero bytes"),
    "json": (P.to_json(orient="records"), "is JSON"),
    "a row a student": (csv(P.groupby("student_id").agg({"skill_name": ",".join, "correct": list}).reset_index()), "a whole student"),
    "a column a question": (csv(P.pivot_table(index="student_id", columns="problem_id", values="correct").reset_index()), "a whole student"),
    "expanded, few rows": ("student,skill,correct\n" + "".join(f"{s},{k},{(s + i) % 3 % 2}\n" for s in range(6) for i in range(5) for k in ("ab", "cd")[i % 2]), "so do 30 of 60 rows"),
}  # fmt: skip
"""What is not, and why."""
DOUBTED: dict[str, tuple[str, str]] = {
    "001 and 1": (csv(P.assign(student_id=np.where(ODD, "0", "") + P.student_id)), "60 of 60 students have names that differ in .*'100' and '0100'"),
    "case": (csv(P.assign(skill_name=np.where(ODD, P.skill_name, P.skill_name.str.lower()))), "8 of 8 skills"),
    "inner blanks": (csv(P.assign(skill_name=np.where(ODD, "x  " + P.skill_name, "x " + P.skill_name))), "8 of 8 skills"),
    "rounded by a spreadsheet": (csv(P.assign(student_id=[f"{1.2e9 + int(n):.4E}" for n in P.student_id])), "a spreadsheet has rounded"),
    "all right": (csv(P.assign(correct=1)), r"cannot be trained on: .*all right \(1\)"),
    "one student": (csv(P[P.student_id == "100"]), "cannot be trained on"),
}  # fmt: skip
"""What is read and has something odd."""


@pytest.fixture
def look(tmp_path: Path) -> Callable[[str | bytes], Finding]:
    def put(content: str | bytes) -> Finding:
        (tmp_path / "x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return inspect(tmp_path / "x.csv")

    return put


@pytest.mark.parametrize("name", READ)
def test_read(look: Callable[[str | bytes], Finding], name: str) -> None:
    content, settings = READ[name]
    finding = look(content)
    assert finding.log is not None, finding.problems
    assert finding.settings == ROLES | settings
    log = finding.log
    assert (log.num_students, log.num_steps, log.num_skills) == (30, 300, 4)
    by_name = dict(zip(log.students.tolist(), np.split(log.responses, log.offsets[1:-1]), strict=True))
    for student, rows in P.groupby("student_id"):
        assert by_name[student].tolist() == rows.correct.tolist()
    assert all(setting in finding.command for setting in settings)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(look: Callable[[str | bytes], Finding], name: str) -> None:
    content, expected = REFUSED[name]
    try:
        finding = look(content)
        assert finding.log is None or name == "a total below", finding.settings
        said = " ".join(finding.problems)
    except DataError as error:
        said = str(error)
    assert "\n" not in said
    assert re.search(expected, said), said


@pytest.mark.parametrize("name", DOUBTED)
def test_doubted(look: Callable[[str | bytes], Finding], name: str) -> None:
    content, expected = DOUBTED[name]
    finding = look(content)
    assert finding.log is not None
    assert re.search(expected, " ".join(finding.doubts)), finding.doubts


def test_one_name_in_two_unicode_forms_is_one_and_counted(look: Callable[[str | bytes], Finding]) -> None:
    names = [
        unicodedata.normalize("NFD" if odd else "NFC", "Médiane " + skill)
        for odd, skill in zip(ODD, P.skill_name, strict=True)
    ]
    log = look(csv(P.assign(skill_name=names))).log
    assert log is not None
    assert log.num_skills == 4
    assert log.account["converted"] == {"skill names in decomposed Unicode composed": 150}


def test_excel(tmp_path: Path) -> None:
    typed = P.assign(timestamp=pd.to_datetime(P.timestamp), correct=P.correct.astype(bool))
    typed.to_excel(tmp_path / "a.xlsx", index=False)
    log = inspect(tmp_path / "a.xlsx").log
    P.to_csv(tmp_path / "a.csv", index=False)
    expected = inspect(tmp_path / "a.csv").log
    assert log is not None
    assert expected is not None
    assert log.digest == expected.digest
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        P.to_excel(book, sheet_name="one", index=False)
        P.to_excel(book, sheet_name="two", index=False)
    with pytest.raises(DataError, match=r"holds 2 sheets \(one, two\); say which by dataset.read.sheet"):
        inspect(tmp_path / "b.xlsx")
    P.to_excel(tmp_path / "c.xlsx", startrow=3, index=False)
    assert "the first row is not the header" in inspect(tmp_path / "c.xlsx").problems[0]
    (tmp_path / "d.xlsx").write_bytes(b"no workbook")
    with pytest.raises(DataError, match=r"cannot be read as .xlsx"):
        inspect(tmp_path / "d.xlsx")
