"""Only rising sigmoids count as sigmoids, and the fit is the least squares one."""

import numpy as np
import pandas as pd
import pytest

from gainkt.evaluation.scorecard.curves import RESOLUTION, compare_shapes, curve_shapes, fit_sigmoids
from gainkt.evaluation.statistics.measurable import Unmeasurable

LENGTHS = (8, 13, 40, 150)
NUM_CURVES = 300


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def sigmoids(n: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    c, d = draw.uniform(5, 12, (NUM_CURVES, 1)) / n, draw.uniform(0.2, 0.7, (NUM_CURVES, 1)) * n
    low, high = draw.uniform(0, 0.3, (NUM_CURVES, 1)), draw.uniform(0.6, 1, (NUM_CURVES, 1))
    curves = low + (high - low) * sigmoid(c * (np.arange(1, n + 1) - d))
    return curves + draw.normal(0, noise, curves.shape)


def lines(n: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.uniform(0, 0.3, (NUM_CURVES, 1)) + draw.uniform(0, 0.6, (NUM_CURVES, 1)) * np.arange(n) / n


def share(curves: np.ndarray) -> float:
    return float(compare_shapes(curves)["is_sigmoid"].mean())


@pytest.mark.parametrize("n", LENGTHS)
def test_sigmoids_pass_with_and_without_noise(n: int) -> None:
    assert share(sigmoids(n)) == 1
    assert share(sigmoids(n, noise=0.01)) > 0.97


@pytest.mark.parametrize("n", LENGTHS)
def test_lines_constants_and_falling_curves_do_not(n: int) -> None:
    assert share(lines(n)) == 0
    assert share(lines(n)[:, ::-1]) == 0
    assert share(np.full((5, n), 0.4)) == 0
    assert share(1 - sigmoids(n)) == 0
    rounding = np.random.default_rng(0).normal(0, 1e-7, (NUM_CURVES, n))
    assert share(0.4 + rounding) == 0
    assert share(lines(n) + rounding) == 0


def test_what_is_under_the_resolution_is_no_shape() -> None:
    assert share(0.4 + RESOLUTION * sigmoids(12)) == 0


@pytest.mark.parametrize("n", [30, 150])
def test_noise_alone_rarely_passes(n: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (NUM_CURVES, n))
    assert share(0.5 + noise) < 0.05
    assert share(lines(n) + noise) < 0.1


@pytest.mark.parametrize("n", LENGTHS)
def test_true_parameters_are_found(n: int) -> None:
    draw = np.random.default_rng(2)
    c, d = draw.uniform(6, 12, NUM_CURVES) / n, draw.uniform(0.3, 0.7, NUM_CURVES) * n
    curves = 0.1 + 0.7 * sigmoid(c[:, None] * (np.arange(1, n + 1) - d[:, None]))
    found, rss = fit_sigmoids(curves)
    assert found == pytest.approx(np.stack([np.full_like(c, 0.1), np.full_like(c, 0.7), c, d], -1), rel=1e-3, abs=1e-3)
    assert rss.max() < 1e-8


def test_no_dense_grid_finds_a_better_fit() -> None:
    draw = np.random.default_rng(3)
    n = 10
    steps = np.sort(draw.random((12, n)), axis=1)
    curves = np.concatenate([sigmoids(n, noise=0.05)[:12], steps, draw.random((6, n))])
    _, rss = fit_sigmoids(curves)
    x = np.arange(1, n + 1)
    log_c, d = np.meshgrid(np.linspace(np.log(1 / (n - 1)), np.log(4), 150), np.linspace(2 - n, 2 * n - 1, 600))
    s = sigmoid(np.exp(log_c).ravel()[:, None] * (x - d.ravel()[:, None]))
    s -= s.mean(1, keepdims=True)
    for curve, found in zip(curves, rss, strict=True):
        y = curve - curve.mean()
        power = (s**2).sum(1)
        b = np.where(power > 1e-9, np.maximum(s @ y, 0) / np.maximum(power, 1e-9), 0)
        brute = ((y - b[:, None] * s) ** 2).sum(1).min()
        assert found <= brute * 1.02 + 1e-9


def table(curves: list[np.ndarray]) -> pd.DataFrame:
    """One student a curve, who also has a row of another skill at each step."""
    parts = []
    for number, curve in enumerate(curves):
        own = pd.DataFrame({"student": f"s{number}", "step": range(len(curve)), "window": 0, "skill": "own"})
        own["relevant"] = True
        other = own.assign(skill="other", relevant=False, mastery_final=0.5)
        parts.append(pd.concat([own.assign(mastery_final=curve), other]).sort_values("step", kind="stable"))
    return pd.concat(parts, ignore_index=True)


def test_curves_are_taken_from_opportunities_with_8_or_more() -> None:
    found = curve_shapes(table([sigmoids(12)[0], lines(9)[0], sigmoids(12)[1][:7]]))
    assert found.set_index("student")["opportunities"].to_dict() == {"s0": 12, "s1": 9}
    assert found.set_index("student")["is_sigmoid"].to_dict() == {"s0": True, "s1": False}
    assert set(found["skill"]) == {"own"}


def test_without_long_curves_there_is_no_share() -> None:
    with pytest.raises(Unmeasurable, match="8 times"):
        curve_shapes(table([lines(7)[0]]))
    with pytest.raises(Unmeasurable, match="not finite"):
        curve_shapes(table([np.full(9, np.nan)]))
