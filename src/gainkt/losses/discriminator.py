"""A discriminator that detects uniform gains, and the term by which the gain head avoids it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses.base import Term
from gainkt.model import Output

NUM_QUANTILES = 9
"""Order statistics of a gain vector that the discriminator sees: minimum, maximum, and evenly spaced ones between."""
WIDTH = 16
"""Hidden units."""


class GainDiscriminator(Term):
    """Tells the model's gain vectors from uniform ones, which hold the step's mean gain on every skill plus noise.

    term = (mean over valid steps of -log D(gains) - log(1 - D(uniform))) / 2; log 2 where nothing tells them apart.
    D wants to recognise the model's gains and the gain head wants to be recognised, so one backward pass of one
    expression trains both: the gradient at D's weights is that of a discriminator on detached gains, the gradient at
    the gains that of a generator under fixed weights; the uniform vectors are detached.

    D sees the order statistics of a vector about its mean, so that it knows no skill by name and serves any number.
    """

    encoder, needs_every_skill, saved_as = 0, True, "discriminator"

    def __init__(self, *, noise: float) -> None:
        """Keep the noise.

        Raises:
            ConfigError: the noise is not positive.
        """
        super().__init__()
        if not noise > 0:
            raise ConfigError(f"noise={noise}: a standard deviation of gains, over 0")
        self.noise = noise

    def start(self, *given: Any) -> None:
        """Draw an MLP on NUM_QUANTILES features."""
        self.layers = nn.Sequential(nn.Linear(NUM_QUANTILES, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The term, and a gradient for the discriminator and for the gains at once."""
        gains_NK = output.gains_BTC[batch.valid_BT]
        missed, mistaken = F.softplus(-self.logit(gains_NK)), F.softplus(self.logit(self.uniform(gains_NK)))
        return (missed.mean() + mistaken.mean()) / 2

    def uniform(self, gains_NK: Tensor) -> Tensor:
        """Draw uniform vectors with the means of the given ones, [N, K]; no gradient passes."""
        gains_NK = gains_NK.detach()
        return gains_NK.mean(-1, keepdim=True) + self.noise * torch.randn_like(gains_NK)

    def logit(self, gains_NK: Tensor) -> Tensor:
        """Logit that a vector is not uniform, [N]."""
        return self.layers(self.features(gains_NK))[:, 0].float()

    def features(self, gains_NK: Tensor) -> Tensor:
        """asinh(deviation from the mean / noise) at NUM_QUANTILES places of the sorted vector, [N, NUM_QUANTILES].

        Steep where gains are next to uniform, and still telling where they are far from it.
        """
        places = torch.linspace(0, gains_NK.shape[1] - 1, NUM_QUANTILES, device=gains_NK.device).round().long()
        deviation_NK = gains_NK - gains_NK.mean(-1, keepdim=True)
        return torch.asinh(deviation_NK.sort(-1).values[:, places] / self.noise)
