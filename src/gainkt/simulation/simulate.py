"""Simulated students: data of which the truth is known, and negative controls made of any data."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.simulation.settings import Settings
from gainkt.simulation.students import draw_students, let_practise
from gainkt.simulation.truth import Simulation, Truth
from gainkt.simulation.world import draw_world


def simulate_with_truth(**settings: Any) -> Simulation:
    """Simulate students and return what an observer sees and the truth; takes the fields of `Settings`.

    The same settings give the same result to the bit; skills and items do not depend on num_students.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    known = inspect.signature(Settings).parameters
    for key in settings:
        if key not in known:
            raise ConfigError(f"{key}: the simulator has no such setting{nearest(key, known)}")
    return _run(Settings(**settings))


def simulate(**settings: Any) -> InteractionLog:
    """Simulate students and return their histories, a reader without a file; takes the fields of `Settings`.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    return simulate_with_truth(**settings).log


def true_mastery(**settings: Any) -> pd.DataFrame:
    """Return `Simulation.true_mastery` of the students that `simulate` gives."""
    return simulate_with_truth(**settings).true_mastery()


simulate.true_mastery = true_mastery  # type: ignore[attr-defined]  # what `KTDataModule.true_mastery` asks a reader for
for _function in (simulate_with_truth, simulate):
    # What may be set stands in one place; configs are checked against it.
    _function.__signature__ = inspect.signature(Settings)  # type: ignore[union-attr]


def _run(settings: Settings) -> Simulation:
    for_world, for_students, for_steps = np.random.default_rng(settings.seed).spawn(3)
    world = draw_world(settings, for_world)
    students = draw_students(settings, world, for_students)
    steps = let_practise(settings, world, students, for_steps)
    log = InteractionLog(
        name="simulated",
        offsets=steps.offsets,
        responses=steps.responses,
        skill_offsets=steps.skill_offsets,
        skills=steps.skills,
        items=steps.items,
        students=_names("student", settings.num_students),
        skill_names=_names("skill", settings.num_skills),
        item_names=_names("item", settings.num_items),
        folds=np.full(settings.num_students, -2, dtype=np.int16),
    )
    return Simulation(log=log, truth=Truth(settings=settings, world=world, students=students, steps=steps))


def shuffle_labels(log: InteractionLog, seed: int = 0) -> InteractionLog:
    """Return the log with its responses permuted over all steps: nothing can be learnt from it (AUC .5)."""
    responses = np.random.default_rng(seed).permutation(log.responses)
    return replace(log, name=f"{log.name}-shuffled-labels", responses=responses)


def shuffle_q_matrix(log: InteractionLog, seed: int = 0) -> InteractionLog:
    """Return the log with the skills of each item replaced by those of another: skills lose their meaning.

    An item keeps its new skills throughout; skills of an item are those of its first step in the log.

    Raises:
        DataError: the log has no items.
    """
    if log.num_items == 0:
        raise DataError(f"{log.name}: has no items, so its Q-matrix cannot be shuffled; use data with items")
    present, first, place = np.unique(log.items, return_index=True, return_inverse=True)
    # A cycle through all items in random order: no item keeps its own skills.
    cycle = np.random.default_rng(seed).permutation(len(present))
    donor = np.empty_like(cycle)
    donor[cycle] = np.roll(cycle, 1)
    source = first[donor[place]]
    counts = np.diff(log.skill_offsets)[source]
    skills = log.skills[spans(log.skill_offsets[:-1][source], counts)]
    return replace(log, name=f"{log.name}-shuffled-q-matrix", skill_offsets=offsets_of(counts), skills=skills)


def _names(kind: str, count: int) -> np.ndarray:
    """Names that sort in the order of their numbers, however many there are."""
    width = len(str(count - 1))
    return np.array([f"{kind}_{i:0{width}d}" for i in range(count)])
