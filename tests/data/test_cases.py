"""Files as people have them: read right, or refused with the place, the count and the option that would read it."""

import gzip
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gainkt
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import TEST, TRAIN, VALID, InteractionLog
from gainkt.data.readers import AktReader, MatrixReader, TableReader, read_csv
from gainkt.data.splits import AutoSplit
from gainkt.errors import ConfigError, DataError
from gainkt.runs.leakage_probe import histories_apart

CASES = Path(__file__).parent / "cases"
A09 = {"student": "user_id", "skill": "skill_id"}
STEPS, ROWS, EXPANDED = 836, 961, 125


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    """Rows of a09_filled.csv."""
    return pd.read_csv(CASES / "a09_filled.csv", dtype=str)


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    """Rows of plain.csv."""
    return pd.read_csv(CASES / "plain.csv", dtype=str)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a frame as CSV: write(frame, sep=";")."""

    def save(frame: pd.DataFrame, name: str = "x.csv", **how: object) -> Path:
        frame.to_csv(tmp_path / name, index=False, **how)
        return tmp_path / name

    return save


def same(log: InteractionLog, other: InteractionLog) -> bool:
    """Whether two logs hold the same."""
    return log.digest == other.digest


def refused(path: Path, *expected: str, **settings: object) -> str:
    """The one line with which a file is refused, which holds what is expected."""
    with pytest.raises(DataError) as error:
        read_csv(path, **settings)
    text = str(error.value)
    assert "\n" not in text
    for part in (str(path), *expected):
        assert part in text, text
    return text


# Row expansion


def test_expanded_rows_fold_by_item_or_on_request_and_are_refused_otherwise(write, raw):
    path = write(raw)
    by_item = read_csv(path, **A09, item="problem_id", order="order_id")
    assert (by_item.num_steps, by_item.account["folded"], by_item.account["rows"]) == (STEPS, EXPANDED, ROWS)
    text = refused(
        path, f"{EXPANDED} of {ROWS}", "dataset.read.item=problem_id", "row_expansion", **A09, order="order_id"
    )
    assert "line 6" in text
    folded = read_csv(path, **A09, order="order_id", row_expansion="fold")
    assert (folded.num_steps, folded.account["folded"]) == (STEPS, EXPANDED)
    assert folded.responses.tolist() == by_item.responses.tolist()
    kept = read_csv(path, **A09, order="order_id", row_expansion="keep")
    assert (kept.num_steps, kept.account["row_expansion"]) == (ROWS, "keep")


def test_expanded_rows_in_order_of_the_file(write, raw):
    path = write(raw.sort_values("order_id", key=lambda s: s.astype(int), kind="stable"))
    assert read_csv(path, **A09, item="problem_id").num_steps == STEPS
    refused(path, "dataset.read.item=problem_id", **A09)
    with pytest.raises(ConfigError, match=r"which rows are one answer; give dataset\.read\.item='problem_id'"):
        read_csv(path, **A09, row_expansion="fold")


def test_expanded_rows_show_without_any_other_column(write, raw):
    """Two skills of one item always follow one another with the same response."""
    draw = np.random.default_rng(0)
    rows = []
    for student in range(200):
        for _ in range(15):
            skill, response = draw.integers(5), int(draw.random() < 0.7)
            rows.append((student, f"k{skill}", response))
            if skill < 2:
                rows.append((student, f"also{skill}", response))
    table = pd.DataFrame(rows, columns=["student", "skill", "correct"])
    refused(write(table), "row_expansion", "always")
    apart = table[~table.skill.str.startswith("also")]
    assert read_csv(write(apart)).num_steps == len(apart)


def test_rows_that_do_not_stand_in_the_order_of_a_column_nobody_named(write, raw):
    refused(write(raw), "dataset.read.order=order_id", "278 of 961", **A09, item="problem_id")
    assert read_csv(write(raw), **A09, item="problem_id", order=False).num_steps > STEPS


def test_guards_find_histories_in_two_parts(write, plain):
    log = read_csv(write(pd.concat([plain, plain.assign(student="copy" + plain.student)])), order="order_id")
    number = np.arange(log.num_students)
    parts = {"train": number[:60], "valid": number[60:90], "test": number[90:]}
    assert not histories_apart(parts, log)["passed"]
    assert histories_apart({"train": number[:30], "valid": number[30:45], "test": number[45:60]}, log)["passed"]


# Folds


@pytest.mark.parametrize(
    "words", [("train", "valid", "test"), ("Training", "dev", "held_out"), ("TRAIN", "val", "testing")]
)
def test_words_for_the_parts(write, plain, words):
    number = plain.student.astype(int) // 7 % 5
    table = plain.assign(split=np.where(number == 0, words[2], np.where(number == 1, words[1], words[0])))
    log = read_csv(write(table), order="order_id", fold="split")
    assert set(log.folds) == {TRAIN, VALID, TEST}
    module = KTDataModule(read=lambda: log, split=AutoSplit())
    assert "given train, valid and test" in module.protocol
    assert set(module.split.test) == set(np.flatnonzero(log.folds == TEST))
    saved = InteractionLog.open(log.save(write(table).parent / "log"))
    assert AutoSplit().split(saved, 0).test.tolist() == module.split.test.tolist()
    assert saved.account == log.account


def test_train_and_test_only_and_numbers(write, plain):
    number = plain.student.astype(int) // 7 % 5
    log = read_csv(write(plain.assign(split=np.where(number == 0, "test", "train"))), order="order_id", fold="split")
    folds = [AutoSplit(num_folds=3).split(log, fold) for fold in range(3)]
    assert all(set(split.test) == set(np.flatnonzero(log.folds == TEST)) for split in folds)
    assert len(np.unique(np.concatenate([split.valid for split in folds]))) == (log.folds == TRAIN).sum()
    numbered = read_csv(write(plain.assign(split=number - 1)), order="order_id", fold="split")
    assert AutoSplit().split(numbered, 2).description.startswith("4 given folds, held-out test set")
    with pytest.raises(ConfigError, match="has its own folds, which are used; dataset/split=seeded"):
        AutoSplit(num_folds=3).split(numbered, 0)
    refused(
        write(plain.assign(split=np.where(number == 0, "train", "3"))), "among words", order="order_id", fold="split"
    )


def test_akts_folder_as_cloned(tmp_path):
    log = AktReader()(CASES / "akt_one_split")
    split = AutoSplit().split(log, 0)
    assert [len(part) for part in (split.train, split.valid, split.test)] == [36, 12, 12]

    shutil.copytree(CASES / "akt_one_split", tmp_path / "five")
    files = [tmp_path / "five" / f"statics_{part}1.csv" for part in ("train", "valid", "test")]
    for number in (2, 3):  # the same students, dealt otherwise
        files = files[1:] + files[:1]
        for file, part in zip(files, ("train", "valid", "test"), strict=True):
            shutil.copy(file, tmp_path / "five" / f"statics_{part}{number}.csv")
    several = AktReader()(tmp_path / "five")
    assert (several.num_students, several.num_steps) == (60, 983)
    for fold, sizes in enumerate([(36, 12, 12), (12, 12, 36), (12, 36, 12)]):
        split = AutoSplit().split(several, fold)
        assert tuple(len(part) for part in (split.train, split.valid, split.test)) == sizes
        assert not set(split.train) & set(split.test)
    with pytest.raises(ConfigError, match="3 given splits"):
        AutoSplit().split(several, 3)
    opened = InteractionLog.open(several.save(tmp_path / "log"))
    assert AutoSplit().split(opened, 1).test.tolist() == AutoSplit().split(several, 1).test.tolist()


def test_the_same_history_under_another_name(write, plain):
    twice = pd.concat([plain, plain[plain.student == "64000"].assign(student="copy")])
    log = read_csv(write(twice), order="order_id")
    assert len(set(log.histories.tolist())) == log.num_students - 1
    assert len(set(read_csv(write(plain), order="order_id").histories.tolist())) == 60


# Matrices


def test_piechs_matrix(tmp_path):
    draw = np.random.default_rng(0).integers(0, 2, (20, 30))
    path = tmp_path / "naive.csv"
    np.savetxt(path, draw, fmt="%d", delimiter=",")
    log = MatrixReader()(path)
    assert (log.num_students, log.num_steps, log.num_skills) == (20, 600, 30)
    assert log.responses.reshape(20, 30).tolist() == draw.tolist()
    with pytest.raises(DataError, match=r"line 1 has 30 cells.*dataset=matrix"):
        AktReader()(path)


@pytest.mark.parametrize("mark", [",", " ,", ", ", " , ", ";", " ; ", "\t", " \t", " ", "   "])
def test_matrix_with_cells_separated_in_any_way(mark, tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("".join(f"  {mark.join(row)}\n" for row in ("101", "011")))
    log = MatrixReader()(path)
    assert (log.num_skills, log.responses.tolist()) == (3, [1, 0, 1, 0, 1, 1])


def test_matrix_with_an_empty_cell_or_one_too_few(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("1 , , 1\n0 , 1 , 1\n")
    assert MatrixReader(missing="drop")(path).lengths.tolist() == [2, 3]
    path.write_text("1  0 1\n0  1\n")
    with pytest.raises(DataError, match=r"line 2 has 2 cells, line 1 has 3 \(so in 1 lines\)"):
        MatrixReader()(path)


# Skills of a cell


@pytest.mark.parametrize("mark", ["~~", "_", "|", ",", "+", "&", " "])
def test_joined_skills_are_asked_about(write, plain, mark):
    number = {name: str(i) for i, name in enumerate(sorted(plain.skill.unique()))}
    table = plain.assign(skill=plain.skill.map(number))
    table.loc[3, "skill"] = f"1{mark}2"
    table.loc[9, "skill"] = f"7{mark}2"
    text = refused(write(table), "line 5", "2 of 10 skill names", "(2 rows)", f"dataset.read.separator={mark!r}")
    assert "null" in text
    assert read_csv(write(table), separator=mark).num_skills == 8
    assert read_csv(write(table), separator=None).num_skills == 10


@pytest.mark.parametrize("style", ["['{}', '{}']", '["{}", "{}"]', "[{}, {}]", "['{}' '{}']"])
def test_lists_of_skills(write, plain, style):
    number = {name: str(i) for i, name in enumerate(sorted(plain.skill.unique()))}
    table = plain.assign(skill=[style.format(number[s], (int(number[s]) + 1) % 8) for s in plain.skill])
    refused(write(table), "separator='list'")
    log = read_csv(write(table), separator="list")
    assert (log.num_skills, log.max_slots) == (8, 2)


def test_words_with_a_mark_are_names(write, plain):
    table = plain.assign(skill=plain.skill.str.replace(" ", "_"))
    assert read_csv(write(table)).num_skills == 8


def test_numbers_in_two_spellings(write, plain):
    table = plain.assign(skill=plain.skill.astype("category").cat.codes.astype(str))
    mixed = table.copy()
    mixed.loc[::3, "skill"] += ".0"
    mixed.loc[::5, "student"] += ".0"
    log = read_csv(write(mixed))
    assert same(log, read_csv(write(table)))
    assert log.account["converted"] == {"student names like 1.0 read as 1": 197, "skill names like 1.0 read as 1": 328}


# Responses


@pytest.mark.parametrize("words", [("Correct", "Incorrect"), ("yes", "no"), ("RIGHT", "WRONG"), ("T", "F")])
def test_words_for_responses(write, plain, words):
    table = plain.assign(correct=np.where(plain.correct == "1", *words))
    text = refused(write(table), "983 of 983 rows", f"{words[0]!r} in 675")
    assert f"dataset.read.responses={{{words[0]}:1,{words[1]}:0}}" in text
    log = read_csv(write(table), responses={words[0].lower(): 1, words[1].upper(): 0})
    assert same(log, read_csv(write(plain)))


def test_words_that_say_nothing_are_asked_about_and_null_leaves_out(write, plain):
    table = plain.copy()
    table.loc[5, "correct"] = "skipped"
    refused(write(table), "line 7", "1 of 983", "{skipped:?}")
    log = read_csv(write(table), responses={"skipped": None})
    assert log.account["left_out"] == {"response 'skipped'": 1}


@pytest.mark.parametrize("spelling", ["1.0", " 1 ", "1e0", "true", "True"])
def test_spellings_of_right(write, plain, spelling):
    assert same(read_csv(write(plain.assign(correct=plain.correct.replace("1", spelling)))), read_csv(write(plain)))


def test_partial_credit(write, plain):
    table = plain.copy()
    table.loc[[4, 8, 20], "correct"] = ["0.5", "0.75", ".25"]
    refused(write(table), "line 6", "3 of 983 rows", "dataset.read.partial=drop")
    assert read_csv(write(table), partial="drop").account["left_out"] == {"partial credit": 3}
    for choice, expected in (
        (({"partial": "round"}), [1, 1, 0]),
        ({"partial": "threshold", "threshold": 0.7}, [0, 1, 0]),
    ):
        log = read_csv(write(table), **choice)
        assert log.responses[[4, 8, 20]].tolist() == expected
        assert sum(log.account["converted"].values()) == 3
    with pytest.raises(ConfigError, match="did you mean 'round'"):
        TableReader(partial="rounded")


# Missing


@pytest.mark.parametrize("blank", ["", "NaN", "NULL", "None", "nan", "<NA>", "#N/A", " "])
def test_blank_cells(write, plain, blank):
    table = plain.copy()
    table.loc[[2, 7], "skill"] = blank
    table.loc[7, "correct"] = ""
    text = refused(
        write(table), "line 4", "2 without skill, 1 without response: 2 of 983 rows", "dataset.read.missing=drop"
    )
    assert f"{blank.strip()!r}" in text
    log = read_csv(write(table), missing="drop")
    assert log.num_steps == 981
    assert log.account["left_out"] == {"no skill": 2}


def test_blank_rows_as_spreadsheets_leave_them(write, plain):
    path = write(plain)
    path.write_text(path.read_text() + ",,,\n" * 25)
    refused(path, "25 of 1008 rows, 25 of them blank", order="order_id")
    log = read_csv(path, order="order_id", missing="drop")
    assert same(log, read_csv(write(plain, "y.csv"), order="order_id"))


def test_na_is_a_name_among_words_and_missing_among_numbers(write, plain):
    named = plain.assign(skill=plain.skill.replace("Mode", "NA"))
    assert "NA" in read_csv(write(named)).skill_names
    numbered = plain.assign(skill=plain.skill.astype("category").cat.codes.astype(str).replace("3", "NA"))
    refused(write(numbered), "without skill")
    assert "NA" in read_csv(write(numbered), missing_words=[""]).skill_names


def test_students_that_vanish_are_counted(write, plain):
    table = plain.assign(skill=plain.skill.where(plain.student != "64000", ""))
    log = read_csv(write(table), missing="drop")
    assert log.account["students_dropped"] == 1
    module = KTDataModule(read=lambda: log, split=AutoSplit())
    assert "18 of 983 rows left out (18 no skill)" in module.protocol or "rows left out" in module.protocol
    assert module.account["left_out"] == log.account["left_out"]


# Repeats and times


def test_rows_that_stand_twice(write, plain):
    table = pd.concat([plain, plain.iloc[[10, 11]]])
    refused(write(table), "(so in 2 rows)", "dataset.read.duplicates=drop", order="order_id")
    dropped = read_csv(write(table), order="order_id", duplicates="drop")
    assert same(dropped, read_csv(write(plain), order="order_id"))
    assert dropped.account["left_out"] == {"duplicates": 2}
    assert read_csv(write(table), order="order_id", duplicates="keep").num_steps == 985


@pytest.mark.parametrize("form", ["%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S"])
def test_dates(write, plain, form):
    times = pd.Timestamp("2012-09-20") + pd.to_timedelta(pd.to_numeric(plain.order_id) - 33_000_000, unit="s") * 60
    path = write(plain.assign(order_id=times.dt.strftime(form)).sample(frac=1, random_state=0))
    refused(path, f"dataset.read.date_format='{form}'", "983 of 983", order="order_id")
    log = read_csv(path, order="order_id", date_format=form)
    assert log.num_steps == 983
    by_name = dict(zip(log.students, np.split(log.responses, log.offsets[1:-1]), strict=True))
    for student, rows in plain.groupby("student"):
        assert by_name[student].tolist() == rows.correct.astype(int).tolist()


# Files


@pytest.mark.parametrize("sep", ["\t", ";", "|"])
def test_delimiters_are_found(write, plain, sep):
    assert same(read_csv(write(plain, sep=sep)), read_csv(write(plain, "y.csv")))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings_are_found(write, plain, encoding):
    assert same(read_csv(write(plain, encoding=encoding)), read_csv(write(plain, "y.csv")))


def test_latin_1_is_named(write, plain):
    table = plain.assign(skill=plain.skill.replace("Mean", "Médiane"))
    path = write(table, encoding="latin-1")
    refused(path, "not UTF-8", "dataset.read.encoding=latin-1", "lines have such bytes")
    assert "Médiane" in read_csv(path, encoding="latin-1").skill_names


def test_packed_files_and_other_formats(write, plain, tmp_path):
    expected = read_csv(write(plain), order="order_id")
    text = (tmp_path / "x.csv").read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.replace(b",", b"\t").replace(b"\n", b"\r\n")))
    for ending in (".bz2", ".zst"):
        import pyarrow as pa

        with pa.CompressedOutputStream(
            str(tmp_path / f"a.csv{ending}"), {".bz2": "bz2", ".zst": "zstd"}[ending]
        ) as out:
            out.write(text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside.csv", text)
    typed = pd.read_csv(io.BytesIO(text))
    typed.to_parquet(tmp_path / "a.parquet")
    typed.to_feather(tmp_path / "a.feather")
    for name in ("a.csv.gz", "a.csv.bz2", "a.csv.zst", "a.zip", "a.parquet", "a.feather"):
        assert same(read_csv(tmp_path / name, order="order_id"), expected), name
    (tmp_path / "bad.parquet").write_bytes(text)
    refused(tmp_path / "bad.parquet", "cannot be read as .parquet")
    (tmp_path / "bad.csv.gz").write_bytes(text)
    refused(tmp_path / "bad.csv.gz", "cannot be unpacked")


def test_a_data_frame_is_read_by_the_same_code(write, plain):
    expected = read_csv(write(plain), order="order_id")
    typed = pd.read_csv(write(plain))
    typed["correct"] = typed["correct"].astype(bool)
    typed["skill"] = typed["skill"].astype("category")
    renamed = typed.rename(columns={"student": "who", "correct": "ok"})
    assert same(gainkt.read(renamed, student="who", correct="ok", order="order_id"), expected)
    floats = typed.assign(student=typed.student.astype(float))
    assert same(gainkt.read(floats, order="order_id"), expected)
    blank = typed.assign(skill=typed.skill.astype(object).where(typed.index != 4, None))
    with pytest.raises(DataError, match=r"table: row 5: skill .*\(1 without skill: 1 of 983 rows"):
        gainkt.read(blank, order="order_id")


def test_only_some_rows_count_and_columns_name_an_item_together(write, plain):
    table = plain.assign(attempt=np.arange(len(plain)) % 3 + 1, problem=plain.skill, step="s" + plain.correct)
    log = read_csv(write(table), only={"attempt": 1}, item=["problem", "step"], order="order_id")
    assert log.num_steps == 328
    assert log.account["left_out"] == {"attempt not 1": 655}
    assert "Mean/s1" in log.item_names
    table.loc[3, "skill"] = ""
    refused(write(table), "line 5", only={"attempt": 1}, order="order_id")
