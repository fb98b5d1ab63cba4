"""`python -m gainkt.reference` on a few simulated students: what it writes, prints and refuses."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from conftest import composed
from gainkt import reference as command
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.reference import as_reference, score_reference
from gainkt.references import BKT, PFA, Rasch
from gainkt.references.scoring import calibration_of, figures_of, scored_steps
from gainkt.runs.folder import build_datamodule

SMALL = [
    "dataset.read.num_students=80",
    "dataset.read.num_skills=6",
    "dataset.read.num_items=18",
    "dataset.read.max_length=40",
]
MODELS = {"rasch": Rasch, "bkt": BKT, "bkt_forgetting": BKT, "pfa": PFA}


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., DictConfig]:
    def make(*overrides: str) -> DictConfig:
        return composed("reference", *SMALL, f"run.root={tmp_path}", *as_reference(list(overrides)))

    return make


@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_fitted_scored_and_written(config: Callable[..., DictConfig], model: str) -> None:
    done = score_reference(config(f"model={model}"))
    assert {p.name for p in done.folder.iterdir()} == {
        "model.json",
        "figures.json",
        "parameters.csv",
        "reference.png",
    }
    content = json.loads((done.folder / "figures.json").read_text())
    assert content == done.content
    datamodule: KTDataModule = build_datamodule(config().dataset)
    datamodule.setup()
    log: InteractionLog = datamodule.log_
    again = MODELS[model].load(done.folder / "model.json")
    for name, part in (("val", "valid"), ("test", "test")):
        students = datamodule.students(part)
        figures = content["figures"][name]
        assert figures["steps"] == (log.lengths[students] - 1).sum()
        probability, response = scored_steps(log, students, again.predict(log))
        assert figures == figures_of(probability, response)
        assert 0.5 < figures["auc"] < 1
        bins = pd.DataFrame(content["calibration"][name])
        assert bins["count"].sum() == figures["steps"]
        error = (bins["count"] * (bins.right - bins.probability).abs()).sum() / figures["steps"]
        assert error == pytest.approx(figures["calibration_error"], abs=1e-5)
    table = pd.read_csv(done.folder / "parameters.csv")
    np.testing.assert_allclose(table.difficulty, again.difficulties(log))
    train = log.select(datamodule.split.train)
    np.testing.assert_array_equal(table.steps, np.bincount(train.skills, minlength=6))
    assert table.share_right.between(0, 1).all()
    assert (done.folder / "reference.png").stat().st_size > 10_000


def test_settings_reach_the_fit_and_a_second_time_is_read_back(config: Callable[..., DictConfig]) -> None:
    short = ("model=bkt", "settings.max_iterations=20")
    one = score_reference(config(*short, "settings.strength=50"))
    assert one.content["settings"]["strength"] == 50
    two = score_reference(config(*short, "settings.strength=50", f"run.dir={one.folder}/again"))
    assert two.content["fitted"] == one.content["fitted"]
    assert (two.folder / "model.json").read_bytes() == Path(one.content["fitted"]).read_bytes()
    loose = score_reference(config(*short, "run.cache=null"))
    assert loose.content["fitted"] is None
    assert loose.parameters.learn.std() > one.parameters.learn.std()


def test_bins_hold_what_falls_into_them() -> None:
    probability, response = np.array([0.05, 0.15, 0.19, 1.0]), np.array([0, 1, 0, 1], dtype=np.uint8)
    assert calibration_of(probability, response) == [
        {"count": 1, "probability": 0.05, "right": 0.0},
        {"count": 2, "probability": pytest.approx(0.17), "right": 0.5},
        {"count": 1, "probability": 1.0, "right": 1.0},
    ]


def test_model_and_settings_are_reworded_and_nothing_else() -> None:
    given = ["model=bkt", "settings.strength=3", "dataset=csv", "--multirun", "dataset.path=model=1"]
    assert as_reference(given) == [
        "reference=bkt",
        "++reference.strength=3",
        "dataset=csv",
        "--multirun",
        "dataset.path=model=1",
    ]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in an empty folder; give exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)

    def run(*overrides: str) -> tuple[int, str, str]:
        small = [] if any(o.startswith("dataset=") for o in overrides) else SMALL
        monkeypatch.setattr(sys, "argv", ["gainkt", *small, *overrides])
        status = 0
        try:
            command.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_command(say: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    status, printed, errors = say("model=bkt_forgetting", "settings.max_iterations=20", "skills=2")
    assert status == 0, errors
    assert "BKT with forgetting: simulated" in printed
    assert "Parameters of 2 of 6 skills" in printed
    for word in ("validation", "test", "AUC", "ECE", "forget", "slip", "mean", "std"):
        assert word in printed
    folder = Path(printed.split("results: ")[1].strip())
    assert folder.parent == tmp_path / "outputs" / "reference"
    assert {"model.json", "figures.json", "parameters.csv", "reference.png"} <= {p.name for p in folder.iterdir()}
    assert len(list((tmp_path / "outputs" / "references").iterdir())) == 1


BAD = {
    "unknown model": (["model=bkt_forgeting"], ["bkt_forgeting", "did you mean 'bkt_forgetting'"]),
    "no model": (["model=none"], ["reference=none", "take reference=rasch"]),
    "unknown setting": (["model=bkt", "settings.strenth=3"], ["reference.strenth", "did you mean 'strength'"]),
    "setting of another model": (
        ["model=rasch", "settings.strength=3"],
        ["reference.strength", "takes no such setting"],
    ),
    "setting out of range": (["model=pfa", "settings.weight_sd=0"], ["weight_sd=0"]),
    "wrong type": (["model=bkt", "settings.strength=much"], ["strength=much", "float"]),
    "skills": (["skills=-1"], ["skills=-1"]),
    "no data": (["dataset=csv", "dataset.path=missing.csv"], ["missing.csv", "no such"]),
    "fold": (["dataset.fold=9"], ["fold", "9"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_line(say: Callable[..., tuple[int, str, str]], case: str) -> None:
    overrides, expected = BAD[case]
    status, _, errors = say(*overrides)
    assert status == 1
    assert "Traceback" not in errors
    message = [line for line in errors.splitlines() if line.startswith("gainkt: error:")]
    assert len(message) == 1, errors
    for part in expected:
        assert part in message[0]
