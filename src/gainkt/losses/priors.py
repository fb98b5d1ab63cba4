"""Skill difficulties, measured beforehand, as a prior on the learning curves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses.base import Term
from gainkt.model import GainKT, Output
from gainkt.references.targets import Targets

_MARGIN = 1e-3
"""Distance that a rate keeps from 0 and 1, where its logit is infinite."""


class DifficultyPrior(Term):
    """Mean over skills of (-offset[k] - logit(rate[k]))^2; the curves start there.

    -offset is the logit of a skill's initial mastery (as a share of M_sat), rate the share of right responses among
    training students: a Rasch difficulty with one ability for all.
    """

    prior_K: Tensor
    """float32, logit of each skill's rate."""

    def __init__(self) -> None:
        super().__init__()
        # Not in checkpoints: data and config give it again.
        self.register_buffer("prior_K", torch.empty(0), persistent=False)

    def start(
        self, model: GainKT, skill_rates: Callable[[], NDArray[np.float64]], targets: Targets | None = None
    ) -> None:
        """Move the offsets of the model's curves to the prior.

        Raises:
            ConfigError: one offset serves all skills, or its range leaves the prior out.
        """
        offset = model.curve.offset
        if not offset.per_skill:
            raise ConfigError(
                "loss.difficulty_prior: needs an offset for each skill, and model.curve.offset is one for all; choose "
                "model/curve=per_skill, or set loss.difficulty_prior=0"
            )
        if offset.low is not None:
            raise ConfigError(
                f"loss.difficulty_prior: model.curve.offset is kept over {offset.low}, and an easy skill's prior may "
                "lie below; choose model/curve=per_skill, whose offsets are free, or set loss.difficulty_prior=0"
            )
        rates_K = torch.as_tensor(skill_rates(), dtype=torch.float32)
        self.prior_K = torch.logit(rates_K, eps=_MARGIN).to(offset.raw.device)
        with torch.no_grad():
            offset.raw.copy_(-self.prior_K)

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The penalty; of the curves, whatever the batch."""
        assert len(self.prior_K), "Loss.start() was not called"
        return (output.offset_K + self.prior_K).square().mean()
