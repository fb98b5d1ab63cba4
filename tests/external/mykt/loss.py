"""A loss term."""

from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.losses import every_skill, masked_mean
from gainkt.model import Output


@every_skill
def loud_gains(output: Output, batch: Batch, *, ceiling: float) -> Tensor:
    """Mean over valid steps of what the largest gain has over a ceiling."""
    return masked_mean((output.gains_BTC.amax(-1) - ceiling).clamp_min(0), batch.valid_BT)
