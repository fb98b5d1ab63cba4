"""Reference models of published kinds: yardsticks for GainKT, and targets for its alignment losses."""

from gainkt.references.base import Prediction, Reference, implied_abilities
from gainkt.references.bkt import BKT, BKTPrediction
from gainkt.references.pfa import PFA, PFAPrediction
from gainkt.references.rasch import Rasch, RaschPrediction

__all__ = [
    "BKT",
    "PFA",
    "BKTPrediction",
    "PFAPrediction",
    "Prediction",
    "Rasch",
    "RaschPrediction",
    "Reference",
    "implied_abilities",
]
