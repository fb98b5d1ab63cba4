"""Checks that a config adds: their columns are recorded, they stand in the scorecard, and mistakes name their key."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from conftest import TINY, composed
from gainkt.errors import ConfigError
from gainkt.evaluate import evaluate
from gainkt.reporting.scorecard_table import scorecard_view
from gainkt.runs.checks import added_rules, step_columns
from gainkt.runs.folder import load_run
from gainkt.runs.scoring import tables_of
from gainkt.sweeping.summary.runs import read_runs
from gainkt.train import RunResult, train

Config = Callable[..., DictConfig]
ADDED = ("+scorecard.checks.sure._target_=made_checks.confidence", "+scorecard.checks.sure.minimum=0.001")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A V4 run with a check of its own."""
    root = tmp_path_factory.mktemp("runs")
    return train(composed("train", "experiment=v4_belief", *TINY, *ADDED, f"run.root={root}", "gradient_every=0"))


def test_its_column_is_recorded_and_it_stands_where_built_in_checks_do(result: RunResult) -> None:
    folder = result.run.directory.path
    table = pd.read_parquet(folder / "predictions.parquet")
    np.testing.assert_allclose(table["confidence"], np.abs(np.log(table["p2"] / (1 - table["p2"]))), atol=1e-4)
    card = json.loads((folder / "scorecard.json").read_text())
    assert [check["name"] for check in card["checks"]][5] == "sure"
    found = card["checks"][5]
    assert found["value"] == pytest.approx(table[table["scored"]]["confidence"].mean(), abs=1e-6)
    assert (found["verdict"], found["group"]) == ("pass", "immediate")
    assert card["groups"]["immediate"]["checks"] == 6
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(scorecard_view(card))
    assert "Confidence of" in console.export_text()
    runs = read_runs(folder.parent)
    assert runs.table["scorecard/sure"].tolist() == [found["value"]]


def test_a_run_without_it_is_the_same_to_the_bit(result: RunResult, config: Config) -> None:
    plain = train(config("v4_belief", "gradient_every=0"))
    assert plain.results["phases"] == result.results["phases"]
    before, after = (r.scorecard["checks"] for r in (plain, result))  # type: ignore[index]
    assert before == [check for check in after if check["name"] != "sure"]


def test_the_tables_serve_others_and_evaluation_asks_again(result: RunResult) -> None:
    folder = result.run.directory.path
    found = tables_of(load_run(folder, ["made_checks"]), result.datamodule, "test", "train", ("predictions",))[
        "predictions"
    ]
    assert "confidence" in found

    def score(*overrides: str) -> list[str]:
        asked = ["split=valid", "device=cpu", "trust=[made_checks]", *overrides]
        done = evaluate(composed("evaluate", f"run={folder}", *asked))
        assert done.scorecard is not None
        return [check["name"] for check in done.scorecard["checks"] if check["name"] in ("sure", "other")]

    assert score() == ["sure"]
    assert score("+scorecard.checks.other._target_=made_checks.confidence") == ["other"]


def test_a_run_made_without_the_node_has_the_built_in_checks() -> None:
    assert added_rules(None) == ()
    assert added_rules(OmegaConf.create({"checks": {"sure": None}})) == ()


def test_checks_may_share_a_column() -> None:
    rules = added_rules(
        OmegaConf.create(
            {
                "checks": {
                    "sure": {"_target_": "made_checks.confidence"},
                    "calm": {"_target_": "made_checks.calm", "maximum": 3},
                }
            }
        )
    )
    assert [rule.name for rule in rules] == ["sure", "calm"]
    assert [column.name for column in step_columns(rules)] == ["confidence"]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["mine._target_=made_checks.by_skill"], r"checks.mine: its column 'gains' must give .*found shape \[\d+, "),
        (["mine._target_=made_checks.no_tensor"], "checks.mine: its column 'gains' must give .*found float"),
        (["mine._target_=made_checks.undefined"], r"checks.mine: its column 'log' is not finite at \d+ of \d+ steps"),
        (["mine._target_=made_checks.taken"], "checks.mine: predictions.parquet has a column 'p2' already"),
        (["mine._target_=made_checks.no_such_group"], "checks.mine: .*did you mean 'immediate'"),
        (["mine._target_=made_checks.no_rule"], "checks.mine: made_checks.no_rule must give a gainkt.*found float"),
        (["mine._target_=made_checks.confidenc"], "checks.mine._target_=made_checks.confidenc: cannot be imported"),
        (["mine._target_=made_checks.calm", "mine.maximun=3"], "checks.mine.maximun.*did you mean 'maximum'"),
        (["gain_std._target_=made_checks.confidence"], "checks.gain_std: a built-in check has this name"),
        (
            ["sure._target_=made_checks.confidence", "other._target_=made_checks.same_name"],
            "checks.other: scorecard.checks.sure has a column 'confidence' already",
        ),
    ],
)
def test_a_mistake_ends_before_training(config: Config, overrides: list[str], expected: str) -> None:
    cfg = config("v4_belief", *(f"+scorecard.checks.{override}" for override in overrides))
    with pytest.raises(ConfigError, match=f"scorecard.{expected}"):
        train(cfg)
    assert not Path(cfg.run.dir).exists(), "a folder that was made for a start that was refused"
