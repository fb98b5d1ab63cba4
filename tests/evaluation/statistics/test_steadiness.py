"""Movement, direction, calibration and separation by hand, each with what must not pass."""

import numpy as np
import pytest
import torch

from gainkt.evaluation.statistics.steadiness import Movement, calibration, direction, separation

NOTHING = {"cells": 0, "mean": None, "p95": None, "drops": None}


def test_movement_by_hand() -> None:
    """Met: +.2, -.06 and 0; not met: -.05, no drop; the practised cell (.9) is none of either."""
    change = torch.tensor([[0.2, -0.06, 0.0], [-0.05, 0.9, 0.0]])
    met = torch.tensor([[True, True, True], [False, True, True]])
    counts = torch.tensor([[True, True, True], [True, False, False]])
    found = Movement()
    found.add(change, met, counts)
    assert found.figures() == {
        "met": {"cells": 3, "mean": pytest.approx(0.26 / 3), "p95": pytest.approx(0.2, rel=2e-3), "drops": 1 / 3},
        "unmet": {"cells": 1, "mean": pytest.approx(0.05), "p95": pytest.approx(0.05, rel=2e-3), "drops": 0.0},
    }


def test_movement_is_the_same_in_pieces_and_the_percentile_is_fine() -> None:
    change = torch.randn(5000, generator=torch.Generator().manual_seed(0)) * 0.05
    met, everywhere = torch.arange(5000) % 3 > 0, torch.ones(5000, dtype=torch.bool)
    whole, pieces = Movement(), Movement()
    whole.add(change, met, everywhere)
    for some in torch.arange(5000).split(1700):
        piece = Movement()
        piece.add(change[some], met[some], everywhere[some])
        pieces += piece
    size = change[met].double().abs()
    found = whole.figures()["met"]
    assert pieces.figures()["met"] == pytest.approx(found)
    assert found["mean"] == pytest.approx(float(size.mean()))
    assert found["p95"] == pytest.approx(float(size.quantile(0.95)), rel=2e-3)
    assert found["drops"] == float((change[met] < -0.05).double().mean())


def test_what_cannot_move_has_0_and_what_is_no_number_no_figure() -> None:
    still, everywhere = Movement(), torch.ones(7, dtype=torch.bool)
    assert still.figures() == {"met": NOTHING, "unmet": NOTHING}
    still.add(torch.zeros(7), everywhere, everywhere)
    assert still.figures() == {"met": {"cells": 7, "mean": 0.0, "p95": 0.0, "drops": 0.0}, "unmet": NOTHING}
    still.add(torch.full((7,), torch.nan), everywhere, ~everywhere)
    assert still.figures()["met"]["mean"] == 0, "what does not count may be anything"
    still.add(torch.full((7,), torch.nan), everywhere, everywhere)
    assert still.figures()["met"] == {**NOTHING, "cells": 14}


def test_direction_by_hand() -> None:
    change, right = np.array([0.1, -0.1, 0.2, 0.0]), np.array([False, False, True, True])
    assert direction(change, right) == {"rises_after_wrong": 0.5, "falls_after_right": 0.0}
    assert direction(change, ~right) == {"rises_after_wrong": 0.5, "falls_after_right": 0.5}
    assert direction(0 * change, right) == {"rises_after_wrong": 0.0, "falls_after_right": 0.0}
    assert direction(change[:2], right[:2]) == {"rises_after_wrong": 0.5, "falls_after_right": None}


def test_calibration_by_hand() -> None:
    estimate, truth = np.array([0.05, 0.15, 0.15, 1.0]), np.array([0.1, 0.15, 0.35, 0.9])
    found = calibration(estimate, truth)
    assert found["bias"] == pytest.approx((1.35 - 1.5) / 4)
    assert found["rmse"] == pytest.approx(np.sqrt((0.0025 + 0 + 0.04 + 0.01) / 4))
    assert found["error"] == pytest.approx((0.05 + 0.2 + 0.1) / 4)
    assert [b["count"] for b in found["bins"]] == [1, 2, 1]
    assert calibration(truth, truth)["error"] == 0
    assert calibration(1 - truth, truth)["error"] > 0.3


def test_separation_by_hand() -> None:
    """Mastered at .7, .5 and .4, not at .2 and .6: 4 of 6 pairs are in order."""
    estimate, mastered = np.array([0.7, 0.5, 0.4, 0.2, 0.6]), np.array([True, True, True, False, False])
    assert separation(estimate, mastered) == 4 / 6
    assert separation(0 * estimate, mastered) == 0.5
    skill = np.array([0, 0, 1, 1, 1])
    pairs = [(a, b) for a in range(5) for b in range(5) if mastered[a] and not mastered[b] and skill[a] == skill[b]]
    right = sum((estimate[a] > estimate[b]) + (estimate[a] == estimate[b]) / 2 for a, b in pairs)
    assert separation(estimate, mastered, skill) == right / len(pairs)
    assert separation(estimate, np.ones(5, dtype=bool)) is None
    assert separation(estimate[:0], mastered[:0]) is None
