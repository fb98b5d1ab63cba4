"""Reference models of published kinds: yardsticks for GainKT, and targets for its alignment losses."""

from gainkt.references.bkt import BKT, BKTPrediction
from gainkt.references.protocol import Prediction, Reference

__all__ = ["BKT", "BKTPrediction", "Prediction", "Reference"]
