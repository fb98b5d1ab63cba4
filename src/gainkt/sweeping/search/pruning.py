"""Reports a trial's figures epoch by epoch, so that the study may cut it short, and other processes see it is alive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer

from gainkt.errors import ConfigError
from gainkt.sweeping.summary.statistics import E1, E2

OBJECTIVES = ("e1", "e2", "score", "pair")


def objective_values(objective: str, alpha: float, e1: float, e2: float) -> tuple[float, ...]:
    """Return what is maximised: (E1,), (E2,), (E1 + alpha E2,) or (E1, E2), AUCs on validation.

    Raises:
        ConfigError: unknown objective.
    """
    values = {"e1": (e1,), "e2": (e2,), "score": (e1 + alpha * e2,), "pair": (e1, e2)}
    if objective not in values:
        raise ConfigError(f"study.objective={objective}: choose one of {', '.join(OBJECTIVES)}")
    return values[objective]


_current: list[tuple[Any, str, float]] = []
"""The trial that this process is running, its objective and alpha; empty outside a search."""


@contextmanager
def reporting(trial: Any, objective: str, alpha: float) -> Iterator[None]:
    """Let ReportToTrial report to `trial` (optuna.Trial) within the block."""
    _current.append((trial, objective, alpha))
    try:
        yield
    finally:
        _current.pop()


class ReportToTrial(Callback):
    """Reports the objective after each epoch and ends a trial that its study gives up; silent outside a search.

    Pruning compares single objectives on validation, epoch by epoch; Optuna has none for pairs.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch.

        Raises:
            optuna.TrialPruned: the study gives the trial up.
        """
        if not _current:
            return
        trial, objective, alpha = _current[-1]
        trial.set_user_attr("seen", time.time())
        trial.set_user_attr("epochs", trainer.current_epoch + 1)
        figures = (float(trainer.callback_metrics[name]) for name in (E1, E2))
        values = objective_values(objective, alpha, *figures)
        if len(values) > 1:
            return
        trial.report(values[0], trainer.current_epoch)
        if trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned(f"given up after epoch {trainer.current_epoch} at {values[0]:.4f}")
