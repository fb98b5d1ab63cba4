"""A running average of the weights, scored and kept in place of the last step's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from gainkt.errors import ConfigError


def move_average(averages: Sequence[Tensor], weights: Sequence[Tensor], updates: Tensor | int, *, decay: float) -> None:
    """Move averages to a + (1 - d) (w - a), in place, with d = min(decay, (1 + n) / (10 + n)) after n updates.

    The smaller d at the start forgets the initial weights even where a run has few steps, as in TensorFlow's
    ExponentialMovingAverage with num_updates.
    """
    now = min(decay, (1 + int(updates)) / (10 + int(updates)))
    torch._foreach_lerp_(list(averages), list(weights), 1 - now)


class RunningAverage(WeightAveraging):
    """Averages the weights over steps (Polyak and Juditsky, 1992): validation, checkpoints and tables use the average.

    Training itself goes on from the last step's weights, which a checkpoint has too, so that a resumed run continues
    where it stood; `train/*` and `parameter/*` in metrics.csv are theirs.
    """

    def __init__(self, *, decay: float = 0.998) -> None:
        """Keep the share of the old average at each step, in (0, 1): .998 looks back some 500 steps.

        Raises:
            ConfigError: decay is out of range.
        """
        if not 0 < decay < 1:
            raise ConfigError(f"callbacks.averaging.decay={decay}: must lie between 0 and 1, 0.998 say")
        # Buffers are no weights: a reference's targets, say, are copied as they are.
        super().__init__(use_buffers=False, multi_avg_fn=partial(move_average, decay=decay))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the module, to where it will be trained: Lightning moves it there only later."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
