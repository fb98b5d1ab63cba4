"""Skill sets: the different sets of skills that steps practise, numbered, so that responses can be counted by set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog, spans
from gainkt.references.base import Floats


@dataclass(frozen=True, eq=False)
class SkillSets:
    """Sets of skills that the chosen R steps practise; Z is the number of different ones."""

    set_R: NDArray[np.int64]
    """The set of each step."""
    weight_ZK: Floats
    """1 / size of the set where it holds the skill, 0 elsewhere: a product with it is a mean over the set's skills."""

    @classmethod
    def of(cls, log: InteractionLog, steps: NDArray[np.int64]) -> SkillSets:
        """Number the sets of some steps; their order and repeats within a step do not matter."""
        first, counts = log.skill_offsets[:-1][steps], np.diff(log.skill_offsets)[steps]
        row = np.repeat(np.arange(len(steps)), counts)
        skills = log.skills[spans(first, counts)].astype(np.int64)
        order = np.lexsort((skills, row))
        row, skills = row[order], skills[order]
        new = np.ones(len(row), dtype=bool)
        new[1:] = (row[1:] != row[:-1]) | (skills[1:] != skills[:-1])
        row, skills = row[new], skills[new]
        sizes = np.bincount(row, minlength=len(steps))
        place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        padded = np.full((len(steps), int(sizes.max(initial=1))), -1, dtype=np.int64)
        padded[row, place] = skills
        if padded.shape[1] == 1:
            sets, number = np.unique(padded[:, 0], return_inverse=True)
            sets = sets[:, None]
        else:
            sets, number = np.unique(padded, axis=0, return_inverse=True)
        weight = np.zeros((len(sets), log.num_skills))
        at, slot = np.nonzero(sets >= 0)
        weight[at, sets[at, slot]] = 1.0
        return cls(number.reshape(-1), weight / weight.sum(1, keepdims=True))
