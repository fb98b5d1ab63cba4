"""What every reference model must keep to, whichever it is."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_logs import log_of

from conftest import random_log
from gainkt.data.log import InteractionLog, spans
from gainkt.errors import ConfigError, DataError
from gainkt.references import (
    BKT,
    PFA,
    BKTPrediction,
    PFAPrediction,
    Prediction,
    Rasch,
    RaschPrediction,
    Reference,
    implied_abilities,
)
from gainkt.references.base import ask

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
@pytest.mark.parametrize("slots", [1, 3])
def test_nothing_before_a_step_reads_its_response_or_a_later_one(model: str, slots: int) -> None:
    log = random_log(slots=slots)
    reference = fitted(model, slots)
    cut = log.offsets[:-1] + log.lengths // 2
    later = np.arange(log.num_steps) >= np.repeat(cut, log.lengths)
    flipped = replace(log, responses=np.where(later, 1 - log.responses, log.responses).astype(np.uint8))
    at_cut = np.isin(np.arange(log.num_steps), cut)
    same = ~later | at_cut
    of_slot = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    one, two = reference.predict(log), reference.predict(flipped)
    np.testing.assert_array_equal(one.probability_M[same], two.probability_M[same])
    np.testing.assert_array_equal(one.mastery_before_L[same[of_slot]], two.mastery_before_L[same[of_slot]])
    np.testing.assert_array_equal(reference.abilities(log)[same], reference.abilities(flipped)[same])
    assert np.any(reference.abilities(log)[~same] != reference.abilities(flipped)[~same])
    assert np.any(one.mastery_before_L[~same[of_slot]] != two.mastery_before_L[~same[of_slot]])
    # What holds after a step has seen its response.
    name = {"rasch": "ability_after_M", "pfa": "logit_after_L"}.get(model, "mastery_after_L")
    one_after, two_after = (getattr(said, name) for said in (one, two))
    steps = np.arange(log.num_steps) if name.endswith("M") else of_slot
    np.testing.assert_array_equal(one_after[~later[steps]], two_after[~later[steps]])
    assert np.all(one_after[at_cut[steps]] != two_after[at_cut[steps]])


@every_model
def test_fitting_reads_training_students_only(model: str) -> None:
    log = random_log()
    train, others = np.arange(0, 30, 2), log.steps_of(np.arange(1, 30, 2))
    changed = replace(log, responses=log.responses.copy())
    changed.responses[others] ^= 1
    one, two = (FITS[model](of, train) for of in (log, changed))
    assert one.parameters.equals(two.parameters)
    assert one.common == two.common


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
        np.testing.assert_allclose(one[places], all_[places], rtol=1e-12 if model == "rasch" else 0)
    assert len(reference.predict(log, np.array([], dtype=int)).probability_M) == log.num_steps


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
    new = unseen.skills[unseen.skill_offsets[:-1]] == 2
    first = unseen.skill_offsets[np.argmax(new)]
    said = reference.predict(unseen)
    if isinstance(said, BKTPrediction):
        assert said.mastery_before_L[first] == reference.common["prior"]
    elif isinstance(said, PFAPrediction):
        assert said.logit_before_L[first] == pytest.approx(reference.common["easiness"])
    elif isinstance(said, RaschPrediction):
        alone = np.diff(log.skill_offsets) == 1
        np.testing.assert_array_equal(said.difficulty_M[new & alone], reference.common["difficulty"])
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
def test_a_saved_model_is_the_same_to_the_bit_and_a_corrupted_one_is_refused(model: str, tmp_path: Path) -> None:
    log = random_log()
    reference = fitted(model)
    path = reference.save(tmp_path / "model.json")
    again = type(reference).load(path)
    assert again.name == reference.name
    np.testing.assert_array_equal(again.predict(log).mastery_before_L, reference.predict(log).mastery_before_L)
    np.testing.assert_array_equal(again.abilities(log), reference.abilities(log))
    assert again.table().equals(reference.table())
    turned = replace(log, skills=6 - log.skills, skill_names=log.skill_names[::-1])
    np.testing.assert_allclose(
        again.predict(turned).probability_M, reference.predict(log).probability_M, rtol=1e-15 if model == "rasch" else 0
    )
    text = path.read_text()
    number = repr(float(reference.table().iloc[3, -1]))
    assert number in text
    of_old = text[: text.index(',\n  "digest"')] + "\n}\n"  # earlier versions noted none
    path.write_text(of_old)
    assert type(reference).load(path).table().equals(reference.table())
    digit = number[:-1] + str((int(number[-1]) + 1) % 10)
    path.write_text(text.replace(number, digit))
    with pytest.raises(ValueError, match=r"was changed since it was written .*fit \w+ again"):
        type(reference).load(path)
    for corrupted in (
        *(x.replace(number, y) for x in (text, of_old) for y in ("NaN", "null")),
        of_old.replace('"k3",', ""),
        text[:200],
    ):
        path.write_text(corrupted)
        with pytest.raises(ValueError, match=r"(damaged|was changed) .*fit \w+ again"):
            type(reference).load(path)


def test_a_log_without_steps_has_no_abilities() -> None:
    empty = random_log().select(np.array([], dtype=int))
    for model in FITS:
        reference = fitted(model)
        assert reference.abilities(empty).shape == (0,)
        assert reference.static_abilities(empty).shape == (0,)


BAD_SETTINGS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "rasch": [
        ({"ability_sd": 0.0}, "ability_sd=0.0"),
        ({"difficulty_sd": float("inf")}, "difficulty_sd=inf"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
    "bkt": [
        ({"combine": "minimun"}, "minimum"),
        ({"max_guess": 0.7, "max_slip": 0.4}, "sum to 1"),
        ({"max_slip": 1.0}, "max_slip=1.0"),
        ({"strength": 0.0}, "strength=0.0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
    "pfa": [
        ({"counts": "log1"}, "did you mean 'log'"),
        ({"weight_sd": 0.0}, "weight_sd=0.0"),
        ({"max_iterations": 0}, "max_iterations=0"),
    ],
}


@pytest.mark.parametrize("kind", [Rasch, BKT, PFA])
def test_bad_settings_data_and_files_are_named(kind: type[Reference], tmp_path: Path) -> None:
    log, name = random_log(), kind.__name__.lower()
    for settings, message in BAD_SETTINGS[name]:
        with pytest.raises(ConfigError, match=message):
            kind.fit(log, np.arange(20), **settings)
    with pytest.raises(DataError, match="no responses"):
        kind.fit(log, np.arange(0))
    if kind is not Rasch:
        with pytest.raises(DataError, match=r"student 's0' has skill 'k0' twice in one step"):
            kind.fit(log_of([[([0, 0], 1), ([0], 1)]]), np.arange(1))
    with pytest.raises(DataError, match="no such file"):
        kind.load(tmp_path / "none.json")
    for content, message in (
        ('{"format": "gainkt-other-1"}', "this version reads"),
        (f'{{"format": "{kind.file_format()}"}}', "damaged"),
        ("[1]", "damaged"),
        ("", "damaged"),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(DataError, match=message):
            kind.load(tmp_path / "bad.json")


class Constant(Reference):
    """Predicts .5 whatever comes: the shortest model there can be."""

    @classmethod
    def fit(cls, log: InteractionLog, students: np.ndarray) -> "Constant":
        return cls(pd.DataFrame({"level": 0.0}, index=log.skill_names.astype(object)), {"level": 0.0})

    def predict(self, log: InteractionLog, students: np.ndarray | None = None) -> Prediction:
        return Prediction(np.full(log.num_steps, 0.5), np.full(len(log.skills), 0.5))

    def difficulty_of(self, parameters: pd.DataFrame) -> np.ndarray:
        return parameters["level"].to_numpy()


def test_three_methods_make_a_model(tmp_path: Path) -> None:
    log = random_log()
    model = Constant.fit(log, np.arange(20))
    assert model.name == "Constant"
    said = ask(Constant.load(model.save(tmp_path / "model.json")), log, np.arange(30))
    np.testing.assert_array_equal(said.ability_M, 0)
    np.testing.assert_array_equal(said.static_N, 0)
    assert said.learn_rate_K is None
    assert list(model.table()) == ["skill", "difficulty", "level"]


def changed(log: InteractionLog, **fields: Any) -> Prediction:
    said = Prediction(np.full(log.num_steps, 0.5), np.full(len(log.skills), 0.5))
    return replace(said, **{name: change(getattr(said, name).copy()) for name, change in fields.items()})


def put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[[3, 5]] = value
        return values

    return change


@pytest.mark.parametrize(
    ("method", "returned", "message"),
    [
        ("predict", lambda log: changed(log, probability_M=put(np.nan)), r"2 of \d+ probability_M are not in \(0, 1\)"),
        ("predict", lambda log: changed(log, probability_M=put(1.0)), r"the first at place 3 \(1.0\); mend Constant"),
        (
            "predict",
            lambda log: changed(log, mastery_before_L=put(-0.1)),
            r"2 of \d+ mastery_before_L are not in \[0, 1\]",
        ),
        ("predict", lambda log: changed(log, probability_M=lambda p: p[1:]), r"shape \(\d+,\); return \d+ numbers"),
        ("abilities", lambda log: np.full(log.num_steps, np.inf), r"abilities are not finite"),
        ("static_abilities", lambda log: np.zeros(3), r"static_abilities has shape \(3,\); return 30 numbers"),
        ("difficulties", lambda log: np.full(7, np.nan), "7 of 7 difficulties are not finite"),
        ("learn_rates", lambda log: np.zeros((7, 1)), r"learn_rates has shape \(7, 1\); return 7 numbers"),
    ],
)
def test_what_a_model_returns_is_checked(
    method: str, returned: Callable[[InteractionLog], Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = random_log()
    monkeypatch.setattr(Constant, method, lambda *_: returned(log))
    with pytest.raises(ConfigError, match=f"reference Constant: .*{message}"):
        ask(Constant.fit(log, np.arange(20)), log, np.arange(30))


def test_a_table_that_does_not_fit_is_refused() -> None:
    table = pd.DataFrame({"level": [0.0]}, index=["k0"])
    with pytest.raises(ValueError, match="not finite"):
        Constant(table * np.nan, {"level": 0.0})
    with pytest.raises(ValueError, match="common values"):
        Constant(table, {"height": 0.0})
