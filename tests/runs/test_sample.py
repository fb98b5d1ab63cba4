"""Figures over all skills from students drawn: those of everyone are the exact ones, and it is said where they rest."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import composed, random_log, untrained
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import SeededFolds
from gainkt.model import GainKT
from gainkt.model.axis import met_skills
from gainkt.runs import recorder, sample
from gainkt.runs.ablations import Means
from gainkt.runs.pass_ import one_pass
from gainkt.runs.recorder import record
from gainkt.runs.sample import CELLS, Sample, draw_students
from gainkt.training.train import train

LOG = random_log(num_students=100, num_skills=40, longest=30)
OVER_ALL = ["gain_mean", "gain_std", "active_skills", "mastery_falls", "saturated_other"]
KEYS = {"predictions": ["student", "step"], "trajectories": ["student", "step", "skill"]}


@pytest.fixture(autouse=True)
def few_skills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "FEW_SKILLS", 10)
    # Where all 40 skills are cheaper than those met, nothing has to be looked back on.
    monkeypatch.setattr("gainkt.model.gainkt.cheaper_axis", lambda batch, k: met_skills(batch))


def data(length: int) -> KTDataModule:
    module = KTDataModule(read=lambda: LOG, split=SeededFolds(), window_length=length, tokens_per_batch=200)
    module.setup()
    return module


def model_of(module: KTDataModule, experiment: str = "v4_belief", *more: str) -> GainKT:
    """A model whose beliefs change and whose gains are large enough to count."""
    model = untrained(module.sizes, f"experiment={experiment}", *more)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def tables(folder: Path, model: GainKT, module: KTDataModule, **how: object) -> dict[str, pd.DataFrame]:
    folder.mkdir()
    paths = record(model, module, "test", folder, **how)
    found = {name: pd.read_parquet(path) for name, path in paths.items()}
    return {name: t.sort_values(KEYS.get(name, list(t)[:2]), ignore_index=True) for name, t in found.items()}


def of_everyone(model: GainKT, module: KTDataModule) -> Means:
    """Means on a sample that is all students of test."""
    students = module.students("test")
    steps = int(LOG.lengths[students].sum())
    taken = Sample(module, sample.Drawn(students, steps, steps, LOG.num_skills))
    one_pass(model, module.loader("test"), [taken])
    means = Means(model, taken)
    one_pass(model, module.loader("test"), [means])
    return means


@pytest.mark.parametrize("more", [("model/gain_head=own_topics",), ("model/readiness=first_contact",)])
@pytest.mark.parametrize("length", [100, 8])
def test_a_sample_of_everyone_gives_the_exact_tables(tmp_path: Path, length: int, more: tuple[str, ...]) -> None:
    module = data(length)
    model = model_of(module, "v4_belief", *more)
    exact = tables(tmp_path / "exact", model, module, cells=None)
    sampled = tables(tmp_path / "sampled", model, module, means=of_everyone(model, module))
    assert exact["predictions"].belief_falls.sum() > 20 or more == ("model/readiness=first_contact",)
    assert exact["predictions"][OVER_ALL].std().gt(0).sum() >= 3, "figures that do not vary would tell nothing"
    for name, table in exact.items():
        pd.testing.assert_frame_equal(sampled[name], table, rtol=1e-4, atol=1e-5)


def test_skills_met_in_earlier_windows_are_looked_back_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = data(8)
    model = model_of(module)
    exact = tables(tmp_path / "exact", model, module, cells=None)["mastery"]
    for part in (recorder.LastMastery, recorder.PredictionRows):
        monkeypatch.setattr(part, "needs_met_skills", False)
    blind = tables(tmp_path / "blind", model, module, means=of_everyone(model, module))["mastery"]
    assert (blind.step < exact.step).any(), "the test above could not fail"


def test_figures_rest_on_the_students_drawn_and_nothing_else_does(tmp_path: Path) -> None:
    module = data(8)
    model, students = model_of(module), module.students("test")
    drawn = draw_students(module, "test", 12 * 20 * LOG.num_skills)
    assert drawn is not None
    assert 10 <= len(drawn.students) < len(students)
    assert drawn.steps == LOG.lengths[drawn.students].sum()
    exact = tables(tmp_path / "exact", model, module, cells=None)
    sampled = tables(tmp_path / "sampled", model, module, cells=12 * 20 * LOG.num_skills)
    rows = exact["predictions"].student.isin(LOG.students[drawn.students])
    assert rows.sum() == drawn.steps
    own = exact["trajectories"].student.isin(LOG.students[drawn.students]).sum()
    assert sampled["movement"].cells.sum() == drawn.steps * LOG.num_skills - own < exact["movement"].cells.sum()
    ours, theirs = sampled["predictions"], exact["predictions"]
    assert (ours[OVER_ALL].notna().all(axis=1) == rows).all()
    assert ours.loc[~rows, OVER_ALL].isna().all(axis=None)
    kept = [name for name in theirs if name not in (*OVER_ALL, "p2_gains_mean")]
    pd.testing.assert_frame_equal(ours[kept], theirs[kept], rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(ours.loc[rows, OVER_ALL], theirs.loc[rows, OVER_ALL], check_dtype=False, rtol=1e-4)
    for name in ("trajectories", "mastery"):
        pd.testing.assert_frame_equal(sampled[name], exact[name], rtol=1e-4, atol=1e-5)
    near = np.abs(ours.p2_gains_mean - theirs.p2_gains_mean).max()
    assert 0 < near < 0.05, "means of gains are those of the sample"
    assert np.abs(sampled["skills"].gain_mean - exact["skills"].gain_mean).max() < 0.05


def test_who_is_drawn_follows_from_the_seed_and_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    module = data(100)
    drawn = [draw_students(module, "test", 1, seed) for seed in (0, 0, 1)]
    first, again, other = (d.students.tolist() for d in drawn if d is not None)
    assert first == again != other
    assert len(first) == sample.FEW_STUDENTS, "ten at minimum"
    steps = int(LOG.lengths[module.students("test")].sum())
    assert draw_students(module, "test", steps * LOG.num_skills) is None, "all fit"
    assert draw_students(module, "test", steps * LOG.num_skills - 1) is not None
    assert draw_students(module, "test", None) is None
    monkeypatch.setattr(sample, "FEW_SKILLS", LOG.num_skills)
    assert draw_students(module, "test", 1) is None, "few skills: every step, whatever that costs"


def test_a_run_says_on_what_its_figures_rest(
    config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "FEW_SKILLS", 2)
    cfg = config("v4_belief", "dataset.read.num_students=120", "trainer.max_epochs=1", "trajectories.cells=100")
    folder = Path(cfg.run.dir)
    result = train(cfg)
    said = json.loads((folder / "results.json").read_text())
    card = json.loads((folder / "scorecard.json").read_text())
    rest, steps = said["over_all_skills"]["steps"], card["protocol"]["steps"]
    assert f"figures over all 6 skills from {rest:,} of {steps:,} steps (10 students drawn)" in said["protocol"]
    assert card["protocol"]["steps_over_all_skills"] == rest < steps
    readings = {check["name"]: check["reading"] for check in card["checks"]}
    over = f"(of {rest:,} of {steps:,} steps, students drawn)"
    assert sum(over in reading for reading in readings.values()) == 3, "T1, T2 and T3"
    assert result.scorecard == card


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_the_config_s_budget_is_the_code_s(command: str) -> None:
    assert composed(command).trajectories.cells == CELLS
