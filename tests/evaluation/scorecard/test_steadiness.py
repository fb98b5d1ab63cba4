"""What the scorecard says of mastery itself: by hand on made tables, with nulls and reasons where there is nothing."""

import io

import numpy as np
import pandas as pd
import pytest
from made_tables import Tables, good_tables
from rich.console import Console

from gainkt.files import plain
from gainkt.reporting.scorecard_table import mastery_rows, mastery_table

MOVEMENT = pd.DataFrame(
    {
        "met": [True, False],
        "cells": [50, 0],
        "mean": [0.02, np.nan],
        "p95": [0.08, np.nan],
        "drops": [0.04, np.nan],
    }
)
TABLES = good_tables(num_students=40)


def last_mastery(tables: Tables = TABLES) -> pd.DataFrame:
    rows = tables.trajectories
    return rows.groupby(["student", "skill"], as_index=False).mastery.last()


def truth(tables: Tables = TABLES) -> pd.DataFrame:
    """True mastery .1 below the estimate."""
    rows = tables.trajectories
    return rows[["student", "step", "skill"]].assign(true_mastery=rows.mastery.astype(float) - 0.1)


@pytest.fixture(scope="module")
def further() -> dict:
    return TABLES.card(mastery=last_mastery(), movement=MOVEMENT, truth=truth(), resamples=2)["further"]


def test_figures_are_those_of_the_tables(further: dict) -> None:
    steady = further["steadiness"]
    assert steady["movement"] == {
        "met": {"cells": 50, "mean": 0.02, "p95": 0.08, "drops": 0.04},
        "unmet": {"cells": 0, "mean": None, "p95": None, "drops": None},
    }
    answers = len(TABLES.trajectories)
    # The made model learns from any answer: its mastery rises after wrong ones, too.
    assert steady["direction"] == {"answers": answers, "rises_after_wrong": 1.0, "falls_after_right": 0.0}
    found = steady["calibration"]
    assert (found["answers"], found["bias"]) == (answers, pytest.approx(0.1))
    assert found["rmse"] == pytest.approx(0.1)
    assert found["error"] == pytest.approx(0.1)
    assert found["separation"] == 1
    assert sum(one["count"] for one in found["bins"]) == answers


def test_the_truth_of_others_is_not_told_apart() -> None:
    others = truth()
    others["true_mastery"] = np.random.default_rng(0).permutation(others.true_mastery)
    found = TABLES.card(truth=others, resamples=2)["further"]["steadiness"]["calibration"]
    assert found["separation"] == pytest.approx(0.5, abs=0.06)
    assert found["error"] > 0.15


def test_agreement_goes_by_skills_where_there_are_no_items(further: dict) -> None:
    found = further["edustudio"]["doa"]
    assert found["skills"] == 8
    assert 0.6 < found["value"] < 0.9
    assert found["pairs"] > 1000
    items = TABLES.predictions.assign(item=[f"item {step % 5}" for step in TABLES.predictions.step])
    by_item = Tables(items, TABLES.trajectories, TABLES.skills, 8).card(mastery=last_mastery(), resamples=2)["further"]
    assert by_item["edustudio"]["doa"]["pairs"] < found["pairs"] / 3


def test_mastery_that_is_another_students_agrees_by_chance() -> None:
    mine = last_mastery()
    draw = np.random.default_rng(0)
    values = [
        TABLES.card(
            mastery=mine.assign(mastery=mine.groupby("skill").mastery.transform(draw.permutation)), resamples=2
        )["further"]["edustudio"]["doa"]["value"]
        for _ in range(3)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=0.06)


def test_only_students_whose_mastery_is_known_are_counted() -> None:
    some = last_mastery()
    some = some[some.student.isin(some.student.unique()[:10])]
    found = TABLES.card(mastery=some, resamples=2)["further"]["edustudio"]["doa"]
    rows = TABLES.predictions[TABLES.predictions.student.isin(some.student)]
    alone = Tables(rows, TABLES.trajectories[TABLES.trajectories.student.isin(some.student)], TABLES.skills, 8)
    assert found == alone.card(mastery=some, resamples=2)["further"]["edustudio"]["doa"]


def test_identifiability_is_of_students_with_the_same_answers() -> None:
    rows, last = TABLES.predictions, last_mastery()
    double = rows[rows.student == "s0"].assign(student="s0 again")
    again = last[last.student == "s0"].assign(student="s0 again")
    tables = Tables(pd.concat([rows, double]), TABLES.trajectories, TABLES.skills, 8)
    same = tables.card(mastery=pd.concat([last, again]), resamples=2)["further"]["edustudio"]["identifiability"]
    again = again.assign(mastery=again.mastery + 0.2)
    apart = tables.card(mastery=pd.concat([last, again]), resamples=2)["further"]["edustudio"]["identifiability"]
    # Without items, an exercise is a skill: some others end with the same answers by chance.
    assert same["pairs"] == apart["pairs"] >= 1
    inverse = same["pairs"] / same["value"], apart["pairs"] / apart["value"]
    assert inverse[1] - inverse[0] > 0.5


def test_what_tables_do_not_hold_has_a_reason_and_is_printed_so() -> None:
    older = Tables(
        TABLES.predictions.drop(columns="item"),
        TABLES.trajectories.drop(columns="mastery_before"),
        TABLES.skills,
        8,
    ).card(resamples=2)["further"]
    found = {**older["steadiness"], **older["edustudio"]}
    assert all(one["value"] is None for one in found.values())
    assert "recorded without it" in found["movement"]["reason"]
    assert "no mastery_before" in found["direction"]["reason"]
    assert "simulated students only" in found["calibration"]["reason"]
    assert all(value == "-" for _, value, _ in mastery_rows(older))
    broken = MOVEMENT.assign(mean=np.nan)
    assert "not finite" in TABLES.card(movement=broken, resamples=2)["further"]["steadiness"]["movement"]["reason"]


def test_they_are_printed_and_older_scorecards_go_without(further: dict) -> None:
    said = io.StringIO()
    Console(file=said, width=120).print(mastery_table({"further": plain(further)}))
    for part in ("0.020", "4.0%", "100.0%", "DOA", "IDS", "bias", "answers of simulated students"):
        assert part in said.getvalue()
    assert mastery_table({"further": {}}) is None
