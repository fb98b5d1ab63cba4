"""Score a model on batches: the figures that a run reports and that `gainkt.evaluate` reproduces."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from gainkt.batch import Batch
from gainkt.evaluation.metrics import PredictionMetrics
from gainkt.model import GainKT
from gainkt.model.mastery import probability


@torch.inference_mode()
def score(model: GainKT, batches: Iterable[Batch], device: torch.device | str = "cpu") -> dict[str, float]:
    """Return both encoders' figures over the scored steps of the batches.

    Args:
        model: moved to `device` and put into evaluation mode.
        batches: of one part of the data.
        device: where to compute, in float32.

    Raises:
        ValueError: nothing to score, or predictions that are not finite.
    """
    model.to(device).eval()
    metrics = PredictionMetrics()
    for batch in batches:
        batch = batch.to(device)
        output = model(batch)
        scored = batch.scored_BT
        metrics.update(
            probability(output.logit1_BT[scored]).cpu(),
            probability(output.logit2_BT[scored]).cpu(),
            batch.response_BT[scored].cpu(),
        )
    return metrics.compute()


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
