"""Score a model on batches: the metrics that a run reports and that `gainkt.evaluate` reproduces."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.evaluation.statistics.metrics import PredictionMetrics
from gainkt.model import GainKT
from gainkt.model.readout import probability
from gainkt.runs.pass_ import Consumer, Seen, one_pass


class Scores:
    """Both encoders' predictions of the scored steps, in the order of the batches; 13 bytes a step."""

    def __init__(self) -> None:
        self._pieces: list[pd.DataFrame] = []

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        batch, output, scored = seen.batch, seen.output, seen.batch.scored_BT
        columns = {
            "student": batch.student_B[:, None].expand_as(scored)[scored].int(),
            "response": batch.response_BT[scored].to(torch.int8),
            "p1": probability(output.logit1_BT[scored]),
            "p2": probability(output.logit2_BT[scored]),
        }
        self._pieces.append(pd.DataFrame({name: x.cpu().numpy() for name, x in columns.items()}))

    def table(self) -> pd.DataFrame:
        """Columns student (its number in the log), response, scored (True), p1 and p2 (float32)."""
        return pd.concat(self._pieces, ignore_index=True).assign(scored=True)


def predict(
    model: GainKT,
    batches: Iterable[Batch],
    device: torch.device | str = "cpu",
    also: Iterable[Consumer] = (),
) -> pd.DataFrame:
    """Return both encoders' predictions of the scored steps, as `Scores.table`.

    Args:
        model: moved to `device` and put into evaluation mode.
        batches: of one part of the data, the windows of a student in order.
        device: where to compute, in float32.
        also: what else takes part in the pass.
    """
    scores = Scores()
    one_pass(model, batches, [scores, *also], device)
    return scores.table()


def metrics_of(predictions: pd.DataFrame) -> dict[str, float]:
    """Return both encoders' metrics over scored predictions.

    Raises:
        ValueError: nothing to score, or predictions that are not finite.
    """
    metrics = PredictionMetrics()
    metrics.update(*(torch.from_numpy(predictions[name].to_numpy(copy=True)) for name in ("p1", "p2", "response")))
    return metrics.compute()


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is a GPU where there is one.

    Raises:
        ConfigError: a GPU is asked for where there is none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device={name}: there is no such GPU here; set device=cpu")
    return torch.device(name)
