"""Leakage guards: each passes on a sound model and fails on one that leaks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

import gainkt.train
from conftest import random_batch
from gainkt.data.batch import Batch
from gainkt.data.readers import AktReader, PyktReader
from gainkt.evaluation import leakage as guards
from gainkt.evaluation.leakage import chance_level, export_audit, kt_audit, scored_once, students_apart
from gainkt.runs.folder import build_datamodule
from gainkt.runs.leakage_probe import answers_once, check_leakage, flipped_responses
from gainkt.train import train

Config = Callable[..., DictConfig]


def predictions(num_students: int = 200, steps: int = 12, seed: int = 0, first: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    n = num_students * steps
    ability = np.repeat(draw.normal(size=num_students), steps)
    p = 1 / (1 + np.exp(-ability - draw.normal(size=n)))
    step = np.tile(np.arange(steps), num_students)
    return pd.DataFrame(
        {
            "student": [f"s{first + i}" for i in np.repeat(np.arange(num_students), steps)],
            "step": step,
            "skills": draw.choice(["a", "b", "a;b"], n),
            "item": [f"i{i}" for i in step],
            "response": (draw.random(n) < p).astype(np.int8),
            "scored": step > 0,
            "p1": p.astype(np.float32),
            "p2": (0.4 + 0.2 * p).astype(np.float32),
        }
    )


def sound(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Share of right responses before the step, and that of the step before it."""
    right = batch.response_BT.cumsum(1) - batch.response_BT
    steps = torch.arange(right.shape[1])
    last = torch.cat([torch.zeros(len(batch), 1), batch.response_BT[:, :-1]], 1)
    return right / steps.clamp_min(1), 0.3 + 0.4 * last


def test_flips_pass_on_a_sound_model() -> None:
    first, second = flipped_responses(sound, [random_batch(), random_batch(seed=1)])
    assert first["passed"]
    assert second["passed"]
    assert first["measured"]["moved_at_or_before"] == 0
    assert first["measured"]["moved_after"] > 0.1
    assert first["measured"]["flips"] == 2 * 4 * 8


def test_flips_fail_on_a_model_that_reads_the_response_it_predicts() -> None:
    def leaking(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        p1, p2 = sound(batch)
        return p1, p2 + 1e-4 * batch.response_BT

    first, second = flipped_responses(leaking, [random_batch()])
    assert first["passed"]
    assert not second["passed"]
    assert second["measured"]["moved_at_or_before"] == pytest.approx(1e-4, rel=0.1)


def test_flips_fail_on_a_model_that_reads_no_response() -> None:
    first, second = flipped_responses(
        lambda batch: (sound(batch)[0], torch.full(batch.valid_BT.shape, 0.5)), [random_batch()]
    )
    assert first["passed"]
    assert not second["passed"]
    assert "reads no response" in second["reading"]


def test_shuffled_labels_give_chance_and_true_ones_do_not() -> None:
    table = predictions()
    for seed in range(20):
        assert chance_level(table, "p1", seed=seed)["passed"], "a false alarm"
    labels = table.loc[table["scored"], "response"].to_numpy(dtype=float)
    found = chance_level(table, "p1", labels=labels)
    assert not found["passed"]
    low, high = found["measured"]["interval"]
    assert low < found["measured"]["auc"] < high


def test_each_step_scored_once() -> None:
    table = predictions()
    lengths = dict.fromkeys(table["student"].unique(), 12)
    found = scored_once(table, lengths)
    assert found["passed"]
    assert found["measured"]["scored"] == found["measured"]["expected"] == 200 * 11
    assert found["measured"]["steps_of_several_skills"] > 0


def test_row_expansion_is_noticed() -> None:
    table = predictions()
    lengths = dict.fromkeys(table["student"].unique(), 12)
    expanded = table.assign(skills=table["skills"].str.split(";")).explode("skills")
    found = scored_once(expanded, lengths)  # one step twice, under the same number
    assert not found["passed"]
    assert (
        found["measured"]["scored_twice"]
        == found["measured"]["expanded_rows"] - ((table["skills"] == "a;b") & ~table["scored"]).sum()
    )
    numbered = expanded.assign(step=expanded.groupby("student").cumcount())
    numbered["scored"] = numbered["step"] > 0
    found = scored_once(numbered, numbered.groupby("student").size().to_dict())  # a step of its own for each skill
    assert found["measured"]["scored_twice"] == 0
    assert found["measured"]["scored"] == found["measured"]["expected"]
    assert not found["passed"]
    assert found["measured"]["expanded_rows"] == (table["skills"] == "a;b").sum()


def test_a_scored_first_step_is_noticed() -> None:
    table = predictions().assign(scored=True)
    assert not scored_once(table, dict.fromkeys(table["student"].unique(), 12))["passed"]


def test_students_in_two_parts_are_noticed() -> None:
    parts = {"train": np.array(["a", "b"]), "valid": np.array(["c"]), "test": np.array(["d"])}
    assert students_apart(parts)["passed"]
    found = students_apart({**parts, "test": np.array(["d", "b"])})
    assert not found["passed"]
    assert found["measured"]["in_two_parts"] == 1


def test_kt_audit_passes_a_sound_export(tmp_path: Path) -> None:
    pytest.importorskip("kt_audit")
    from kt_audit.cli import main

    parts = {"test": predictions(), "train": predictions(seed=1, first=1000)}
    export = export_audit(parts)
    assert len(export) == 2 * 200 * 11
    found = kt_audit(export)
    assert found["passed"]
    assert found["measured"]["verdict"] == "pass"
    assert found["measured"]["baseline_auc"] < found["measured"]["model_auc"]
    export.to_csv(tmp_path / "export.csv", index=False)
    assert main(["run", str(tmp_path / "export.csv"), "--out", str(tmp_path / "report")]) == 0


def test_kt_audit_flags_leaks() -> None:
    pytest.importorskip("kt_audit")
    test, trained = predictions(), predictions(seed=1, first=1000)
    crossing = kt_audit(export_audit({"test": test, "train": predictions(seed=1, first=100)}))
    assert not crossing["passed"]
    assert "temporal_split" in crossing["reading"]
    expanded = test.assign(skills=test["skills"].str.split(";")).explode("skills")
    twice = kt_audit(export_audit({"test": expanded, "train": trained}))
    assert not twice["passed"]
    assert "duplicate" in twice["reading"]


def test_a_weak_model_is_no_leak() -> None:
    pytest.importorskip("kt_audit")
    weak = predictions().assign(p1=lambda table: np.random.default_rng(0).random(len(table)))
    found = kt_audit(export_audit({"test": weak, "train": predictions(seed=1, first=1000)}))
    assert found["measured"]["verdict"] == "fail"
    assert found["passed"]
    assert "do not beat" in found["reading"]


def test_without_kt_audit_one_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kt_audit", None)
    found = guards.kt_audit(export_audit({"test": predictions()}))
    assert found["passed"] is None
    assert "pip install" in found["reading"]


@pytest.mark.slow
def test_a_model_trained_on_shuffled_labels_is_at_chance(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def shuffled(cfg: DictConfig):
        datamodule = build_datamodule(cfg)
        log = datamodule.log_
        responses = np.random.default_rng(0).permutation(log.responses)
        datamodule._log = replace(log, responses=responses)
        return datamodule

    monkeypatch.setattr(gainkt.train, "build_datamodule", shuffled)
    result = train(config("v1_per_skill", "trainer.max_epochs=4", "dataset.read.num_students=600"))
    table = pd.read_parquet(result.run.directory.path / "predictions.parquet")
    labels = table.loc[table["scored"], "response"].to_numpy(dtype=float)
    for column in ("p1", "p2"):
        assert chance_level(table, column, labels=labels)["passed"]
    assert all(found["passed"] for found in check_leakage(result.run.model(), result.datamodule, table))


def answers(num_students: int, read_apart: bool, seed: int = 0) -> pd.DataFrame:
    """Predictions without items, each third answer of two skills: on one row, or read apart on two."""
    draw = np.random.default_rng(seed)
    rows = []
    for student, ability in enumerate(draw.normal(size=num_students)):
        for _ in range(12):
            right = int(draw.random() < 1 / (1 + np.exp(-ability - 0.5)))
            skills = ["a;b"] if (several := draw.random() < 1 / 3) and not read_apart else ["a", "b"] if several else []
            rows += [(student, skill, right) for skill in skills or [draw.choice(list("abcd"))]]
    table = pd.DataFrame(rows, columns=["student", "skills", "response"])
    return table.assign(step=table.groupby("student").cumcount(), item=None)


@pytest.mark.parametrize("num_students", [300])
def test_answers_read_apart_are_found_without_items(num_students: int) -> None:
    for seed in range(5):
        assert answers_once(answers(num_students, False, seed))["passed"]
        found = answers_once(answers(num_students, True, seed))
        assert found["passed"] is False
        assert found["measured"]["suspected_rows"] > 20


def test_every_answer_read_apart_is_found_in_30_twos_and_fewer_tell_nothing() -> None:
    rows = [(s, t, k, (s + t // 2) % 3 > 0, None) for s in range(16) for t, k in enumerate("abab")]
    table = pd.DataFrame(rows, columns=["student", "step", "skills", "response", "item"])
    assert answers_once(table)["passed"] is False
    few = answers_once(table[table.student < 6])
    assert few["passed"] is None
    assert "too few to tell" in few["reading"]
    assert answers_once(table[table.student < 6].assign(item="i"))["passed"]


def test_real_histories_are_not_suspected_and_read_apart_they_are(shared_data: Path) -> None:
    for reader, folder, expected in (
        (AktReader(), "assist2009_akt", True),
        (AktReader(), "assist2017_akt", True),
        (PyktReader(), "assist2015_pykt", True),
        (AktReader(row_expansion="keep"), "assist2009_akt", False),
    ):
        log = reader(shared_data / folder)
        for size in (60, 500):
            some = log.select(np.arange(size))
            sets = np.split(some.skills, some.skill_offsets[1:-1])
            table = pd.DataFrame(
                {
                    "student": np.repeat(np.arange(size), some.lengths),
                    "step": np.arange(some.num_steps),
                    "skills": [";".join(map(str, one)) for one in sets],
                    "response": some.responses,
                    "item": None,
                }
            )
            assert answers_once(table)["passed"] is expected, (folder, size)
