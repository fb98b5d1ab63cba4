"""Opportunities: the responses of each (student, skill) in order, packed so that all are followed at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.log import InteractionLog, spans
from gainkt.errors import DataError


@dataclass(frozen=True, eq=False)
class Opportunities:
    """A opportunities of Q sequences, one sequence a (student, skill) that occurs.

    The first opportunities of all sequences stand first, then all second ones, and so on; sequences stand from
    long to short. So block n is contiguous and its rows are the first rows of block n - 1: no padding, no gathers.
    """

    slot_A: NDArray[np.int64]
    """Place in the log's flat `skills`."""
    step_A: NDArray[np.int64]
    """The step, its place in the log."""
    skill_A: Tensor
    """int64, the skill's number."""
    right_A: Tensor
    """bool, the response."""
    starts: tuple[int, ...]
    """First row of each block, and the total."""

    @classmethod
    def of(cls, log: InteractionLog, students: NDArray[np.integer]) -> Opportunities:
        """Pack the histories of some students.

        Raises:
            DataError: a step names a skill twice, so that one response would count as two.
        """
        students = np.asarray(students, dtype=np.int64)
        steps = log.steps_of(students)
        counts = np.diff(log.skill_offsets)[steps]
        slot, step = spans(log.skill_offsets[:-1][steps], counts), np.repeat(steps, counts)
        student = np.repeat(np.repeat(np.arange(len(students)), log.lengths[students]), counts)
        key = student * log.num_skills + log.skills[slot]
        order = np.argsort(key, kind="stable")
        slot, step, key = slot[order], step[order], key[order]
        opens = np.ones(len(key), dtype=bool)
        opens[1:] = key[1:] != key[:-1]
        twice = np.flatnonzero(~opens[1:] & (step[1:] == step[:-1]))
        if len(twice):
            at = int(slot[twice[0]])
            who = log.students[np.searchsorted(log.offsets, step[twice[0]], side="right") - 1]
            raise DataError(
                f"{log.name}: student {who!r} has skill {log.skill_names[log.skills[at]]!r} twice in one step; "
                "name each skill of a step once"
            )
        first = np.flatnonzero(opens)
        lengths = np.diff(np.append(first, len(key)))
        longest_first = np.argsort(-lengths, kind="stable")
        rank = np.empty_like(longest_first)
        rank[longest_first] = np.arange(len(first))
        number = np.arange(len(key)) - np.repeat(first, lengths)
        packed = np.lexsort((np.repeat(rank, lengths), number))
        slot, step = slot[packed], step[packed]
        sizes = np.bincount(number) if len(number) else np.zeros(0, dtype=np.int64)
        return cls(
            slot_A=slot,
            step_A=step,
            skill_A=torch.from_numpy(log.skills[slot].astype(np.int64)),
            right_A=torch.from_numpy(log.responses[step] == 1),
            starts=(0, *np.cumsum(sizes).tolist()),
        )

    @property
    def num_sequences(self) -> int:
        """Number of sequences, Q: the size of the first block."""
        return self.starts[1] if len(self.starts) > 1 else 0

    def blocks(self) -> Iterator[slice]:
        """Rows of each block: first opportunities, second ones, ..."""
        return (slice(a, b) for a, b in zip(self.starts, self.starts[1:], strict=False))

    def __len__(self) -> int:
        """Number of opportunities, A."""
        return len(self.slot_A)
