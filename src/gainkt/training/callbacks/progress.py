"""The progress bar: both AUCs, the phase and the weights; nothing where nobody watches."""

from __future__ import annotations

import sys
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from gainkt.training.callbacks.watch import phase_callback
from gainkt.training.module import ON_BAR


class RunProgressBar(RichProgressBar):
    """A rich bar an epoch with the latest validation AUCs, the active phase and the current loss weights."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Figures to show beside the bar."""
        figures: dict[str, Any] = {"phase": phase_callback(trainer).phase}
        weights = getattr(pl_module, "weights", {})
        figures["weights"] = " ".join(f"{name}={weight:.2g}" for name, weight in weights.items() if weight)
        for name in ON_BAR:
            value = trainer.callback_metrics.get(f"val/{name}")
            figures[name] = "-" if value is None else f"{float(value):.4f}"
        return figures


def progress_callbacks() -> list[Callback]:
    """Return the bar on a terminal, nothing elsewhere."""
    return [RunProgressBar(leave=False)] if sys.stdout.isatty() else []
