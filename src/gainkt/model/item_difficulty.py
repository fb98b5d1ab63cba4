"""Item difficulty."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch


class ItemDifficulty(nn.Module):
    """No difficulty: all items of a skill are alike."""

    known = False
    """Whether items differ, so that embeddings must make room for it."""

    def __init__(self, num_items: int) -> None:
        """Take the size that every item difficulty takes; it is not needed."""
        super().__init__()

    def forward(self, batch: Batch) -> Tensor:
        """Zero for every step, [B, T]."""
        return torch.zeros_like(batch.response_BT)

    def penalty(self) -> Tensor | None:
        """Nothing to shrink."""
        return None


class RaschDifficulty(ItemDifficulty):
    """A difficulty d an item, in logits over the mean of its skills; 0 for items unknown or unseen in training.

    Source: Rasch, 1960; the shrinkage, `penalty`, makes rare items fall back to their skill.
    """

    def __init__(self, num_items: int) -> None:
        """Start every item at 0."""
        super().__init__(num_items)
        self.known = num_items > 0
        self.difficulty = nn.Parameter(torch.zeros(num_items)) if self.known else None

    def forward(self, batch: Batch) -> Tensor:
        """Difficulty of each step's item, [B, T]."""
        if self.difficulty is None:
            return torch.zeros_like(batch.response_BT)
        return torch.where(batch.item_BT >= 0, self.difficulty[batch.item_BT.clamp_min(0)], 0.0)

    def penalty(self) -> Tensor | None:
        """Mean over items of d^2; None without items."""
        return None if self.difficulty is None else self.difficulty.square().mean()
