"""Loss terms by name, each a mean over valid steps, and the weighted sum of them."""

from gainkt.losses.alignment import Alignment
from gainkt.losses.discriminator import GainDiscriminator
from gainkt.losses.loss import Loss, needs_every_skill
from gainkt.losses.prior import DifficultyPrior
from gainkt.losses.separation import GainTarget, SkillTriplet
from gainkt.losses.terms import (
    BetaSpread,
    MasteryEntropy,
    Term,
    bce1,
    bce2,
    gain_response_correlation,
    gain_sparsity,
    gain_variance,
    item_shrinkage,
    masked_mean,
    readiness_size,
    skill_contrast,
)

__all__ = [
    "Alignment",
    "BetaSpread",
    "DifficultyPrior",
    "GainDiscriminator",
    "GainTarget",
    "Loss",
    "MasteryEntropy",
    "SkillTriplet",
    "Term",
    "bce1",
    "bce2",
    "gain_response_correlation",
    "gain_sparsity",
    "gain_variance",
    "item_shrinkage",
    "masked_mean",
    "needs_every_skill",
    "readiness_size",
    "skill_contrast",
]
