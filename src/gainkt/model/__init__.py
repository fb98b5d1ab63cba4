"""The model: plain PyTorch, no Lightning and no Hydra."""

from gainkt.model.encoders import Size
from gainkt.model.gainkt import Belief, GainKT, Output

__all__ = ["Belief", "GainKT", "Output", "Size"]
