"""Checkpoints: the last epoch, and the best of every phase; written whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from gainkt.files import write_whole
from gainkt.training.callbacks.watch import Watch


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints under a temporary name, so that a full disk or a kill leaves the last one readable."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save a checkpoint, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(path, lambda building: torch.save(checkpoint, building))


class PhaseCheckpoint(Watch, Checkpoint):
    """Keeps `last.ckpt` and, for every phase, `best-<phase>.ckpt` by an unweighted validation metric."""

    def __init__(self, *, monitor: str, mode: str) -> None:
        super().__init__(monitor, mode)
        self.dirpath = Path("checkpoints")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch, and keep it as the phase's best if it is."""
        improved = self.see(trainer)
        last, best = self.dirpath / "last.ckpt", self.dirpath / f"best-{self.state['phase']}.ckpt"
        if not improved:
            trainer.save_checkpoint(last, weights_only=False)
            return
        # The best first: killed between the two, a resumed run repeats the epoch and finds it again.
        trainer.save_checkpoint(best, weights_only=False)
        if trainer.is_global_zero:
            write_whole(last, lambda building: shutil.copyfile(best, building))
