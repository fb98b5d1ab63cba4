"""Reference models of published kinds: yardsticks for GainKT, and targets for its alignment losses."""

from gainkt.references.base import Floats, Prediction, Reference, Students, implied_abilities
from gainkt.references.bkt import BKT, BKTPrediction
from gainkt.references.pfa import PFA, PFAPrediction
from gainkt.references.rasch import Rasch, RaschPrediction

__all__ = [
    "BKT",
    "PFA",
    "BKTPrediction",
    "Floats",
    "PFAPrediction",
    "Prediction",
    "Rasch",
    "RaschPrediction",
    "Reference",
    "Students",
    "implied_abilities",
]
