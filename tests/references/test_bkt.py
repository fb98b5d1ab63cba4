"""BKT against cases worked out by hand, brute force over hidden states, and simulated students."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_logs import log_of

from conftest import random_log
from gainkt.data.log import InteractionLog
from gainkt.references import BKT
from gainkt.references.base import Opportunities
from gainkt.references.bkt import Chances, expected_counts, follow, log_posterior, maximise

CHANCES = {"prior": 0.3, "learn": 0.2, "forget": 0.0, "guess": 0.25, "slip": 0.1}


def chances(num_skills: int = 1, **changes: float) -> Chances:
    return Chances(**{name: np.full(num_skills, value) for name, value in {**CHANCES, **changes}.items()})


def model(num_skills: int = 1, combine: str = "product", **changes: float) -> BKT:
    own = chances(num_skills, **changes)._asdict()
    table = pd.DataFrame(own, index=[f"k{k}" for k in range(num_skills)])
    return BKT(table, {**CHANCES, **changes}, combine, 1, 0.0, 1)


def simulated_log(truth: Chances, num_students: int, length: int, seed: int = 0) -> InteractionLog:
    """Students who practise every skill `length` times, one skill after another."""
    rng, num_skills = np.random.default_rng(seed), len(truth.prior)
    prior, learn, forget, guess, slip = truth
    known = rng.random((num_students, num_skills)) < prior
    responses = []
    for _ in range(length):
        responses.append(rng.random(known.shape) < np.where(known, 1 - slip, guess))
        draw = rng.random(known.shape)
        known = np.where(known, draw >= forget, draw < learn)
    history = [([k], 0) for k in range(num_skills) for _ in range(length)]
    log = log_of([history] * num_students, num_skills)
    return replace(log, responses=np.stack(responses, axis=2).reshape(-1).astype(np.uint8))


def test_the_filter_by_hand() -> None:
    log = log_of([[([0], 1), ([0], 0), ([0], 1)]])
    found = model().predict(log)
    before, after, right = 0.3, [], []
    for response in (1, 0, 1):
        right.append(before * 0.9 + (1 - before) * 0.25)
        given = before * 0.9 / right[-1] if response else before * 0.1 / (1 - right[-1])
        before = given + (1 - given) * 0.2
        after.append(before)
    assert right[0] == pytest.approx(0.445)
    np.testing.assert_allclose(found.probability_M, right)
    np.testing.assert_allclose(found.mastery_after_L, after)
    np.testing.assert_allclose(found.mastery_before_L, [0.3, *after[:2]])


def test_forgetting_by_hand() -> None:
    found = model(forget=0.4).predict(log_of([[([0], 1), ([0], 1)]]))
    given = 0.27 / 0.445
    assert found.mastery_after_L[0] == pytest.approx(given * 0.6 + (1 - given) * 0.2)


def test_skills_are_followed_apart_and_meet_in_the_prediction() -> None:
    log = log_of([[([0], 1), ([0, 1], 0), ([1], 1)], [([1], 1), ([0, 1], 1)]], num_skills=2)
    least = model(2, "minimum").predict(log)
    product = model(2, "product").predict(log)
    np.testing.assert_array_equal(least.right_L, product.right_L)
    slots = [slice(a, b) for a, b in zip(log.skill_offsets, log.skill_offsets[1:], strict=False)]
    np.testing.assert_allclose(least.probability_M, [least.right_L[s].min() for s in slots])
    np.testing.assert_allclose(product.probability_M, [least.right_L[s].prod() for s in slots])
    # Skill 0 of the first student saw right, wrong; skill 1 wrong, right: the same chain as in a log of one skill.
    alone = model().predict(log_of([[([0], 1), ([0], 0)], [([0], 0), ([0], 1)]]))
    np.testing.assert_allclose(least.mastery_after_L[:4][[0, 1]], alone.mastery_after_L[:2])
    np.testing.assert_allclose(least.mastery_after_L[:4][[2, 3]], alone.mastery_after_L[2:])


def brute_force(truth: Chances, responses: list[int]) -> tuple[float, dict[str, np.ndarray]]:
    """Likelihood of a history and expected counts, by a sum over all paths of the hidden state."""
    prior, learn, forget, guess, slip = (float(values[0]) for values in truth)
    move = np.array([[1 - learn, learn], [forget, 1 - forget]])
    answer = np.array([[1 - guess, guess], [slip, 1 - slip]])
    total, counts = 0.0, {name: np.zeros(2) for name in Chances._fields}
    for path in itertools.product((0, 1), repeat=len(responses)):
        p = (prior if path[0] else 1 - prior) * np.prod(answer[list(path), responses])
        p *= np.prod([move[a, b] for a, b in itertools.pairwise(path)])
        total += p
        counts["prior"][1 - path[0]] += p
        for a, b in itertools.pairwise(path):
            counts["forget" if a else "learn"][0 if a != b else 1] += p
        for state, right in zip(path, responses, strict=True):
            counts["slip" if state else "guess"][right if state else 1 - right] += p
    return total, {name: value / total for name, value in counts.items()}


def test_likelihood_and_expected_counts_agree_with_brute_force() -> None:
    histories = [[1, 0, 1, 1, 0], [0, 1], [1], [0, 0, 0, 1]]
    log = log_of([[([0], r) for r in history] for history in histories])
    truth, opportunities = chances(forget=0.07), Opportunities.of(log, np.arange(4))
    followed = follow(truth, opportunities)
    exact = [brute_force(truth, history) for history in histories]
    assert np.log(followed.seen).sum() == pytest.approx(sum(np.log(p) for p, _ in exact))
    for name, pair in zip(Chances._fields, expected_counts(truth, opportunities, followed), strict=True):
        np.testing.assert_allclose([x[0] for x in pair], sum(counts[name] for _, counts in exact), atol=1e-12)


def test_every_step_of_fitting_raises_what_it_maximises() -> None:
    log = random_log(num_students=60, slots=2)
    opportunities, expected = Opportunities.of(log, np.arange(60)), chances(7, forget=0.05)
    bounds = tuple((1e-3, 0.5 if name in ("guess", "slip") else 1 - 1e-3) for name in Chances._fields)
    found, reached = expected, []
    for _ in range(30):
        followed = follow(found, opportunities)
        reached.append(log_posterior(found, followed.seen, expected, 3.0))
        found = maximise(expected_counts(found, opportunities, followed), expected, 3.0, bounds)
    assert np.diff(reached).min() >= -1e-9
    assert reached[-1] > reached[0] + 1


@pytest.mark.parametrize("forgets", [False, True])
def test_it_recovers_the_chances_of_simulated_students(forgets: bool) -> None:
    rng = np.random.default_rng(3)
    spans = {
        "prior": (0.1, 0.6),
        "learn": (0.08, 0.3),
        "forget": (0.03, 0.12),
        "guess": (0.1, 0.3),
        "slip": (0.05, 0.2),
    }
    truth = Chances(**{name: rng.uniform(*span, 6) for name, span in spans.items()})
    if not forgets:
        truth = truth._replace(forget=np.zeros(6))
    log = simulated_log(truth, num_students=3000, length=12)
    found = BKT.fit(log, np.arange(3000), forgets=forgets, tolerance=1e-7)
    for name, values in truth._asdict().items():
        np.testing.assert_allclose(found.parameters.get(name, np.zeros(6)), values, atol=0.06, rtol=0)
    best = np.log(follow(truth, Opportunities.of(log, np.arange(3000))).seen).mean()
    assert found.log_likelihood >= best


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("right", [lambda n: [1] * n, lambda n: [0] * n, lambda n: [i % 2 for i in range(n)]])
def test_degenerate_histories_stay_finite_and_in_bounds(right: Callable[[int], list[int]], forgets: bool) -> None:
    # Skill 0 is met 600 times in a row, skill 1 once, skill 2 never.
    history = [([0], r) for r in right(600)]
    log = log_of([history, [([0], 1), ([1], right(1)[0])]], num_skills=3)
    bkt = BKT.fit(log, np.arange(2), forgets=forgets, max_guess=0.4, max_slip=0.3)
    for name, high in (("prior", 1.0), ("learn", 1.0), ("forget", 1.0), ("guess", 0.4), ("slip", 0.3)):
        assert bkt.parameters.get(name, pd.Series(0.0)).between(0, high).all(), name
    found = bkt.predict(log)
    for values in (found.probability_M, found.mastery_before_L, found.mastery_after_L):
        assert np.all((values >= 0) & (values <= 1))
    assert np.all((found.probability_M > 0) & (found.probability_M < 1))
    assert bkt.parameters.loc["k2"].to_dict() == pytest.approx(bkt.common)
