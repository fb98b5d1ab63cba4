"""A run that the version at 247a8fe began still loads, scores and resumes: its parts are found at their new places."""

import json
import pkgutil
import shutil
from pathlib import Path

import pytest

from conftest import composed
from gainkt.evaluate import evaluate
from gainkt.runs.folder import load_run
from gainkt.runs.moved import MOVED
from gainkt.train import train

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_247a8fe"


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run of three epochs, ended after two."""
    return shutil.copytree(FIXTURE, tmp_path / "run")


@pytest.mark.parametrize("target", sorted(MOVED.values()))
def test_every_new_place_exists(target: str) -> None:
    assert callable(pkgutil.resolve_name(target))


def test_old_places_are_needed(begun: Path) -> None:
    text = (begun / "config.yaml").read_text()
    named = {word for line in text.splitlines() if "_target_" in line for word in line.split()[1:]}
    assert len(named & MOVED.keys()) >= 15, "the fixture names hardly any moved part"
    assert not any(target in MOVED for target in str(load_run(begun).config).split("'"))


def test_it_scores_as_it_did(begun: Path) -> None:
    cfg = composed("evaluate", f"run={begun}", "device=cpu", "trajectories.write=false")
    figures = evaluate(cfg).results["phases"]["train"]["figures"]["test"]
    then = json.loads((FIXTURE / "scored.json").read_text())["phases"]["train"]["figures"]["test"]
    assert figures == pytest.approx(then, abs=1e-6)


def test_it_resumes_to_what_it_came_to(begun: Path) -> None:
    results = train(composed("train", f"run.resume={begun}")).results
    then = json.loads((FIXTURE / "finished.json").read_text())
    assert results["phases"]["train"]["epoch"] == then["phases"]["train"]["epoch"] == 2
    for part, figures in then["phases"]["train"]["figures"].items():
        assert results["phases"]["train"]["figures"][part] == pytest.approx(figures, abs=1e-5)
