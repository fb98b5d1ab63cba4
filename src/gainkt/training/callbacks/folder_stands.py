"""Ends a run whose folder was removed while it trains, before anything is written where it was."""

from __future__ import annotations

from collections.abc import Callable

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint


class FolderStands(Checkpoint):
    """Asks, before an epoch is written down, whether the run's folder is whole.

    A Checkpoint in Lightning's eyes, so that it keeps its place before those that write.
    """

    def __init__(self, require: Callable[[], None]) -> None:
        """Take what raises an error where the folder is not whole."""
        self.require = require

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask.

        Raises:
            ConfigError: a file that stood before training is missing.
        """
        if trainer.is_global_zero:
            self.require()
