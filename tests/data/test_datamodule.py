"""What the datamodule tells of its data."""

from dataclasses import replace

import numpy as np

from conftest import random_log
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import SeededFolds


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
