"""What several models say of the same answers, as one: the mean, and how far apart they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gainkt.model.readout import probability


class Mean(NamedTuple):
    """The mean of M models, float32; of one model it is what that model says, to the bit."""

    p1: Tensor
    """Encoder 1's chance of a right response: sigmoid(mean over models of its logit)."""
    p2: Tensor
    """Encoder 2's."""
    mastery: Tensor
    """Mean over models of mastery, which may be 0 or 1 and has no logit then."""
    p1_std: Tensor
    """Standard deviation over the models of p1, with M in the denominator: 0 for one model."""
    p2_std: Tensor
    """The same of p2."""
    mastery_std: Tensor
    """The same of mastery."""


def mean_of(logits1: Sequence[Tensor], logits2: Sequence[Tensor], masteries: Sequence[Tensor]) -> Mean:
    """Return the mean of several models, a tensor a model each; shapes of logits are alike, and those of masteries."""
    (p1, p1_std), (p2, p2_std) = (mean_probability(logits) for logits in (logits1, logits2))
    return Mean(p1, p2, mean(masteries), p1_std, p2_std, _std(masteries))


def mean_probability(logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """sigmoid(mean over models of the logit), and the standard deviation over models of the probability; float32."""
    return probability(mean(logits)), _std([probability(x) for x in logits])


def mean(values: Sequence[Tensor]) -> Tensor:
    """Mean over models, float32; of one model what it says."""
    return values[0].float() if len(values) == 1 else torch.stack([x.double() for x in values]).mean(0).float()


def _std(values: Sequence[Tensor]) -> Tensor:
    if len(values) == 1:
        return torch.zeros_like(values[0], dtype=torch.float32)
    return torch.stack([x.double() for x in values]).std(0, correction=0).float()
