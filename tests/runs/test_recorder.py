"""What is written is what the model computes: the identity of gain and practice, on every variant."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from conftest import EXPERIMENTS, random_log, untrained
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.data.splits import SeededFolds
from gainkt.model import GainKT
from gainkt.model.axis import met_skills
from gainkt.model.gain_head.scalar import NoGain
from gainkt.runs.course import course
from gainkt.runs.pass_ import EverySkill, Seen
from gainkt.runs.predict import metrics_of, predict
from gainkt.runs.recorder import TABLES, pick_students, record

LOG = random_log(num_students=60, longest=30)


def data(log: InteractionLog = LOG, length: int = 100, context: int = 0) -> KTDataModule:
    module = KTDataModule(
        read=lambda: log, split=SeededFolds(), window_length=length, window_context=context, tokens_per_batch=200
    )
    module.setup()
    return module


def fresh_model(experiment: str, module: KTDataModule) -> GainKT:
    return untrained(module.sizes, f"experiment={experiment}")


def test_a_pass_gives_free_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr("gainkt.runs.pass_._trim", lambda: given.append)
    monkeypatch.setattr("gainkt.runs.pass_.TRIM_EVERY", 2)
    module = data()
    loader = module.loader("test")
    predict(fresh_model("v4_belief", module), loader)
    assert len(given) == len(loader) // 2 + 1 > 1


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_reported_gain_is_what_practice_sums(tmp_path: Path, experiment: str) -> None:
    module = data()
    model = fresh_model(experiment, module)
    paths = record(model, module, "test", tmp_path)
    table = whole_courses(model, module)
    before = table.groupby(["student", "skill"]).practice.shift(fill_value=0.0)
    np.testing.assert_allclose(table.practice - before, table.gain, atol=1e-5)
    assert ((table[table.relevant].gain > 0) != isinstance(model.gain_head, NoGain)).all()
    falls = table.groupby(["student", "skill"]).mastery.diff() < -1e-6
    assert not falls.any()
    by_cell = ["student", "step", "skill"]
    practised, own = (
        x.sort_values(by_cell, ignore_index=True)
        for x in (pd.read_parquet(paths["trajectories"]), table[table.relevant])
    )
    pd.testing.assert_frame_equal(practised, own, rtol=1e-4, atol=1e-5)
    last = pd.read_parquet(paths["mastery"]).set_index(["student", "skill"])
    at_end = table.groupby(["student", "skill"]).last().loc[last.index]
    np.testing.assert_allclose(last[["practice", "mastery"]], at_end[["practice", "mastery"]], atol=1e-5)
    assert (last.opportunities == practised.groupby(["student", "skill"]).size().loc[last.index]).all()
    for name, schema in TABLES.items():
        assert pq.read_schema(paths[name]).equals(schema)


@pytest.mark.parametrize(("experiment", "length"), [("v4_belief", 100), ("v4_belief", 8), ("v4_steady", 8)])
def test_movement_is_that_of_every_skill_at_steps_on_others(tmp_path: Path, experiment: str, length: int) -> None:
    module = data(length=length)
    model = fresh_model(experiment, module)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    found = pd.read_parquet(record(model, module, "test", tmp_path)["movement"]).set_index("met")
    table = whole_courses(model, module).sort_values(["student", "skill", "step"])
    of_curve = table.groupby(["student", "skill"])
    change = table.mastery - of_curve.mastery.shift().fillna(table.mastery_before)
    met = of_curve.relevant.cumsum() > 0
    assert found.cells.sum() == (~table.relevant).sum()
    for is_met, row in found.iterrows():
        moved = change[(met == is_met) & ~table.relevant]
        assert row.cells == len(moved) > 100
        assert row["mean"] == pytest.approx(moved.abs().mean(), rel=1e-3)
        assert row.p95 == pytest.approx(moved.abs().quantile(0.95), abs=1e-3)
        assert row.drops == pytest.approx((moved < -0.05).mean(), abs=2 / len(moved))
    assert found["mean"].min() > 1e-3


def test_where_gains_are_of_the_practised_skill_alone_nothing_else_moves(tmp_path: Path) -> None:
    module = data()
    found = pd.read_parquet(record(fresh_model("v0_scalar", module), module, "test", tmp_path)["movement"])
    assert (found.cells > 100).all()
    assert (found[["mean", "p95", "drops"]] == 0).all(axis=None)


def whole_courses(model: GainKT, module: KTDataModule) -> pd.DataFrame:
    """Every cell of every student of test, with plain names."""
    names = LOG.students[module.students("test")]
    table = pd.concat([course(model, module, name).astype({"student": str, "skill": str}) for name in names])
    return table.reset_index(drop=True)


@pytest.mark.parametrize("experiment", ["v1_per_skill", "v4_belief_skill", "v3_skill_attention", "try_gain_floor"])
def test_pieces_of_any_size_say_the_same(monkeypatch: pytest.MonkeyPatch, experiment: str) -> None:
    module = data(random_log(num_students=60, num_skills=40, longest=30), length=10, context=4)
    model, batch = fresh_model(experiment, module), next(iter(module.loader("test")))
    seen: dict[int, EverySkill] = {}
    for size in (1 << 18, 1000, 100):
        monkeypatch.setattr("gainkt.runs.pass_.PIECE", size)
        monkeypatch.setattr("gainkt.model.gainkt.cheaper_axis", lambda batch, k: met_skills(batch))
        with torch.inference_mode():
            here = Seen(model, batch, model(batch))
            seen[size] = here.every_skill
            pieces = sum(1 for _ in here.pieces())
    whole_windows = getattr(model.gain_head, "needs_every_skill", False)
    assert pieces > len(batch) or whole_windows, "no window was cut: the test could not fail"
    with torch.inference_mode():
        whole = EverySkill.of(Seen(model, batch, model(batch, every_skill=True)))
    shown = here.shown_BT
    for found in seen.values():
        for name in ("gain_mean_BT", "gain_std_BT", "active_BT", "falls_BT", "belief_falls_BT", "saturated_BT"):
            torch.testing.assert_close(getattr(found, name)[shown], getattr(whole, name)[shown], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.gain_K, whole.gain_K, rtol=1e-4, atol=1e-6)
        for kind, figures in whole.movement.figures().items():
            assert found.movement.figures()[kind] == pytest.approx(figures, rel=1e-3, abs=1e-6)


def test_a_fall_of_an_unpractised_skill_is_seen(tmp_path: Path) -> None:
    module = data()
    model = fresh_model("v1_per_skill", module)
    assert pd.read_parquet(record(model, module, "test", tmp_path)["predictions"]).mastery_falls.sum() == 0
    forward = model.curve.forward
    unlearns = torch.arange(LOG.num_skills) == 3

    def falling(practice: torch.Tensor, skills: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        level = forward(practice, skills, *more)
        return torch.where(unlearns[skills], 1 - level, level)

    model.curve.forward = falling
    predictions = pd.read_parquet(record(model, module, "test", tmp_path)["predictions"])
    assert (predictions[~predictions.skills.str.contains(LOG.skill_names[3])].mastery_falls == 1).mean() > 0.5


def test_tables_hold_each_step_once_and_the_log_s_own_data(tmp_path: Path) -> None:
    module = data(length=10, context=4)
    paths = record(fresh_model("v1_per_skill", module), module, "test", tmp_path)
    table = pd.read_parquet(paths["predictions"])
    students = module.students("test")
    assert len(table) == LOG.lengths[students].sum()
    assert not table.duplicated(["student", "step"]).any()
    assert (~table.scored).sum() == len(students), "only the first step of a history is unscored"
    number = {str(name): i for i, name in enumerate(LOG.students)}
    for row in table.sample(40, random_state=0).to_dict("records"):
        flat = LOG.offsets[number[row["student"]]] + row["step"]
        own = LOG.skill_names[LOG.skills[LOG.skill_offsets[flat] : LOG.skill_offsets[flat + 1]]]
        assert row["skills"] == ";".join(own)
        assert row["response"] == LOG.responses[flat]
        assert row["item"] == LOG.item_names[LOG.items[flat]]


def test_predictions_are_those_that_are_scored(tmp_path: Path) -> None:
    module = data()
    model = fresh_model("v3_mlp", module)
    table = pd.read_parquet(record(model, module, "test", tmp_path)["predictions"])
    scored = predict(model, module.loader("test"))
    assert metrics_of(table[table.scored].reset_index())["encoder2_auc"] == pytest.approx(
        metrics_of(scored)["encoder2_auc"], abs=1e-6
    )
    assert sorted(table[table.scored].p1) == pytest.approx(sorted(scored.p1), abs=1e-6)


def test_summary_columns_agree_with_the_trajectories(tmp_path: Path) -> None:
    module = data()
    model = fresh_model("v0_scalar", module)
    paths = record(model, module, "test", tmp_path)
    predictions, rows = pd.read_parquet(paths["predictions"]), whole_courses(model, module)
    own = rows[rows.relevant].groupby(["student", "step"]).gain
    merged = predictions.set_index(["student", "step"])
    pd.testing.assert_series_equal(
        merged.gain_practised.sort_index(), own.mean().astype("float32"), check_names=False, rtol=1e-5
    )
    active = (rows[rows.gain > 0.1].groupby(["student", "step"]).size()).reindex(merged.index, fill_value=0)
    assert (merged.active_skills == active).all()
    # V0's gain is the left-over itself, given to the practised skills only.
    np.testing.assert_allclose(merged.gain_practised, merged.left_over, rtol=1e-5)
    skills = pd.read_parquet(paths["skills"]).set_index("skill")
    per_skill = rows[rows.relevant].groupby("skill")
    np.testing.assert_allclose(
        skills.gain_practised_mean.reindex(per_skill.size().index), per_skill.gain.mean(), rtol=1e-5
    )
    assert (skills.practised_steps.reindex(per_skill.size().index) == per_skill.size()).all()


def test_counterfactuals_do_what_they_say(tmp_path: Path) -> None:
    module = data(random_log(num_students=60, longest=30, slots=1))
    model = fresh_model("v1_per_skill", module)
    table = pd.read_parquet(record(model, module, "test", tmp_path)["predictions"]).sort_values(["student", "step"])
    assert (table.p2_gains_permuted != table.p2).any()
    assert (table.p2_gains_mean != table.p2).any()
    same = table.skills == table.groupby("student").skills.shift()
    assert same.sum() > 5
    np.testing.assert_allclose(table[same].p2_wrong_skill, table[same].p2, rtol=1e-5)
    assert (table[~same & table.scored].p2_wrong_skill != table[~same & table.scored].p2).mean() > 0.5
    # With the same gain at every step, neither their order nor their size carries anything.
    torch.nn.init.zeros_(model.gain_head.output.linear.weight)
    table = pd.read_parquet(record(model, module, "test", tmp_path)["predictions"])
    np.testing.assert_allclose(table.p2_gains_permuted, table.p2, atol=1e-6)
    np.testing.assert_allclose(table.p2_gains_mean, table.p2, atol=1e-6)


def test_ten_students_over_the_range_of_lengths(tmp_path: Path) -> None:
    module = data(random_log(num_students=300, longest=60))
    model = fresh_model("v1_per_skill", module)
    paths = record(model, module, "test", tmp_path, num_students=10, seed=1)
    rows, predictions = pd.read_parquet(paths["trajectories"]), pd.read_parquet(paths["predictions"])
    assert rows.student.nunique() == 10
    assert predictions.student.nunique() == 60, "predictions are of all students"
    log, students = module.log_, module.students("test")
    lengths = sorted(log.lengths[pick_students(log, students, 10, 1)])
    assert lengths[0] <= np.quantile(log.lengths[students], 0.15)
    assert lengths[-1] >= np.quantile(log.lengths[students], 0.85)
    assert (pick_students(log, students, 10, 1) == pick_students(log, students, 10, 1)).all()
