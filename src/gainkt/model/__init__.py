"""The model: plain PyTorch, no Lightning and no Hydra."""

from gainkt.model.belief import Belief, Moments
from gainkt.model.carrier import Carrier
from gainkt.model.gainkt import GainKT, Output
from gainkt.model.size import Size
from gainkt.model.state import State

__all__ = ["Belief", "Carrier", "GainKT", "Moments", "Output", "Size", "State"]
