"""Priors: of the learning curves, from skill difficulties measured beforehand, and of the items' difficulties."""

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

    encoder = 0

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


class ItemPrior(Term):
    """-log of a normal prior of the items' difficulties, a training step: sum over items of d^2 / (2 sd^2) / steps.

    Summed over both encoders, each with a standard deviation of its own; d is over the mean of the item's skills. How
    far an item follows its own n responses depends on n sd^2 alone, not on how many items and steps there are. With
    weight 1 beside a cross-entropy of weight 1 the difficulties are those most likely a posteriori.

    Source: Swaminathan and Gifford, Bayesian estimation in the Rasch model, 1982.
    """

    encoder = 0

    needs_num_steps = True

    def __init__(self, *, sd1: float, sd2: float) -> None:
        """Keep the standard deviations, in logits.

        Raises:
            ConfigError: one is not over 0.
        """
        super().__init__()
        for name, sd in (("sd1", sd1), ("sd2", sd2)):
            if not 0 < sd < float("inf"):
                raise ConfigError(f"loss.terms.item_prior.{name}={sd}: must be over 0")
        self.precisions = sd1**-2, sd2**-2
        self.items_a_step: float | None = None

    def start(
        self,
        model: GainKT,
        skill_rates: Callable[[], NDArray[np.float64]],
        targets: Targets | None = None,
        num_steps: int = 0,
    ) -> None:
        """Take in how many items and scored steps the training students have."""
        self.items_a_step = model.num_items / max(num_steps, 1)

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The penalty, nats a step; 0 without items."""
        assert self.items_a_step is not None, "Loss.start() was not called"
        found = zip(self.precisions, output.item_penalties, strict=True)
        penalties = [self.items_a_step * precision / 2 * mean for precision, mean in found if mean is not None]
        return sum(penalties, start=batch.response_BT.new_zeros(()))
