"""What happens around an epoch: seeds, checkpoints, early stopping, the table of figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from gainkt.files import write_whole
from gainkt.training.callbacks.watch import phase_callback


class MetricsTable(Checkpoint):
    """Writes metrics.csv: one row an epoch with its phase and every logged figure.

    A Checkpoint in Lightning's eyes, so that it comes after the module has logged its epoch and, standing before
    PhaseCheckpoint, is on disk by the time the epoch counts as done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and write the table."""
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "phase": phase_callback(trainer).phase, **figures})
        if trainer.is_global_zero:
            table = pd.DataFrame(self.rows)
            write_whole(self.path, lambda building: table.to_csv(building, index=False))

    def state_dict(self) -> dict[str, Any]:
        """The rows: a checkpoint knows the epochs that led to it, whatever the file on disk has seen since."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows of the run that is resumed."""
        self.rows = list(state_dict["rows"])
