"""What the datamodule tells of its data."""

import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import random_log
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog, offsets_of
from gainkt.data.splits import SeededFolds
from gainkt.simulation.simulate import simulate, simulate_with_truth


def test_skill_rates_are_those_of_training_students() -> None:
    log = random_log(num_students=40)
    module = KTDataModule(read=lambda: log, split=SeededFolds(seed=0))
    module.setup()
    rates, train = module.skill_rates(), set(module.students("train").tolist())
    right, steps, every = np.zeros(7), np.zeros(7), []
    for student in train:
        for step in range(log.offsets[student], log.offsets[student + 1]):
            every.append(log.responses[step])
            for skill in log.skills[log.skill_offsets[step] : log.skill_offsets[step + 1]]:
                right[skill] += log.responses[step]
                steps[skill] += 1
    np.testing.assert_allclose(rates, (right + 2 * np.mean(every)) / (steps + 2))

    others = log.steps_of(np.setdiff1d(np.arange(40), list(train)))
    responses = log.responses.copy()
    responses[others] = 1 - responses[others]
    flipped = KTDataModule(read=lambda: replace(log, responses=responses), split=SeededFolds(seed=0))
    np.testing.assert_array_equal(flipped.skill_rates(), rates)


def test_a_skill_never_met_has_the_mean_rate() -> None:
    log = random_log()
    log = replace(log, skill_names=np.append(log.skill_names, "unmet"))
    module = KTDataModule(read=lambda: log, split=SeededFolds(seed=0))
    assert module.skill_rates()[7] == log.responses[log.steps_of(module.students("train"))].mean()


def test_a_large_log_is_split_and_counted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gainkt.data.log.PIECE", 1 << 12)
    draw, students, steps = np.random.default_rng(0), 1 << 10, 1 << 18
    log = InteractionLog(
        name="large",
        offsets=offsets_of(np.full(students, steps // students)),
        responses=draw.integers(2, size=steps, dtype=np.uint8),
        skill_offsets=np.arange(steps + 1),
        skills=draw.integers(7, size=steps, dtype=np.int32),
        items=draw.integers(9, size=steps, dtype=np.int32),
        students=np.arange(students).astype(np.str_),
        skill_names=np.arange(7).astype(np.str_),
        item_names=np.arange(10).astype(np.str_),
        folds=np.full(students, -2, dtype=np.int16),
    )
    mapped = InteractionLog.open(log.save(tmp_path / "log"))
    module = KTDataModule(read=lambda: mapped, split=SeededFolds(seed=0))
    tracemalloc.start()
    module.setup()
    rates, peak = module.skill_rates(), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * steps, f"{peak / steps:.1f} bytes a step"
    assert module.trained_item.tolist() == [*range(9), -1]
    train = log.select(module.students("train"))
    right = np.bincount(train.skills, weights=train.responses)
    assert np.array_equal(rates, (right + 2 * train.responses.mean()) / (np.bincount(train.skills) + 2))


def test_a_reader_of_simulated_students_tells_the_truth_about_its_steps() -> None:
    asked = {"num_students": 20, "num_skills": 4, "num_items": 12, "seed": 3}
    known = KTDataModule(read=partial(simulate, **asked), split=SeededFolds())
    truth = known.true_mastery()
    assert truth is not None
    pd.testing.assert_frame_equal(truth, simulate_with_truth(**asked).true_mastery())
    assert len(truth) == len(known.log_.skills)
    log = simulate(**asked)
    assert KTDataModule(read=lambda: log, split=SeededFolds()).true_mastery() is None
    some = KTDataModule(read=partial(simulate, **asked), split=SeededFolds(), unknown_skills="skip")
    some.conform(tuple(map(str, log.skill_names[:3])), ())
    assert some.true_mastery() is None, "steps were left out: numbers of steps are others"
