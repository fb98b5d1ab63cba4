"""Rasch against cases worked out by hand, a general optimiser, simulated students and mirt."""

import importlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_logs import log_of
from scipy.optimize import brentq, minimize

from conftest import random_log
from gainkt.data.log import InteractionLog
from gainkt.references import Rasch
from gainkt.references.rasch import ABILITY_SDS


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=float)))


def model(*difficulty: float, mean: float = 0.0, ability_sd: float = 1.0) -> Rasch:
    table = pd.DataFrame({"difficulty": difficulty}, index=[f"k{k}" for k in range(len(difficulty))])
    return Rasch(table, {"difficulty": mean}, ability_sd, 1.0, 0.0, 1, 0.0, 1)


def simulated_log(ability: np.ndarray, difficulty: np.ndarray, tries: int, seed: int = 0) -> InteractionLog:
    """Students who meet every skill `tries` times."""
    rng = np.random.default_rng(seed)
    history = [([k], 0) for k in range(len(difficulty)) for _ in range(tries)]
    log = log_of([history] * len(ability), len(difficulty))
    right = sigmoid(ability[:, None] - np.repeat(difficulty, tries))
    return replace(log, responses=(rng.random(right.shape) < right).reshape(-1).astype(np.uint8))


def test_the_filter_by_hand() -> None:
    found = model(0.5, -1.0).predict(log_of([[([0], 1), ([1], 0), ([0, 1], 1)], [([1], 0)]], 2))
    first = brentq(lambda x: 1 - sigmoid(x - 0.5) - x, -9, 9)
    second = brentq(lambda x: 1 - sigmoid(x - 0.5) - sigmoid(x + 1) - x, -9, 9)
    third = brentq(lambda x: 2 - sigmoid(x - 0.5) - sigmoid(x + 1) - sigmoid(x + 0.25) - x, -9, 9)
    other = brentq(lambda x: -sigmoid(x + 1) - x, -9, 9)
    np.testing.assert_allclose(found.ability_before_M, [0, first, second, 0])
    np.testing.assert_allclose(found.ability_after_M, [first, second, third, other])
    np.testing.assert_allclose(found.difficulty_M, [0.5, -1, -0.25, -1])
    np.testing.assert_allclose(found.probability_M, sigmoid(np.array([-0.5, first + 1, second + 0.25, 1])))


@pytest.mark.parametrize("slots", [1, 3])
def test_the_fit_agrees_with_a_general_optimiser(slots: int) -> None:
    log = random_log(slots=slots)
    found = Rasch.fit(log, np.arange(30), ability_sd=0.8, difficulty_sd=0.6)
    student = np.repeat(np.arange(30), log.lengths)
    share = np.zeros((log.num_steps, 7))
    counts = np.diff(log.skill_offsets)
    share[np.repeat(np.arange(log.num_steps), counts), log.skills] = np.repeat(1 / counts, counts)

    def lost(x: np.ndarray) -> float:
        theta, d, mean = x[:30], x[30:37], x[37]
        eta = theta[student] - mean - share @ d
        prior = (theta**2).sum() / 0.8**2 + (d**2).sum() / 0.6**2 + mean**2 / 10**2
        return float((np.logaddexp(0, eta) - log.responses * eta).sum() + prior / 2)

    best = minimize(lost, np.zeros(38), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(found.parameters.difficulty, best[37] + best[30:37], atol=1e-4)
    assert found.common["difficulty"] == pytest.approx(best[37], abs=1e-4)
    assert found.ability_spread == pytest.approx(best[:30].std(), abs=1e-4)
    # Given the difficulties, the fitted abilities are the smoothed ones.
    np.testing.assert_allclose(found.static_abilities(log), best[:30], atol=1e-4)


def test_it_recovers_simulated_students() -> None:
    rng = np.random.default_rng(1)
    ability, difficulty = rng.normal(0, 1, 1500), rng.normal(-0.5, 0.8, 12)
    log = simulated_log(ability, difficulty, tries=10)
    found = Rasch.fit(log, np.arange(1500))
    np.testing.assert_allclose(found.parameters.difficulty, difficulty - ability.mean(), atol=0.1)
    smoothed = found.static_abilities(log)
    assert np.corrcoef(smoothed, ability)[0, 1] > 0.96
    assert found.ability_spread == pytest.approx(smoothed.std())
    assert found.ability_spread == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("spread", [0.4, 1.0, 2.5])
def test_the_spread_of_abilities_is_found_by_what_predicts_best(spread: float) -> None:
    rng = np.random.default_rng(3)
    log = simulated_log(rng.normal(0, spread, 400), rng.normal(0, 0.7, 8), tries=4)
    found = Rasch.fit(log, np.arange(400))

    def loss(rasch: Rasch) -> float:
        p = rasch.predict(log).probability_M
        return float(-np.log(np.where(log.responses == 1, p, 1 - p)).mean())

    losses = {sd: loss(Rasch.fit(log, np.arange(400), ability_sd=sd)) for sd in ABILITY_SDS}
    assert found.ability_sd == min(losses, key=losses.__getitem__)
    assert 0.5 * spread < found.ability_sd < 2 * spread


def test_a_prefix_alone_has_the_same_predictions_and_only_the_smoothed_ability_reads_on() -> None:
    log = random_log(longest=40, num_students=12)
    rasch = Rasch.fit(log, np.arange(12))
    for student in range(12):
        alone = log.select([student])
        half = max(1, int(alone.lengths[0]) // 2)
        steps = slice(0, int(alone.skill_offsets[half]))
        prefix = replace(
            alone,
            offsets=np.array([0, half]),
            responses=alone.responses[:half],
            skill_offsets=alone.skill_offsets[: half + 1],
            skills=alone.skills[steps],
            items=alone.items[:half],
        )
        whole = rasch.predict(log).ability_after_M[log.offsets[student] :][: int(alone.lengths[0])]
        np.testing.assert_allclose(rasch.predict(prefix).ability_after_M, whole[:half], rtol=0, atol=1e-12)
        assert rasch.static_abilities(prefix)[0] == pytest.approx(whole[half - 1])
        assert rasch.static_abilities(log)[student] == pytest.approx(whole[-1])


@pytest.mark.parametrize("sd", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("right", [lambda n: [1] * n, lambda n: [0] * n, lambda n: [i % 2 for i in range(n)]])
def test_degenerate_histories_stay_finite(right: Callable[[int], list[int]], sd: float) -> None:
    # Skill 0 is met 600 times in a row, skill 1 once, skill 2 never.
    log = log_of([[([0], r) for r in right(600)], [([0], 1), ([1], right(1)[0])]], num_skills=3)
    rasch = Rasch.fit(log, np.arange(2), ability_sd=sd, difficulty_sd=sd)
    assert np.isfinite(rasch.parameters.difficulty).all()
    assert rasch.parameters.difficulty.iloc[2] == pytest.approx(rasch.common["difficulty"])
    found = rasch.predict(log)
    assert np.all((found.probability_M > 0) & (found.probability_M < 1))
    assert np.isfinite(found.ability_after_M).all()
    # Where each search ends, the log-posterior is flat.
    tried = np.arange(1, 601)
    theta, wins = found.ability_after_M[:600], np.cumsum(right(600))
    slope = wins - tried * sigmoid(theta - rasch.parameters.difficulty.iloc[0]) - theta / sd**2
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_skills_in_any_order_and_twice_in_a_step_count_once() -> None:
    one = log_of([[([0, 2], 1), ([2, 0], 0), ([1], 1)]] * 2, 3)
    two = log_of([[([2, 0, 0], 1), ([0, 2], 0), ([1, 1], 1)]] * 2, 3)
    np.testing.assert_array_equal(Rasch.fit(one, np.arange(2)).parameters, Rasch.fit(two, np.arange(2)).parameters)


def test_difficulties_on_first_attempts_agree_with_mirt() -> None:
    try:
        mirt = importlib.import_module("mirt")
    except ImportError:
        pytest.skip("mirt is not installed (pip install mirt): no cross-check of Rasch difficulties")
    rng = np.random.default_rng(2)
    log = simulated_log(rng.normal(0, 1, 2000), np.linspace(-1.5, 1.5, 15), tries=1)
    ours = Rasch.fit(log, np.arange(2000), difficulty_sd=5.0).parameters.difficulty
    fitted = mirt.fit_mirt(log.responses.reshape(2000, 15).astype(int), model="1PL", compute_standard_errors=False)
    parameters = fitted.model.parameters
    theirs = np.asarray(parameters["difficulty"]).reshape(-1)
    # mirt integrates abilities out, ours are the most probable ones: the same line, up to scale and origin.
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9995
    assert np.polyfit(theirs, ours, 1)[0] == pytest.approx(1, abs=0.15)
