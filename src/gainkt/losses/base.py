"""Base."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.model import Output

Term = Callable[[Output, Batch], Tensor]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` where `mask` holds; 0 where it holds nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)
