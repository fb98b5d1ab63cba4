"""The model: plain PyTorch, no Lightning and no Hydra."""

from gainkt.model.belief import Belief, Moments
from gainkt.model.gainkt import GainKT, Output
from gainkt.model.size import Size

__all__ = ["Belief", "GainKT", "Moments", "Output", "Size"]
