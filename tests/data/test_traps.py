"""Traps: files that look right and would be read wrongly, or end in a traceback."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gainkt
from gainkt.data.log import TEST, TRAIN, VALID
from gainkt.data.readers import AktReader, EdnetReader, PyktReader, read_csv
from gainkt.data.splits import AutoSplit
from gainkt.errors import ConfigError, DataError

STUDENTS, STEPS = 6, 10


@pytest.fixture
def rows() -> pd.DataFrame:
    """Rows in order, with skills k0 .. k3."""
    draw = np.random.default_rng(0)
    size = STUDENTS * STEPS
    students = [f"s{number // STEPS}" for number in range(size)]
    skills = [f"k{skill}" for skill in draw.integers(4, size=size)]
    return pd.DataFrame({"student": students, "skill": skills, "correct": draw.integers(2, size=size)})


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a frame or text: put("x.csv", frame)."""

    def save(name: str, content: pd.DataFrame | str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content.to_csv(index=False) if isinstance(content, pd.DataFrame) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


@pytest.mark.parametrize("value", [2, "1", "yes", -1])
def test_words_mean_nothing_but_numbers_from_0_to_1(value, put, rows):
    path = put("x.csv", rows.assign(correct=rows.correct.map({1: "good", 0: "bad"})))
    with pytest.raises(ConfigError, match="good is"):
        read_csv(path, responses={"good": value, "bad": 0})


def test_open_quote_does_not_swallow_rows(put, rows):
    lines = rows.to_csv(index=False).splitlines()
    lines[3], lines[8] = 's0,"k1,1', 's0,k2",1'
    with pytest.raises(DataError, match=r"line 4: skill goes over 6 lines.* quote"):
        read_csv(put("x.csv", "\n".join(lines) + "\n"))


def test_line_ends_of_old_macs(put, rows):
    path = put("x.csv", rows.to_csv(index=False).replace("\n", "\r"))
    assert read_csv(path).num_steps == len(rows)


def akt(students: range) -> str:
    """AKT's text of some students."""
    return "".join(f"{s},{s}\n{s},7,8\n1,2,3\n0,1,{s % 2}\n" for s in students)


@pytest.mark.parametrize("form", ["{}_data.csv", "{}_set1.csv", "x_{}1.csv", "fold1_{}.csv"])
def test_akt_parts_by_other_names(form, put):
    for part, students in {"train": range(8), "valid": range(8, 10), "test": range(10, 14)}.items():
        path = put(f"d/{form.format(part)}", akt(students))
    log = AktReader()(path.parent)
    assert {part: int((log.folds == part).sum()) for part in (TRAIN, VALID, TEST)} == {TRAIN: 8, VALID: 2, TEST: 4}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a_train1.csv", "a_test1.csv", "b_train1.csv"), "both the train part"),
        (("1_train.csv", "2_train.csv", "1_test.csv"), "both the train part"),
        (("train_of_a.csv", "test_of_a.csv"), "parts of a split by their names"),
    ],
)
def test_akt_parts_that_cannot_be_told_are_refused(names, expected, put):
    for number, name in enumerate(names):
        path = put(f"d/{name}", akt(range(4 * number, 4 * number + 4)))
    with pytest.raises(DataError, match=expected):
        AktReader()(path.parent)


def test_pykt_repeats_are_one_answer(put):
    lines = [f'{s % 3},{s},"1,2,3","1,1,{s % 2}","0,1,0"' for s in range(6)]
    path = put("x.csv", "\n".join(["fold,uid,concepts,responses,is_repeat", *lines]) + "\n")
    with pytest.raises(DataError, match=r"6 of 18 rows.*row_expansion"):
        PyktReader()(path)
    log = PyktReader(row_expansion="fold")(path)
    assert (log.num_steps, log.account["folded"]) == (12, 6)
    assert PyktReader(row_expansion="keep")(path).num_steps == 18


QUESTIONS = "question_id,correct_answer,tags\nq1,a,1;2\nq2,b,2\n"
ANSWERS = "timestamp,question_id,user_answer\n1,q1,A\n2,q2,c\n3,q1,b\n"


def test_ednet_letters_in_any_case(put):
    put("d/questions.csv", QUESTIONS)
    path = put("d/KT1/u1.csv", "\ufeff" + ANSWERS)
    put("d/KT1/u2.csv", ANSWERS)
    assert EdnetReader()(path.parent.parent).responses.tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("questions", "answers", "expected"),
    [
        (QUESTIONS + "q1,c,1\n", ANSWERS, "line 4: question 'q1' stands there twice"),
        (QUESTIONS, ANSWERS + "4,q1\n", "u1.csv: line 5 has another number of cells"),
    ],
)
def test_ednet_traps_are_refused(questions, answers, expected, put):
    put("d/questions.csv", questions)
    path = put("d/KT1/u1.csv", answers)
    with pytest.raises(DataError, match=expected):
        EdnetReader()(path.parent.parent)


@pytest.mark.parametrize(("fold", "expected"), [([0] * 6, "1 given folds"), ([0, 1] * 3, "2 given folds")])
def test_too_few_folds_say_what_to_do(fold, expected, put, rows):
    path = put("x.csv", rows.assign(fold=np.repeat(fold, STEPS)))
    with pytest.raises(DataError, match=f"{expected}.*dataset/split=seeded"):
        AutoSplit().split(read_csv(path, fold="fold"), 0)


@pytest.mark.parametrize(
    "times",
    [
        lambda size: pd.to_timedelta(range(size), unit="s"),
        lambda size: [datetime.time(n // 60, n % 60) for n in range(size)],
        lambda size: pd.period_range("2020", periods=size, freq="D"),
        lambda size: pd.Categorical(range(size)),
        lambda size: pd.arrays.SparseArray(np.arange(size)),
    ],
)
def test_frame_with_times_of_any_kind(times, rows):
    frame = rows.assign(when=times(len(rows)))
    shuffled = frame.sample(frac=1, random_state=0)
    log, other = gainkt.read(frame, order="when"), gainkt.read(shuffled, order="when")
    assert [log.responses[log.steps_of([k])].tolist() for k in np.argsort(log.students)] == [
        other.responses[other.steps_of([k])].tolist() for k in np.argsort(other.students)
    ]


def test_frames_that_are_none(rows):
    tables: Mapping[str, object] = {
        "more than once": pd.concat([rows, rows[["skill"]]], axis=1),
        "a list is no table": rows.to_dict("records"),
    }
    for expected, table in tables.items():
        with pytest.raises(DataError, match=expected):
            gainkt.read(table)


def test_bytes_are_text(rows):
    log = gainkt.read(rows.assign(skill=[name.encode() for name in rows.skill]))
    assert log.skill_names.tolist() == ["k0", "k1", "k2", "k3"]
