"""Loss terms by name, each a mean over valid steps, and the weighted sum of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from gainkt.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.model import Output

Term = Callable[[Output, Batch], Tensor]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` where `mask` holds; 0 where it holds nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)


def bce1(output: Output, batch: Batch) -> Tensor:
    """Binary cross-entropy of Encoder 1 over scored steps, in nats."""
    loss = F.binary_cross_entropy_with_logits(output.logit1_BT, batch.response_BT, reduction="none")
    return masked_mean(loss, batch.scored_BT)


def bce2(output: Output, batch: Batch) -> Tensor:
    """Binary cross-entropy of Encoder 2 (the incremental-mastery loss) over scored steps, in nats."""
    loss = F.binary_cross_entropy_with_logits(output.logit2_BT, batch.response_BT, reduction="none")
    return masked_mean(loss, batch.scored_BT)


def gain_variance(output: Output, batch: Batch) -> Tensor:
    """- mean over valid steps of the variance over skills of the gains; lower is more varied."""
    return -masked_mean(output.gains_BTC.var(-1, correction=0), batch.valid_BT)


def skill_contrast(output: Output, batch: Batch) -> Tensor:
    """- variance over skills of the mean gain of each skill over valid steps."""
    total = (output.gains_BTC * batch.valid_BT[..., None]).sum((0, 1))
    return -(total / batch.valid_BT.sum().clamp_min(1)).var(correction=0)


def gain_sparsity(output: Output, batch: Batch) -> Tensor:
    """Mean over valid steps of the summed gains of the skills that the step does not practise (L1)."""
    others = ~output.axis.practised(batch.has_skill_BTS)
    return masked_mean((output.gains_BTC * others).sum(-1), batch.valid_BT)


class BetaSpread:
    """max(0, target - std over skills of beta)^2: asks the curves' steepness to differ between skills."""

    def __init__(self, target: float) -> None:
        """Keep the standard deviation asked for."""
        self.target = target

    def __call__(self, output: Output, batch: Batch) -> Tensor:
        """Penalty, 0 once the spread is reached."""
        return (self.target - output.beta_K.std(correction=0)).clamp_min(0) ** 2


PLAIN_TERMS: dict[str, Term] = {
    "bce1": bce1,
    "bce2": bce2,
    "gain_variance": gain_variance,
    "skill_contrast": skill_contrast,
    "gain_sparsity": gain_sparsity,
}
"""Terms without settings."""

NEED_EVERY_SKILL = frozenset({"gain_variance", "skill_contrast", "gain_sparsity"})
"""Terms that compare gains over all skills, so that all must be computed."""


class Loss:
    """The weighted sum of the terms; a term of weight 0 is not computed and leaves no gradient."""

    def __init__(
        self,
        *,
        bce1: float = 0.0,
        bce2: float = 0.0,
        gain_variance: float = 0.0,
        skill_contrast: float = 0.0,
        gain_sparsity: float = 0.0,
        beta_spread: float = 0.0,
        beta_spread_target: float = 0.3,
    ) -> None:
        """Keep the weights of the terms (0 switches one off) and the terms' settings.

        Args:
            bce1: weight of Encoder 1's cross-entropy.
            bce2: weight of Encoder 2's cross-entropy.
            gain_variance: weight of the variance of gains over skills within a step.
            skill_contrast: weight of the variance over skills of their mean gains.
            gain_sparsity: weight of the gains of skills that a step does not practise.
            beta_spread: weight of the shortfall of the spread of beta.
            beta_spread_target: standard deviation of beta at which that shortfall ends.

        Raises:
            ConfigError: a weight is negative, or all are 0.
        """
        self.weights: dict[str, float] = {
            "bce1": bce1,
            "bce2": bce2,
            "gain_variance": gain_variance,
            "skill_contrast": skill_contrast,
            "gain_sparsity": gain_sparsity,
            "beta_spread": beta_spread,
        }
        self.terms: dict[str, Term] = {**PLAIN_TERMS, "beta_spread": BetaSpread(beta_spread_target)}
        self.check(self.weights)

    def check(self, weights: Mapping[str, float]) -> None:
        """Raise ConfigError unless `weights` names known terms, none negative and one positive."""
        for name, weight in weights.items():
            if name not in self.terms:
                raise ConfigError(f"loss.{name}: no such loss term{nearest(name, self.terms)}")
            if not weight >= 0:
                raise ConfigError(f"loss.{name}={weight}: a weight is 0 or more")
        if not any(weights.values()):
            raise ConfigError("loss: every weight is 0, nothing would be learnt; give bce1 or bce2 a weight")

    def __call__(self, output: Output, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Raw values of the terms whose weight is not 0."""
        return {name: self.terms[name](output, batch) for name, weight in weights.items() if weight}


def needs_every_skill(weights: Mapping[str, float]) -> bool:
    """Tell whether a term in use compares gains over all skills."""
    return any(weight and name in NEED_EVERY_SKILL for name, weight in weights.items())
