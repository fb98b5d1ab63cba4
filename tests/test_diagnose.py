"""`python -m gainkt.diagnose` on tiny runs, with windows and multi-skill steps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig

from conftest import TINY, composed
from gainkt import diagnose as command
from gainkt.diagnose import diagnose_config, diagnose_run
from gainkt.errors import ConfigError
from gainkt.runs import scoring as judge
from gainkt.train import train

Config = Callable[..., DictConfig]
GUARDS = {
    "flipped_responses_encoder1",
    "flipped_responses_encoder2",
    "shuffled_labels_p1",
    "shuffled_labels_p2",
    "students_apart",
    "histories_apart",
    "answers_once",
    "scored_once",
    "kt_audit_p1",
    "kt_audit_p2",
}


def settings(*overrides: str) -> DictConfig:
    return composed("diagnose", "device=cpu", *overrides)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A V1 run whose histories were cut into windows."""
    windows = ("dataset.window_length=16", "dataset.window_context=6")
    cfg = composed("train", "experiment=v1_per_skill", *TINY, f"run.root={tmp_path_factory.mktemp('runs')}", *windows)
    return train(cfg).run.directory.path


def test_a_run_is_diagnosed_with_its_own_tables(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "record", lambda *args, **kwargs: pytest.fail("the tables were there"))
    done = diagnose_config(settings(f"run={run_folder}"))
    assert done.folder == run_folder
    found = json.loads((run_folder / "diagnosis.json").read_text())
    assert found == done.content
    assert "leakage" not in found
    assert all(finding["status"] != "unmeasured" for finding in found["findings"])
    wrong = found["findings"][-1]["measured"]
    assert wrong["mastery_mismatches"] == wrong["p2_mismatches"] == 0
    rows = pd.read_parquet(run_folder / "trajectories.parquet")
    assert rows["window"].max() > 0, "no history was cut: the test could not fail"
    assert wrong["steps_not_in_trajectories"] == 0
    assert 0 < wrong["single_skill_steps"] < wrong["steps_checked"], "multi-skill steps are among them"
    gradients = found["findings"][2]["measured"]
    assert gradients["gain_head"]["last"]["bce2"] == 1
    assert len(list((run_folder / "figures").iterdir())) == 8


def test_a_model_with_items_reads_the_right_skills(config: Config, tmp_path: Path) -> None:
    run = train(config("v4_belief")).run
    table = pd.read_parquet(run.directory.path / "predictions.parquet")
    assert table["item_difficulty"].abs().max() > 0.005, "no item differs: the test could not fail"
    wrong = diagnose_config(settings(f"run={run.directory.path}", "figures=false")).content["findings"][-1]
    assert wrong["measured"]["p2_mismatches"] == wrong["measured"]["mastery_mismatches"] == 0
    assert wrong["measured"]["single_skill_steps"] > 50


def test_tables_of_an_older_version_are_recorded_again(run_folder: Path, tmp_path: Path) -> None:
    old = shutil.copytree(run_folder, tmp_path / "old")
    table = pd.read_parquet(old / "predictions.parquet")
    table.drop(columns="item_difficulty").to_parquet(old / "predictions.parquet")
    (old / "digests.json").unlink()
    done = diagnose_config(settings(f"run={old}", "figures=false"))
    assert all(finding["status"] != "unmeasured" for finding in done.content["findings"])


def test_another_part_is_recorded_and_guarded(run_folder: Path) -> None:
    done = diagnose_config(settings(f"run={run_folder}", "split=valid", "leakage=true", "figures=false"))
    assert done.folder.parent == run_folder / "evaluation"
    assert {found["name"] for found in done.content["leakage"]} == GUARDS
    assert all(found["passed"] for found in done.content["leakage"]), done.content["leakage"]
    assert done.content["protocol"]["split"] == "valid"
    assert not (done.folder / "figures").exists()
    assert not list(done.folder.glob("*.parquet"))


def test_v0_reports_the_left_over_because_it_is_its_gain(config: Config, tmp_path: Path) -> None:
    result = train(config("v0_scalar", "trainer.max_epochs=1"))
    done = diagnose_run(result.run, result.datamodule, folder=tmp_path / "here")
    found = {finding["name"]: finding for finding in done.content["findings"]}
    assert found["left_over"]["status"] == "cause"
    assert found["gains"]["measured"]["to_skills_not_practised"] == pytest.approx(0, abs=1e-6)
    assert found["wrong_skill"]["measured"]["mastery_mismatches"] == 0
    assert (tmp_path / "here/diagnosis.json").is_file()
    with pytest.raises(ConfigError, match="did you mean 'test'"):
        diagnose_run(result.run, result.datamodule, "tset")


def test_the_command(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "110")

    def say(*overrides: str) -> None:
        monkeypatch.setattr("sys.argv", ["gainkt", *overrides])
        command.main()

    say(f"run={run_folder}", "figures=false", "output=out")
    printed = capsys.readouterr().out
    assert "Why is Encoder 2 weak?" in printed
    assert "What to change" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for overrides, expected in (
        (["run=nowhere"], "not the folder of a run"),
        ([f"run={run_folder}", "split=tset"], "did you mean 'test'"),
        ([f"run={run_folder}", "phase=jont"], "no best checkpoint"),
        ([f"run={run_folder}", "leak=true"], "leak"),
    ):
        with pytest.raises(SystemExit):
            say(*overrides)
        said = capsys.readouterr().err
        assert said.count("gainkt: error:") == 1
        assert expected in said
        assert "Traceback" not in said
