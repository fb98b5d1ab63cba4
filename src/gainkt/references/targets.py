"""What a reference model says about training students, to be looked up by student and step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.data.log import InteractionLog
from gainkt.references.base import Reference, Students, ask


class ByStep(nn.Module):
    """Numbers for the steps of a log, flat, as buffers that follow the device.

    They are found by the student's number and the step's number in the history, so that cut windows cannot shift them.
    """

    offsets_N: Tensor
    """int64, [num_students + 1], first step of each student."""

    def __init__(self, log: InteractionLog) -> None:
        """Take the places of the log's steps."""
        super().__init__()
        self.keep("offsets_N", log.offsets, torch.int64)

    def keep(self, name: str, values: NDArray, kind: torch.dtype = torch.float32) -> None:
        """Keep numbers under a name; not in checkpoints: whence they came gives them again."""
        self.register_buffer(name, torch.tensor(np.array(values), dtype=kind), persistent=False)

    def steps(self, batch: Batch) -> Tensor:
        """Flat place of each step of a batch, int64 [B, T]; padding stands at its window's first step."""
        first_B = self.offsets_N[batch.student_B] + batch.start_B
        column = torch.arange(batch.valid_BT.shape[1], device=first_B.device)
        return first_B[:, None] + column * batch.valid_BT


class Targets(ByStep):
    """A reference model's quantities for some students.

    Every target of a step is what the reference holds *before* it, from the student's earlier responses only; asked
    for a student whom the reference was not asked about, they are NaN.
    """

    slots_M: Tensor
    """int64, [num_steps + 1], first skill slot of each step."""
    probability_M: Tensor
    """Chance of a right response, in (0, 1)."""
    ability_M: Tensor
    """Ability before the step, logits."""
    mastery_L: Tensor
    """Mastery of each slot's skill before the step, in [0, 1]."""
    static_N: Tensor
    """Ability of each student from the whole history, logits: for training targets, never for a prediction."""
    difficulty_K: Tensor
    """Difficulty of each skill, logits."""
    learn_rate_K: Tensor | None
    """How much each skill is learnt at an opportunity; None where the reference knows no learning."""

    def __init__(self, reference: Reference, log: InteractionLog, students: Students) -> None:
        """Ask the reference about the students.

        Args:
            reference: fitted.
            log: the data.
            students: places of the students in it, the training students for training.

        Raises:
            ConfigError: the reference returns what cannot be used.
        """
        super().__init__(log)
        said, keep = ask(reference, log, students), self.keep
        keep("slots_M", log.skill_offsets, torch.int64)
        keep("probability_M", said.prediction.probability_M)
        keep("ability_M", said.ability_M)
        keep("mastery_L", said.prediction.mastery_before_L)
        keep("static_N", said.static_N)
        keep("difficulty_K", said.difficulty_K)
        self.register_buffer("learn_rate_K", None, persistent=False)
        if said.learn_rate_K is not None:
            keep("learn_rate_K", said.learn_rate_K)
        later = np.ones(log.num_steps, dtype=bool)
        later[log.offsets[:-1][log.lengths > 0]] = False
        self.spreads = {"dynamic": _spread(said.ability_M[later]), "static": _spread(said.static_N)}
        """Mean and standard deviation of the abilities, over scored steps (dynamic) or students (static)."""

    def probability(self, batch: Batch) -> Tensor:
        """Chance of a right response to each step, [B, T]."""
        return self.probability_M[self.steps(batch)]

    def ability(self, batch: Batch, kind: str) -> Tensor:
        """Ability of the student, [B, T]: before each step (`dynamic`), or one from the whole history (`static`)."""
        if kind == "dynamic":
            return self.ability_M[self.steps(batch)]
        return self.static_N[batch.student_B][:, None].expand(batch.valid_BT.shape)

    def mastery(self, batch: Batch) -> Tensor:
        """Mastery of each step's skills before it, [B, T, S]; empty slots hold that of the step's first skill."""
        slot = torch.arange(batch.skills_BTS.shape[2], device=batch.skills_BTS.device)
        return self.mastery_L[self.slots_M[self.steps(batch)][..., None] + slot * batch.has_skill_BTS]


def _spread(values: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation of the values that are there."""
    values = values[~np.isnan(values)]
    return (float(values.mean()), float(values.std())) if len(values) else (0.0, 1.0)
