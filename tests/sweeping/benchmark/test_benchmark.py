"""`gainkt benchmark`: one table of an experiment, a reference, peers that run and peers that do not."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import roc_auc_score

from conftest import TINY, composed
from gainkt import benchmark as command
from gainkt.errors import ConfigError, DataError
from gainkt.reporting.leaderboard_view import COLUMNS
from gainkt.sweeping.benchmark import contenders
from gainkt.sweeping.benchmark.contenders import data_of
from gainkt.sweeping.benchmark.run import benchmark

DATA = 'mine, "<b>"'
MEAN, LEAK, BROKEN, SHORT, NAMED = "a 'mean', \"|<i>", "knows", "breaks", "short", "v4"
TRAINED = [o for o in TINY if not o.startswith("dataset.read.") and "epochs" not in o]
SCRIPT = """
import csv, sys
from collections import Counter
print("hello")
{before}
seen, right = Counter(), Counter()
with open(sys.argv[1] + "/test.csv") as rows, open(sys.argv[1] + "/predictions.csv", "w") as said:
    print("student,step,p", file=said)
    for row in csv.DictReader(rows):
        student, response = row["student"], int(row["response"])
        p = {said}
        if row["scored"] == "1" {only}:
            print(student, row["step"], p, sep=",", file=said)
        seen[student] += 1
        right[student] += response
"""
EPOCHS = """
with open(sys.argv[1] + "/epochs.csv", "w") as epochs:
    print("epoch,train_seconds,seconds,best", "1,1,3,0", "2,2,7,1", "3,3,9,0", sep=chr(10), file=epochs)
with open(sys.argv[1] + "/notes.txt", "w") as notes:
    print("cut short, as I say", file=notes)
"""
MEAN_OF = "(right[student] + 1) / (seen[student] + 2)"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """A small benchmark: peers run with this Python."""
    folder = tmp_path_factory.mktemp("benchmark")
    scripts = {
        MEAN: SCRIPT.replace("{said}", MEAN_OF).replace("{only}", "").replace("{before}", EPOCHS),
        LEAK: SCRIPT.replace("{said}", "0.25 + 0.5 * response").replace("{only}", ""),
        SHORT: SCRIPT.replace("{said}", "0.5").replace("{only}", "and int(student) > 3"),
        BROKEN: "print('so far')\nimport no_such_package",
    }
    scripts = {name: script.replace("{before}", "") for name, script in scripts.items()}
    cfg = composed("benchmark", f"run.dir={folder}/table", "resamples=20", "audit=8", "report=true")
    read = [o for o in TINY if o.startswith("dataset.read.")]
    cfg.datasets = {DATA: {"option": "simulated", "overrides": read}, "absent": {"path": None}}
    by_fold = r"name='of fold \${dataset.fold}'"
    cfg.experiments = {NAMED: {"overrides": ["experiment=v4_belief", *TRAINED, "trainer.max_epochs=1", by_fold]}}
    cfg.references, cfg.baseline = {"rasch": {}}, NAMED
    drivers = {name: folder / f"{number}.py" for number, name in enumerate(scripts)}
    for name, driver in drivers.items():
        driver.write_text(scripts[name])
    cfg.peers = {name: {"driver": str(driver), "python": sys.executable} for name, driver in drivers.items()}
    OmegaConf.set_struct(cfg, False)
    return cfg


@pytest.fixture(scope="module")
def done(config: DictConfig) -> dict[str, Any]:
    content = benchmark(config)
    assert content is not None
    return content


def rows_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (board,) = content["datasets"]
    assert board["name"] == DATA
    return {row["model"]: row for row in board["rows"]}


def test_a_row_a_model_and_encoder(config: DictConfig, done: dict[str, Any]) -> None:
    rows = rows_of(done)
    assert set(rows) == {f"{NAMED} E1", f"{NAMED} E2", "rasch", MEAN, LEAK, SHORT, BROKEN}
    assert done["datasets"][0]["baseline"] == f"{NAMED} E1"
    assert done["left_out"] == ["absent: no data; give datasets.absent.path=..."]
    found = {}
    for path in sorted(Path(config.run.dir).glob("*/scored.parquet")):
        table = pd.read_parquet(path)
        found |= {
            name: roc_auc_score(table["response"], table[name])
            for name in table.columns.drop(["student", "step", "response"])
        }
    assert {name: row["auc"] for name, row in rows.items() if row["auc"]} == pytest.approx(found, abs=1e-6)
    assert len({tuple(row["steps"]) for row in rows.values() if row["auc"]}) == 1
    # gainkt's own results say the same of the experiment.
    own = json.loads((Path(config.run.dir) / "0" / "results.json").read_text())
    assert own["phases"]["train"]["figures"]["test"]["encoder2_auc"] == pytest.approx(rows[f"{NAMED} E2"]["auc"])
    assert own["name"] == "of fold 0", "an override may depend on the fold, as the teachers of a distilled model do"


def test_what_does_not_run_says_why_in_one_line(done: dict[str, Any]) -> None:
    rows = rows_of(done)
    assert rows[BROKEN]["error"] == (
        "fold 0: the driver ended with status 1: ModuleNotFoundError: No module named 'no_such_package'"
    )
    assert "with" in rows[SHORT]["error"]
    assert "asked for" in rows[SHORT]["error"]
    assert rows[SHORT]["auc"] is None


def test_the_audit_marks_rows(done: dict[str, Any]) -> None:
    rows = rows_of(done)
    assert rows[LEAK]["auc"] == 1
    assert rows[LEAK]["audit"] == {"passed": False, "failed": ["later_responses"]}
    for name in (MEAN, "rasch", f"{NAMED} E1", f"{NAMED} E2"):
        assert rows[name]["audit"]["passed"], name


def trained_steps() -> int:
    """Interactions of the training part."""
    datamodule = data_of(composed("train", *(o for o in TINY if o.startswith("dataset."))))
    return int(datamodule.log_.lengths[datamodule.students("train")].sum())


def test_costs_and_what_was_done_to_skills_are_told(done: dict[str, Any]) -> None:
    rows = rows_of(done)
    assert rows[MEAN]["seconds"] > 0
    assert sys.platform != "linux" or rows[MEAN]["peak_mib"] > 1
    for name in (f"{NAMED} E1", f"{NAMED} E2"):
        assert rows[name]["interactions_a_second"] > 1
        assert 0 < rows[name]["seconds_to_best"] < rows[name]["seconds"]
    assert rows[MEAN]["interactions_a_second"] == pytest.approx(trained_steps() / 2)
    assert rows[MEAN]["seconds_to_best"] == 7
    assert rows["rasch"]["seconds_to_best"] is None, "it has no epochs"
    assert rows["rasch"]["peak_mib"] is None, "not measured in a process that does other jobs too"
    assert "sets of several skills count as skills of their own" in rows[MEAN]["notes"][0]
    assert rows[MEAN]["notes"][1].endswith("cut short, as I say")


def test_files_show_names_as_text(config: DictConfig, done: dict[str, Any]) -> None:
    folder = Path(config.run.dir)
    table = pd.read_csv(folder / "benchmark.csv").set_index("model")
    assert table.loc[MEAN, "auc"] == pytest.approx(rows_of(done)[MEAN]["auc"])
    assert table.loc["rasch", "dataset"] == DATA
    assert json.loads((folder / "benchmark.json").read_text()) == done
    lines = [line for line in (folder / "benchmark.md").read_text().splitlines() if line.startswith("| a 'mean'")]
    assert len(lines) == 1
    assert lines[0].count(" | ") == len(COLUMNS) - 1
    for text in ((folder / "benchmark.md").read_text(), (folder / "report.html").read_text()):
        assert "<i>" not in text
        assert "<b>" not in text


def test_the_same_command_does_nothing_again_and_a_new_model_joins(
    config: DictConfig, done: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(config.run.dir)
    started = {path: json.loads(path.read_text())["started"] for path in folder.glob("*/job.json")}
    cfg = OmegaConf.merge(config, {"only": {"models": [NAMED, "pfa"]}, "references": {"pfa": {}}, "report": False})
    assert isinstance(cfg, DictConfig)
    published = folder / "published.csv"
    published.write_text('dataset,model,auc,source\n"mine, ""<b>""",theirs,0.8,"a paper"\nother,x,0.7,y\n')
    cfg.published = str(published)
    content = benchmark(cfg)
    assert "(1 of 2 jobs to run)" in capsys.readouterr().out
    assert content is not None
    assert set(rows_of(content)) == {*rows_of(done), "pfa"}
    assert rows_of(content)["rasch"] == rows_of(done)["rasch"]
    assert [row["model"] for row in content["datasets"][0]["published"]] == ["theirs"]
    now = {path: json.loads(path.read_text())["started"] for path in folder.glob("*/job.json")}
    assert {path: now[path] for path in started} == started


def test_changed_settings_are_noticed(config: DictConfig, done: dict[str, Any]) -> None:
    cfg = OmegaConf.merge(config, {"references": {"rasch": {"overrides": ["reference.difficulty_sd=2"]}}})
    with pytest.raises(ConfigError, match=r"model=rasch was run with other settings \(settings=.*2"):
        benchmark(cfg)  # type: ignore[arg-type]


def test_an_option_that_has_changed_since_is_refused(
    config: DictConfig, done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compose_train(*given: Any, **more: Any) -> DictConfig:
        cfg = compose(*given, **more)
        cfg.reference["difficulty_sd"] = 7.0
        return cfg

    compose = contenders.compose_train
    monkeypatch.setattr(contenders, "compose_train", compose_train)
    cfg = OmegaConf.merge(config, {"only": {"models": ["rasch"]}, "report": False})
    with pytest.raises(ConfigError, match=r"model=rasch was run with other settings .*composed=.* is now"):
        benchmark(cfg)  # type: ignore[arg-type]


def test_what_failed_may_be_mended(config: DictConfig, done: dict[str, Any], tmp_path: Path) -> None:
    script = SCRIPT.replace("{said}", MEAN_OF).replace("{only}", "").replace("{before}", "")
    (driver := tmp_path / "mended.py").write_text(script)
    changes = {"peers": {BROKEN: {"driver": str(driver)}}, "only": {"models": [BROKEN]}, "report": False}
    content = benchmark(OmegaConf.merge(config, changes))  # type: ignore[arg-type]
    assert content is not None
    rows = rows_of(content)
    assert rows[BROKEN]["error"] is None
    assert rows[BROKEN]["auc"] == rows[MEAN]["auc"]
    assert set(rows) >= set(rows_of(done))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"only": {"models": ["rash"]}}, "only.models: rash: no such name; did you mean 'rasch'?"),
        ({"references": {"v4": {}}}, "v4: names two models"),
        ({"references": {"rasch": {"override": []}}}, "references.rasch.override: no such setting; did you mean"),
        ({"peers": {"mine": {"python": "x"}}}, "peers.mine.driver: a value is missing"),
        ({"only": {"datasets": ["absent"]}}, "nothing to run; absent: no data"),
        ({"job": 77}, "job=77: not a job of this benchmark"),
        ({"folds": [0, 1.5]}, "folds: 1.5 is no whole number from 0"),
        ({"folds": 0}, r"folds=0: is no list; give folds=\[0\]"),
        ({"seeds": None}, "seeds=None: is no list"),
        ({"only": {"models": "rasch"}}, r"only.models=rasch: is no list; give only.models=\[rasch\]"),
        ({"resamples": 30.5}, "resamples=30.5: an interval needs 20"),
        ({"resamples": None}, "resamples=None: an interval needs 20"),
        ({"folds": ["x"]}, "folds: x is no whole number"),
        ({"folds": [-1]}, "folds: -1 is no whole number"),
        ({"seeds": [True]}, "seeds: True is no whole number"),
        ({"baseline": "rash"}, "baseline=rash: no such model; did you mean 'rasch'?"),
        ({"resamples": 1}, "resamples=1: an interval needs 20 or more"),
        ({"references": {f"{NAMED} E2": {"overrides": ["reference=pfa"]}}}, "v4 E2: names two models"),
        ({"references": {"step": {"overrides": ["reference=pfa"]}}}, "step: names a column of the predictions"),
        ({"published": "none.csv"}, "published=none.csv: cannot be read"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(
    config: DictConfig, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    cfg = OmegaConf.merge(config, changes, {"run": {"dir": str(tmp_path / "table")}})
    with pytest.raises((ConfigError, DataError), match=message.replace("?", r"\?")):
        benchmark(cfg)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("*/0"))


@pytest.mark.parametrize("auc", ["nan", "0,7271", "72.7", ""])
def test_a_published_figure_is_a_number_from_0_to_1(config: DictConfig, auc: str, tmp_path: Path) -> None:
    (path := tmp_path / "published.csv").write_text(f'dataset,model,auc,source\nd,x,.7,s\nd,y,"{auc}",s\n')
    cfg = OmegaConf.merge(config, {"published": str(path), "run": {"dir": str(tmp_path / "table")}})
    with pytest.raises(DataError, match=f"row 2: auc is '{auc}', no number from 0 to 1"):
        benchmark(cfg)  # type: ignore[arg-type]
    path.write_text("dataset,model,auc,source\nd,x,0,7271,s\n")
    with pytest.raises(DataError, match="row 1 has more or fewer cells than the header"):
        benchmark(cfg)  # type: ignore[arg-type]
    path.write_text("dataset,model,AUC\n")
    with pytest.raises(DataError, match="no column auc, source"):
        benchmark(cfg)  # type: ignore[arg-type]


class TestOwnTable:
    """A table of two references on a file that a user has, command after command."""

    @pytest.fixture
    def table(self, tmp_path: Path) -> pd.DataFrame:
        draw = np.random.default_rng(0)
        rows = pd.DataFrame({"student": np.repeat([f"u{s}" for s in range(40)], 8)})
        rows = rows.assign(skill=draw.integers(4, size=len(rows)), other=draw.integers(3, size=len(rows)))
        rows["correct"] = draw.random(len(rows)) < 0.2 + 0.2 * rows["skill"]
        rows.astype({"correct": int}).to_csv(tmp_path / "mine.csv", index=False)
        return rows.astype({"correct": int})

    def run(self, folder: Path, models: dict[str, str], folds: list[int], read: str = "skill", **more: Any) -> Any:
        cfg = composed("benchmark", f"run.dir={folder / 'out'}", "resamples=20", "audit=0")
        OmegaConf.set_struct(cfg, False)
        overrides = [f"dataset.read.skill={read}"]
        cfg.datasets = {"d": {"option": "csv", "path": str(folder / "mine.csv"), "overrides": overrides}}
        cfg.experiments, cfg.peers = {}, {}
        cfg.references = {name: {"overrides": [f"reference={chosen}"]} for name, chosen in models.items()}
        cfg.folds, cfg.baseline = folds, more.pop("baseline", next(iter(models)))
        content = benchmark(OmegaConf.merge(cfg, more))  # type: ignore[arg-type]
        assert content is not None
        return {row["model"]: row for row in content["datasets"][0]["rows"]}

    def test_a_row_is_one_model_whatever_folds_a_command_asks_for(self, tmp_path: Path, table: pd.DataFrame) -> None:
        self.run(tmp_path, {"m": "rasch"}, [0])
        with pytest.raises(ConfigError, match=r"model=m was run with other settings .*rasch.* is now .*pfa"):
            self.run(tmp_path, {"m": "pfa"}, [1])
        assert self.run(tmp_path, {"m": "rasch"}, [1])["m"]["runs"] == 2

    def test_a_data_set_is_one_whatever_model_joins(self, tmp_path: Path, table: pd.DataFrame) -> None:
        self.run(tmp_path, {"m": "rasch"}, [0])
        with pytest.raises(ConfigError, match=r"dataset=d was run with other settings .*=skill.* is now .*=other"):
            self.run(tmp_path, {"p": "pfa"}, [0], read="other", baseline="m")

    def test_data_that_have_changed_are_not_compared(self, tmp_path: Path, table: pd.DataFrame) -> None:
        self.run(tmp_path, {"m": "rasch"}, [0])
        scored = set(pd.read_parquet(tmp_path / "out" / "0" / "scored.parquet")["student"].astype(str))
        flips = ~table["student"].isin(scored)
        changed = table["correct"].where(~flips, 1 - table["correct"])
        table.assign(correct=changed).to_csv(tmp_path / "mine.csv", index=False)
        row = self.run(tmp_path, {"m": "rasch", "p": "pfa"}, [0])["p"]
        assert row["auc"] is None
        assert "read other data than other jobs, since they have changed" in row["error"]
        row = self.run(tmp_path, {"m": "rasch"}, [0, 1])["m"]
        assert (row["runs"], row["of"]) == (1, 2), "no mean over two data sets either"
        assert "fold 1: read other data" in row["error"]

    def test_rows_of_other_folds_are_told_apart(self, tmp_path: Path, table: pd.DataFrame) -> None:
        self.run(tmp_path, {"p": "pfa"}, [0, 1, 2])
        row = self.run(tmp_path, {"m": "rasch"}, [0])["p"]
        assert (row["runs"], row["difference"]["runs"]) == (3, 1)
        said = (tmp_path / "out" / "benchmark.md").read_text()
        assert "difference on 1 of its 3 runs" in said
        assert "| p | 3 | " in said
        assert "| m | 1 | " in said

    def test_names_that_look_like_numbers(self, tmp_path: Path, table: pd.DataFrame) -> None:
        rows = self.run(tmp_path, {"2015": "rasch", "nan": "pfa"}, [0], only={"models": [2015, float("nan")]})
        assert set(rows) == {"2015", "nan"}


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read = ",".join(f"'{o}'" for o in TINY if o.startswith("dataset.read."))
    words = [f"run.root={tmp_path}", "name=quick", f"datasets.small={{option: simulated, overrides: [{read}]}}"]
    words += ["only.datasets=[small]", "only.models=[rasch,pykt_dkt]", "baseline=rasch", "audit=0", "isolated=false"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    command.main()
    said = capsys.readouterr().out
    assert "small: 12 test students, baseline rasch" in said
    assert "no environment: give peers.pykt_dkt.python=" in said
    assert (tmp_path / "quick" / "benchmark.md").is_file()
    monkeypatch.setattr(sys, "argv", ["benchmark", "-m", "folds=0,1"])
    with pytest.raises(SystemExit):
        command.main()
    assert "leave out -m, and give lists" in capsys.readouterr().err


@pytest.mark.slow  # each job is a Python of its own
def test_jobs_in_processes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"run.root={tmp_path}", "only.datasets=[mixed]", "only.models=[rasch,pfa]", "slots=2"]
    words += ["datasets.mixed.overrides=['dataset.read.num_students=60']"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    command.main()
    said = capsys.readouterr().out
    assert "2 of 2 done" in said
    content = json.loads((tmp_path / "benchmark" / "benchmark.json").read_text())
    assert all(row["peak_mib"] > 50 for row in content["datasets"][0]["rows"])
