"""What epochs take: for comparisons with other people's training."""

from __future__ import annotations

import time

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class EpochClock(Callback):
    """Notes seconds of each epoch's training steps, and since the fit began at the end of its validation."""

    def __init__(self) -> None:
        self.train_seconds: list[float] = []
        self.seconds: list[float] = []
        self._fit = self._epoch = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start."""
        self._fit = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start an epoch."""
        self._epoch = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The training steps of the epoch are done; a look before the first epoch is none."""
        if not trainer.sanity_checking:
            self.train_seconds.append(time.perf_counter() - self._epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """So is its validation."""
        if not trainer.sanity_checking:
            self.seconds.append(time.perf_counter() - self._fit)
