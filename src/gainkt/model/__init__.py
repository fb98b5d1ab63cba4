"""The model: plain PyTorch, no Lightning and no Hydra."""

from gainkt.model.encoders import Size
from gainkt.model.gainkt import GainKT, Output

__all__ = ["GainKT", "Output", "Size"]
