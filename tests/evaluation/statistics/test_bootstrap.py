"""Resampled statistics are the exact weighted ones, and their intervals cover."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gainkt.evaluation.statistics import bootstrap as module
from gainkt.evaluation.statistics.bootstrap import (
    Estimate,
    StudentBootstrap,
    auc_of_weights,
    quantiles_of_weights,
)


def rows(n: int = 600, students: int = 40, decimals: int = 2, seed: int = 0) -> tuple[np.ndarray, ...]:
    draw = np.random.default_rng(seed)
    student = draw.integers(students, size=n)
    p = draw.random(n).round(decimals)  # many ties
    return student, p, (draw.random(n) < p).astype(float)


@pytest.mark.parametrize("decimals", [0, 1, 2, 9])
def test_weighted_auc_is_that_of_scikit_learn_ties_included(decimals: int) -> None:
    student, p, y = rows(decimals=decimals)
    odd, counts = np.random.default_rng(1).random((2, 40)), StudentBootstrap(40, 300).counts_RS
    for weights in (odd, counts, counts * np.uint16(1000)):
        expected = [roc_auc_score(y, p, sample_weight=of[student]) for of in weights[:9]]
        assert auc_of_weights(student, p, y, weights)[:9] == pytest.approx(expected, abs=1e-12)


def test_auc_of_many_rows_has_no_rounding() -> None:
    student, p, y = rows(n=5000, decimals=9)
    concordant = (p[y > 0][:, None] > p[y == 0]).astype(int)
    for counts in (counts_RS := StudentBootstrap(40, 3).counts_RS.astype(int)):
        right, wrong = counts[student[y > 0]], counts[student[y == 0]]
        exact = (right @ concordant @ wrong) / (right.sum() * wrong.sum())
        assert exact in auc_of_weights(student, p, y, counts_RS.astype(np.uint16))


def test_auc_of_many_rows_is_linearised_within_what_resampling_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    student, p, y = rows(n=40_000, students=2000, decimals=2)
    p = np.clip(p + np.random.default_rng(2).normal(0, 0.3, 2000)[student], 0, 1).round(
        2
    )  # rows of one student go together
    bootstrap = StudentBootstrap(2000, 200)
    exact = bootstrap.auc(student, p, y)
    monkeypatch.setattr(module, "EXACT_ROWS", 10_000)
    found = bootstrap.auc(student, p, y)
    assert found.value == pytest.approx(exact.value, abs=1e-12)
    assert 0 < (found - exact).replicates_R.std() < 0.05 * exact.replicates_R.std()


def test_linearised_auc_of_one_class_is_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_ROWS", 1)
    found = StudentBootstrap(2, 3).auc(np.array([0, 1]), np.array([0.2, 0.7]), np.ones(2))
    assert np.isnan([found.value, *found.replicates_R]).all()


def test_auc_without_weight_on_a_class_is_nan() -> None:
    student, weights = np.array([0, 0, 1]), np.array([[2.0, 0.0], [1.0, 1.0]])
    found = auc_of_weights(student, np.array([0.2, 0.7, 0.4]), np.array([1.0, 1.0, 0.0]), weights)
    assert found == pytest.approx([np.nan, 0.5], nan_ok=True)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99, 1.0])
def test_weighted_quantiles_are_those_of_numpy(share: float) -> None:
    student, x, _ = rows()
    weights = StudentBootstrap(40, 1).counts_RS[0]
    expected = np.quantile(x, share, weights=weights[student], method="inverted_cdf")
    if share > 0:
        assert quantiles_of_weights(student, x, [share])(weights) == expected
    assert quantiles_of_weights(student, x, [share])(np.ones(40)) == np.quantile(x, share, method="inverted_cdf")


def test_a_quantile_beyond_its_neighbourhood_is_found() -> None:
    student, x = np.repeat([0, 1], 500), np.arange(1000.0)
    median = quantiles_of_weights(student, x, [0.5])
    assert [median(np.array(w))[0] for w in ([1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [9.0, 1.0])] == [499, 249, 749, 277]


def test_moments_equal_those_of_the_rows_drawn() -> None:
    student, x, y = rows()
    bootstrap = StudentBootstrap(40, 5, seed=3)
    found = [bootstrap.mean(student, x), bootstrap.std(student, x), bootstrap.correlation(student, x, y)]
    assert [each.value for each in found] == pytest.approx([x.mean(), x.std(), np.corrcoef(x, y)[0, 1]])
    for r, counts in enumerate(bootstrap.counts_RS):
        drawn = np.repeat(np.arange(len(x)), counts[student].astype(int))
        expected = [x[drawn].mean(), x[drawn].std(), np.corrcoef(x[drawn], y[drawn])[0, 1]]
        assert [each.replicates_R[r] for each in found] == pytest.approx(expected)


def test_correlation_with_a_constant_is_nan() -> None:
    student, x, y = rows()
    found = StudentBootstrap(40, 5).correlation(student, np.full(len(x), np.float32(0.1), dtype=np.float64), y)
    assert np.isnan(found.value)
    assert found.interval is None


def test_the_seed_fixes_the_students() -> None:
    assert (StudentBootstrap(9, 20, seed=4).counts_RS == StudentBootstrap(9, 20, seed=4).counts_RS).all()
    assert (StudentBootstrap(9, 20, seed=4).counts_RS != StudentBootstrap(9, 20, seed=5).counts_RS).any()
    assert (StudentBootstrap(9, 20).counts_RS.sum(1) == 9).all()


def test_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=400).repeat(5)  # five steps of a student are alike: they count as one
    low, high = StudentBootstrap(400, 2000).mean(np.arange(400).repeat(5), x).interval or (0, 0)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.08)


def test_differences_keep_their_pairing() -> None:
    student, p, y = rows()
    bootstrap = StudentBootstrap(40, 30)
    difference = bootstrap.auc(student, p, y) - bootstrap.auc(student, p**3, y)  # the same order
    assert difference.interval == (0.0, 0.0)
    assert Estimate(1.0, np.array([np.nan, np.nan, 1.0])).interval is None
