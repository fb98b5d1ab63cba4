"""The metrics of an ensemble of runs, beside those of its members, on the same steps."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_folders import made_run
from sklearn.metrics import roc_auc_score

from conftest import composed
from gainkt.config import run_of
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError, DataError
from gainkt.evaluate import evaluate
from gainkt.reporting.tables import results_table
from gainkt.runs.evaluation import Evaluation
from gainkt.runs.folder import Run, build_datamodule
from gainkt.runs.predict import metrics_of, predict

UNJUDGED = "trajectories.write=false"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    root = tmp_path_factory.mktemp("runs")
    return [made_run(root / str(seed), seed=seed) for seed in range(3)]


@pytest.fixture(scope="module")
def datamodule(runs: list[Run]) -> KTDataModule:
    return build_datamodule(runs[0].config.dataset)


def scored(runs: list[Run], *overrides: str) -> Evaluation:
    listed = ",".join(str(run.directory.path) for run in runs)
    return evaluate(composed("evaluate", f"run=[{listed}]", "device=cpu", *overrides))


def test_metrics_of_the_mean_beside_the_members_own(
    runs: list[Run], datamodule: KTDataModule, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = scored(runs, "split=valid", f"output={tmp_path}")
    own = [predict(run.model(), datamodule.loader("valid")) for run in runs]
    first, *members = done.results["members"].items()
    assert [name for name, _ in members] == ["v4_belief 0", "v4_belief 1", "v4_belief 2"]
    for (_, entry), run, table in zip(members, runs, own, strict=True):
        assert entry["figures"]["valid"] == metrics_of(table)
        assert entry["epoch"] == run.config.seed
        alone = evaluate(composed("evaluate", f"run={run.directory.path}", "device=cpu", "split=valid", UNJUDGED))
        assert alone.results["phases"]["train"] == entry
    for encoder in (1, 2):
        p = np.stack([table[f"p{encoder}"].to_numpy(np.float64) for table in own])
        expected = roc_auc_score(own[0]["response"], (np.log(p) - np.log1p(-p)).mean(0))
        assert first[1]["figures"]["valid"][f"encoder{encoder}_auc"] == pytest.approx(expected, abs=1e-6)
        assert done.results["spread"][f"encoder{encoder}"] == pytest.approx(p.std(0).mean(), abs=1e-6)
    assert json.loads((tmp_path / "ensemble.json").read_text()) == done.results
    assert (done.scorecard, done.folder) == (None, tmp_path)
    from gainkt.console import make_console

    make_console().print(results_table(done.results))
    said = capsys.readouterr().out
    assert "ensemble of 3" in said
    assert "member" in said
    assert "Members are apart by" in said


def test_a_list_of_one_has_the_metrics_of_the_run(runs: list[Run]) -> None:
    ensemble, own = scored(runs[:1]).results["members"].values()
    assert ensemble["figures"] == own["figures"]


def test_on_other_data(runs: list[Run]) -> None:
    other = ("dataset=simulated", "dataset.read.num_students=30", "dataset.read.num_skills=6", "dataset.read.seed=5")
    done = scored(runs, *other, "dataset.read.num_items=18", "dataset.read.max_length=30")
    assert done.results["protocol"] != scored(runs).results["protocol"]
    assert len(done.results["members"]) == 4


def test_runs_that_do_not_go_together(runs: list[Run], tmp_path: Path) -> None:
    fold = made_run(tmp_path / "fold", "dataset.fold=1", seed=7)
    for some in ([runs[0], fold], [fold, runs[0]]):
        with pytest.raises(ConfigError, match=r"its train part has other students \(\d+ stand in one of the two only"):
            scored(some)
    data = made_run(tmp_path / "data", "dataset.read.seed=9", seed=8)
    with pytest.raises(DataError, match=r"data: trained on other data \(digest"):
        scored([runs[0], data])
    skills = made_run(tmp_path / "skills", "dataset.read.num_skills=5", seed=9)
    with pytest.raises(ConfigError, match="skills: skills are others"):
        scored([runs[0], skills])
    with pytest.raises(ConfigError, match="the same model as"):
        scored([runs[0], runs[0]])
    with pytest.raises(ConfigError, match="scorecard: not of an ensemble"):
        scored(runs, "scorecard=default")


@pytest.mark.parametrize("door", ["diagnose", "trajectory", "report", "advise", "align"])
def test_other_doors_take_one_run_and_say_so(door: str) -> None:
    with pytest.raises(ConfigError, match=r"run=\[a,b\]: one run here; predict, evaluate and teach take several"):
        run_of(composed(door, "run=[a,b]"))
    assert run_of(composed(door, "run=/a/b")) == "/a/b"
