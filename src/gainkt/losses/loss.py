"""Loss: the weighted sum of terms, each with a weight in the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.losses import gains, prediction
from gainkt.losses.base import Term
from gainkt.losses.discriminator import GainDiscriminator
from gainkt.losses.gains import BetaSpread
from gainkt.losses.prediction import MasteryEntropy
from gainkt.losses.priors import DifficultyPrior
from gainkt.losses.reference import Alignment
from gainkt.losses.separation import GainTarget, SkillTriplet
from gainkt.model import GainKT, Output
from gainkt.references.targets import Targets

PLAIN_TERMS: dict[str, Term] = {
    "bce1": prediction.bce1,
    "gain_variance": gains.gain_variance,
    "skill_contrast": gains.skill_contrast,
    "gain_sparsity": gains.gain_sparsity,
    "gain_response_correlation": gains.gain_response_correlation,
    "readiness_size": gains.readiness_size,
    "item_shrinkage": gains.item_shrinkage,
}
"""Terms without settings."""

NEED_EVERY_SKILL = frozenset(
    {"gain_variance", "skill_contrast", "gain_sparsity", "skill_triplet", "gain_discriminator", "gain_target"}
)
"""Terms that compare gains over all skills, so that all must be computed."""

BUILT_IF_WEIGHTED = frozenset({"gain_discriminator", "difficulty_prior"})
"""Terms that learn, or change how the model starts: only there where the loss group gives them a weight."""


class Loss(nn.Module):
    """The weighted sum of the terms; a term of weight 0 is not computed, leaves no gradient and draws no number."""

    def __init__(
        self,
        *,
        bce1: float = 0.0,
        bce2: float = 0.0,
        gain_variance: float = 0.0,
        skill_contrast: float = 0.0,
        skill_triplet: float = 0.0,
        skill_triplet_margin: float = 0.2,
        gain_sparsity: float = 0.0,
        gain_response_correlation: float = 0.0,
        gain_discriminator: float = 0.0,
        gain_discriminator_noise: float = 0.02,
        gain_target: float = 0.0,
        gain_target_low: float = 0.2,
        gain_target_high: float = 0.9,
        gain_target_ratio: float = 0.5,
        gain_target_seed: int = 0,
        readiness_size: float = 0.0,
        item_shrinkage: float = 0.0,
        beta_spread: float = 0.0,
        beta_spread_target: float = 0.3,
        difficulty_prior: float = 0.0,
        alignment: Alignment | None = None,
    ) -> None:
        """Keep the weights of the terms (0 switches one off) and the terms' settings.

        Args:
            bce1: weight of Encoder 1's cross-entropy.
            bce2: weight of Encoder 2's cross-entropy.
            gain_variance: weight of the variance of gains over skills within a step.
            skill_contrast: weight of the variance over skills of their mean gains.
            skill_triplet: weight of the triplets of steps, two of the same skill and one of another.
            skill_triplet_margin: distance by which the other's gains must be farther, in (0, 1].
            gain_sparsity: weight of the gains of skills that a step does not practise.
            gain_response_correlation: weight of the correlation of the practised skill's gain with the response.
            gain_discriminator: weight of the discriminator that detects uniform gains.
            gain_discriminator_noise: std of the noise on the uniform gains that it learns from, > 0.
            gain_target: weight of the distance to synthetic gains.
            gain_target_low: synthetic gain of the skill that gains least, after a right response, in [0, 1].
            gain_target_high: of the skill that gains most.
            gain_target_ratio: synthetic gain after a wrong response as a share of that after a right one, in [0, 1].
            gain_target_seed: of the draw which skill gains how much.
            readiness_size: weight of the squared readiness.
            item_shrinkage: weight of the squared difficulties of items.
            beta_spread: weight of the shortfall of the spread of beta.
            beta_spread_target: standard deviation of beta at which that shortfall ends.
            difficulty_prior: weight of the distance of initial mastery from the skills' rates of right responses.
            alignment: weights and settings of the terms that align Encoder 2 with a reference model.

        Raises:
            ConfigError: a weight is negative, all are 0, or a setting is out of range.
        """
        super().__init__()
        self.weights: dict[str, float] = {
            "bce1": bce1,
            "bce2": bce2,
            "gain_variance": gain_variance,
            "skill_contrast": skill_contrast,
            "gain_sparsity": gain_sparsity,
            "beta_spread": beta_spread,
            "skill_triplet": skill_triplet,
            "gain_response_correlation": gain_response_correlation,
            "gain_discriminator": gain_discriminator,
            "gain_target": gain_target,
            "difficulty_prior": difficulty_prior,
            "readiness_size": readiness_size,
            "item_shrinkage": item_shrinkage,
            **(alignment.weights if alignment else {}),
        }
        self.check(self.weights)
        self.mastery_entropy = MasteryEntropy()
        self.discriminator = GainDiscriminator(gain_discriminator_noise) if gain_discriminator else None
        self.prior = DifficultyPrior() if difficulty_prior else None
        self.alignment = alignment
        targets = GainTarget(low=gain_target_low, high=gain_target_high, ratio=gain_target_ratio, seed=gain_target_seed)
        built: dict[str, Term | None] = {
            **PLAIN_TERMS,
            "bce2": self.mastery_entropy,
            "beta_spread": BetaSpread(beta_spread_target),
            "skill_triplet": SkillTriplet(skill_triplet_margin),
            "gain_discriminator": self.discriminator,
            "gain_target": targets,
            "difficulty_prior": self.prior,
            **(alignment.terms if alignment else {}),
        }
        self.terms = {name: term for name, term in built.items() if term is not None}

    def start(
        self, model: GainKT, skill_rates: Callable[[], NDArray[np.float64]], targets: Targets | None = None
    ) -> None:
        """Take in, once and before training, what terms need of the model and of the training students.

        Args:
            model: the model to be trained; `difficulty_prior` moves its curves' offsets.
            skill_rates: share of right responses, skill by skill; not asked for unless a term needs it.
            targets: what a reference model says about the training students; None without one.

        Raises:
            ConfigError: the model has no place for what a term needs.
        """
        if self.prior is not None:
            self.prior.start(model.curve, skill_rates())
        if self.alignment is not None:
            self.alignment.start(model, targets)

    def let_in(self, skills_K: Tensor | None) -> None:
        """Compute `bce2` from now on over the steps whose skills are all among those let in; None for all."""
        self.mastery_entropy.skills_K = skills_K

    def check(self, weights: Mapping[str, float]) -> None:
        """Raise ConfigError unless `weights` names known terms, none negative and one positive."""
        for name, weight in weights.items():
            if name not in self.weights:
                raise ConfigError(f"loss.{name}: no such loss term{nearest(name, self.weights)}")
            if not weight >= 0:
                raise ConfigError(f"loss.{name}={weight}: a weight is 0 or more")
            if weight and name in BUILT_IF_WEIGHTED and not self.weights[name]:
                raise ConfigError(
                    f"loss.{name}=0, and the schedule gives it {weight} later: the term must be there from the start; "
                    f"give loss.{name} a weight and let the schedule hold it at 0 where it should not count"
                )
        if not any(weights.values()):
            raise ConfigError("loss: every weight is 0, nothing would be learnt; give bce1 or bce2 a weight")

    def forward(self, output: Output, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Raw values of the terms whose weight is not 0."""
        return {name: self.terms[name](output, batch) for name, weight in weights.items() if weight}


def needs_every_skill(weights: Mapping[str, float]) -> bool:
    """Tell whether a term in use compares gains over all skills."""
    return any(weight and name in NEED_EVERY_SKILL for name, weight in weights.items())
