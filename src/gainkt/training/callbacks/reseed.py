"""Reseed."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer


class ReseedEachBatch(Callback):
    """Makes every batch's randomness a function of (seed, epoch, batch), so that a resumed run repeats it to the bit.

    Seeding epochs would not do: a loader draws from the same stream when it starts, earlier or later on resuming.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed PyTorch for the batch; each process of a distributed run differently."""
        torch.manual_seed(hash((self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)) % 2**63)
