"""Loss terms by name, each a mean over valid steps, and the weighted sum of them."""

from gainkt.losses.base import Term, every_skill, masked_mean
from gainkt.losses.discriminator import GainDiscriminator
from gainkt.losses.distillation import Distillation
from gainkt.losses.gains import (
    BetaSpread,
    belief_movement,
    gain_response_correlation,
    gain_sparsity,
    gain_variance,
    item_shrinkage,
    readiness_size,
    skill_contrast,
)
from gainkt.losses.loss import Loss
from gainkt.losses.prediction import MasteryEntropy, bce1, bce2
from gainkt.losses.priors import DifficultyPrior, ItemPrior
from gainkt.losses.reference import Alignment
from gainkt.losses.separation import GainTarget, SkillTriplet

__all__ = [
    "Alignment",
    "BetaSpread",
    "DifficultyPrior",
    "Distillation",
    "GainDiscriminator",
    "GainTarget",
    "ItemPrior",
    "Loss",
    "MasteryEntropy",
    "SkillTriplet",
    "Term",
    "bce1",
    "bce2",
    "belief_movement",
    "every_skill",
    "gain_response_correlation",
    "gain_sparsity",
    "gain_variance",
    "item_shrinkage",
    "masked_mean",
    "readiness_size",
    "skill_contrast",
]
