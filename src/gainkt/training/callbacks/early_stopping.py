"""Early stopping, phase by phase."""

from __future__ import annotations

from lightning import Callback, LightningModule, Trainer

from gainkt.errors import ConfigError
from gainkt.training.callbacks.watch import Watch, phase_callback


class PhaseEarlyStopping(Watch, Callback):
    """Stops once the last phase has gone `patience` epochs without a new best; a phase change starts the count anew.

    A phase that others follow runs its length: what comes after it was planned for.
    """

    def __init__(self, *, monitor: str, mode: str, patience: int, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ConfigError(f"patience={patience}: must be 1 epoch or more")
        super().__init__(monitor, mode)
        self.patience, self.min_delta = patience, min_delta
        self.state["stopped"] = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the epoch's metric."""
        self.see(trainer, self.min_delta)
        waited = trainer.current_epoch - self.state["best_epoch"]
        if waited >= self.patience and phase_callback(trainer).is_last_phase(trainer):
            self.state["stopped"] = trainer.should_stop = True
