"""Figures against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, root_mean_squared_error

from gainkt.evaluation.statistics.metrics import CALIBRATION_BINS, PredictionMetrics, prediction_metrics


@pytest.fixture
def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    p = (torch.rand(5000, generator=draw) * 50).round() / 50 * 0.98 + 0.01  # with many ties
    return p, (torch.rand(5000, generator=draw) < p).float()


def test_figures_match_scikit_learn(drawn: tuple[torch.Tensor, torch.Tensor]) -> None:
    p, y = drawn
    figures = prediction_metrics(p, y)
    assert figures["auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-6)
    assert figures["accuracy"] == pytest.approx(accuracy_score(y, p >= 0.5))
    assert figures["log_loss"] == pytest.approx(log_loss(y, p.double()), abs=1e-6)
    assert figures["rmse"] == pytest.approx(root_mean_squared_error(y, p), abs=1e-6)
    bins = np.minimum((p.numpy() * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    error = sum(
        (bins == k).mean() * abs(y.numpy()[bins == k].mean() - p.numpy()[bins == k].mean()) for k in np.unique(bins)
    )
    assert figures["calibration_error"] == pytest.approx(error, abs=2e-3)


def test_figures_of_many_steps_are_those_of_few(
    drawn: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    p, y = drawn
    p[:2] = torch.tensor([0.0, 1.0])
    at_once = prediction_metrics(p, y)
    monkeypatch.setattr("gainkt.evaluation.statistics.metrics.PIECE", 999)
    kept = p.clone()
    assert prediction_metrics(p, y) == pytest.approx(at_once, abs=1e-6)
    assert prediction_metrics(p, y)["auc"] == pytest.approx(roc_auc_score(y, p), abs=1e-14)
    assert torch.equal(p, kept), "what is given is not sorted"
    assert np.isnan(prediction_metrics(p, torch.ones_like(y))["auc"])


def test_counts_beyond_what_float32_holds_are_right() -> None:
    p, y = torch.full((5 << 22,), 0.85), torch.zeros(5 << 22, dtype=torch.uint8)
    y[: 1 << 24] = 1  # four fifths; float32 counts to 1 << 24
    assert prediction_metrics(p, y)["calibration_error"] == pytest.approx(0.05)


def test_store_equals_function_in_any_batching(drawn: tuple[torch.Tensor, torch.Tensor]) -> None:
    p, y = drawn
    store = PredictionMetrics()
    for start in range(0, 5000, 777):
        part = slice(start, start + 777)
        store.update(p[part], 1 - p[part], y[part])
    figures = store.compute()
    assert figures["encoder1_auc"] == prediction_metrics(p, y)["auc"]
    assert figures["encoder2_auc"] == pytest.approx(1 - figures["encoder1_auc"], abs=1e-6)
    assert figures["combined_score"] == figures["encoder1_auc"] + 0.5 * figures["encoder2_auc"]


def test_random_labels_give_half() -> None:
    draw = torch.Generator().manual_seed(0)
    p, y = torch.rand(40_000, generator=draw), (torch.rand(40_000, generator=draw) < 0.7).float()
    assert prediction_metrics(p, y)["auc"] == pytest.approx(0.5, abs=0.01)


def test_one_class_has_no_auc() -> None:
    assert np.isnan(prediction_metrics(torch.rand(9), torch.ones(9))["auc"])


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 predictions are not finite"):
        prediction_metrics(torch.tensor([0.1, float("nan"), 0.2]), torch.tensor([0.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="no scored steps"):
        prediction_metrics(torch.empty(0), torch.empty(0))


def test_steps_that_are_not_scored_count_for_nothing(drawn: tuple[torch.Tensor, torch.Tensor]) -> None:
    p, y = drawn
    picked, store, other = torch.arange(5000) % 3 > 0, PredictionMetrics(), PredictionMetrics()
    store.update(p, 1 - p, torch.where(picked, y, -1.0))
    other.update(p[picked], 1 - p[picked], y[picked])
    assert store.compute() == other.compute()
    assert store.compute()["encoder1_auc"] != prediction_metrics(p, y)["auc"]
