"""SkillCurriculum: Encoder 2 learns from easy skills first."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from lightning import Callback, Trainer
from numpy.typing import NDArray
from torch import Tensor

from gainkt.errors import ConfigError
from gainkt.training.callbacks.loss_schedule import planned_epochs
from gainkt.training.schedules import check_moments, check_shape, value_at


class SkillCurriculum(Callback):
    """Lets into `bce2`, in training, only the easiest share of the skills, a share that grows to 1.

    Easy is what training students get right most often. A step of several skills enters once all are let in. What is
    predicted, and so every figure on training and validation students, is of all skills throughout.
    """

    def __init__(self, *, knots: Sequence[Sequence[float]], shape: str) -> None:
        """Keep the course of the share.

        Raises:
            ConfigError: moments out of range or order, shares out of range, a last share under 1, an unknown shape.
        """
        check_shape("shape", shape)
        check_moments("knots", knots)
        shares = [share for _, share in knots]
        if not all(0 < share <= 1 for share in shares) or shares[-1] != 1:
            raise ConfigError(
                f"knots: shares {shares} must lie over 0 and at most at 1, and the last be 1: some skills "
                "would never be learnt"
            )
        self.knots, self.shape = knots, shape
        self.easiest_first = np.empty(0, dtype=np.int64)

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Order the skills by difficulty."""
        self.easiest_first = easiest_first(trainer.datamodule.skill_rates())  # type: ignore[attr-defined]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Let in the epoch's share of the skills, and log it."""
        share = value_at(self.knots, trainer.current_epoch, planned_epochs(trainer), self.shape)
        pl_module.loss.let_in(self.skills(share).to(pl_module.device))
        pl_module.log("curriculum/share_of_skills", share, on_step=False, on_epoch=True)

    def skills(self, share: float) -> Tensor:
        """Bool [K], True for the easiest `share` of the skills, one at least."""
        admitted = torch.zeros(len(self.easiest_first), dtype=torch.bool)
        admitted[torch.from_numpy(self.easiest_first[: ceil(share * len(admitted))])] = True
        return admitted


def easiest_first(skill_rates_K: NDArray[np.float64]) -> NDArray[np.int64]:
    """Skills from the highest rate of right responses to the lowest; equal ones by number."""
    return np.argsort(-skill_rates_K, kind="stable")
