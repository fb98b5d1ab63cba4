"""A running average of the weights, scored and kept in place of the last step's."""

from __future__ import annotations

from functools import partial

from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from gainkt.errors import ConfigError


def averaged(average: Tensor, weight: Tensor, updates: Tensor | int, *, decay: float) -> Tensor:
    """Return a + (1 - d) (w - a) with d = min(decay, (1 + n) / (10 + n)) after n updates.

    The smaller d at the start forgets the initial weights even where a run has few steps, as in TensorFlow's
    ExponentialMovingAverage with num_updates.
    """
    now = min(decay, (1 + float(updates)) / (10 + float(updates)))
    return average + (1 - now) * (weight - average)


class RunningAverage(WeightAveraging):
    """Averages the weights over steps (Polyak and Juditsky, 1992): validation, checkpoints and tables use the average.

    Training itself goes on from the last step's weights, which a checkpoint has too, so that a resumed run continues
    where it stood.
    """

    def __init__(self, *, decay: float = 0.998) -> None:
        """Keep the share of the old average at each step, in (0, 1): .998 looks back some 500 steps.

        Raises:
            ConfigError: decay is out of range.
        """
        if not 0 < decay < 1:
            raise ConfigError(f"callbacks.averaging.decay={decay}: must lie between 0 and 1, 0.998 say")
        super().__init__(avg_fn=partial(averaged, decay=decay))
