import numpy as np
import pytest

from gainkt.data.readers import read_akt
from gainkt.errors import DataError

ANN = "1,ann\n7,7,8\n3,10,3\n1,1,0\n"
BOB = "2,bob\n8,8\n3,3\n0,0\n"


@pytest.fixture
def akt(tmp_path):
    def write(**contents: str | bytes):
        for name, text in contents.items():
            (tmp_path / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def test_folder_of_folds_in_natural_order(akt):
    log = read_akt(akt(fold10=BOB, fold2=ANN), name="tiny")
    assert log.students.tolist() == ["ann", "bob"]
    assert log.folds.tolist() == [0, 1]
    assert log.responses.tolist() == [1, 0, 0, 0]
    assert log.skill_names[log.skills].tolist() == ["3", "10", "3", "3", "3"]
    assert log.skill_offsets.tolist() == [0, 2, 3, 4, 5], "item 7 is one step with two skills"
    assert log.item_names[log.items].tolist() == ["7", "8", "8", "8"]


def test_one_file_gives_no_folds(akt):
    log = read_akt(akt(all=ANN + BOB) / "all.csv")
    assert log.folds.tolist() == [-2, -2]
    assert log.name == "all"


def test_three_lines_a_student_and_commas_at_the_end(akt):
    log = read_akt(akt(all="1,ann\n3,10,\n1,0,\n2,bob\n3,3,\n0,1,\n\n") / "all.csv")
    assert log.num_items == 0
    assert log.lengths.tolist() == [2, 2]
    assert log.students.tolist() == ["ann", "bob"]


def test_counts_instead_of_names(akt):
    log = read_akt(akt(a="2\n3,10\n1,0\n2\n3,3\n0,1\n", b="2\n3,10\n1,0\n"))
    assert log.students.tolist() == ["a:1", "a:2", "b:1"]


def counted(sizes, wrong=()):
    """DKVMN's text of students with so many responses; the numbers of some are one too high."""
    return "".join(
        f"{size + (number in wrong)}\n{','.join(['3'] * size)}\n{','.join(['1'] * size)}\n"
        for number, size in enumerate(sizes)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (counted(range(5, 65), wrong=[0]), "line 1 says 6, there are 5 responses (1 of 60 records"),
        (counted([5] * 60, wrong=[2, 4]), "line 7 says 6, there are 5 responses (2 of 60 records"),
        (counted([5] * 3).replace("5", "", 1), "line 1 says nothing, there are 5 responses (1 of 3 records"),
        (counted([5] * 3).replace("5", "x", 1), "line 1 says x, there are 5 responses (1 of 3 records"),
        (counted([5, 5, 4, 4], wrong=range(4)), "line 4: student '6' stands twice, first in"),
        (counted([5, 5, 4, 4], wrong=range(2)), "line 4: student '6' stands twice, first in"),
    ],
)
def test_counts_that_are_wrong_are_no_names(akt, text, message):
    with pytest.raises(DataError) as error:
        read_akt(akt(one=text) / "one.csv")
    assert message in str(error.value)


def test_numbers_are_names_where_few_equal_the_counts(akt):
    text = "".join(f"{name}\n3,3\n1,0\n" for name in (1, 2, 3, 40))
    assert read_akt(akt(one=text) / "one.csv").students.tolist() == ["1", "2", "3", "40"]
    assert read_akt(akt(two="07\n" + "3\n1\n") / "two.csv").students.tolist() == ["07"]


def test_a_student_stands_in_one_file_once(akt, tmp_path):
    message = r"all.csv: line 9: student 'ann' stands twice, first in .*all.csv: line 1 \(1 of 3 records"
    with pytest.raises(DataError, match=message):
        read_akt(akt(all=ANN + BOB + ANN) / "all.csv")
    with pytest.raises(DataError, match="student 'ann' stands twice"):
        read_akt(tmp_path)
    (tmp_path / "all.csv").unlink()
    with pytest.raises(DataError, match=r"train1.csv: line 5: student 'ann' stands twice, first in .*test1.csv"):
        read_akt(akt(train1=BOB + ANN, test1=ANN))


@pytest.mark.parametrize("names", [("fold1", "fold2"), ("train1", "test1")])
def test_hidden_files_are_not_read(akt, names):
    files = dict(zip(names, (ANN, BOB), strict=True))
    hidden = {f"._{name}": b"\x00\x05\x16\x07" for name in names}
    assert sorted(read_akt(akt(**files, **hidden)).students) == ["ann", "bob"]


def test_twelve_lines_are_told_apart(akt):
    """Twelve lines are three students of four lines or four of three."""
    with_items = ANN + BOB + "3,eve\n1,1\n5,5\n1,0\n"
    without = "".join(f"{i},s{i}\n3,10\n1,0\n" for i in range(4))
    assert read_akt(akt(a=with_items) / "a.csv").num_students == 3
    assert read_akt(akt(b=without) / "b.csv").num_students == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "one.csv: the file is empty"),
        ("\n\n", "holds empty lines only"),
        (ANN + "2,bob\n8,8\n3,3\n", "line 7: the file ends in the middle of student 'bob' (3 of 4 lines)"),
        (ANN + "2,bob\n8,8\n3,3\n0\n", "line 6: student 'bob' has 2 items but 1 responses"),
        (ANN + "2,bob\n8,8\n3\n0,1\n", "line 7: student 'bob' has 1 skills but 2 responses"),
        (ANN + "2,bob\n8,8\n3,3\n0,2\n", "line 8 (student 'bob', number 2): response is '2'"),
        (ANN + "2,bob\n8,8\n3,3\n0,0.5\n", "line 8 (student 'bob', number 2): response is '0.5'"),
        (ANN + "2,bob\n8,8\n3,NaN\n0,1\n", "line 7 (student 'bob', number 2): skill is 'NaN'"),
        (ANN + "2,bob\n,8\n3,3\n0,1\n", "line 6 (student 'bob', number 1): item is ''"),
        (ANN + "2,\n8,8\n3,3\n0,1\n", "line 5: student is ''"),
        (ANN.encode() + b"2,b\xf6b\n8,8\n3,3\n0,1\n", "line 5, byte 4 is 0xf6, not UTF-8"),
    ],
)
def test_errors(akt, text, message):
    with pytest.raises(DataError) as error:
        read_akt(akt(one=text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files_and_students_in_two_folds(akt, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_akt(tmp_path / "nowhere")
    (tmp_path / "notes.md").touch()
    with pytest.raises(DataError, match=r"no \.csv or \.txt file in this folder \(found: notes\.md\)"):
        read_akt(tmp_path)
    with pytest.raises(DataError, match="student 'ann' is in folds 0 and 1"):
        read_akt(akt(fold1=ANN, fold2=BOB + ANN))


def test_assistments_2009(shared_data):
    log = read_akt(shared_data / "assist2009_akt")
    assert log.num_students == 4_150
    assert len(log.skills) == 325_589, "every row before folding is one skill slot after it"
    assert log.num_steps == 274_561
    assert log.num_skills == 110
    assert np.mean(np.diff(log.skill_offsets) > 1) == pytest.approx(0.1703, abs=1e-4)
    assert log.max_slots == 4
    assert np.bincount(log.folds).tolist() == [830] * 5
