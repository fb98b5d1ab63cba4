"""BKT against cases worked out by hand, brute force over hidden states, and simulated students."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_logs import log_of

from conftest import random_log
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError
from gainkt.references import BKT, Reference
from gainkt.references.bkt_chain import NAMES, Parameters, expected_counts, follow, log_posterior, maximise
from gainkt.references.opportunities import Opportunities

CHANCES = {"prior": 0.3, "learn": 0.2, "forget": 0.0, "guess": 0.25, "slip": 0.1}


def parameters(num_skills: int = 1, **changes: float) -> Parameters:
    return Parameters(
        **{n: torch.full((num_skills,), v, dtype=torch.float64) for n, v in {**CHANCES, **changes}.items()}
    )


def model(num_skills: int = 1, combine: str = "product", **changes: float) -> BKT:
    names = tuple(f"k{k}" for k in range(num_skills))
    return BKT(names, parameters(num_skills, **changes), parameters(**changes), combine, 1, 0.0, 1)


def simulated_log(truth: Parameters, num_students: int, length: int, seed: int = 0) -> InteractionLog:
    """Students who practise every skill `length` times, one skill after another."""
    rng, num_skills = np.random.default_rng(seed), len(truth.prior)
    prior, learn, forget, guess, slip = (getattr(truth, name).numpy() for name in NAMES)
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


def brute_force(chances: Parameters, responses: list[int]) -> tuple[float, dict[str, np.ndarray]]:
    """Likelihood of a history and expected counts, by a sum over all paths of the hidden state."""
    prior, learn, forget, guess, slip = (float(getattr(chances, name)) for name in NAMES)
    move = np.array([[1 - learn, learn], [forget, 1 - forget]])
    answer = np.array([[1 - guess, guess], [slip, 1 - slip]])
    total, counts = 0.0, {name: np.zeros(2) for name in NAMES}
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
    chances, opportunities = parameters(forget=0.07), Opportunities.of(log, np.arange(4))
    followed = follow(chances, opportunities)
    exact = [brute_force(chances, history) for history in histories]
    assert float(followed.seen.log().sum()) == pytest.approx(sum(np.log(p) for p, _ in exact))
    for name, pair in expected_counts(chances, opportunities, followed).items():
        np.testing.assert_allclose([float(x) for x in pair], sum(counts[name] for _, counts in exact), atol=1e-12)


def test_every_step_of_fitting_raises_what_it_maximises() -> None:
    log = random_log(num_students=60, slots=2)
    opportunities, expected = Opportunities.of(log, np.arange(60)), parameters(7, forget=0.05)
    bounds = {name: (1e-3, 0.5 if name in ("guess", "slip") else 1 - 1e-3) for name in NAMES}
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
    truth = Parameters(**{name: torch.from_numpy(rng.uniform(*span, 6)) for name, span in spans.items()})
    if not forgets:
        truth = replace(truth, forget=torch.zeros(6, dtype=torch.float64))
    log = simulated_log(truth, num_students=3000, length=12)
    found = BKT.fit(log, np.arange(3000), forgets=forgets, tolerance=1e-7)
    for name in NAMES:
        torch.testing.assert_close(getattr(found.parameters, name), getattr(truth, name), atol=0.06, rtol=0)
    best = float(follow(truth, Opportunities.of(log, np.arange(3000))).seen.log().mean())
    assert found.log_likelihood >= best


@pytest.mark.parametrize("slots", [1, 3])
def test_a_later_response_never_changes_an_earlier_prediction(slots: int) -> None:
    log = random_log(slots=slots)
    bkt = BKT.fit(log, np.arange(20))
    cut = log.offsets[:-1] + log.lengths // 2
    later = np.arange(log.num_steps) >= np.repeat(cut, log.lengths)
    flipped = replace(log, responses=np.where(later, 1 - log.responses, log.responses).astype(np.uint8))
    one, two = bkt.predict(log), bkt.predict(flipped)
    at_cut = np.isin(np.arange(log.num_steps), cut)
    same = ~later | at_cut
    np.testing.assert_array_equal(one.probability_M[same], two.probability_M[same])
    in_slot = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    np.testing.assert_array_equal(one.mastery_before_L[same[in_slot]], two.mastery_before_L[same[in_slot]])
    np.testing.assert_array_equal(one.mastery_after_L[~later[in_slot]], two.mastery_after_L[~later[in_slot]])
    assert np.all(one.mastery_after_L[at_cut[in_slot]] != two.mastery_after_L[at_cut[in_slot]])


def test_fitting_reads_training_students_only() -> None:
    log = random_log()
    train, others = np.arange(0, 30, 2), log.steps_of(np.arange(1, 30, 2))
    changed = replace(log, responses=log.responses.copy())
    changed.responses[others] ^= 1
    for name in NAMES:
        one, two = (getattr(BKT.fit(of, train).parameters, name) for of in (log, changed))
        assert torch.equal(one, two)


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("right", [lambda n: [1] * n, lambda n: [0] * n, lambda n: [i % 2 for i in range(n)]])
def test_degenerate_histories_stay_finite_and_in_bounds(right: Callable[[int], list[int]], forgets: bool) -> None:
    # Skill 0 is met 600 times in a row, skill 1 once, skill 2 never.
    history = [([0], r) for r in right(600)]
    log = log_of([history, [([0], 1), ([1], right(1)[0])]], num_skills=3)
    bkt = BKT.fit(log, np.arange(2), forgets=forgets, max_guess=0.4, max_slip=0.3)
    for name, high in (("prior", 1.0), ("learn", 1.0), ("forget", 1.0), ("guess", 0.4), ("slip", 0.3)):
        values = getattr(bkt.parameters, name)
        assert torch.all((values >= 0) & (values <= high)), name
    found = bkt.predict(log)
    for values in (found.probability_M, found.mastery_before_L, found.mastery_after_L):
        assert np.all((values >= 0) & (values <= 1))
    assert np.all((found.probability_M > 0) & (found.probability_M < 1))
    for name in NAMES:
        assert float(getattr(bkt.parameters, name)[2]) == pytest.approx(float(getattr(bkt.common, name)))


def test_students_can_be_chosen_and_the_rest_is_nan() -> None:
    log = random_log()
    bkt = BKT.fit(log, np.arange(20))
    everyone, some = bkt.predict(log), bkt.predict(log, np.array([7, 3]))
    chosen = np.isin(np.arange(log.num_steps), log.steps_of(np.array([3, 7])))
    np.testing.assert_array_equal(np.isfinite(some.probability_M), chosen)
    np.testing.assert_array_equal(some.probability_M[chosen], everyone.probability_M[chosen])


def test_a_saved_model_predicts_the_same_whatever_the_order_of_skills(tmp_path: Path) -> None:
    log = random_log()
    bkt: Reference = BKT.fit(log, np.arange(20), forgets=True, combine="product")
    again = BKT.load(bkt.save(tmp_path / "bkt.json"))
    np.testing.assert_array_equal(again.predict(log).probability_M, bkt.predict(log).probability_M)
    turned = replace(log, skills=6 - log.skills, skill_names=log.skill_names[::-1])
    np.testing.assert_array_equal(again.predict(turned).probability_M, bkt.predict(log).probability_M)


def test_an_unknown_skill_has_the_common_chances() -> None:
    log = random_log()
    bkt = BKT.fit(log, np.arange(20))
    names = log.skill_names.copy()
    names[2] = "new"
    found = bkt.predict(replace(log, skill_names=names))
    first = np.flatnonzero(log.skills == 2)[0]
    assert found.mastery_before_L[first] == float(bkt.common.prior)


def test_bad_settings_and_data_are_named(tmp_path: Path) -> None:
    log = random_log()
    for settings, message in (
        ({"combine": "minimun"}, "minimum"),
        ({"max_guess": 0.7, "max_slip": 0.4}, "sum to 1"),
        ({"max_slip": 1.0}, "max_slip=1.0"),
        ({"strength": 0.0}, "strength=0.0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ):
        with pytest.raises(ConfigError, match=message):
            BKT.fit(log, np.arange(20), **settings)
    with pytest.raises(DataError, match="no responses"):
        BKT.fit(log, np.arange(0))
    with pytest.raises(DataError, match="twice in one step"):
        BKT.fit(log_of([[([0, 0], 1), ([0], 1)]]), np.arange(1))
    with pytest.raises(DataError, match="no such file"):
        BKT.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"format": "gainkt-bkt-1"}')
    with pytest.raises(DataError, match="damaged"):
        BKT.load(tmp_path / "bad.json")
