"""What a part of the model returns is checked where it enters: a part of the wrong shape would train silently wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gainkt.errors import ConfigError

ROUNDING = 1e-6
"""How far outside [0, 1] a gain may lie by rounding."""


def checked(part: str, found: Any, shape: tuple[int, ...], letters: str, *, spreads: bool = False) -> Tensor:
    """Return what a part of the model returned, if it is a floating-point tensor of the given shape.

    Args:
        part: its key in the config, `model.gain_head` say.
        found: what it returned.
        shape: asked for.
        letters: of the shape, and what to do where it is another.
        spreads: dimensions of size 1 will do.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(found, Tensor) and found.is_floating_point():
        here = tuple(found.shape)
        fits = spreads and len(here) == len(shape) and all(h in (1, s) for h, s in zip(here, shape, strict=True))
        if here == shape or fits:
            return found
    said = f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
    raise ConfigError(f"{part}: returned {said}, expected floating point {list(shape)} = {letters}")


def check_range(part: str, gains: Tensor) -> None:
    """Check that gains are finite and lie in [0, 1]; waits for the GPU.

    Raises:
        ConfigError: they do not.
    """
    if not gains.numel():
        return
    low, high = (float(x) for x in torch.aminmax(gains.detach()))
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise ConfigError(
            f"{part}: gains from {low:.4g} to {high:.4g}; a gain is a finite number in [0, 1], end the head with a "
            "sigmoid, and lower optimizer.lr where training made them infinite"
        )
