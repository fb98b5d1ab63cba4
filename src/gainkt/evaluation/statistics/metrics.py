"""How well probabilities predict responses: pure functions, and a store that feeds them batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error
from torchmetrics.utilities import dim_zero_cat

CALIBRATION_BINS = 10
PIECE = 1 << 20
"""Steps up to which figures are torchmetrics', which takes 86 bytes for each and counts in float32."""
ENCODERS = ("encoder1", "encoder2")
LEAST = 1e-7
"""Probability that a log loss takes at least, as float32 has it; 1 - LEAST at most."""


def prediction_metrics(probability_N: Tensor, response_N: Tensor) -> dict[str, float]:
    """AUC, accuracy at .5, log loss (nats), RMSE and expected calibration error (10 equal bins) of predictions.

    AUC is exact, and nan where only one class occurs. Calibration error is the mean over bins, weighted by their
    counts, of |share right - mean probability|.

    Args:
        probability_N: float32 in [0, 1].
        response_N: 1 right, 0 wrong.

    Raises:
        ValueError: there is nothing to score, or a probability is not finite.
    """
    if not len(probability_N):
        raise ValueError("no scored steps: every history is shorter than two steps")
    bad = int((~torch.isfinite(probability_N)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(probability_N)} predictions are not finite: training diverged; lower the rate")
    if len(probability_N) > PIECE:
        return _of_many(probability_N, response_N)
    target = response_N.long()
    p, y = probability_N.double(), response_N.double()
    log_loss = torch.nn.functional.binary_cross_entropy(p.clamp(LEAST, 1 - LEAST), y)
    both = 0 < int(target.sum()) < len(target)
    return {
        "auc": float(binary_auroc(probability_N, target, validate_args=False)) if both else float("nan"),
        "accuracy": float(((p >= 0.5) == (y > 0.5)).double().mean()),
        "log_loss": float(log_loss),
        "rmse": float(((p - y) ** 2).mean().sqrt()),
        "calibration_error": float(
            binary_calibration_error(probability_N, target, n_bins=CALIBRATION_BINS, validate_args=False)
        ),
    }


def _of_many(probability_N: Tensor, response_N: Tensor) -> dict[str, float]:
    """`prediction_metrics` summed up in pieces: 5 bytes a step."""
    count, device = len(probability_N), probability_N.device
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, device=device)
    sums, misses = (torch.zeros(n, dtype=torch.float64, device=device) for n in (3, CALIBRATION_BINS + 1))
    for probability, response in zip(probability_N.split(PIECE), response_N.split(PIECE), strict=True):
        p, y = probability.double(), response.double()
        log_loss = torch.nn.functional.binary_cross_entropy(p.clamp(LEAST, 1 - LEAST), y, reduction="sum")
        sums += torch.stack([((p >= 0.5) == (y > 0.5)).sum(), log_loss, ((p - y) ** 2).sum()])
        bins = torch.bucketize(probability, edges, right=True) - 1  # a probability of 1 has a bin of its own
        misses += torch.bincount(bins, y - p, CALIBRATION_BINS + 1)
    accuracy, log_loss, square = (sums / count).tolist()
    wrong, right = (_sorted(probability_N[(response_N > 0) == is_right]) for is_right in (False, True))
    below = [torch.searchsorted(wrong, x, right=ties).sum() for x in right.split(PIECE) for ties in (False, True)]
    pairs = len(wrong) * len(right)
    return {
        "auc": sum(map(int, below)) / 2 / pairs if pairs else float("nan"),
        "accuracy": accuracy,
        "log_loss": log_loss,
        "rmse": square**0.5,
        "calibration_error": float(misses.abs().sum() / count),
    }


def _sorted(x_N: Tensor) -> Tensor:
    """A sorted tensor; numpy sorts in place, torch beside 8 bytes a number."""
    if x_N.device.type != "cpu":
        return x_N.sort().values
    x_N.numpy().sort()
    return x_N


class PredictionMetrics(Metric):
    """`prediction_metrics` of both encoders over all batches since the last reset; 9 bytes a step."""

    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    probability1: list[Tensor]
    probability2: list[Tensor]
    response: list[Tensor]

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        for state in ("probability1", "probability2", "response"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, probability1: Tensor, probability2: Tensor, response: Tensor) -> None:
        """Add steps: both encoders' probabilities and the responses, -1 for a step that is not scored, [N] each.

        Steps are picked when figures are asked for: how many are scored is not known before a GPU has computed it.
        """
        self.probability1.append(probability1)
        self.probability2.append(probability2)
        self.response.append(response.to(torch.int8))

    def compute(self) -> dict[str, float]:
        """Figures by name, `encoder1_auc` and so on, and the combined score E1 AUC + 0.5 E2 AUC."""
        response = dim_zero_cat(self.response)
        scored = response >= 0
        figures = {
            f"{encoder}_{name}": value
            for encoder, probability in zip(ENCODERS, (self.probability1, self.probability2), strict=True)
            for name, value in prediction_metrics(dim_zero_cat(probability)[scored], response[scored]).items()
        }
        return {**figures, "combined_score": figures["encoder1_auc"] + 0.5 * figures["encoder2_auc"]}
