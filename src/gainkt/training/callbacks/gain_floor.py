"""GainFloor: ends a run whose gains have become uniform."""

from __future__ import annotations

from typing import Any

import torch
from lightning import Callback, Trainer

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError


class GainFloor(Callback):
    """Fails the run once gains have not differed between skills for `patience` epochs.

    std = mean over the steps of validation students of the standard deviation over skills of the step's gains, after
    each epoch, in evaluation mode, of the gains that practice sums.
    """

    def __init__(self, *, floor: float, patience: int) -> None:
        """Keep the rule.

        Raises:
            ConfigError: a setting out of range.
        """
        if not 0 < floor < 0.5:
            raise ConfigError(f"floor={floor}: a std of gains in [0, 1], between 0 and .5")
        if patience < 1:
            raise ConfigError(f"patience={patience}: must be 1 epoch or more")
        self.floor, self.patience = floor, patience
        self.epochs_under = 0
        self.total, self.steps = 0.0, 0

    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch's steps; the validation step itself gives no column to skills that a window does not meet."""
        if trainer.sanity_checking or not len(batch):
            return
        output = pl_module.model(batch, pl_module.state_before, every_skill=True)
        spread_BT = output.gains_BTC.std(-1, correction=0)
        self.total += float(spread_BT[batch.valid_BT].sum(dtype=torch.float64))
        self.steps += int(batch.valid_BT.sum())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the epoch's std and compare it.

        Raises:
            ValueError: it has been under the floor for `patience` epochs.
        """
        if trainer.sanity_checking:
            return
        sums = torch.tensor([self.total, self.steps], dtype=torch.float64, device=pl_module.device)
        total, steps = trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        std = total / max(steps, 1)
        self.total, self.steps = 0.0, 0
        pl_module.log("gain/std_over_skills", std)
        self.epochs_under = self.epochs_under + 1 if std < self.floor else 0
        if self.epochs_under >= self.patience:
            raise ValueError(
                f"epoch {trainer.current_epoch}: std of gains over skills {std:.4g} is under the floor {self.floor:g} "
                f"for {self.epochs_under} epoch(s) in a row, gains are uniform; give loss.gain_variance or "
                "loss.skill_triplet a weight, use another model/gain_head, or lower callbacks.gain_floor.floor"
            )

    def state_dict(self) -> dict[str, Any]:
        """Epochs under the floor so far."""
        return {"epochs_under": self.epochs_under}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.epochs_under = state_dict["epochs_under"]
