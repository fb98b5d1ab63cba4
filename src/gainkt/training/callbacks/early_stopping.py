"""Early stopping."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer

from gainkt.errors import ConfigError
from gainkt.training.callbacks.watch import Watch, phase_callback


class PhaseEarlyStopping(Callback):
    """Stops once the last phase has gone `patience` epochs without a new best; a phase change starts the count anew.

    A phase that others follow runs its length: what comes after it was planned for.
    """

    def __init__(self, *, monitor: str, mode: str = "max", patience: int = 10, min_delta: float = 0.0) -> None:
        """Keep the rule: the figure watched, whether `max` or `min` is best, epochs to wait, least gain that counts."""
        if patience < 1:
            raise ConfigError(f"patience={patience}: must be 1 epoch or more")
        self.watch, self.patience, self.min_delta = Watch(monitor, mode), patience, min_delta
        self.stopped = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the epoch's figure."""
        self.watch.see(trainer, self.min_delta)
        waited = trainer.current_epoch - self.watch.state["best_epoch"]
        if waited >= self.patience and phase_callback(trainer).is_last_phase(trainer):
            self.stopped = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Best value and epoch of the present phase, and whether it is over."""
        return {**self.watch.state, "stopped": self.stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        state = dict(state_dict)
        self.stopped = state.pop("stopped")
        self.watch.state = state
