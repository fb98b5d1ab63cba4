"""What every reference model must keep to, whichever it is."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from conftest import random_log
from gainkt.data.log import InteractionLog, spans
from gainkt.references import BKT, PFA, Rasch, Reference, implied_abilities

Fit = Callable[[InteractionLog, np.ndarray], Reference]
FITS: dict[str, Fit] = {
    "rasch": Rasch.fit,
    "bkt": BKT.fit,
    "bkt_forgetting": lambda log, students: BKT.fit(log, students, forgets=True),
    "bkt_product": lambda log, students: BKT.fit(log, students, combine="product"),
    "pfa": PFA.fit,
}


@cache
def fitted(model: str, slots: int = 3) -> Reference:
    return FITS[model](random_log(slots=slots), np.arange(20))


every_model = pytest.mark.parametrize("model", FITS)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def mean_difficulty(log: InteractionLog, difficulty_K: np.ndarray) -> np.ndarray:
    """Mean over each step's skills, one step after another."""
    return np.array(
        [difficulty_K[log.skills[a:b]].mean() for a, b in zip(log.skill_offsets, log.skill_offsets[1:], strict=False)]
    )


@every_model
def test_a_rasch_model_of_the_implied_abilities_predicts_the_same(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    said, difficulty = reference.predict(log), reference.difficulties(log)
    ability = reference.abilities(log)
    assert difficulty.shape == (log.num_skills,)
    np.testing.assert_allclose(sigmoid(ability - mean_difficulty(log, difficulty)), said.probability_M, atol=1e-12)
    np.testing.assert_array_equal(reference.abilities(log, None, said), ability)
    np.testing.assert_allclose(implied_abilities(log, said.probability_M, difficulty), ability, atol=1e-10)


@every_model
def test_difficulty_is_that_of_a_first_opportunity(model: str) -> None:
    log = random_log(slots=1)
    reference = fitted(model, slots=1)
    starts = log.offsets[:-1]
    first = reference.predict(log).probability_M[starts]
    # An average student: nothing is known of one who has not answered yet.
    np.testing.assert_allclose(first, sigmoid(-reference.difficulties(log)[log.skills[starts]]), atol=1e-12)
    np.testing.assert_allclose(reference.abilities(log)[starts], 0, atol=1e-12)


@every_model
def test_nothing_before_a_step_reads_its_response_or_a_later_one(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    cut = log.offsets[:-1] + log.lengths // 2
    later = np.arange(log.num_steps) >= np.repeat(cut, log.lengths)
    flipped = replace(log, responses=np.where(later, 1 - log.responses, log.responses).astype(np.uint8))
    same = ~later
    same[cut] = True
    slots = same[np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))]
    one, two = reference.predict(log), reference.predict(flipped)
    np.testing.assert_array_equal(one.probability_M[same], two.probability_M[same])
    np.testing.assert_array_equal(one.mastery_before_L[slots], two.mastery_before_L[slots])
    np.testing.assert_array_equal(reference.abilities(log)[same], reference.abilities(flipped)[same])
    assert np.any(reference.abilities(log)[~same] != reference.abilities(flipped)[~same])
    assert np.any(one.mastery_before_L[~slots] != two.mastery_before_L[~slots])


@every_model
def test_mastery_is_within_bounds_and_of_one_skill_alone(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    said = reference.predict(log)
    assert said.mastery_before_L.shape == (len(log.skills),)
    assert np.all((said.mastery_before_L > 0) & (said.mastery_before_L < 1))
    alone = np.repeat(np.diff(log.skill_offsets) == 1, np.diff(log.skill_offsets))
    if not isinstance(reference, BKT):  # whose mastery is P(L): there a skill that is known may still be slipped on
        single = np.diff(log.skill_offsets) == 1
        np.testing.assert_allclose(said.mastery_before_L[alone], said.probability_M[single])


@every_model
def test_students_left_out_are_nan_and_change_nothing(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    chosen = np.array([7, 3])
    steps = log.steps_of(chosen)
    slots = spans(log.skill_offsets[:-1][steps], np.diff(log.skill_offsets)[steps])
    some, everyone = reference.predict(log, chosen), reference.predict(log)
    for one, all_, places in (
        (some.probability_M, everyone.probability_M, steps),
        (some.mastery_before_L, everyone.mastery_before_L, slots),
        (reference.abilities(log, chosen), reference.abilities(log), steps),
        (reference.static_abilities(log, chosen), reference.static_abilities(log), chosen),
    ):
        assert set(np.flatnonzero(np.isfinite(one))) == set(places)
        np.testing.assert_allclose(one[places], all_[places], rtol=1e-12)


@every_model
def test_a_static_ability_is_one_a_student(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    static, ability = reference.static_abilities(log), reference.abilities(log)
    assert static.shape == (log.num_students,)
    if isinstance(reference, Rasch):
        after = reference.predict(log).ability_after_M
        np.testing.assert_array_equal(static, after[log.offsets[1:] - 1])
    else:
        means = [ability[a:b].mean() for a, b in zip(log.offsets, log.offsets[1:], strict=False)]
        np.testing.assert_allclose(static, means)


@every_model
def test_skills_are_matched_by_name_and_unseen_ones_have_what_skills_have_in_general(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    turned = replace(log, skills=6 - log.skills, skill_names=log.skill_names[::-1])
    np.testing.assert_array_equal(reference.difficulties(turned), reference.difficulties(log)[::-1])
    np.testing.assert_allclose(reference.abilities(turned), reference.abilities(log), rtol=1e-12)
    names = log.skill_names.copy()
    names[[2, 4]] = "new", "newer"
    unseen = replace(log, skill_names=names)
    difficulty, rates = reference.difficulties(unseen), reference.learn_rates(unseen)
    assert difficulty[2] == difficulty[4]
    kept = [0, 1, 3, 5, 6]
    np.testing.assert_array_equal(difficulty[kept], reference.difficulties(log)[kept])
    if rates is None:
        assert isinstance(reference, Rasch)
    else:
        assert rates[2] == rates[4]
        np.testing.assert_array_equal(rates[kept], reference.learn_rates(log)[kept])


@every_model
def test_the_table_names_what_the_model_tells(model: str) -> None:
    log = random_log()
    reference = fitted(model)
    table = reference.table()
    assert list(table.columns[:2]) == ["skill", "difficulty"]
    assert list(table.skill) == list(log.skill_names)
    np.testing.assert_array_equal(table.difficulty, reference.difficulties(log))
    rates = reference.learn_rates(log)
    column = {"rasch": None, "pfa": "right"}.get(model, "learn")
    if column is not None:
        np.testing.assert_array_equal(table[column], rates)
    assert ("forget" in table) == (model == "bkt_forgetting")


@every_model
def test_a_saved_model_is_the_same_to_the_bit_and_a_spoilt_one_is_refused(model: str, tmp_path: Path) -> None:
    log = random_log()
    reference = fitted(model)
    path = reference.save(tmp_path / "model.json")
    again = type(reference).load(path)
    assert again.name == reference.name
    np.testing.assert_array_equal(again.predict(log).mastery_before_L, reference.predict(log).mastery_before_L)
    np.testing.assert_array_equal(again.abilities(log), reference.abilities(log))
    assert again.table().equals(reference.table())
    text = path.read_text()
    number = repr(float(reference.table().iloc[3, -1]))
    assert number in text
    for spoilt in (text.replace(number, "NaN"), text.replace(number, "null"), text.replace('"k3",', ""), text[:200]):
        path.write_text(spoilt)
        with pytest.raises(ValueError, match=r"damaged .*fit \w+ again"):
            type(reference).load(path)


def test_a_log_without_steps_has_no_abilities() -> None:
    empty = random_log().select(np.array([], dtype=int))
    for model in FITS:
        reference = fitted(model)
        assert reference.abilities(empty).shape == (0,)
        assert reference.static_abilities(empty).shape == (0,)
