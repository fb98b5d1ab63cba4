"""`gainkt.fit` leaves a run like any other, and `gainkt predict` writes what the Python API says."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import gainkt
from conftest import TINY
from gainkt.errors import ConfigError, DataError
from gainkt.predict import main
from gainkt.runs.trained import TrainedModel
from gainkt.training.fit import Fitted
from gainkt.training.train import train as train_config
from test_hostile_names import composed

SMALL = [o for o in TINY if not o.startswith("dataset.read")]
NUMBERS = ["p1", "p2", "mastery"]


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    log = gainkt.simulate(num_students=60, num_skills=6, num_items=18, max_length=40, seed=4)
    bounds = zip(log.skill_offsets[:-1], log.skill_offsets[1:], strict=True)
    return pd.DataFrame(
        {
            "pupil": [f"pupil-{name}" for name, n in zip(log.students, log.lengths, strict=True) for _ in range(n)],
            "kc": [";".join(log.skill_names[log.skills[a:b]]) for a, b in bounds],
            "task": log.item_names[log.items],
            "score": log.responses.astype(int),
            "note": "not read",
        }
    )


@pytest.fixture(scope="module")
def run(answers: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    root = tmp_path_factory.mktemp("outputs")
    columns = {"student": "pupil", "skill": "kc", "correct": "score", "item": "task"}
    return gainkt.fit(answers, **columns, overrides=SMALL, root=root)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["gainkt predict", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_fitted_run_is_one_like_any_other(run: Fitted, answers: pd.DataFrame, capsys) -> None:
    from gainkt.runs.folder import build_datamodule, load_run
    from gainkt.runs.predict import metrics_of, predict

    read = load_run(run.folder)
    assert json.loads((run.folder / "results.json").read_text()) == run.results
    assert read.config.dataset.read.student == "pupil"
    assert read.overrides[0] == "experiment=v4_belief"
    kept = pd.read_parquet(read.config.dataset.path)
    assert set(kept) == {"pupil", "kc", "task", "score"}, "what is not read is not kept"
    datamodule = build_datamodule(read.config.dataset)
    read.require_same_data(datamodule)
    found = metrics_of(predict(read.model(), datamodule.loader("test")))
    assert found == run.results["phases"][run.results["selected"]]["figures"]["test"]
    run.show()
    assert "E1 AUC" in capsys.readouterr().out
    assert run.scorecard is not None


def test_its_model_predicts_as_evaluation_does(run: Fitted, answers: pd.DataFrame) -> None:
    table = pd.read_parquet(run.folder / "predictions.parquet")
    found = run.model.predict(answers)
    assert found[NUMBERS].notna().all(axis=None)
    found = answers.assign(step=answers.groupby("pupil").cumcount(), **found)
    both = table.merge(found, left_on=["student", "step"], right_on=["pupil", "step"], suffixes=("", "_found"))
    assert len(both) == len(table) > 0
    for name in ("p1", "p2"):
        assert np.abs(both[name] - both[f"{name}_found"]).max() < 1e-5


def test_its_bundle_tells_nothing_about_anybody(run: Fitted, answers: pd.DataFrame, tmp_path: Path) -> None:
    path = run.model.save(tmp_path / "pupils.gainkt")
    with zipfile.ZipFile(path) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    for private in ("pupil-", str(run.folder.parent), str(Path.home()), str(Path.cwd()), "/tmp"):
        assert private.encode() not in content, private
    assert gainkt.load(path).predict(answers).equals(run.model.predict(answers))
    assert gainkt.load(run.folder).digest == gainkt.load(path).digest


def test_the_command_writes_what_the_api_says(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    blank = answers.assign(score=answers["score"].where(answers.index % 5 > 0)).sample(frac=1, random_state=0)
    blank.to_csv("new.csv", index=False)
    expected = run.model.predict(pd.read_csv("new.csv"))
    assert command(monkeypatch, f"run={run.folder}", "dataset.path=new.csv", "output=out/said.csv") == 0
    assert f"{len(blank):,} rows" in capsys.readouterr().out
    said = pd.read_csv("out/said.csv")
    assert said["pupil"].tolist() == blank["pupil"].tolist()
    assert np.abs(said[NUMBERS] - expected[NUMBERS]).max(axis=None) < 1e-5
    assert said["mastery_by_skill"].str.count(";").equals(said["kc"].str.count(";"))
    bundle = run.model.save("model.gainkt")
    more = ["mastery=true", "threshold=0.8", "look_ahead=2", "output=table.parquet"]
    assert command(monkeypatch, f"run={bundle}", "dataset=csv", "dataset.path=new.csv", *more) == 0
    table = run.model.mastery(pd.read_csv("new.csv"), threshold=0.8, look_ahead=2)
    pd.testing.assert_frame_equal(pd.read_parquet("table.parquet"), table, check_dtype=False)
    assert command(monkeypatch, f"run={bundle}", "dataset.path=new.csv") == 0
    assert "mastery_by_skill" in capsys.readouterr().out


def test_a_list_of_runs_is_their_ensemble(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    answers.head(50).to_csv("new.csv", index=False)
    with torch.no_grad():
        other = replace(run.model.content, weights={name: 0.9 * x for name, x in run.model.content.weights.items()})
    TrainedModel(other).save("other.gainkt")
    listed = f"run=[{run.folder},other.gainkt]"
    assert command(monkeypatch, listed, "dataset.path=new.csv", "output=said.csv") == 0
    expected = gainkt.load([run.folder, "other.gainkt"]).predict(pd.read_csv("new.csv"))
    columns = [*NUMBERS, "p1_std", "p2_std", "mastery_std"]
    said = pd.read_csv("said.csv")
    assert np.abs(said[columns] - expected[columns]).max(axis=None) < 1e-5
    assert said["p2_std"].max() > 0.001
    assert command(monkeypatch, listed, "dataset.path=new.csv", "mastery=true", "look_ahead=2", "output=m.csv") == 0
    assert {"right_answers_missing", "mastery_std"} <= set(pd.read_csv("m.csv"))
    capsys.readouterr()
    assert command(monkeypatch, "run=[other.gainkt,other.gainkt]", "dataset.path=new.csv") == 1
    assert "the same model as" in capsys.readouterr().err


def test_columns_of_the_users_own_stay_as_they_are(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Six digits are enough for an estimate, not for a student's number or a time."""
    monkeypatch.chdir(tmp_path)
    numbers = answers["pupil"].str.removeprefix("pupil-").astype("category").cat.codes
    mine = answers.assign(pupil=64_000_000.0 + numbers, at=33_000_010.25 + answers.index)
    mine.to_parquet("new.parquet")
    asked = [f"run={run.folder}", "dataset.path=new.parquet", "dataset.read.order=at"]
    assert command(monkeypatch, *asked, "output=said.csv") == 0
    said = pd.read_csv("said.csv")
    assert said["pupil"].equals(mine["pupil"])
    assert said["at"].equals(mine["at"])
    assert all(len(cell) <= 8 for cell in pd.read_csv("said.csv", dtype=str)["p2"])
    assert command(monkeypatch, *asked, "mastery=true", "output=stand.csv") == 0
    last = pd.read_csv("stand.csv")["last_practised"]
    assert set(last) <= set(mine["at"])
    assert run.model.mastery("new.parquet", order="at")["last_practised"].dtype == "float64"
    mine.to_csv("new.csv", index=False)
    assert run.model.mastery("new.csv", order="at")["last_practised"].dtype == "float64", "text of numbers is numbers"
    mine.rename(columns={"pupil": "mastery"}).to_parquet("new.parquet")
    assert command(monkeypatch, *asked, "dataset.read.student=mastery", "output=said.csv") == 1
    assert "'mastery' is read, and a column of what is predicted is called so too" in capsys.readouterr().err
    mine.drop(columns="score").to_parquet("new.parquet")
    assert command(monkeypatch, *asked, "output=said.csv") == 1
    assert "add an empty column of this name" in capsys.readouterr().err


def test_a_note_is_text_or_none(run: Fitted, answers: pd.DataFrame) -> None:
    blank = answers.head(40).assign(score=answers["score"].where(answers.index % 7 > 0))
    for table in (answers.head(40), blank):
        notes = run.model.predict(table)["note"].tolist()
        assert all(note is None or isinstance(note, str) for note in notes)
        assert sum(note is not None for note in notes) == table["score"].isna().sum()


def test_skills_that_were_not_split_in_training_are_not_split_later(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path
) -> None:
    both = answers.assign(kc=["a; b" if row % 3 == 0 else "ab"[row % 2] for row in answers.index])
    columns = {"student": "pupil", "skill": "kc", "correct": "score", "separator": None}
    settings = [*SMALL, "trajectories.write=false"]
    whole = gainkt.fit(both, **columns, row_expansion="keep", overrides=settings, root=tmp_path)
    assert set(whole.model.skills.names) == {"a; b", "a", "b"}
    bundle = gainkt.load(whole.model.save(tmp_path / "one.gainkt"))
    for model in (whole.model, bundle):
        assert model.content.reading["separator"] is None
        assert model.predict(both)["mastery_by_skill"].map(len).eq(1).all()


def test_a_run_of_a_named_data_set_reads_it_again(
    run: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """As its owner distributes it: the columns of training, whether the command names the data set or not."""
    path = Path(__file__).parent / "data" / "cases" / "a09_filled.csv"
    monkeypatch.chdir(tmp_path)
    train = ["experiment=v4_items", "dataset=assist2009", f"dataset.path={path}", *SMALL, "trajectories.write=false"]

    folder = train_config(composed("train", *train, f"run.dir={tmp_path}/run")).run.directory.path
    said = []
    for number, more in enumerate([[], ["dataset=assist2009"]]):
        output = f"said{number}.csv"
        assert command(monkeypatch, f"run={folder}", f"dataset.path={path}", f"output={output}", *more) == 0
        said.append(pd.read_csv(output))
    assert said[0].equals(said[1])
    assert said[0]["p2"].notna().mean() > 0.9
    assert {"user_id", "skill_id", "problem_id", "correct", "order_id"} <= set(said[0])


def test_columns_that_are_stated_win(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answers.rename(columns={"pupil": "student"}).drop(columns="task").to_csv("new.csv", index=False)
    stated = ["dataset.read.student=student", "dataset.read.item=null"]
    assert command(monkeypatch, f"run={run.folder}", "dataset.path=new.csv", "output=said.csv", *stated) == 0
    expected = run.model.predict(answers, item=None)
    assert np.abs(pd.read_csv("said.csv")[NUMBERS] - expected[NUMBERS].to_numpy()).max(axis=None) < 1e-5


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["output=said.txt"], "said.txt: give a name that ends in .csv or .parquet"),
        (["run=nowhere"], "no such run or bundle"),
        (["dataset.path=missing.csv"], "missing.csv"),
        (["dataset.unknown_skills=maybe"], "dataset.unknown_skills=maybe"),
        (["dataset.read.student=nobody"], "no column 'nobody'"),
        (["mastery=true", "threshold=95"], "threshold=95"),
        (["masteri=true"], "masteri"),
    ],
)
def test_what_is_wrong_ends_in_one_line(
    run: Fitted, answers: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, more, expected
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    answers.head(20).to_csv("new.csv", index=False)
    stated = {o.partition("=")[0] for o in more}
    usual = [o for o in (f"run={run.folder}", "dataset.path=new.csv") if o.partition("=")[0] not in stated]
    assert command(monkeypatch, *usual, *more) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert expected in errors[0]


@pytest.mark.parametrize("words", [{"sí": 1, "no": 0}, {"1,0": 1, "0.0": 0}])
def test_fit_takes_any_word_for_a_response(answers: pd.DataFrame, tmp_path: Path, words: dict) -> None:
    right, wrong = words
    said = answers.assign(score=answers["score"].map({1: right, 0: wrong}))
    columns = {"student": "pupil", "skill": "kc", "correct": "score"}
    run = gainkt.fit(said, **columns, responses=words, overrides=SMALL, root=tmp_path)
    assert json.loads((run.folder / "results.json").read_text()) == run.results


def test_fit_says_what_is_wrong_before_anything_is_written(answers: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'user'"):
        gainkt.fit(answers, student="user", root=tmp_path)
    with pytest.raises(DataError, match="is 'x', not 0 or 1"):
        gainkt.fit(answers.assign(score="x"), student="pupil", skill="kc", correct="score", root=tmp_path)
    with pytest.raises(ConfigError, match="studnt: no such setting"):
        gainkt.fit(answers, studnt="pupil", root=tmp_path)
    assert not list(tmp_path.iterdir())
    chosen: list[tuple[dict, str]] = [
        ({"overrides": ["trainer.max_epoch=1"]}, r"trainer.max_epoch: no such key .*did you mean 'trainer.max_epochs'"),
        ({"experiment": "v4_belif"}, r"experiment=v4_belif: no such option; did you mean 'v4_belief'"),
        ({"overrides": "trainer.max_epochs=1"}, r"give a dict, or a list"),
        ({"overrides": ["seed=0,1"]}, r"seed=0,1"),
    ]
    columns = {"student": "pupil", "skill": "kc", "correct": "score"}
    for settings, said in chosen:
        with pytest.raises(ConfigError, match=said) as caught:
            gainkt.fit(answers, **columns, **settings, root=tmp_path / "none")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "none" / "v4_belief").exists()
