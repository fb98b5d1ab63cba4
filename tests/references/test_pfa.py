"""PFA against cases worked out by hand, scikit-learn, a general optimiser and simulated students."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_logs import log_of
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from conftest import random_log
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError
from gainkt.references import PFA, Reference


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def model(easiness: list[float], right: list[float], wrong: list[float], counts: str = "log") -> PFA:
    names = tuple(f"k{k}" for k in range(len(easiness)))
    return PFA(names, np.array(easiness), np.array(right), np.array(wrong), (0.0, 0.0, 0.0), counts, 1, 0.0)


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
    np.testing.assert_allclose(np.column_stack([found.easiness, found.right, found.wrong]), weights, atol=2e-3)
    eta = np.einsum("mkf,kf->m", factors, weights)
    np.testing.assert_allclose(found.predict(log).probability_M, sigmoid(eta), atol=1e-3)
    assert found.log_likelihood == pytest.approx(-(np.logaddexp(0, eta) - log.responses * eta).mean(), abs=1e-5)


def test_one_skill_agrees_with_scikit_learn() -> None:
    log = random_log(num_skills=1, slots=1, num_students=200)
    found = PFA.fit(log, np.arange(200))
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(factors_of(log)[:, 0, 1:], log.responses)
    ours = [found.easiness[0], found.right[0], found.wrong[0]]
    np.testing.assert_allclose(ours, [theirs.intercept_[0], *theirs.coef_[0]], atol=1e-3)


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
    np.testing.assert_allclose(np.column_stack([found.easiness, found.right, found.wrong]), weights, atol=0.12)


@pytest.mark.parametrize("slots", [1, 3])
def test_a_later_response_never_changes_an_earlier_prediction(slots: int) -> None:
    log = random_log(slots=slots)
    pfa = PFA.fit(log, np.arange(20))
    cut = log.offsets[:-1] + log.lengths // 2
    later = np.arange(log.num_steps) >= np.repeat(cut, log.lengths)
    flipped = replace(log, responses=np.where(later, 1 - log.responses, log.responses).astype(np.uint8))
    one, two = pfa.predict(log), pfa.predict(flipped)
    at_cut = np.isin(np.arange(log.num_steps), cut)
    same = ~later | at_cut
    np.testing.assert_array_equal(one.probability_M[same], two.probability_M[same])
    in_slot = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    np.testing.assert_array_equal(one.logit_before_L[same[in_slot]], two.logit_before_L[same[in_slot]])
    np.testing.assert_array_equal(one.logit_after_L[~later[in_slot]], two.logit_after_L[~later[in_slot]])
    assert np.all(one.logit_after_L[at_cut[in_slot]] != two.logit_after_L[at_cut[in_slot]])


def test_fitting_reads_training_students_only() -> None:
    log = random_log()
    train, others = np.arange(0, 30, 2), log.steps_of(np.arange(1, 30, 2))
    changed = replace(log, responses=log.responses.copy())
    changed.responses[others] ^= 1
    one, two = (PFA.fit(of, train) for of in (log, changed))
    for name in ("easiness", "right", "wrong", "common"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


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
    np.testing.assert_allclose([pfa.easiness[2], pfa.right[2], pfa.wrong[2]], pfa.common)


def test_students_can_be_chosen_and_the_rest_is_nan() -> None:
    log = random_log()
    pfa = PFA.fit(log, np.arange(20))
    everyone, some = pfa.predict(log), pfa.predict(log, np.array([7, 3]))
    chosen = np.isin(np.arange(log.num_steps), log.steps_of(np.array([3, 7])))
    np.testing.assert_array_equal(np.isfinite(some.probability_M), chosen)
    np.testing.assert_array_equal(some.probability_M[chosen], everyone.probability_M[chosen])


def test_a_saved_model_predicts_the_same_whatever_the_order_of_skills(tmp_path: Path) -> None:
    log = random_log()
    pfa: Reference = PFA.fit(log, np.arange(20), counts="raw")
    again = PFA.load(pfa.save(tmp_path / "pfa.json"))
    np.testing.assert_array_equal(again.predict(log).probability_M, pfa.predict(log).probability_M)
    turned = replace(log, skills=6 - log.skills, skill_names=log.skill_names[::-1])
    np.testing.assert_array_equal(again.predict(turned).probability_M, pfa.predict(log).probability_M)


def test_an_unknown_skill_has_the_common_weights() -> None:
    log = random_log()
    pfa = PFA.fit(log, np.arange(20))
    names = log.skill_names.copy()
    names[2] = "new"
    found = pfa.predict(replace(log, skill_names=names))
    assert found.logit_before_L[np.flatnonzero(log.skills == 2)[0]] == pytest.approx(pfa.common[0])


def test_bad_settings_and_data_are_named(tmp_path: Path) -> None:
    log = random_log()
    for settings, message in (
        ({"counts": "log1"}, "did you mean 'log'"),
        ({"weight_sd": 0.0}, "weight_sd=0.0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            PFA.fit(log, np.arange(20), **settings)
    with pytest.raises(DataError, match="no responses"):
        PFA.fit(log, np.arange(0))
    with pytest.raises(DataError, match="twice in one step"):
        PFA.fit(log_of([[([0, 0], 1), ([0], 1)]]), np.arange(1))
    with pytest.raises(DataError, match="no such file"):
        PFA.load(tmp_path / "none.json")
    for content, message in (
        ('{"format": "gainkt-bkt-1"}', "this version reads"),
        ('{"format": "gainkt-pfa-1"}', "damaged"),
        ("", "damaged"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(DataError, match=message):
            PFA.load(tmp_path / "bad.json")
