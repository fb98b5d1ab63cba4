import numpy as np
import pytest

from gainkt.data.readers import read_pykt
from gainkt.errors import DataError

HEADER = "fold,uid,concepts,responses\n"
TRAIN = '0,11,"3,10,3","1,0,1"\n1,7,"10,3","0,1"\n'


@pytest.fixture
def folder(tmp_path):
    def write(train: str | bytes, test: str | None = None):
        (tmp_path / "train_valid.csv").write_bytes(train if isinstance(train, bytes) else train.encode())
        if test is not None:
            (tmp_path / "test.csv").write_text(test)
        return tmp_path

    return write


def steps(log):
    return [
        (log.skill_names[log.skills[a:b]].tolist(), int(r))
        for a, b, r in zip(log.skill_offsets[:-1], log.skill_offsets[1:], log.responses, strict=True)
    ]


def test_folder_with_test_set(folder):
    log = read_pykt(folder(HEADER + TRAIN, HEADER + '-1,5,"8,8","1,1"\n'), name="tiny")
    assert log.name == "tiny"
    assert log.students.tolist() == ["11", "7", "5"]
    assert log.folds.tolist() == [0, 1, -1]
    assert log.skill_names.tolist() == ["3", "8", "10"]
    assert log.lengths.tolist() == [3, 2, 2]
    assert steps(log)[:3] == [(["3"], 1), (["10"], 0), (["3"], 1)]


def test_one_file_and_extra_columns(folder):
    path = folder('uid,note,responses,fold,concepts\n4,?,"1,0",2,"1,2"\n') / "train_valid.csv"
    assert read_pykt(path).folds.tolist() == [2]


def test_joined_concepts_and_expanded_questions_are_one_step(folder):
    joined = read_pykt(folder('fold,uid,questions,concepts,responses\n0,4,"9,9,5","1_2,1_2,3","1,1,0"\n'))
    assert steps(joined) == [(["1", "2"], 1), (["1", "2"], 1), (["3"], 0)]
    expanded = read_pykt(folder('fold,uid,questions,concepts,responses\n0,4,"9,9,9,9,5","1,2,1,2,3","1,1,1,1,0"\n'))
    assert steps(expanded) == steps(joined)
    assert expanded.item_names[expanded.items].tolist() == ["9", "9", "5"]
    assert expanded.digest == joined.digest


def test_windows_and_padding(folder):
    header = "fold,uid,concepts,responses,selectmasks\n"
    cut = '0,4,"1,2,3","1,0,1","1,1,1"\n0,4,"4,-1,-1","0,-1,-1","1,-1,-1"\n'
    sliding = '0,4,"1,2,3","1,0,1","1,1,1"\n0,4,"2,3,4","0,1,0","-1,-1,1"\n'
    expected = [(["1"], 1), (["2"], 0), (["3"], 1), (["4"], 0)]
    assert steps(read_pykt(folder(header + cut))) == expected
    assert steps(read_pykt(folder(header + sliding))) == expected
    unmasked = HEADER + '0,4,"1,2,3","1,0,1"\n0,4,"4,-1,-1","0,-1,-1"\n'
    assert steps(read_pykt(folder(unmasked))) == expected


@pytest.mark.parametrize(
    ("column", "flags", "said"),
    [
        ("selectmasks", "1,0,-1", r"line 2: selectmasks is '0', not 1 or -1 \(1 of 4 responses\)"),
        ("selectmasks", "1,True,1", r"line 2: selectmasks is 'True'"),
        ("is_repeat", "0,yes,0", r"line 2: is_repeat is 'yes', not 1 or 0"),
    ],
)
def test_what_is_neither_yes_nor_no_is_refused(column, flags, said, folder):
    first = {"selectmasks": "1", "is_repeat": "0"}[column]
    rows = f'0,4,"1,2,3","1,0,1","{flags}"\n0,4,"9","1","{first}"\n'
    with pytest.raises(DataError, match=said):
        read_pykt(folder(f"fold,uid,concepts,responses,{column}\n{rows}"))


def test_blanks_in_the_header(folder):
    header = " fold, uid, questions , concepts,responses, selectmasks, is_repeat\n"
    rows = '0,4,"7,7,8","1,2,3","1,1,0","1,1,1","0,1,0"\n0,4,"8,9,9","3,4,5","0,1,1","-1,1,1","0,0,1"\n'
    log = read_pykt(folder(header + rows))
    assert steps(log) == [(["1", "2"], 1), (["3"], 0), (["4", "5"], 1)]
    assert log.item_names.tolist() == ["7", "8", "9"]
    assert log.digest == read_pykt(folder(header.replace(" ", "") + rows)).digest


@pytest.mark.parametrize("name", ["Questions", " QUESTIONS", "SelectMasks", "select_masks", "isRepeat", "is repeat"])
def test_optional_columns_under_another_spelling_are_refused(name, folder):
    text = f'fold,uid,concepts,responses,{name}\n0,4,"1,2","1,0","1,1"\n'
    with pytest.raises(DataError, match=rf"train_valid.csv: no column '\w+', but '{name.strip()}'; rename it to"):
        read_pykt(folder(text))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("", None, "train_valid.csv: the file is empty"),
        (HEADER, None, "nothing but a header"),
        ('fold,uid,concept,responses\n0,1,"1","1"\n', None, "no column 'concepts'; did you mean 'concept'?"),
        (HEADER + '0,11,"3,10","1,0,1"\n', None, "line 2 (student '11'): 2 concepts but 3 responses"),
        (
            'fold,uid,questions,concepts,responses\n0,1,"1,1,1","1,2","1,0"\n',
            None,
            "line 2 (student '1'): 3 questions but 2 responses",
        ),
        (
            HEADER + TRAIN + '0,8,"3,10","1,0.5"\n',
            None,
            "line 4 (student '8', response 2): response is '0.5'",
        ),
        (HEADER + TRAIN + '0,8,"3,10","1,-1"\n', None, "line 4 (student '8', response 2): response is '-1'"),
        (HEADER + TRAIN + '0,8,"3,","1,1"\n', None, "line 4 (student '8', response 2): concepts is ''"),
        (HEADER + TRAIN + '0,8,"3,1_","1,1"\n', None, "skill cell '1_' names an empty skill"),
        (HEADER + TRAIN + '0,,"3,1","1,1"\n', None, "line 4: uid is ''"),
        (HEADER + TRAIN + 'x,8,"3,1","1,1"\n', None, "line 4: fold is 'x'"),
        (HEADER + TRAIN + '1,11,"3,1","1,1"\n', None, "student '11' is in folds 0 and 1"),
        (HEADER + TRAIN, HEADER + '-1,7,"3,1","1,1"\n', "student '7' is in the test set and in fold 1"),
        (HEADER + TRAIN, HEADER, "test.csv: nothing but a header"),
        (
            HEADER + TRAIN,
            'fold,uid,questions,concepts,responses\n-1,5,"1","1","1"\n',
            "test.csv: questions stands in one",
        ),
        (
            HEADER + TRAIN,
            HEADER + '-1,5,"8,8","1,?"\n',
            "test.csv: line 2 (student '5', response 2): response is '?'",
        ),
        (HEADER + '0,1,"-1,-1","-1,-1"\n', None, "nothing but padding"),
        (HEADER.encode() + b'0,1,"1,\xb1","1,0"\n', None, "line 2, byte 8 is 0xb1, not UTF-8"),
    ],
)
def test_errors(folder, train, test, message):
    with pytest.raises(DataError) as error:
        read_pykt(folder(train, test))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_pykt(tmp_path / "nowhere")
    (tmp_path / "other.csv").touch()
    with pytest.raises(DataError, match=r"no train_valid\.csv in this folder \(found: other\.csv\)"):
        read_pykt(tmp_path)


def test_a_history_longer_than_the_csv_module_takes(folder):
    many = 200_000
    skills, responses = ",".join(["12345"] * many), ",".join("10" * (many // 2))
    path = folder(HEADER + f'0,1,"{skills}","{responses}"\n0,2,"1,1","1,x"\n')
    with pytest.raises(DataError, match=r"line 3 \(student '2', response 2\)"):
        read_pykt(path)


def test_assistments_2015(shared_data):
    log = read_pykt(shared_data / "assist2015_pykt")
    test = log.folds == -1
    assert (np.count_nonzero(~test), log.lengths[~test].sum()) == (15_275, 544_339)
    assert (np.count_nonzero(test), log.lengths[test].sum()) == (3_818, 138_458)
    assert sorted(set(log.folds.tolist())) == [-1, 0, 1, 2, 3, 4]
    assert (log.num_skills, log.num_items, log.max_slots) == (100, 0, 1)
    train_valid = log.select(np.flatnonzero(~test))
    assert train_valid.responses.mean() == pytest.approx(0.7330, abs=5e-5)
    assert np.median(train_valid.lengths) == 21
    assert log.lengths.max() == 618
