"""Distillation: a model learns from what trained models, its teachers, predict, beside the responses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.losses.base import Term, masked_mean
from gainkt.losses.prediction import divergence
from gainkt.model import GainKT, Output
from gainkt.references.targets import ByStep, Targets


class Teachers(ByStep):
    """Mean logits of trained models before each training step, by student and step; NaN at other students' steps."""

    logit1_M: Tensor
    """Encoder 1's mean logit of a right response."""
    logit2_M: Tensor
    """Encoder 2's."""

    def __init__(self, log: InteractionLog, logit1_M: NDArray[np.float32], logit2_M: NDArray[np.float32]) -> None:
        """Keep the logits, [M] in the order of the log's steps."""
        super().__init__(log)
        self.keep("logit1_M", logit1_M)
        self.keep("logit2_M", logit2_M)

    def logit(self, batch: Batch, encoder: int) -> Tensor:
        """Mean logit of an encoder, 1 or 2, at each step of a batch, [B, T]."""
        return getattr(self, f"logit{encoder}_M")[self.steps(batch)]


class Distillation(Term):
    """Draws an encoder to the mean of the teachers, over scored steps (Hinton, Vinyals and Dean 2015).

        T^2 mean KL(sigmoid(l* / T) || sigmoid(l / T)),   l* the teachers' mean logit, l the encoder's own

    At T = 1 weights a of the encoder's cross-entropy and b of this term have the gradient of a + b times the
    cross-entropy with the soft target (a response + b sigmoid(l*)) / (a + b): the mix of the two is said by weights.
    """

    needs_teachers = True

    def __init__(self, *, encoder: int, teacher_encoder: int, temperature: float) -> None:
        """Choose who learns from whom.

        Args:
            encoder: that learns, 1 or 2.
            teacher_encoder: of the teachers, whose logits it learns from, 1 or 2.
            temperature: T, above 0.

        Raises:
            ConfigError: there is no such encoder, or no such temperature.
        """
        super().__init__()
        for name, value in (("encoder", encoder), ("teacher_encoder", teacher_encoder)):
            if value not in (1, 2):
                raise ConfigError(f"{name}={value}: 1 or 2")
        if not temperature > 0:
            raise ConfigError(f"temperature={temperature}: must be above 0")
        self.encoder, self.teacher_encoder, self.temperature = encoder, teacher_encoder, temperature
        self.teachers: Teachers | None = None

    def start(
        self,
        model: GainKT,
        skill_rates: Callable[[], NDArray[np.float64]],
        targets: Targets | None = None,
        teachers: Teachers | None = None,
    ) -> None:
        """Take in what the teachers say of the training students.

        Raises:
            ConfigError: there are none.
        """
        if teachers is None:
            raise ConfigError(
                "loss.distillation1, distillation2: nobody to learn from; give the folders of trained runs, "
                "distillation.teachers=[<run>,<run>], or set both to 0"
            )
        self.teachers = teachers

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The term, nats; 0 where the encoder says what the teachers say."""
        assert self.teachers is not None, "Loss.start() was not called"
        own_BT = output.logit1_BT if self.encoder == 1 else output.logit2_BT
        target_BT = torch.sigmoid(self.teachers.logit(batch, self.teacher_encoder) / self.temperature)
        return self.temperature**2 * masked_mean(divergence(target_BT, own_BT / self.temperature), batch.scored_BT)
