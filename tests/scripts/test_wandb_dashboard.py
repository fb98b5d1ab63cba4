"""The dashboard's specification names figures that runs do log, and settings that configs do have."""

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig
from run_script import run_script

from gainkt.train import train

SCRIPT = Path(__file__).parents[2] / "scripts" / "wandb_dashboard.py"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command writes for a sweep over two settings, without a login and without a network."""
    folder = tmp_path_factory.mktemp("dashboard")
    asked = ["--group", "sweep-1", "--parameter", "loss.bce1", "--parameter", "model.size.d_model"]
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        done = run_script(SCRIPT, "--offline", "--entity", "us", *asked, "--output", folder / "d.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"written to {folder / 'd.json'}" in done.stdout
    return json.loads((folder / "d.json").read_text())


def walk(node: Any) -> Iterator[dict[str, Any]]:
    """Every mapping within plain containers."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def panels(part: Any) -> list[dict[str, Any]]:
    """Every panel, as W&B is sent it."""
    return [node for node in walk(part) if "viewType" in node and "config" in node]


def test_workspace_and_report_show_the_same_panels(spec: dict[str, Any]) -> None:
    titles = [
        sorted(str(panel["config"].get("chartTitle") or panel["viewType"]) for panel in panels(spec[part]))
        for part in ("workspace", "report")
    ]
    assert titles[0] == titles[1]
    for title in ("Encoder 1 AUC", "Encoder 2 AUC", "Weights of the cross-entropies", "Threshold theta"):
        assert title in titles[0]
    names = [node["name"] for node in walk(spec["workspace"]) if "panels" in node and "name" in node]
    assert names[:5] == ["AUC by epoch", "Loss weights by phase", "Gains", "Parameters", "Trade-off of a sweep"]
    assert "sweep-1" in json.dumps(spec["workspace"])
    assert "sweep-1" in json.dumps(spec["report"])
    assert spec["report"]["project"]["entityName"] == "us"


def test_every_figure_is_one_that_runs_log(spec: dict[str, Any], config: Callable[..., DictConfig]) -> None:
    quick = ("trajectories.write=false", "gradient_every=1", "trainer.max_epochs=1")
    runs = [
        train(config("v3_explicit", "callbacks=[default,gain_floor]", *quick)),
        train(config("v4_belief", *quick)),
    ]
    logged = {name for run in runs for name in pd.read_csv(run.run.directory.metrics).columns}
    shown = {
        name
        for panel in panels(spec["workspace"])
        if panel["viewType"] == "Run History Line Plot"
        for name in panel["config"]["metrics"]
    }
    assert len(shown) > 20
    assert shown <= logged, shown - logged
    text = json.dumps([panel["config"] for panel in panels(spec["workspace"]) if panel["viewType"] == "Scatter Plot"])
    for wanted in ("val/encoder1_auc", "val/encoder2_auc", "loss.value.bce1", "model.value.size.d_model"):
        assert wanted in text


def test_who_is_not_logged_in_gets_the_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.spec_from_file_location("wandb_dashboard", SCRIPT)
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    monkeypatch.setattr(script, "logged_in", lambda: False)
    monkeypatch.setattr(sys, "argv", ["wandb_dashboard.py", "--output", str(tmp_path / "d.json")])
    assert script.main() == 0
    assert "not logged in to W&B (wandb login): specification written" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "d.json").read_text())) == {"workspace", "report"}
    monkeypatch.setattr(sys, "argv", ["wandb_dashboard.py", "--offline", "--output", "/dev/null/d.json"])
    assert script.main() == 1
    assert "choose another --output" in capsys.readouterr().err
