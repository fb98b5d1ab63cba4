"""Targets are found by student and step, whatever windows and padding do."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conftest import random_log
from gainkt.data.loader import WindowDataset
from gainkt.data.log import InteractionLog
from gainkt.data.windows import cut_windows
from gainkt.references import BKT, Rasch
from gainkt.references.targets import Targets

TRAIN = np.arange(3, 25)
CELLS = 4096


class Numbered:
    """A reference whose every quantity is the place that it belongs to."""

    name = "numbered"

    def predict(self, log: InteractionLog, students: np.ndarray) -> SimpleNamespace:
        known = np.full(log.num_steps, np.nan)
        known[log.steps_of(students)] = log.steps_of(students)
        slots = np.where(np.isnan(np.repeat(known, np.diff(log.skill_offsets))), np.nan, np.arange(len(log.skills)))
        # Chances, so that they are taken for what they are; a power of two, so that nothing is rounded.
        return SimpleNamespace(probability_M=(1 + known) / CELLS, mastery_before_L=slots / CELLS)

    def abilities(self, log: InteractionLog, students: np.ndarray, said: SimpleNamespace) -> np.ndarray:
        return -said.probability_M * CELLS

    def static_abilities(self, log: InteractionLog, students: np.ndarray) -> np.ndarray:
        return np.where(np.isin(np.arange(log.num_students), students), np.arange(log.num_students), np.nan)

    def difficulties(self, log: InteractionLog) -> np.ndarray:
        return np.arange(log.num_skills) / 10

    def learn_rates(self, log: InteractionLog) -> None:
        return None


@pytest.mark.parametrize(("length", "context"), [(1000, 0), (8, 3)])
def test_each_step_finds_its_own_target(length: int, context: int) -> None:
    log = random_log()
    windows = cut_windows(log, TRAIN, length, context)
    dataset = WindowDataset(log, windows, np.arange(log.num_students), np.arange(log.num_items))
    batch = dataset.__getitems__(list(range(len(windows))))
    targets = Targets(Numbered(), log, TRAIN)  # type: ignore[arg-type]
    probability, mastery = targets.probability(batch), targets.mastery(batch)
    dynamic, static = targets.ability(batch, "dynamic"), targets.ability(batch, "static")
    checked = 0
    for b, t in batch.valid_BT.nonzero().tolist():
        student, number = int(batch.student_B[b]), int(batch.start_B[b]) + t
        step = int(log.offsets[student]) + number
        assert (float(probability[b, t]), float(dynamic[b, t])) == ((1 + step) / CELLS, -1 - step)
        assert float(static[b, t]) == student
        first, last = log.skill_offsets[step], log.skill_offsets[step + 1]
        for slot in range(last - first):
            assert int(batch.skills_BTS[b, t, slot]) == log.skills[first + slot]
            assert float(mastery[b, t, slot]) == (first + slot) / CELLS
        checked += 1
    assert checked >= len(log.steps_of(TRAIN))
    assert torch.isfinite(probability).all(), "padding must not bring NaN, which a mask does not stop"
    assert torch.isfinite(mastery).all()


def test_other_students_have_none() -> None:
    log = random_log()
    targets = Targets(Rasch.fit(log, TRAIN), log, TRAIN)
    held_out = log.steps_of(np.arange(3))
    assert torch.isnan(targets.probability_M[held_out]).all()
    assert torch.isnan(targets.static_N[:3]).all()
    assert torch.isfinite(targets.ability_M[log.steps_of(TRAIN)]).all()


def test_training_students_are_not_all_alike() -> None:
    # The research line looked targets up under keys that matched nobody: every student had ability 0.
    log = random_log(num_students=60, longest=40)
    everyone = np.arange(60)
    targets = Targets(Rasch.fit(log, everyone, ability_sd=1.0), log, everyone)
    assert targets.spreads["static"][1] > 0.1
    assert targets.spreads["dynamic"][1] > 0.1
    assert len(set(targets.static_N.tolist())) > 50


def test_what_a_reference_does_not_know_is_none_and_nothing_is_saved() -> None:
    log = random_log()
    assert Targets(Rasch.fit(log, TRAIN), log, TRAIN).learn_rate_K is None
    bkt = Targets(BKT.fit(log, TRAIN), log, TRAIN)
    assert bkt.learn_rate_K is not None
    assert not bkt.state_dict(), "data and reference give them again"
