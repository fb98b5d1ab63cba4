"""`python -m gainkt.teach`: a table, a file a course, a picture; parts from outside; what is refused in one line."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from conftest import TINY, composed
from gainkt import teach as command
from gainkt.errors import ConfigError
from gainkt.reporting.teaching_view import mean_curves, teaching_figure, teaching_view
from gainkt.train import train
from gainkt.tutoring.estimator.simple import Streak

SMALL = ("students=12", "limit=8", "resamples=20", "estimators.bayes_filter.num_particles=20")
ONE = ("stopping.level=0.7",)
READ = tuple(f"dataset.read.{x}" for x in ("num_students=60", "num_skills=4", "num_items=12"))


class Mine(Streak):
    """A user's estimator."""

    def __init__(self, *, bonus: float) -> None:
        self.bonus = bonus

    def changed(self, value: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Right answers count, wrong ones take half."""
        return np.where(right, value + self.bonus, value / 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("teach")
    quick = ("trajectories.write=false", f"run.root={root}", "trainer.max_epochs=1")
    cfg = composed("train", "experiment=v4_belief", *TINY, *quick)
    return train(cfg).run.directory.path


def test_simulated_students_are_taught(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, folder = command.teach(
        composed("teach", f"run={run}", *SMALL, *ONE, "controls=true", f"output={tmp_path}/a")
    )
    names = [row["name"] for row in content["estimators"]]
    assert {"true_state", "bayes_filter", "moving_average", "v4_belief mastery", "v4_belief share"} < set(names)
    assert "v4_belief mastery, gains permuted" in names
    assert "v4_belief share, Q-matrix shuffled" in names
    assert folder is not None
    table = pd.read_parquet(folder / "teach.parquet")
    assert len(table) == len(names) * 12 * 6
    assert {"student", "skill", "opportunities", "true_mastery", "reason"} < set(table)
    assert table["reason"].isin(["declared", "limit"]).all()
    assert not table[table.estimator == "true_state"].query("true_mastery >= .7").false_mastery.any()
    assert json.loads((folder / "teach.json").read_text()) == content
    assert (folder / "teach.png").stat().st_size > 10_000
    command.make_console().print(teaching_view(content))
    said = capsys.readouterr().out
    assert "false mastery" in said
    assert "Bayes filter" in said


def test_a_curve_of_several_simulations_is_their_mean() -> None:
    one = {"name": "bkt", "false": [0.4, 0.2, 0.0], "opportunities": [2.0, 4.0, 8.0]}
    other = {"name": "bkt", "false": [0.4, 0.1, None], "opportunities": [4.0, 10.0, 30.0]}
    assert mean_curves({"curves": [one]}) == [("bkt", one["false"], one["opportunities"])]
    ((name, false, opportunities),) = mean_curves({"curves": [one, other]})
    found = dict(zip(np.round(false, 3).tolist(), opportunities, strict=True))
    assert name == "bkt"
    assert min(found) == pytest.approx(0.1)  # where both have a level
    assert found[0.1] == pytest.approx((6 + 10) / 2)
    assert found[0.4] == pytest.approx(3)


def test_one_level_and_a_policy_of_its_own() -> None:
    content, _ = command.teach(
        composed("teach", "dataset=simulated", *READ, *SMALL, "stopping=in_a_row", "sequencing=prerequisites")
    )
    curves = {curve["name"]: curve for curve in content["curves"]}
    assert all(curve["level"] == [3.0] for curve in curves.values())
    assert all(row["tuned"] == [None] for row in content["estimators"])
    assert any("bkt knows no transfer" in note for note in content["notes"])
    assert curves["bkt"]["opportunities"][0] >= 3


def test_a_users_estimator_takes_part() -> None:
    cfg = composed("teach", "dataset=simulated", *READ, *SMALL)
    OmegaConf.update(cfg, "estimators.mine", {"_target_": "test_teach.Mine", "bonus": 2.0}, force_add=True)
    content, _ = command.teach(cfg)
    assert "mine" in [row["name"] for row in content["estimators"]]
    OmegaConf.update(cfg, "estimators.mine", {"_target_": "pathlib.Path"}, force_add=True)
    with pytest.raises(ConfigError, match=r"estimators\.mine: not an estimator"):
        command.teach(cfg)


def test_a_log_is_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "log.csv"
    draw = np.random.default_rng(0)
    skills = [f"skill_{k}" for k in draw.integers(6, size=600)]
    pd.DataFrame(
        {"student": np.repeat(np.arange(30), 20), "skill": skills, "correct": draw.integers(2, size=600)}
    ).to_csv(data, index=False)
    given = (f"run={run}", "dataset=csv", f"dataset.path={data}", "resamples=20", f"output={tmp_path}/b")
    content, folder = command.teach(composed("teach", *given))
    assert content["students"] == 30
    names = [row["name"] for row in content["estimators"]]
    assert "v4_belief mastery" in names
    assert "true_state" not in names
    assert len(content["agreement"]) == len(names)
    assert folder is not None
    assert (folder / "teach.png").is_file()
    assert teaching_figure(content).axes
    command.make_console().print(teaching_view(content))
    assert "wheel-spinning" in capsys.readouterr().out.lower()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "nobody to teach"),
        (("dataset=simulated", "students=1"), "students=1: give a whole number, at least 2"),
        (("dataset=simulated", "mastered=1.2"), r"mastered=1.2: must lie in \(0, 1\)"),
        (("dataset=simulated", "stopping.level=-1"), "stopping.level=-1: must be above 0"),
        (("dataset=csv", "dataset.path=x.csv"), "give run="),
    ],
)
def test_what_is_refused(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        command.teach(composed("teach", *given))


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["teach", "dataset=simulated", *READ, *SMALL, "students=2"])
    command.main()
    assert "opportunities" in capsys.readouterr().out
