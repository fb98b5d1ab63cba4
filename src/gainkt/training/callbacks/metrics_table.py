"""metrics.csv: what each epoch logged, and nothing that it did not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from gainkt.files import write_whole
from gainkt.training.callbacks.watch import phase_callback


class MetricsTable(Checkpoint):
    """Writes metrics.csv: one row an epoch with its phase and every metric logged in it; empty where it logged none.

    A Checkpoint in Lightning's eyes, so that it comes after the module has logged its epoch and, standing before
    PhaseCheckpoint, is on disk by the time the epoch counts as done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last epoch's metrics, which Lightning keeps until they are logged anew.

        A term that a phase leaves out would otherwise keep the value that it had in the phase before. Those of
        validation stay, for the progress bar: every epoch logs all of them anew.
        """
        known = trainer.callback_metrics
        for name in [name for name in known if not name.startswith("val/")]:
            del known[name]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and write the table."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, "phase": phase_callback(trainer).phase, **metrics})
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write the table."""
        table = pd.DataFrame(self.rows)
        write_whole(self.path, lambda building: table.to_csv(building, index=False))

    def state_dict(self) -> dict[str, Any]:
        """The rows: a checkpoint knows the epochs that led to it, whatever the file on disk has seen since."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows of the run that is resumed."""
        self.rows = list(state_dict["rows"])
