from pathlib import Path

import numpy as np
import pytest

from gainkt.data.readers import read_csv
from gainkt.errors import ConfigError, DataError


@pytest.fixture
def csv(tmp_path):
    def write(text: str | bytes, name: str = "answers.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def histories(log):
    """Each student's steps as (skills, item, response), by the names of the source."""
    found = {}
    for i, student in enumerate(log.students):
        found[str(student)] = [
            (
                ";".join(log.skill_names[log.skills[log.skill_offsets[m] : log.skill_offsets[m + 1]]]),
                str(log.item_names[log.items[m]]) if log.num_items else None,
                int(log.responses[m]),
            )
            for m in range(log.offsets[i], log.offsets[i + 1])
        ]
    return found


def test_columns_vocabularies_and_order_of_the_file(csv):
    path = csv("kc,uid,note,ok\n10,b,x,1\n2,a,x,0\n2;10,b,x,0\n\n2,b,x,true\n10, a ,x,1.0\n")
    log = read_csv(path, student="uid", skill="kc", correct="ok")
    assert log.name == "answers"
    assert histories(log) == {
        "b": [("10", None, 1), ("2;10", None, 0), ("2", None, 1)],
        "a": [("2", None, 0), ("10", None, 1)],
    }
    assert log.skill_names.tolist() == ["2", "10"], "numbers sort as numbers"
    assert log.num_items == 0
    assert (log.items == -1).all()
    assert (log.folds == -2).all()
    dtypes = {name: getattr(log, name).dtype for name in ("offsets", "responses", "skills", "items", "folds")}
    assert dtypes == {"offsets": "i8", "responses": "u1", "skills": "i4", "items": "i4", "folds": "i2"}


def test_repeats_without_order_column_are_attempts(csv):
    log = read_csv(csv("student,skill,correct,item\na,x,1,7\na,x,1,7\na,x,1,7\n"), item="item")
    assert log.num_steps == 3


def test_expanded_rows_fold_by_item_response_and_new_skill(csv):
    text = "student,skill,correct,item\na,x,1,7\na,y,1,7\na,y,0,7\na,x,0,7\na,x,0,8\nb,y,0,8\nb,x,1,8\n"
    log = read_csv(csv(text), item="item")
    assert histories(log) == {
        "a": [("x;y", "7", 1), ("y;x", "7", 0), ("x", "8", 0)],
        "b": [("y", "8", 0), ("x", "8", 1)],
    }


@pytest.mark.parametrize(
    "times",
    [
        ("3", "1", "20"),
        ("3.5", "-1", "2e1"),
        ("2024-01-03 10:00:00", "2024-01-03 09:00:00", "2024-11-01T00:00:00.5"),
        ("2024-01-03T10:00:00Z", "2024-01-03T10:00:00+02:00", "2024-01-04T00Z"),
    ],
    ids=["integers", "decimals", "timestamps", "time zones"],
)
def test_order_column_sorts_within_student(csv, times):
    middle, first, last = times
    rows = f"a,m,1,{middle}\nb,z,0,{last}\na,l,1,{last}\na,f,0,{first}\n"
    log = read_csv(csv("student,skill,correct,time\n" + rows), order="time")
    assert [skill for skill, _, _ in histories(log)["a"]] == ["f", "m", "l"]


def test_times_with_and_without_a_zone_cannot_be_ordered(csv):
    path = csv("student,skill,correct,time\na,m,1,2024-01-03T10:00:00Z\na,l,1,2024-01-03T11:00:00\n")
    with pytest.raises(DataError, match=r"line 3: .* 1 times name a time zone and 1 do not"):
        read_csv(path, order="time")


def test_equal_order_keeps_the_order_of_the_file_and_folds_expansion(csv):
    rows = "a,x,1,9,5\na,y,1,8,5\na,z,1,9,5\na,x,0,9,4\n"
    log = read_csv(csv("student,skill,correct,item,time\n" + rows), item="item", order="time")
    assert histories(log)["a"] == [("x", "9", 0), ("x;z", "9", 1), ("y", "8", 1)]


def test_folds_and_separator(csv):
    path = csv("student,skill,correct,part\na,x|y,1,0\na,x,0,0.0\nb,y,0,-1\nb,y,1,-1\n")
    log = read_csv(path, fold="part", separator="|", name="tiny")
    assert log.folds.tolist() == [0, -1]
    assert log.name == "tiny"
    assert np.diff(log.skill_offsets).tolist() == [2, 1, 1, 1]


def test_line_ends_byte_order_mark_and_quotes(csv):
    path = csv(b'\xef\xbb\xbfstudent,skill,correct\r\n"a","adding, twice\nover",1\r\na,x,0\r\n')
    assert read_csv(path).skill_names.tolist() == ["adding, twice\nover", "x"]


HEADER = "student,skill,correct,item,time,part\n"
GOOD = "a,x,1,7,1,0\na,y,0,8,2,0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "answers.csv: the file is empty"),
        ("\n\n", "the file holds empty lines only"),
        (HEADER, "nothing but a header"),
        ("studnt,skill,correct,item,time,part\n" + GOOD, "no column 'student'; did you mean 'studnt'?"),
        ("student;skill;correct\na;x;1\n", "no column 'item'; known: correct, skill, student"),
        ("student,student,skill,correct,item,time,part\n", "column 'student' stands 2 times"),
        (HEADER + GOOD + "a,x,0.5,7,3,0\n", "line 4: response is '0.5', not 0 or 1"),
        (HEADER + GOOD + "\na,x,yes,7,3,0\n", "line 5: response is 'yes'"),
        (HEADER + GOOD + "a,x,,7,3,0\n", "line 4: response is ''"),
        (HEADER + GOOD + ",x,1,7,3,0\n", "line 4: student (column 'student') is ''"),
        (HEADER + GOOD + "NaN,x,1,7,3,0\n", "line 4: student (column 'student') is 'NaN'"),
        (HEADER + GOOD + "a,,1,7,3,0\n", "line 4: skill (column 'skill') is ''"),
        (HEADER + GOOD + "a,nan,1,7,3,0\n", "line 4: skill (column 'skill') is 'nan'"),
        (HEADER + GOOD + "a,x;;y,1,7,3,0\n", "line 4: skill cell 'x;;y' names an empty skill"),
        (HEADER + GOOD + "a,x,1,,3,0\n", "line 4: item (column 'item') is ''"),
        (HEADER + GOOD + "a,x,1,7,soon,0\n", "line 4: order (column 'time') is 'soon', neither a number nor"),
        (
            HEADER + "a,x,1,7,2024-01-01,0\na,x,1,7,31.12.2024,0\n",
            "line 3: order (column 'time') is '31.12.2024'",
        ),
        (HEADER + GOOD + "a,x,1,7,,0\n", "line 4: order (column 'time') is ''"),
        (HEADER + GOOD + "a,x,1,7,inf,0\n", "line 4: order (column 'time') is 'inf'"),
        (HEADER + GOOD + "a,x,1,7,3,first\n", "line 4: fold is 'first'"),
        (HEADER + GOOD + "a,x,1,7,3,-3\n", "line 4: fold is '-3'"),
        (HEADER + GOOD + "a,x,1,7,3,1\n", "student 'a' is in folds 0 and 1"),
        (HEADER + GOOD + "a,x,1,7,3,-1\n", "student 'a' is in the test set and in fold 0"),
        (
            HEADER + GOOD + "a,x,1,7,1,0\n",
            "line 4: student 'a' has item '7' twice at the same place in the order",
        ),
        (
            HEADER + GOOD + "a,z,0,7,1,0\n",
            "line 4: student 'a' has item '7' twice at the same place in the order",
        ),
        (HEADER + GOOD + "a,x,1,7\n", "line 4 has 4 cells, the header has 6"),
        (HEADER.encode() + GOOD.encode() + b"a,caf\xe9,1,7,3,0\n", "line 4, byte 6 is 0xe9, not UTF-8"),
        (b"\xff\xfes\0t\0", "no column 'student'; known: st"),
    ],
)
def test_errors_name_the_line(csv, text, message):
    with pytest.raises(DataError) as error:
        read_csv(csv(text), item="item", order="time", fold="part")
    assert message in str(error.value)
    assert "answers.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_csv(tmp_path)


def test_settings_that_make_no_sense(csv):
    with pytest.raises(ConfigError, match="each must be another column"):
        read_csv(csv(HEADER + GOOD), item="skill")
    with pytest.raises(ConfigError, match="separator is empty"):
        read_csv(csv(HEADER + GOOD), separator="")
