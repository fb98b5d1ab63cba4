"""Rows keep their place: what each became in the log, and rows without a response ask for a prediction."""

import pandas as pd
import pytest

from gainkt.data.readers import TableReader
from gainkt.errors import DataError

MIXED = pd.DataFrame(
    {
        "student": list("abababb"),
        "skill": ["x", "x;y", "z", "z", "x", "y", "x"],
        "correct": [1, 0, None, 1, "", 0, None],
        "item": ["1", "2", "3", "3", "4", "4", "4"],
    }
)


def test_each_row_knows_its_step_and_skills() -> None:
    read, table = TableReader(item="item").rows(MIXED)
    names = [read.log.skill_names[read.log.skills[a:b]].tolist() for a, b in read.slots]
    assert names == [["x"], ["x", "y"], ["z"], ["z"], ["x"], ["y"], ["x"]]
    assert read.step.tolist() == [0, 3, 1, 4, 2, 5, 6], "an asked row joins no answered one of its item"
    assert read.asked.tolist() == [False, True, True, False, False, False, True]
    assert table.column_names == ["student", "skill", "item", "correct"]


def test_rows_of_one_answer_are_one_step_asked_or_not() -> None:
    rows = pd.DataFrame({"student": "a", "skill": list("xyxy"), "item": list("1122"), "correct": [1, 1, None, None]})
    read, _ = TableReader(item="item").rows(rows)
    assert read.step.tolist() == [0, 0, 1, 1]
    assert read.asked.tolist() == [False, True]


def test_asking_for_every_skill_is_no_row_expansion() -> None:
    asked = pd.DataFrame({"student": "a", "skill": [f"k{i}" for i in range(60)], "correct": None, "at": 3})
    assert TableReader(order="at").rows(asked)[0].asked.all()


def test_reading_to_learn_still_refuses_blank_responses() -> None:
    with pytest.raises(DataError, match=r"3 without response.*missing=drop"):
        TableReader(item="item")(MIXED)


def test_left_out_rows_have_no_step() -> None:
    read, _ = TableReader(missing="drop").rows(MIXED.assign(skill=["x", None, "z", "z", "x", "y", "x"]))
    assert read.step.tolist()[1] == -1
    assert (read.step >= 0).sum() == 6
