"""Reports a trial's metrics epoch by epoch, so that its study may end it, and other processes see that it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer

Objective = Callable[[Mapping[str, float]], tuple[float, ...]]

_current: list[tuple[Any, Objective]] = []
"""The trial that this process is running and what its study maximises; empty outside a search."""


@contextmanager
def reporting(trial: Any, objective: Objective) -> Iterator[None]:
    """Let ReportToTrial report to `trial` (optuna.Trial) within the block.

    Args:
        trial: that is told.
        objective: what is maximised, from the epoch's metrics: one value, or a pair.
    """
    _current.append((trial, objective))
    try:
        yield
    finally:
        _current.pop()


class ReportToTrial(Callback):
    """Reports the objective after each epoch and ends a trial that its study prunes; silent outside a search.

    Pruning compares single objectives on validation, epoch by epoch; Optuna has none for pairs.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch.

        Raises:
            optuna.TrialPruned: the study prunes the trial.
        """
        if not _current:
            return
        trial, objective = _current[-1]
        trial.set_user_attr("seen", time.time())
        trial.set_user_attr("epochs", trainer.current_epoch + 1)
        values = objective({name: float(value) for name, value in trainer.callback_metrics.items()})
        if len(values) > 1:
            return
        trial.report(values[0], trainer.current_epoch)
        if trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned(f"pruned after epoch {trainer.current_epoch} at {values[0]:.4f}")
