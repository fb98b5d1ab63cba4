"""What checkpoints and early stopping share: the best value of a monitored metric in each phase."""

from __future__ import annotations

import math
from typing import Any

from lightning import Trainer

from gainkt.errors import ConfigError, nearest
from gainkt.training.callbacks.loss_schedule import LossScheduleCallback

ORDER = {"max": 1.0, "min": -1.0}


class Watch:
    """The best value of a monitored metric within the present phase."""

    def __init__(self, monitor: str, mode: str) -> None:
        """Watch a metric, of which `max` or `min` is best.

        Raises:
            ConfigError: it is a weighted loss, whose weights move, or belongs to the test set.
        """
        if monitor.startswith(("test/", "weighted_loss/")):
            raise ConfigError(f"monitor={monitor}: select on an unweighted validation metric, val/encoder2_auc say")
        if mode not in ORDER:
            raise ConfigError(f"mode={mode}: choose max or min")
        self.monitor, self.mode = monitor, mode
        self.state: dict[str, Any] = {"phase": "", "best": None, "best_epoch": -1}

    def see(self, trainer: Trainer, min_delta: float = 0.0) -> bool:
        """Take in the epoch's value; tell whether it is the phase's best so far.

        Raises:
            ConfigError: the metric is not logged.
        """
        if self.monitor not in trainer.callback_metrics:
            known = [name for name in trainer.callback_metrics if name.startswith("val/")]
            raise ConfigError(f"callbacks monitor={self.monitor}: no such metric{nearest(self.monitor, known)}")
        value = float(trainer.callback_metrics[self.monitor])
        phase = phase_callback(trainer).phase
        if phase != self.state["phase"]:
            self.state |= {"phase": phase, "best": None, "best_epoch": trainer.current_epoch}
        best, sign = self.state["best"], ORDER[self.mode]
        improved = not math.isnan(value) and (best is None or sign * value > sign * best + min_delta)
        if improved:
            self.state |= {"best": value, "best_epoch": trainer.current_epoch}
        return improved

    def state_dict(self) -> dict[str, Any]:
        """Best value and epoch of the present phase."""
        return dict(self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.state = dict(state_dict)


def phase_callback(trainer: Trainer) -> LossScheduleCallback:
    """Return the run's loss schedule."""
    return next(c for c in trainer.callbacks if isinstance(c, LossScheduleCallback))  # type: ignore[attr-defined]
