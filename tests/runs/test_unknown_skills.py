"""Data with skills that the model does not know: refused, left out, or predicted as typical skills, and counted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from gainkt.config import conf_dir
from gainkt.errors import ConfigError, DataError
from gainkt.runs.evaluation import Evaluation, evaluate
from gainkt.train import RunResult, train


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).parents[1] / "data" / "cases" / "plain.csv")


@pytest.fixture
def run(config: Callable[..., DictConfig], tmp_path: Path, plain: pd.DataFrame) -> RunResult:
    plain.to_csv(tmp_path / "plain.csv", index=False)
    data = ["dataset=csv", f"dataset.path={tmp_path}/plain.csv", "dataset.read.order=order_id"]
    size = ["model.size.d_model=16", "model.size.num_heads=2", "model.size.num_blocks=1", "model.size.d_ff=16"]
    limits = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trajectories.write=false"]
    return train(config("v4_belief", *data, *size, *limits, tiny=False))


def score(run: RunResult, path: Path, *settings: str) -> Evaluation:
    given = [f"run={run.run.directory.path}", "dataset=csv", f"dataset.path={path}", "dataset.read.order=order_id"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return evaluate(compose("evaluate", [*given, "device=cpu", *settings]))


def test_fail_skip_and_prior_and_one_student(run: RunResult, plain: pd.DataFrame, tmp_path: Path) -> None:
    old = score(run, tmp_path / "plain.csv", "trajectories.write=false").results
    new = tmp_path / "new.csv"
    renamed = plain.skill.replace({plain.skill[0]: "Never met", plain.skill[40]: "Nor this"})
    count = int(renamed.isin(["Never met", "Nor this"]).sum())
    plain.assign(skill=renamed).to_csv(new, index=False)
    with pytest.raises(DataError, match=rf"so are 2 of 8, in {count} of 983 places.*skip.*prior"):
        score(run, new)
    with pytest.raises(ConfigError, match=r"unknown_skills=priro: no such choice.*prior"):
        score(run, new, "dataset.unknown_skills=priro")
    skipped = score(run, new, "dataset.unknown_skills=skip", "trajectories.write=false").results
    assert f"{count} steps on skills unknown to the model" in skipped["protocol"]
    typical = score(run, new, "dataset.unknown_skills=prior", f"output={tmp_path}/tables")
    what = "places of 2 skills unknown to the model, each predicted as a typical skill"
    assert typical.results["account"]["converted"] == {what: count}
    assert f"{count} {what}" in typical.results["protocol"]
    table = pd.read_parquet(tmp_path / "tables" / "predictions.parquet")
    assert len(table) == 983
    assert set(table.skills) == set(renamed)
    assert np.isfinite(table[["p1", "p2"]].to_numpy()).all()
    again = score(run, tmp_path / "plain.csv", "dataset.unknown_skills=prior", "trajectories.write=false").results
    assert again == old  # nothing is unknown there

    one = tmp_path / "one.csv"
    plain.head(1).to_csv(one, index=False)
    with pytest.raises(DataError, match="no student has two or more steps, so nothing can be scored"):
        score(run, one)
    plain.head(2).to_csv(one, index=False)
    done = score(run, one)
    assert done.results["phases"]["train"]["figures"]["test"]
    assert done.scorecard is not None
