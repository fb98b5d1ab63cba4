"""Every check passes a good model and fails the fault it exists for; levels and ceilings by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tables import TRAINED, Tables, good_tables
from rich.console import Console

from gainkt.errors import ConfigError
from gainkt.evaluation.check import LEVELS, MAY_MISS, NOT_MEASURABLE, Check, Measured, Rule, above, level_reached
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.scorecard.immediate_checks import IMMEDIATE
from gainkt.evaluation.scorecard.scorecard import COLUMNS, scorecard
from gainkt.evaluation.scorecard.trajectory_checks import TRAJECTORY
from gainkt.files import write_json
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
    assert (found["ceiling"], found["ceiling_is_bound"]) == (0.5, True)  # half of them at 1: any model's
    assert found["out_of_reach"] == {}


def test_what_t2_allows_is_no_ceiling_of_a_model_that_exceeds_it() -> None:
    """The median step moves one skill of 100 and the mean std is .497, as on Statics 2011: more than sqrt(.0099)."""
    tables = good_tables()
    tables.predictions["gain_std"] = np.float32(0.497)
    found = tables.check("t1_gain_differentiation", num_skills=100)
    assert found["value"] <= found["ceiling"]
    assert (found["ceiling"], found["ceiling_is_bound"]) == (0.5, True)
    assert "0.5000 possible" in found["reading"]
    assert "0.0995" not in found["reading"] + found["ceiling_reason"]


def test_no_ceiling_is_exceeded() -> None:
    """Encoder 1's correlation is what one model attains: mastery that does better raises it."""
    tables = good_tables()
    noisy(tables)
    blurred = tables.predictions["p1"] + np.random.default_rng(1).normal(0, 0.05, len(tables.predictions))
    tables.predictions["p1"] = np.float32(blurred.clip(0.01, 0.99))
    tables.predictions["mastery"] = tables.predictions["p2"]
    for check in tables.card()["checks"]:
        assert check["ceiling"] is None or check["value"] <= check["ceiling"]
    found = tables.check("mastery_response_correlation")
    assert found["ceiling"] == found["value"]
    assert not found["ceiling_is_bound"]
    assert "mastery itself reaches more" in found["ceiling_reason"]
    assert "% of what Encoder 1 attains" in found["reading"]
    assert int(found["reading"].split("%")[0].split()[-1]) > 100
    assert list(found["out_of_reach"]) == ["target", "optimal"]


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


def checks(levels: str, out: tuple[tuple[int, str], ...] = (), immediate: int = 5) -> list[Check]:
    """Checks from one letter each: n(one), m(inimum), t(arget), o(ptimal), or - for one that is not measurable.

    `out`: levels out of reach by number; `immediate`: how many are.
    """
    names = dict(zip("-nmto", ("none", "none", *LEVELS), strict=True))
    return [
        Check(
            name=str(i),
            title="",
            group="immediate" if i < immediate else "trajectory",
            verdict=NOT_MEASURABLE if letter == "-" else "pass",
            level=names[letter],
            out_of_reach={level: "" for number, level in out if number == i},
        )
        for i, letter in enumerate(levels)
    ]


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
    level, missing, _ = level_reached(checks(levels, out))
    assert level == expected
    assert list(missing) == list(LEVELS[LEVELS.index(expected) + 1 if expected != "none" else 0 :])


@pytest.mark.parametrize(
    ("levels", "immediate", "expected"),
    [
        # a sixth immediate check: one may still miss the minimum, none the target
        ("ooooon" + "oooooo", 6, "minimum"),
        ("oooonn" + "oooooo", 6, "none"),
        ("oooooo" + "oooonn", 6, "minimum"),
        ("oooooo" + "ooooon", 6, "target"),
        # a seventh trajectory check
        ("ooooo" + "ooooonn", 5, "minimum"),
        ("ooooo" + "oooonnn", 5, "none"),
        # what is not measurable is left out, and leaves the others as many to miss
        ("ooooo" + "ooo-oo", 5, "optimal"),
        ("ooooo" + "oon-oo", 5, "target"),
        ("ooooo" + "onn-oo", 5, "minimum"),
        ("ooooo" + "nnn-oo", 5, "none"),
        # but one of each group must hold
        ("ooooo" + "------", 5, "none"),
        ("----n" + "oooooo", 5, "none"),
        ("----o" + "oooooo", 5, "optimal"),
    ],
)
def test_allowances_follow_from_the_checks(levels: str, immediate: int, expected: str) -> None:
    level, _, groups = level_reached(checks(levels, immediate=immediate))
    assert level == expected
    for group, numbers in groups.items():
        of = [c for c in checks(levels, immediate=immediate) if c.group == group]
        assert numbers["checks"] == len(of)
        assert numbers["measurable"] == sum(c.verdict != NOT_MEASURABLE for c in of)
        for name, most in zip(LEVELS, MAY_MISS[group], strict=True):
            assert numbers["asked"][name] == max(numbers["measurable"] - most, 1)


# ---------------------------------------------------------------- checks from outside


def half_right(evidence: Evidence) -> Measured:
    return Measured(value=float(evidence.scored["p2"].mean()), reading="Encoder 2 expects this share to be right.")


EXPECTED = Rule("expected", "Expected share", above(0.2, 0.3), half_right)


@pytest.mark.parametrize("group", ["immediate", "trajectory"])
def test_an_added_check_stands_with_its_group(group: str) -> None:
    added = replace(EXPECTED, group=group)
    card = good_tables().card(added=[added])
    groups = [check["group"] for check in card["checks"]]
    assert groups == sorted(groups)
    assert card["groups"][group]["checks"] == {"immediate": 5, "trajectory": 6}[group] + 1
    found = next(check for check in card["checks"] if check["name"] == "expected")
    assert (found["verdict"], found["level"]) == ("pass", "optimal")
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(scorecard_view(card))
    lines = console.export_text().splitlines()
    rules = [i for i, line in enumerate(lines) if line.startswith("───") or line.startswith(" ──")]
    last, first = (next(i for i, line in enumerate(lines) if title in line) for title in ("Expected share", "T1 gain"))
    assert last < first if group == "immediate" else first < last
    between = [i for i in rules if min(last, first) < i < max(last, first)]
    assert len(between) == (1 if group == "immediate" else 0)
    count = card["groups"][group]["measurable"]
    assert f"{count} of {count} {group} checks hold, {count} must" in " ".join(" ".join(lines).split())


def test_an_added_check_that_fails_is_in_the_way() -> None:
    added = [replace(EXPECTED, name=name, levels=above(2, 2)) for name in ("one", "two")]
    card = good_tables().card(added=added)
    assert (card["level"], card["missing"]["minimum"]) == ("none", ["one", "two"])
    assert card["groups"]["immediate"]["asked"] == {"minimum": 6, "target": 7, "optimal": 7}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"group": "imediate"}, "did you mean 'immediate'"),
        ({"levels": {"minimum": ()}}, "must be minimum, target, optimal"),
        ({"levels": above(1, 2, relation="=>")}, "'=>' is no relation"),
    ],
)
def test_a_rule_that_cannot_be(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        replace(EXPECTED, **changes)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(0.5, "a Measured, found float"), (Measured("much", "?"), "a number as its value, found str")],
)
def test_what_an_added_check_measures_is_looked_at(measured: object, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"scorecard.checks.expected: must measure {expected}"):
        good_tables().card(added=[replace(EXPECTED, measure=lambda evidence: measured)])


def test_a_value_that_is_no_number_fails() -> None:
    broken = replace(EXPECTED, measure=lambda evidence: Measured(float("nan"), "?"))
    found = next(c for c in good_tables().card(added=[broken])["checks"] if c["name"] == "expected")
    assert (found["verdict"], found["value"], found["reading"]) == ("fail", None, "No value: the value is nan.")


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


def nobody_practises_a_skill_often(tables: Tables) -> None:
    first = tables.trajectories[tables.trajectories["relevant"]].groupby(["student", "skill"]).cumcount() < 7
    tables.trajectories = tables.trajectories.drop(index=first.index[~first])


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        (nothing_scored, {"encoder2_auc", "mastery_response_correlation", "prediction_range"}),
        (one_class, {"encoder2_auc", "mastery_response_correlation", "t6_response_conditional"}),
        (three_steps, {"t4_curve_shape"}),
        (nobody_practises_a_skill_often, {"t4_curve_shape"}),
        (one_student, {"t5_skill_difficulty"}),
        (no_rows, set(NAMES) - {"stability"}),
    ],
)
def test_what_these_data_do_not_define_is_not_measurable(change: Callable[[Tables], None], unknown: set[str]) -> None:
    tables = good_tables()
    change(tables)
    card = tables.card()
    json.dumps(card, allow_nan=False)
    verdicts = {check["name"]: check["verdict"] for check in card["checks"]}
    assert {name for name, verdict in verdicts.items() if verdict == "not_measurable"} == unknown
    for check in card["checks"]:
        assert (check["value"] is None) == (check["name"] in unknown)
        assert check["reading"].startswith("Not measurable: ") == (check["name"] in unknown)
    in_the_way = {name for names in card["missing"].values() for name in names}
    if change is no_rows:
        assert card["level"] == "none", "nothing was shown"
    else:
        assert not in_the_way & unknown, "the level is reckoned without what cannot be measured"
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(scorecard_view(card))
    text = " ".join(console.export_text().split())
    assert "left out, not measurable on this data" in text
    assert ("FAIL" in text) == ("fail" in verdicts.values())


def test_one_skill_has_nothing_to_tell_apart() -> None:
    assert good_tables().check("t1_gain_differentiation", num_skills=1)["verdict"] == "not_measurable"


def test_one_step_does_not_vary() -> None:
    tables = good_tables()
    tables.predictions = tables.predictions[(tables.predictions["student"] == "s0") & (tables.predictions["step"] == 1)]
    tables.trajectories = tables.trajectories[:0]
    found = {check["name"]: check["verdict"] for check in tables.card()["checks"]}
    assert found["prediction_range"] == found["gain_std"] == "not_measurable"


def test_validation_of_one_class_leaves_the_auc_of_test() -> None:
    other = good_tables(seed=1)
    one_class(other)
    found = good_tables().check("encoder2_auc", validation=other.predictions)
    assert (found["verdict"], found["further"]["validation_auc"]) == ("pass", None)


def no_gains(tables: Tables) -> None:
    tables.trajectories["gain"] = 0.0


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (not_finite, [name for name in NAMES if name not in ("t2_sparse_activation", "stability")]),
        (constant_mastery, ["mastery_response_correlation"]),
        (no_gains, ["t5_skill_difficulty"]),
    ],
)
def test_what_the_model_leaves_undefined_fails(spoil: Callable[[Tables], None], names: list[str]) -> None:
    tables = good_tables()
    spoil(tables)
    card = tables.card()
    json.dumps(card, allow_nan=False)
    found = {check["name"]: check for check in card["checks"]}
    assert [name for name, check in found.items() if check["value"] is None] == names
    for name in names:
        assert (found[name]["verdict"], found[name]["level"]) == ("fail", "none")
        assert found[name]["reading"].startswith("No value: ")
    Console(file=io.StringIO(), width=120).print(scorecard_view(card))


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
    write_json(tmp_path / "scorecard.json", card)
    assert json.loads((tmp_path / "scorecard.json").read_text()) == card


@pytest.mark.parametrize("table", ["predictions", "trajectories"])
def test_no_built_in_check_reads_a_column_that_is_left_unread(table: str) -> None:
    whole, part = good_tables(), good_tables()
    setattr(part, table, getattr(part, table)[list(COLUMNS[table])])
    assert part.card() == whole.card()


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


def drawn(tables: Tables) -> np.ndarray:
    """Leave figures over all skills at the steps of every third student."""
    rows = tables.predictions.student.isin([f"s{i}" for i in range(0, 120, 3)]).to_numpy()
    for column in ("gain_mean", "gain_std", "active_skills", "mastery_falls"):
        tables.predictions[column] = tables.predictions[column].astype(float).where(rows)
    return rows


def test_figures_over_all_skills_rest_on_the_steps_that_have_them() -> None:
    tables = good_tables()
    rows = drawn(tables)
    card, whole = tables.card(), good_tables().card()
    assert card["protocol"]["steps_over_all_skills"] == rows.sum() < len(rows)
    assert "steps_over_all_skills" not in whole["protocol"]
    found, exact = ({check["name"]: check for check in of["checks"]} for of in (card, whole))
    spread, active = (good_tables().predictions.loc[rows, name] for name in ("gain_std", "active_skills"))
    over_all = NAMES[5:8]
    assert found[over_all[0]]["value"] == pytest.approx(spread.mean())
    assert found[over_all[1]]["further"]["mean"] == pytest.approx(active.mean())
    assert found[over_all[2]]["value"] == 0
    over = f"(of {rows.sum():,} of {len(rows):,} steps, students drawn)"
    assert [name for name, check in found.items() if over in check["reading"]] == over_all
    others = [name for name in NAMES if name not in over_all]
    assert [found[name] for name in others] == [exact[name] for name in others]
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(scorecard_view(card))
    said = " ".join(console.export_text().split())
    assert f"{rows.sum():,} of {len(rows):,} steps, students drawn" in said
    tables.predictions.loc[np.flatnonzero(rows)[0], "gain_std"] = np.nan
    assert tables.check("stability")["verdict"] == "fail", "a value that is missing where the student was drawn"


def test_a_further_attempt_at_an_item_is_no_opportunity() -> None:
    once = good_tables()
    twice = good_tables()
    # Each step is tried again at once, and nobody learns from it.
    again = twice.predictions.assign(active_skills=0, gain_std=0.0, gain_practised=0.0)
    both = pd.concat([twice.predictions, again], keys=[0, 1], names=["attempt"]).reset_index(level=0)
    both["item"] = "i" + both["step"].astype(str)
    both["step"] = 2 * both["step"] + both.pop("attempt")
    twice.predictions = both.sample(frac=1, random_state=0).reset_index(drop=True)  # rows may stand in any order
    rows = pd.concat([twice.trajectories, twice.trajectories.assign(gain=0.0)], keys=[0, 1], names=["attempt"])
    rows = rows.reset_index(level=0).sort_values(["student", "step", "attempt"], kind="stable")
    rows["step"] = 2 * rows["step"] + rows.pop("attempt")
    twice.trajectories = rows.reset_index(drop=True)
    names = ("t1_gain_differentiation", "t2_sparse_activation", "t4_curve_shape")
    for name in names:
        assert twice.check(name)["value"] == pytest.approx(once.check(name)["value"])
        assert "4,320 further attempts at an item are left out" in twice.check(name)["reading"]
        assert "further attempts" not in once.check(name)["reading"]
    # Items that are never met twice in a row, or none, leave nothing out: the same steps then fail.
    for item in (None, "i" + twice.predictions["step"].astype(str)):
        twice.predictions["item"] = item
        assert twice.check("t2_sparse_activation")["verdict"] == "fail"
        assert twice.check("t1_gain_differentiation")["value"] < 0.6 * once.check(names[0])["value"]
