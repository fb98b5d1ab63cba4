"""Cells as names: what is the same, what is missing, and what words mean, whatever type a column has."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gainkt
from gainkt.data.readers.cells import encode, joined
from gainkt.data.readers.frame import natural_key
from gainkt.errors import ConfigError, DataError

N = 40
TABLE = pd.DataFrame(
    {
        "student": np.repeat([f"u{s}" for s in range(N // 4)], 4),
        "skill": ["a", "b", "c", "d"] * (N // 4),
        "correct": ([1, 0, 1, 1, 0, 0, 1, 0] * N)[:N],
    }
)


def read(table: pd.DataFrame | pa.Table, **settings: Any) -> Any:
    return gainkt.read(table, **settings)


@pytest.mark.parametrize("spelling", ["{}", "{}.0", "{}.00", "0{}"])
def test_a_number_means_what_was_said_however_it_is_spelt(spelling: str) -> None:
    wrong = TABLE.assign(correct=[spelling.format(1 - one) for one in TABLE["correct"]])
    log = read(wrong, responses={0: 1, 1: 0})
    assert log.responses.tolist() == TABLE["correct"].tolist()
    assert read(wrong, responses={"0": None}).num_steps == int(TABLE["correct"].eq(0).sum())


def test_a_word_for_missing_may_be_given_a_meaning() -> None:
    words = TABLE.assign(correct=TABLE["correct"].map({1: "yes", 0: "NA"}))
    with pytest.raises(DataError, match="missing=drop"):
        read(words)
    assert read(words, responses={"yes": 1, "NA": 0}).responses.tolist() == TABLE["correct"].tolist()


def test_what_words_mean_may_be_json() -> None:
    words = TABLE.assign(correct=TABLE["correct"].map({1: "1,0", 0: "sí"}))
    assert read(words, responses='{"1,0": 1, "sí": 0}').responses.tolist() == TABLE["correct"].tolist()
    for bad in ("{1,0: 1}", "[1]", '{"sí": 2}'):
        with pytest.raises(ConfigError, match=r"dataset.read.responses"):
            read(words, responses=bad)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_a_share_is_the_same_in_every_width(kind: str) -> None:
    scores = TABLE.assign(correct=TABLE["correct"].map({1: 0.7, 0: 0.3}).astype(kind))
    log = read(scores, partial="threshold", threshold=0.7)
    assert log.responses.tolist() == TABLE["correct"].tolist()


def test_bytes_are_no_text_and_stay_apart() -> None:
    codes = TABLE["student"].str[1:].astype(int)
    table = pa.table(
        {
            "student": pa.array([bytes([200 + code, 255]) for code in codes], pa.binary(2)),
            "skill": TABLE["skill"],
            "correct": TABLE["correct"],
        }
    )
    assert read(table).num_students == codes.nunique()
    named = pa.table({**{c: table[c] for c in ("skill", "correct")}, "student": [f"é{c}".encode() for c in codes]})
    assert read(named).students[3] == "é3"


def test_uuids_are_names() -> None:
    names = {code: uuid.UUID(int=code) for code in TABLE["student"].unique() for code in [int(code[1:])]}
    cells = pa.array([names[int(s[1:])].bytes for s in TABLE["student"]], pa.uuid())
    log = read(pa.table({"student": cells, "skill": TABLE["skill"], "correct": TABLE["correct"]}))
    assert log.students.tolist() == [str(names[code]) for code in range(N // 4)]


@pytest.mark.parametrize(
    ("empty", "separator"),
    [(";", "auto"), (" ; ", ";"), ("[]", "list"), ("[None]", "list"), ("['']", "list"), ("[nan]", "list"), ("_", "_")],
)
def test_a_cell_that_names_no_skill_is_a_gap(empty: str, separator: str) -> None:
    as_list = separator == "list"
    skills = [f"['{name}']" if as_list else name for name in TABLE["skill"]]
    table = TABLE.assign(skill=[empty if row % 5 == 0 else name for row, name in enumerate(skills)])
    with pytest.raises(DataError, match=r"(?s)row 1: skill.*8 without skill: 8 of 40 rows"):
        read(table, separator=separator)
    log = read(table, separator=separator, missing="drop")
    assert log.account["left_out"] == {"no skill": 8}
    assert log.skill_names.tolist() == ["a", "b", "c", "d"]
    assert log.num_steps == 32


def test_lists_without_an_entry_are_gaps() -> None:
    table = TABLE.assign(skill=[[] if row % 5 == 0 else [name] for row, name in enumerate(TABLE["skill"])])
    assert read(table, separator="list", missing="drop").account["left_out"] == {"no skill": 8}


def test_words_for_missing_count_within_a_cell_too() -> None:
    table = TABLE.assign(skill=[f"None;{name}" for name in TABLE["skill"]])
    with pytest.raises(DataError, match="names an empty skill"):
        read(table)
    assert set(read(table, missing_words=[]).skill_names) == {"None", "a", "b", "c", "d"}


def test_names_of_several_columns_stay_apart() -> None:
    left, right = ["p/1", "p", "p\\", "p", "a/", "a"], ["2", "1/2", "/q", "\\/q", "b", "/b"]
    both = joined([encode(pa.array(left)), encode(pa.array(right))])
    assert len(set(both.codes.tolist())) == len(left)
    assert joined([encode(pa.array(["p"])), encode(pa.array(["2"]))]).names == ["p/2"]


@pytest.mark.parametrize("gap", ["NULL", "nan", None, ""])
def test_a_gap_in_one_of_several_columns_is_a_gap(gap: str | None) -> None:
    pupil = TABLE["student"].where(TABLE["student"] != "u3", gap)
    table = TABLE.drop(columns="student").assign(school="s", pupil=pupil)
    with pytest.raises(DataError, match="4 without student"):
        read(table, student=["school", "pupil"])
    log = read(table, student=["school", "pupil"], missing="drop")
    assert log.account["left_out"] == {"no student": 4}
    assert log.num_students == N // 4 - 1


def test_a_number_with_a_point_is_the_same_in_one_of_several_columns() -> None:
    pupil = ["3.0" if row % 8 == 0 else "3" for row in range(N)]
    log = read(TABLE.assign(pupil=pupil), student=["student", "pupil"])
    assert log.num_students == N // 4
    assert log.account["converted"]["student names like 1.0 read as 1"] == pupil.count("3.0")


def test_a_name_of_thousands_of_digits_is_sorted_as_text() -> None:
    long = "9" * 5000
    assert sorted(["10", "2", long], key=natural_key)[:2] == ["2", "10"]
    assert read(TABLE.assign(skill=[long if name == "a" else name for name in TABLE["skill"]])).num_skills == 4


def test_excel_gives_cells_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    table = pd.DataFrame(
        {
            "student": ["001", "001", "1", "1", "1e3", "1000", "9" * 23, "9" * 23],
            "skill": ["a", "b"] * 4,
            "correct": [1, 0, 0, 1, 1, 1, 0, 1],
        }
    )
    table.to_excel(tmp_path / "a.xlsx", index=False)
    table.to_csv(tmp_path / "a.csv", index=False)
    logs = [gainkt.read(tmp_path / name) for name in ("a.xlsx", "a.csv")]
    assert logs[0].students.tolist() == logs[1].students.tolist() == list(dict.fromkeys(table["student"]))
    twice = table.assign(again=table["skill"]).set_axis(["student", "skill", "correct", "skill"], axis=1)
    twice.to_excel(tmp_path / "b.xlsx", index=False)
    with pytest.raises(DataError, match="column 'skill' stands there more than once"):
        gainkt.read(tmp_path / "b.xlsx")


def test_a_column_that_is_needed_must_have_a_name() -> None:
    for role in ("student", "skill", "correct"):
        for nothing in (None, []):
            with pytest.raises(ConfigError, match=f"dataset.read.{role}"):
                read(TABLE, **{role: nothing})


def test_rows_that_count_are_told_by_number_or_name() -> None:
    table = TABLE.assign(attempt=["1", "1.0", "2", "x"] * (N // 4))
    assert read(table, only={"attempt": 1}).num_steps == N // 2
    assert read(table, only={"attempt": ["1.00", "x"]}).num_steps == 3 * N // 4


def test_blanks_around_names_are_counted() -> None:
    table = TABLE.assign(skill=[f" {name}" if name == "a" else name for name in TABLE["skill"]])
    assert read(table).account["converted"] == {"skill names without the blanks around them": N // 4}
