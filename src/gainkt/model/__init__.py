"""The model: plain PyTorch, no Lightning and no Hydra."""

from gainkt.model.belief import Belief, Moments
from gainkt.model.encoders import Size
from gainkt.model.gainkt import GainKT, Output

__all__ = ["Belief", "GainKT", "Moments", "Output", "Size"]
