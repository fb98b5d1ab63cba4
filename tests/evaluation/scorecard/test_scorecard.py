"""Every check passes a good model and fails the fault it exists for; levels and ceilings by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_tables import TRAINED, Tables, good_tables
from rich.console import Console

from gainkt.evaluation.check import LEVELS, Check
from gainkt.evaluation.scorecard.immediate_checks import IMMEDIATE
from gainkt.evaluation.scorecard.scorecard import level_reached, scorecard, write_scorecard
from gainkt.evaluation.scorecard.trajectory_checks import TRAJECTORY
from gainkt.reporting.scorecard_table import scorecard_view

NAMES = [rule.name for rule in (*IMMEDIATE, *TRAJECTORY)]


def test_a_good_model_passes_all_eleven() -> None:
    card = good_tables().card()
    assert [check["name"] for check in card["checks"]] == NAMES
    assert {check["name"]: check["verdict"] for check in card["checks"]} == dict.fromkeys(NAMES, "pass")
    assert {check["level"] for check in card["checks"]} == {"optimal"}
    assert (card["level"], card["missing"]) == ("optimal", {})
    for check in card["checks"]:
        if check["interval"] is not None:
            low, high = check["interval"]
            assert low <= check["value"] <= high


def shuffled_labels(tables: Tables) -> None:
    labels = np.random.default_rng(0).permutation(tables.predictions["response"])
    tables.predictions["response"] = labels


def constant_mastery(tables: Tables) -> None:
    tables.predictions["mastery"] = np.float32(0.3)


def narrow_range(tables: Tables) -> None:
    tables.predictions["p2"] = 0.3 + 0.16 * tables.predictions["p2"]


def nan_in_tables(tables: Tables) -> None:
    tables.trajectories.loc[7, "practice"] = np.nan


def uniform_gains(tables: Tables) -> None:
    tables.predictions["gain_practised"] = 0.59
    tables.predictions["gain_std"] = 0.0018
    tables.predictions["active_skills"] = tables.num_skills
    tables.trajectories["gain"] = 0.59


def few_gains(tables: Tables) -> None:
    tables.predictions["active_skills"] = 0


def falling_mastery(tables: Tables) -> None:
    tables.trajectories["mastery_final"] = 1 - tables.trajectories["mastery_final"]


def fall_of_an_unmet_skill(tables: Tables) -> None:
    tables.predictions.loc[11, "mastery_falls"] = 1


def linear_curves(tables: Tables) -> None:
    own = tables.trajectories["relevant"]
    count = tables.trajectories[own].groupby(["student", "skill"]).cumcount()
    tables.trajectories["mastery_final"] = (0.1 + 0.05 * count).reindex(tables.trajectories.index, fill_value=0.1)


def equal_gains_after_right_and_wrong(tables: Tables) -> None:
    gains = np.random.default_rng(0).permutation(tables.predictions["gain_practised"])
    tables.predictions["gain_practised"] = gains


def difficulty_without_effect(tables: Tables) -> None:
    own = tables.trajectories["relevant"]
    gains = np.random.default_rng(0).permutation(tables.trajectories.loc[own, "gain"])
    tables.trajectories.loc[own, "gain"] = gains


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("encoder2_auc", shuffled_labels),
        ("mastery_response_correlation", shuffled_labels),
        ("mastery_response_correlation", constant_mastery),
        ("prediction_range", narrow_range),
        ("stability", nan_in_tables),
        ("gain_std", uniform_gains),
        ("t1_gain_differentiation", uniform_gains),
        ("t2_sparse_activation", uniform_gains),
        ("t2_sparse_activation", few_gains),
        ("t3_monotonicity", falling_mastery),
        ("t3_monotonicity", fall_of_an_unmet_skill),
        ("t4_curve_shape", falling_mastery),
        ("t4_curve_shape", linear_curves),
        ("t5_skill_difficulty", uniform_gains),
        ("t5_skill_difficulty", difficulty_without_effect),
        ("t6_response_conditional", uniform_gains),
        ("t6_response_conditional", equal_gains_after_right_and_wrong),
    ],
)
def test_every_check_fails_its_fault(name: str, spoil: Callable[[Tables], None]) -> None:
    tables = good_tables()
    spoil(tables)
    found = tables.check(name)
    assert (found["verdict"], found["level"], found["out_of_reach"]) == ("fail", "none", {})


@pytest.mark.parametrize(
    "change",
    [{"finite": False}, {"gradient_norm_max": 1e4}, {"gradient_norm_max": float("nan")}, {"gradient_norm_max": None}],
)
def test_stability_fails_in_training(change: dict[str, object]) -> None:
    assert good_tables().check("stability", training={**TRAINED, **change})["verdict"] == "fail"


def test_unwatched_training_is_said() -> None:
    found = good_tables().check("stability", training=None)
    assert found["verdict"] == "pass"
    assert "not watched" in found["reading"]


def test_the_lower_auc_of_test_and_validation_counts() -> None:
    worse = good_tables(seed=1)
    shuffled_labels(worse)
    found = good_tables().check("encoder2_auc", validation=worse.predictions)
    assert found["verdict"] == "fail"
    assert found["value"] == pytest.approx(0.5, abs=0.05)
    assert found["further"]["auc"] > 0.9
    assert "validation" in found["reading"]


# ---------------------------------------------------------------- ceilings


def test_one_active_skill_of_100_cannot_differ_by_a_tenth() -> None:
    tables = good_tables()
    tables.predictions["gain_std"] = 0.07
    found = tables.check("t1_gain_differentiation", num_skills=100)
    assert found["ceiling"] == pytest.approx(np.sqrt(0.01 * 0.99))  # .0995
    assert (found["verdict"], found["level"]) == ("pass", "minimum")
    assert list(found["out_of_reach"]) == ["target", "optimal"]
    assert "0.0995" in found["out_of_reach"]["target"]
    assert "n = 1" in found["out_of_reach"]["target"]


def test_a_minimum_above_the_ceiling_is_out_of_reach_and_no_pass() -> None:
    tables = good_tables()
    tables.predictions["gain_std"] = 0.03
    card = tables.card(num_skills=1000)  # sqrt(.001 * .999) = .0316
    found = next(check for check in card["checks"] if check["name"] == "t1_gain_differentiation")
    assert (found["verdict"], found["level"]) == ("out_of_reach", "none")
    assert list(found["out_of_reach"]) == list(LEVELS)
    assert card["level"] == "optimal"  # all others are; this one cannot be


def test_more_active_skills_than_asked_excuse_nothing() -> None:
    tables = good_tables()
    uniform_gains(tables)
    found = tables.check("t1_gain_differentiation", num_skills=100)
    assert found["ceiling"] == pytest.approx(np.sqrt(0.03 * 0.97))  # of the three that T2 allows
    assert found["out_of_reach"] == {}


def noisy(tables: Tables) -> None:
    """Responses that even the true probability predicts badly: r about .4 and AUC about .73."""
    draw = np.random.default_rng(0)
    truth = 0.5 + 0.4 * (tables.predictions["p2"] - 0.5)
    tables.predictions["p1"] = truth
    tables.predictions["p2"] = truth
    tables.predictions["response"] = (draw.random(len(truth)) < truth).astype(int)


def test_correlation_above_that_of_encoder_1_is_out_of_reach() -> None:
    tables = good_tables()
    noisy(tables)
    found = tables.check("mastery_response_correlation")
    scored = tables.predictions[tables.predictions["scored"]]
    assert found["ceiling"] == pytest.approx(np.corrcoef(scored["p1"], scored["response"])[0, 1])
    assert 0.3 < found["ceiling"] < 0.5
    assert (found["verdict"], found["level"]) == ("pass", "minimum")
    assert list(found["out_of_reach"]) == ["target", "optimal"]


def test_a_broken_encoder_1_excuses_nothing() -> None:
    tables = good_tables()
    constant_mastery(tables)
    tables.predictions["mastery"] += np.random.default_rng(0).random(len(tables.predictions), dtype=np.float32)
    tables.predictions["p1"] = np.random.default_rng(1).random(len(tables.predictions), dtype=np.float32)
    found = tables.check("mastery_response_correlation")
    assert (found["verdict"], found["ceiling"], found["out_of_reach"]) == ("fail", None, {})
    assert "no yardstick" in found["ceiling_reason"]


# ---------------------------------------------------------------- levels


def checks(levels: str, out: tuple[tuple[int, str], ...] = ()) -> tuple[list[Check], list[Check]]:
    """Checks from one letter each: n(one), m(inimum), t(arget), o(ptimal); `out`: levels out of reach by number."""
    names = dict(zip("nmto", ("none", *LEVELS), strict=True))
    blank = Check("", "", 0.0, None, {}, None, "", "pass", "none", {}, "", {})
    made = [
        replace(blank, name=str(i), level=names[letter], out_of_reach={lvl: "" for n, lvl in out if n == i})
        for i, letter in enumerate(levels)
    ]
    return made[:5], made[5:]


@pytest.mark.parametrize(
    ("levels", "out", "expected"),
    [
        ("ooooo" + "oooooo", (), "optimal"),
        ("ooooo" + "ooooot", (), "target"),
        ("ooooo" + "ooooon", (), "target"),
        ("ooooo" + "oooonn", (), "minimum"),
        ("ooooo" + "ooonnn", (), "none"),
        ("oooon" + "oooonn", (), "minimum"),
        ("ooonn" + "oooooo", (), "none"),
        ("oooom" + "oooooo", (), "minimum"),
        ("oooom" + "oooooo", ((4, "target"), (4, "optimal")), "optimal"),
        ("oooom" + "oooooo", ((4, "target"),), "target"),
        # nothing is left aside for a check that misses a level within its reach
        ("oooon" + "oooooo", ((4, "target"), (4, "optimal")), "minimum"),
        # nor at the minimum
        ("ooonn" + "oooooo", ((3, "minimum"), (4, "minimum")), "none"),
    ],
)
def test_levels(levels: str, out: tuple[tuple[int, str], ...], expected: str) -> None:
    level, missing = level_reached(*checks(levels, out))
    assert level == expected
    assert list(missing) == list(LEVELS[LEVELS.index(expected) + 1 if expected != "none" else 0 :])


# ---------------------------------------------------------------- the rest of the card


def test_what_carries_the_prediction() -> None:
    tables = good_tables()
    tables.predictions["p2_velocity_mean"] = tables.predictions["p2"]
    found = tables.card()["carries"]
    assert found["gains"]["fall"] > 0.02
    assert found["gains"]["interval"][0] > 0
    assert found["velocity"] == {
        "auc_without": tables.card()["further"]["encoder2_auc"]["value"],
        "fall": 0.0,
        "interval": [0.0, 0.0],
        "share_of_logit": 0.0,
    }
    assert found["readiness"] == {"value": None, "reason": "the model has no such part"}
    assert found["right_skill"]["auc_without"] == pytest.approx(0.5, abs=0.05)


def test_threshold_logic_holds_where_the_least_mastery_decides() -> None:
    tables = good_tables()
    assert tables.card()["further"]["threshold_logic"]["value"] is None
    draw = np.random.default_rng(0)
    n = len(tables.predictions)
    masteries = draw.random((n, 2))
    tables.predictions["skills"] = "k0;k1"
    tables.predictions["mastery"] = masteries.min(1)
    tables.predictions["mastery_mean"] = masteries.mean(1)
    tables.predictions["response"] = (draw.random(n) < masteries.min(1)).astype(int)
    found = tables.card()["further"]["threshold_logic"]
    assert found["holds"]
    assert found["interval"][0] > 0
    tables.predictions["response"] = (draw.random(n) < masteries.mean(1)).astype(int)
    assert not tables.card()["further"]["threshold_logic"]["holds"]


def test_criteria_of_earlier_phases() -> None:
    more = good_tables().card()["further"]
    auc1, auc2 = more["encoder1_auc"]["value"], more["encoder2_auc"]["value"]
    assert more["combined_score"] == pytest.approx({"alpha_0.5": auc1 + auc2 / 2, "alpha_1": auc1 + auc2})
    assert more["phase2"]["holds"]
    assert [row["name"] for row in more["v3_criteria"]] == [name for name in NAMES[:5] if name != "stability"]
    assert more["beta_spread"]["holds"]


def nothing_scored(tables: Tables) -> None:
    tables.predictions["scored"] = False


def one_class(tables: Tables) -> None:
    tables.predictions["response"] = tables.trajectories["response"] = 1


def three_steps(tables: Tables) -> None:
    tables.predictions = tables.predictions[tables.predictions["step"] < 3]
    tables.trajectories = tables.trajectories[tables.trajectories["step"] < 3]


def one_student(tables: Tables) -> None:
    tables.predictions = tables.predictions[tables.predictions["student"] == "s0"]
    tables.trajectories = tables.trajectories[tables.trajectories["student"] == "s0"]


def not_finite(tables: Tables) -> None:
    tables.predictions[["p1", "p2", "mastery", "gain_practised", "gain_std"]] = np.nan
    tables.trajectories[["gain", "practice", "mastery", "mastery_final"]] = np.nan
    tables.skills[["gain_mean", "beta"]] = np.nan


def no_rows(tables: Tables) -> None:
    tables.predictions, tables.trajectories = tables.predictions[:0], tables.trajectories[:0]


@pytest.mark.parametrize("spoil", [nothing_scored, one_class, three_steps, one_student, not_finite, no_rows])
def test_what_cannot_be_measured_fails_and_says_why(spoil: Callable[[Tables], None]) -> None:
    tables = good_tables()
    spoil(tables)
    card = tables.card()
    json.dumps(card, allow_nan=False)
    for check in card["checks"]:
        if check["value"] is None:
            assert check["verdict"] == "fail"
            assert check["reading"].startswith("Not measurable: ")
    Console(file=io.StringIO(), width=120).print(scorecard_view(card))
    if spoil is not one_student:
        assert None in [check["value"] for check in card["checks"]]


def test_two_runs_are_not_mixed() -> None:
    tables = good_tables()
    tables.trajectories["student"] = "somebody"
    with pytest.raises(ValueError, match="'somebody' is in the trajectories but not in the predictions"):
        tables.card()


def test_a_cut_table_is_said() -> None:
    tables = good_tables()
    assert tables.card()["protocol"]["trajectories_complete"]
    tables.trajectories = tables.trajectories[tables.trajectories["student"] == "s1"]
    assert tables.card()["protocol"]["students_in_trajectories"] == 1
    assert not tables.card()["protocol"]["trajectories_complete"]


def test_same_seed_same_card(tmp_path: Path) -> None:
    tables = good_tables()
    before = tables.predictions.copy()
    card = tables.card(seed=3)
    assert card == tables.card(seed=3)
    assert card["checks"][0]["interval"] != tables.card(seed=4)["checks"][0]["interval"]
    assert tables.predictions.equals(before)
    write_scorecard(card, tmp_path / "scorecard.json")
    assert json.loads((tmp_path / "scorecard.json").read_text()) == card


def test_the_table_is_readable_without_colour() -> None:
    tables = good_tables()
    uniform_gains(tables)
    card = scorecard(
        tables.predictions, tables.trajectories, tables.skills, training=None, validation=None, num_skills=8
    )
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(scorecard_view(card))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 120
    assert "FAIL" in text
    assert "Level reached: none; not at minimum: Gain std at the practised skill" in text
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_every_reading_is_shown_at_any_width(width: int) -> None:
    card = good_tables().card()
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(scorecard_view(card))
    shown = " ".join(console.export_text().split())
    for check in card["checks"]:
        assert check["title"].split()[0] in shown
        words = check["reading"].split()
        assert sum(word in shown for word in words) > 0.8 * len(words)
