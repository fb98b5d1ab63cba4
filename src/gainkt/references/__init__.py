"""Reference models of published kinds: yardsticks for GainKT, and targets for its alignment losses."""

from gainkt.references.base import (
    Opportunities,
    Prediction,
    Reference,
    chosen_of,
    implied_abilities,
    logit,
    sigmoid,
    spread,
)
from gainkt.references.bkt import BKT, BKTPrediction
from gainkt.references.pfa import PFA, PFAPrediction
from gainkt.references.rasch import Rasch, RaschPrediction

__all__ = [
    "BKT",
    "PFA",
    "BKTPrediction",
    "Opportunities",
    "PFAPrediction",
    "Prediction",
    "Rasch",
    "RaschPrediction",
    "Reference",
    "chosen_of",
    "implied_abilities",
    "logit",
    "sigmoid",
    "spread",
]
