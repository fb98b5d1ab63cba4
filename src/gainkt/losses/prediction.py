"""Prediction."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.losses.base import Term, masked_mean
from gainkt.model import Output


def bce1(output: Output, batch: Batch) -> Tensor:
    """Binary cross-entropy of Encoder 1 over scored steps, in nats."""
    loss = F.binary_cross_entropy_with_logits(output.logit1_BT, batch.response_BT, reduction="none")
    return masked_mean(loss, batch.scored_BT)


def bce2(output: Output, batch: Batch) -> Tensor:
    """Binary cross-entropy of Encoder 2 (the incremental-mastery loss) over scored steps, in nats."""
    loss = F.binary_cross_entropy_with_logits(output.logit2_BT, batch.response_BT, reduction="none")
    return masked_mean(loss, batch.scored_BT)


def divergence(q_BT: Tensor, logit_BT: Tensor) -> Tensor:
    """KL(q || sigmoid(logit)) of each step, nats: the cross-entropy less what it cannot fall under; q in [0, 1]."""
    entropy_BT = -(torch.xlogy(q_BT, q_BT) + torch.xlogy(1 - q_BT, 1 - q_BT))
    crossed_BT = F.binary_cross_entropy_with_logits(logit_BT, q_BT.to(logit_BT.dtype), reduction="none")
    return crossed_BT - entropy_BT


bce1.encoder, bce2.encoder = 1, 2  # type: ignore[attr-defined]


class MasteryEntropy(Term):
    """`bce2` over the steps whose skills are all let in: every skill, unless a curriculum says otherwise."""

    encoder = 2
    skills_K: Tensor | None
    """bool, the skills let in; None for all. No buffer: the curriculum sets it from the epoch, on the right device."""

    def __init__(self) -> None:
        super().__init__()
        self.skills_K = None

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """Cross-entropy in nats; 0, with no gradient, where a batch has no step to learn from."""
        if self.skills_K is None:
            return bce2(output, batch)
        shut_out = (~self.skills_K[batch.skills_BTS] & batch.has_skill_BTS).any(-1)
        return bce2(output, replace(batch, scored_BT=batch.scored_BT & ~shut_out))
