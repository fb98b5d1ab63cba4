"""What happens around an epoch: seeds, checkpoints, early stopping, the table of figures."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

from gainkt.errors import ConfigError, nearest
from gainkt.files import write_whole
from gainkt.schedule_callback import LossScheduleCallback

ORDER = {"max": 1.0, "min": -1.0}


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints under a temporary name, so that a full disk or a kill leaves the last one readable."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Save a checkpoint, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_whole(path, lambda building: torch.save(checkpoint, building))


class ReseedEachBatch(Callback):
    """Makes every batch's randomness a function of (seed, epoch, batch), so that a resumed run repeats it to the bit.

    Seeding epochs would not do: a loader draws from the same stream when it starts, earlier or later on resuming.
    """

    def __init__(self, seed: int) -> None:
        """Keep the run's seed."""
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Seed PyTorch for the batch; each process of a distributed run differently."""
        torch.manual_seed(hash((self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)) % 2**63)


class Watch:
    """The best value of a monitored figure within the present phase."""

    def __init__(self, monitor: str, mode: str) -> None:
        """Keep the figure's name and whether `max` or `min` is best.

        Raises:
            ConfigError: the figure is a weighted loss, whose weights move, or belongs to the test set.
        """
        if monitor.startswith(("test/", "weighted_loss/")):
            raise ConfigError(
                f"callbacks monitor={monitor}: select on an unweighted validation figure, val/encoder2_auc say"
            )
        if mode not in ORDER:
            raise ConfigError(f"callbacks mode={mode}: choose max or min")
        self.monitor, self.mode = monitor, mode
        self.state: dict[str, Any] = {"phase": "", "best": None, "best_epoch": -1}

    def see(self, trainer: Trainer, min_delta: float = 0.0) -> bool:
        """Take in the epoch's value; tell whether it is the phase's best so far.

        Raises:
            ConfigError: the figure is not logged.
        """
        if self.monitor not in trainer.callback_metrics:
            known = [name for name in trainer.callback_metrics if name.startswith("val/")]
            raise ConfigError(f"callbacks monitor={self.monitor}: no such figure{nearest(self.monitor, known)}")
        value = float(trainer.callback_metrics[self.monitor])
        phase = phase_callback(trainer).phase
        if phase != self.state["phase"]:
            self.state = {"phase": phase, "best": None, "best_epoch": trainer.current_epoch}
        best, sign = self.state["best"], ORDER[self.mode]
        improved = not math.isnan(value) and (best is None or sign * value > sign * best + min_delta)
        if improved:
            self.state |= {"best": value, "best_epoch": trainer.current_epoch}
        return improved


def phase_callback(trainer: Trainer) -> LossScheduleCallback:
    """Return the run's loss schedule."""
    return next(c for c in trainer.callbacks if isinstance(c, LossScheduleCallback))  # type: ignore[attr-defined]


class PhaseEarlyStopping(Callback):
    """Stops once the last phase has gone `patience` epochs without a new best; a phase change starts the count anew.

    A phase that others follow runs its length: what comes after it was planned for.
    """

    def __init__(self, *, monitor: str, mode: str = "max", patience: int = 10, min_delta: float = 0.0) -> None:
        """Keep the rule: the figure watched, whether `max` or `min` is best, epochs to wait, least gain that counts."""
        if patience < 1:
            raise ConfigError(f"callbacks.stop.patience={patience}: must be 1 epoch or more")
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


class PhaseCheckpoint(Checkpoint):
    """Keeps `last.ckpt` and, for every phase, `best-<phase>.ckpt` by an unweighted validation figure."""

    def __init__(self, *, monitor: str, mode: str = "max") -> None:
        """Keep the rule; the folder is given by train() as `dirpath`."""
        self.watch = Watch(monitor, mode)
        self.dirpath = Path("checkpoints")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the epoch, and keep it as the phase's best if it is."""
        improved = self.watch.see(trainer)
        last, best = self.dirpath / "last.ckpt", self.dirpath / f"best-{self.watch.state['phase']}.ckpt"
        if not improved:
            trainer.save_checkpoint(last, weights_only=False)
            return
        # The best first: killed between the two, a resumed run repeats the epoch and finds it again.
        trainer.save_checkpoint(best, weights_only=False)
        write_whole(last, lambda building: shutil.copyfile(best, building))

    def state_dict(self) -> dict[str, Any]:
        """Best value and epoch of the present phase."""
        return dict(self.watch.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.watch.state = dict(state_dict)


class MetricsTable(Checkpoint):
    """Writes metrics.csv: one row an epoch with its phase and every logged figure.

    A Checkpoint in Lightning's eyes, so that it comes after the module has logged its epoch and, standing before
    PhaseCheckpoint, is on disk by the time the epoch counts as done.
    """

    def __init__(self, path: Path) -> None:
        """Keep where to write."""
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
