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
from gainkt.inspect import inspect

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
        (QUESTIONS, ANSWERS + '4,q1,"a\n5,q2,b\n', r"u1.csv: line 5 has .*an open quote \(so in 1 lines\)"),
        (QUESTIONS, ANSWERS.replace("user_answer", "answer"), "u1.csv: no column 'user_answer'; did you mean 'answer'"),
        (QUESTIONS, ANSWERS.encode() + b"4,q1,\xe9\n", "u1.csv: line 5, byte 6 is 0xe9, not UTF-8"),
        (QUESTIONS, "", "u1.csv: the file is empty"),
        (QUESTIONS, "\n\n", "u1.csv: the file holds empty lines only"),
        (QUESTIONS, ANSWERS.partition("\n")[0], "KT1: no answers in 1 files"),
        *(
            (
                QUESTIONS,
                f"{ANSWERS}\n4,q1,{word}\n5,q2,{word}\n",
                f"u1.csv: line 6: user_answer is '{word}', not one of",
            )
            for word in ("1", "-1", "1.0", "true", "skipped", "e")
        ),
        (
            QUESTIONS,
            ANSWERS + "4,q1,skipped\n5,q1,skipped\n6,q1,2\n",
            r"not one of a, b, c, d \(3 of 6 rows: 'skipped' in 2, '2' in 1\).*read.responses={skipped:null,2:null}",
        ),
        *(
            (
                QUESTIONS,
                f"{ANSWERS}4,q1,{word}\n",
                rf"line 5: user_answer is '{word}' \(1 without response: 1 of 4 rows\)",
            )
            for word in ("", "nan", "None", "NULL", "NA")
        ),
        *(
            (
                QUESTIONS + f"q3,{none},1\n",
                ANSWERS + "4,q3,a\n5,q3,b\n",
                r"line 5: .*'q3' has no correct answer .*2 of 5",
            )
            for none in ("", " ", "nan", "NA", "-1")
        ),
        (QUESTIONS + "q3,?,1\n", ANSWERS, r"line 4: correct_answer is '\?', not one letter \(so for 1 of 3 questions"),
        (QUESTIONS + "q3,2,1\n", ANSWERS, "line 4: correct_answer is '2', not one letter"),
        (QUESTIONS.replace(",a,", ",1,").replace(",b,", ",2,"), ANSWERS, "'A', not one of 1, 2, 3, 4"),
    ],
)
def test_ednet_traps_are_refused(questions, answers, expected, put):
    put("d/questions.csv", questions)
    path = put("d/KT1/u1.csv", answers)
    with pytest.raises(DataError, match=expected) as error:
        EdnetReader()(path.parent.parent)
    assert "\n" not in str(error.value)


def test_ednet_counts_what_is_no_answer(put):
    put("d/questions.csv", QUESTIONS + "q3,,1\n")
    answers = ANSWERS + "4,q1,nan\n5,q3,a\n6,q3,b\n7,q1,1\n8,q1,-1\n9,q2,\n"
    path = put("d/KT1/u1.csv", answers)
    put("d/KT1/u2.csv", "timestamp,question_id,user_answer\n1,q3,a\n")
    log = EdnetReader(missing="drop", responses={1: None, "-1": None})(path.parent.parent)
    assert log.responses.tolist() == [1, 0, 0]
    left_out = {
        "no response": 2,
        "response 'to a question without correct answer'": 3,
        "response '1'": 1,
        "response '-1'": 1,
    }
    assert (log.account["rows"], log.account["left_out"], log.account["students_dropped"]) == (10, left_out, 1)


def test_ednet_digits_are_answers_where_correct_answers_are(put):
    put("d/questions.csv", QUESTIONS.replace(",a,", ",1,").replace(",b,", ",2,"))
    path = put("d/KT1/u1.csv", "timestamp,question_id,user_answer\n1,q1,1\n2,q1,2\n3,q2,2\n4,q2,4\n")
    assert EdnetReader()(path.parent.parent).responses.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "content",
    [
        ANSWERS + "\n",
        ANSWERS + "\n \n\n",
        ANSWERS.replace("2,q2", "\n2,q2"),
        ANSWERS.replace("\n", "\r\n"),
        ANSWERS.replace("\n", "\r"),
        ANSWERS.rstrip("\n"),
        ANSWERS.encode("utf-16"),
        ANSWERS.encode("utf-16-le"),
        " timestamp , question_id, user_answer \n1,q1,a\n2,q2,c\n3,q1,b\n",
        ANSWERS.replace(",", ";"),
    ],
)
def test_ednet_files_of_other_make(content, put):
    put("d/questions.csv", QUESTIONS)
    path = put("d/KT1/u1.csv", content)
    assert EdnetReader()(path.parent.parent).responses.tolist() == [1, 0, 0]


def test_ednet_folder_with_odd_files(put):
    put("d/questions.csv", QUESTIONS)
    path = put("d/KT1/u1.csv", ANSWERS)
    put("d/KT1/._u1.csv", b"\x00\x05\x16\x07")
    assert EdnetReader()(path.parent.parent).num_steps == 3
    for number in (2, 3):
        put(f"d/KT1/u{number}.csv", ANSWERS.replace("timestamp", "time"))
    with pytest.raises(DataError, match=r"u2.csv: line 1: another header .*so in 2 of 3 files"):
        EdnetReader()(path.parent.parent)
    (path.parent / "u5.csv").mkdir()
    with pytest.raises(DataError, match=r"u5.csv: is a folder"):
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


@pytest.mark.parametrize(
    ("cell", "separator"),
    [
        ("(3, 71)", "list"),
        ("3||71", "||"),
        ("3,71,", ","),
        ("3:71", ":"),
        ("3/71", "/"),
        ("3-71", "-"),
        ("3 71", " "),
        ("3__71", "__"),
    ],
)
def test_skills_joined_in_any_way_are_asked_about(cell, separator, put, rows):
    skills = np.where(np.arange(len(rows)) % 4 == 0, cell, rows.skill.str[1:])
    path = put("x.csv", rows.assign(skill=skills))
    with pytest.raises(DataError, match=r"15 rows.*dataset.read.separator"):
        read_csv(path)
    assert set(read_csv(path, separator=separator).skill_names) == {*rows.skill.str[1:], "3", "71"}
    assert cell in read_csv(path, separator=None).skill_names


def test_plain_names_are_not_asked_about(put, rows):
    names = ["Add - whole numbers", "3.5", "k (easy)", "-2", "Order of operations"]
    path = put("x.csv", rows.assign(skill=[names[number % 5] for number in range(len(rows))]))
    assert sorted(read_csv(path).skill_names) == sorted(names)


def test_header_that_stands_again(put, rows):
    text = rows.to_csv(index=False)
    with pytest.raises(DataError, match=r"line 62: the header stands here again \(in 1 rows\)"):
        read_csv(put("x.csv", text + text))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.csv", b"\x1f\x8b\x08\x00rest", "gzip"),
        ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "old Excel file"),
        ("x.csv", "学生,技能".encode("utf-16-be"), "zero bytes|no column"),
        ("x.pkl", b"\x80\x05\x95rest", "pickle"),
    ],
)
def test_what_is_no_text_is_not_read_as_latin_1(name, content, expected, put):
    with pytest.raises(DataError, match=expected) as error:
        read_csv(put(name, content))
    assert "latin-1" not in str(error.value)


def test_item_column_with_a_blank_in_its_name_is_found(put, rows):
    item = [f"p{number // 2}" for number in range(len(rows))]
    frame = rows.assign(skill=["a", "b"] * 30, correct=np.repeat(rows.correct[:30].to_numpy(), 2), **{"Item ID": item})
    with pytest.raises(DataError, match=r"dataset\.read\.item=Item ID"):
        read_csv(put("x.csv", frame))


def test_inspect_takes_no_column_for_what_it_is_not(put, rows):
    size = len(rows)
    draw = np.random.default_rng(1)
    days = [f"2020-01-{1 + number % STEPS // 5:02d}" for number in range(size)]
    beside = {
        "answer": draw.integers(2, size=size),  # shorter than `correct`, and of two values
        "time": draw.random(size),  # seconds spent
        "step": np.arange(size) % 4,
        "part": np.arange(size) % 7,  # of a test, not of a split
        "date": days,
    }
    finding = inspect(put("x.csv", rows.assign(**beside)))
    assert finding.settings == {}
    assert finding.log is not None
    assert finding.log.num_steps == size
    for word in ("time", "step", "part", "date"):
        assert any(f"is not column {word} (" in reason for reason in finding.reasons), finding.reasons
    rising = inspect(put("y.csv", rows.assign(step=np.arange(size) % STEPS, fold=np.repeat(range(6), STEPS))))
    assert rising.settings == {"order": "step", "fold": "fold"}


def test_inspect_says_that_an_encoding_is_a_guess(put, rows):
    finding = inspect(put("x.csv", rows.assign(skill="Médiane").to_csv(index=False).encode("latin-1")))
    assert finding.settings["encoding"] == "latin-1"
    assert "cp1251" in finding.doubts[0]
    unknown = inspect(put("y.csv", rows.assign(skill="分数").to_csv(index=False).encode("shift-jis")))
    assert "shift_jis" in unknown.problems[0]
    assert unknown.log is None
