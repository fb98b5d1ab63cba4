"""PFA against cases worked out by hand, scikit-learn, a general optimiser and simulated students."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_logs import log_of
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from conftest import random_log
from gainkt.data.log import InteractionLog
from gainkt.references import PFA
from gainkt.references.pfa import WEIGHTS


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def model(easiness: list[float], right: list[float], wrong: list[float], counts: str = "log") -> PFA:
    table = pd.DataFrame({"easiness": easiness, "right": right, "wrong": wrong}, index=["k0", "k1"][: len(right)])
    return PFA(table, dict.fromkeys(WEIGHTS, 0.0), counts, 1, 0.0)


def factors_of(log: InteractionLog, f: Callable = np.log1p) -> np.ndarray:
    """[M, K, 3], written as plainly as can be: 1, f(earlier rights), f(earlier wrongs) of the step's skills."""
    found = np.zeros((log.num_steps, log.num_skills, 3))
    for start, stop in zip(log.offsets, log.offsets[1:], strict=False):
        seen = np.zeros((log.num_skills, 2))
        for step in range(start, stop):
            for k in log.skills[log.skill_offsets[step] : log.skill_offsets[step + 1]]:
                found[step, k] = (1, f(seen[k, 0]), f(seen[k, 1]))
                seen[k, 1 - int(log.responses[step])] += 1
    return found


@pytest.mark.parametrize(("counts", "f"), [("log", np.log1p), ("raw", float)])
def test_the_prediction_by_hand(counts: str, f: Callable[[float], float]) -> None:
    log = log_of([[([0], 1), ([0, 1], 0), ([1], 1), ([0], 1)], [([1], 1)]], 2)
    found = model([0.2, -0.4], [0.5, 0.3], [-0.1, -0.6], counts).predict(log)
    logit = [0.2, 0.2 + 0.5 * f(1) - 0.4, -0.4 - 0.6 * f(1), 0.2 + 0.5 * f(1) - 0.1 * f(1), -0.4]
    np.testing.assert_allclose(found.probability_M, sigmoid(np.array(logit)))
    np.testing.assert_allclose(found.logit_before_L[1:3], [0.2 + 0.5 * f(1), -0.4])
    after = [0.2 + 0.5 * f(1), 0.4 * f(1) + 0.2, -0.4 - 0.6 * f(1), -0.4 - 0.3 * f(1), 0.2 + 0.5 * f(2) - 0.1 * f(1)]
    np.testing.assert_allclose(found.logit_after_L, [*after, -0.4 + 0.3 * f(1)])


@pytest.mark.parametrize("slots", [1, 3])
def test_the_fit_agrees_with_a_general_optimiser(slots: int) -> None:
    log = random_log(slots=slots)
    found = PFA.fit(log, np.arange(30), weight_sd=0.7)
    factors = factors_of(log)

    def lost(x: np.ndarray) -> float:
        common, own = x[:3], x[3:].reshape(7, 3)
        eta = np.einsum("mkf,kf->m", factors, common + own)
        fit = (np.logaddexp(0, eta) - log.responses * eta).sum()
        return float(fit + (own**2).sum() / (2 * 0.7**2) + 1e-6 * log.num_steps * (common**2).sum())

    best = minimize(lost, np.zeros(24), method="BFGS", options={"gtol": 1e-5}).x
    weights = best[:3] + best[3:].reshape(7, 3)
    np.testing.assert_allclose(found.parameters, weights, atol=2e-3)
    eta = np.einsum("mkf,kf->m", factors, weights)
    np.testing.assert_allclose(found.predict(log).probability_M, sigmoid(eta), atol=1e-3)
    assert found.log_likelihood == pytest.approx(-(np.logaddexp(0, eta) - log.responses * eta).mean(), abs=1e-5)


def test_one_skill_agrees_with_scikit_learn() -> None:
    log = random_log(num_skills=1, slots=1, num_students=200)
    found = PFA.fit(log, np.arange(200))
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(factors_of(log)[:, 0, 1:], log.responses)
    np.testing.assert_allclose(found.parameters.loc["k0"], [theirs.intercept_[0], *theirs.coef_[0]], atol=1e-3)


def test_it_recovers_simulated_weights() -> None:
    rng = np.random.default_rng(5)
    weights = np.column_stack([rng.normal(0, 0.6, 5), rng.uniform(0.2, 0.6, 5), rng.uniform(-0.4, 0.0, 5)])
    skills, responses = np.empty((3000, 30), dtype=np.int64), np.empty((3000, 30), dtype=np.uint8)
    seen = np.zeros((3000, 5, 2))
    everyone = np.arange(3000)
    for t in range(30):
        k = rng.integers(0, 5, 3000)
        right, wrong = np.log1p(seen[everyone, k]).T
        eta = weights[k, 0] + weights[k, 1] * right + weights[k, 2] * wrong
        answer = rng.random(3000) < sigmoid(eta)
        seen[everyone, k, 1 - answer.astype(int)] += 1
        skills[:, t], responses[:, t] = k, answer
    log = log_of([[([0], 0)] * 30] * 3000, 5)
    log = replace(log, skills=skills.reshape(-1).astype(np.int32), responses=responses.reshape(-1))
    found = PFA.fit(log, everyone)
    np.testing.assert_allclose(found.parameters, weights, atol=0.12)


@pytest.mark.parametrize("counts", ["log", "raw"])
@pytest.mark.parametrize("right", [lambda n: [1] * n, lambda n: [0] * n, lambda n: [i % 2 for i in range(n)]])
def test_degenerate_histories_stay_finite(right: Callable[[int], list[int]], counts: str) -> None:
    # Skill 0 is met 600 times in a row, skill 1 once, skill 2 never.
    log = log_of([[([0], r) for r in right(600)], [([0], 1), ([1], right(1)[0])]], num_skills=3)
    pfa = PFA.fit(log, np.arange(2), counts=counts)
    found = pfa.predict(log)
    assert np.isfinite(found.logit_before_L).all()
    assert np.isfinite(found.logit_after_L).all()
    assert np.all((found.probability_M > 0) & (found.probability_M < 1))
    assert pfa.parameters.loc["k2"].to_dict() == pytest.approx(pfa.common)
