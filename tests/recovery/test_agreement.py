"""Metrics of recovery against made-up estimates whose quality is known, and references."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from gainkt.data.splits import SeededFolds
from gainkt.evaluation.statistics.correlation import spearman
from gainkt.recovery.agreement import (
    Compared,
    Source,
    agreement,
    auc_of,
    compare,
    edge_recovery,
    first_opportunities,
    label_control_rows,
    less_receivers_mean,
    mean_by,
    parameter_rows,
    q_matrix_control_rows,
    students_from_curves,
    with_shares,
)
from gainkt.recovery.estimates import follow_bayes, truth_of
from gainkt.recovery.report import recovery_figure, recovery_markdown
from gainkt.simulation.simulate import shuffle_q_matrix, simulate_with_truth


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_spearman_and_auc_agree_with_references(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 9, 200).astype(float), rng.random(200)
    y += x / 9
    expected = pd.Series(x).corr(pd.Series(y), method="spearman")
    assert spearman(x, y) == pytest.approx(expected)
    x[:5] = np.nan
    assert spearman(x, y) == pytest.approx(pd.Series(x).corr(pd.Series(y), method="spearman"))
    assert np.isnan(spearman(np.ones(9) + 1e-9 * rng.random(9), rng.random(9)))
    response = rng.integers(0, 2, 200).astype(float)
    assert auc_of(y, response) == pytest.approx(roc_auc_score(response, y))
    assert np.isnan(auc_of(y, np.ones(200)))


def test_agreement_within_skills_is_not_fooled_by_their_difficulty(rng: np.random.Generator) -> None:
    skill = np.repeat(np.arange(5), 100)
    level = np.linspace(0.1, 0.9, 5)[skill]
    truth = level + 0.02 * rng.standard_normal(500)
    knows_skills = agreement(level, truth, skill)
    assert knows_skills["spearman"] > 0.9
    assert np.isnan(knows_skills["spearman_within_skill"])
    assert knows_skills["skills"] == 0
    guesses = agreement(level + 0.01 * rng.standard_normal(500), truth, skill)
    assert abs(guesses["spearman_within_skill"]) < 0.15
    exact = agreement(truth, truth, skill)
    assert [exact[n] for n in ("spearman", "rmse", "spearman_within_skill", "skills")] == pytest.approx([1, 0, 1, 5])
    assert agreement(truth[:120], truth[:120], skill[:120])["skills"] == 1  # the second skill has 20 cells
    with pytest.raises(ValueError, match="2 of 500"):
        agreement(np.where(np.arange(500) < 2, np.nan, truth), truth, skill)
    with pytest.raises(ValueError, match="no cells"):
        agreement(truth[:0], truth[:0], skill[:0])


def test_shares_are_1_for_the_best_and_say_nothing_where_it_is_unknown() -> None:
    figures = {"auc": 0.7, "rmse": 0.2, "spearman": 0.6, "cells": 9}
    assert with_shares(figures, figures) == {**figures, "auc_share": 1, "rmse_share": 1, "spearman_share": 1}
    shares = with_shares({"auc": 0.6, "rmse": 0.4, "spearman": 0.3}, figures)
    assert [shares[f"{name}_share"] for name in ("auc", "rmse", "spearman")] == pytest.approx([0.5] * 3)
    assert with_shares(figures, None) == figures


def test_first_opportunities_and_means() -> None:
    student, skill = np.array([0, 0, 0, 1, 1]), np.array([2, 1, 2, 2, 2])
    assert first_opportunities(student, skill).tolist() == [True, True, False, True, False]
    np.testing.assert_array_equal(mean_by(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3), [2, np.nan, 5])


def test_velocity_and_readiness_are_read_off_the_curves(rng: np.random.Generator) -> None:
    skills = pd.DataFrame(
        {
            "skill": ["a", "b"],
            "beta": [0.5, 2.0],
            "saturation": [0.8, 1.0],
            "offset": [1.0, -0.5],
            "experience": [np.nan, 0.3],
        },
        index=[3, 1],
    )
    velocity, readiness = {"x": 0.6, "y": 1.7, "z": 1.0}, {"x": -1.0, "y": 0.4, "z": 0.0}
    rows = []
    for student, gamma in velocity.items():
        for skill in skills.itertuples():
            # Student z gains no practice, and so shows no velocity.
            practice = np.zeros(6) if student == "z" else np.cumsum(rng.uniform(0.1, 0.4, 6))
            worth = practice if skill.skill == "a" else 0.3 * np.log1p(practice / 0.3)
            level = 1 / (1 + np.exp(-(skill.beta * gamma * worth - skill.offset + readiness[student])))
            rows.append(
                pd.DataFrame(
                    {
                        "student": student,
                        "skill": skill.skill,
                        "practice": practice,
                        "mastery_final": (skill.saturation * level).astype(np.float32),
                    }
                )
            )
    curves = pd.concat(rows)
    last = curves.groupby(["student", "skill"]).tail(1).rename(columns={"mastery_final": "mastery"})
    found = students_from_curves(curves, last, skills)
    assert found.loc[["x", "y"], "velocity"].tolist() == pytest.approx([0.6, 1.7], abs=2e-3)
    assert np.isnan(found.loc["z", "velocity"])
    assert found["ability"].tolist() == pytest.approx([-1.0, 0.4, 0.0], abs=2e-3)


def test_parameters_stand_in_order_with_what_they_mean() -> None:
    truth = {"saturation": np.array([1.0, 2, 3, 4]), "velocity": np.array([1.0, 2, 3, 4])}
    said = {"velocity": np.array([1, np.nan, 2, 9]), "saturation": -truth["saturation"]}
    rows = parameter_rows(
        *(Source(name, np.zeros(1), parameters=p) for name, p in (("model", said), ("oracle", truth)))
    )
    assert [(r["parameter"], r["spearman"], r["over"], r["identified"]) for r in rows] == [
        ("saturation", pytest.approx(-1), 4, False),
        ("velocity", pytest.approx(1), 3, True),
    ]


def test_edges_are_found_by_the_right_scores_and_by_chance_otherwise(rng: np.random.Generator) -> None:
    size = 12
    order = rng.permutation(size)
    strength = np.triu(rng.random((size, size)) < 0.2, k=1) * rng.uniform(0.1, 0.4, (size, size))
    transfer = np.zeros((size, size))
    transfer[np.ix_(order, order)] = strength
    perfect = edge_recovery(transfer + 5 * np.eye(size), transfer, order)
    assert (perfect["precision"], perfect["auc"], perfect["auc_in_order"]) == (1, 1, 1)
    assert perfect["chance"] == pytest.approx((transfer > 0).sum() / 132)
    assert perfect["chance_in_order"] == pytest.approx(2 * perfect["chance"])
    constant = edge_recovery(np.ones((size, size)), transfer, order)
    assert constant["precision"] == pytest.approx(constant["chance"])
    assert (constant["auc"], constant["auc_in_order"]) == (0.5, 0.5)
    # Who knows the order of the curriculum and no more is as good as chance among forward pairs.
    place = np.argsort(order)
    knows_order = edge_recovery((place[:, None] < place).astype(float), transfer, order)
    assert knows_order["precision"] == pytest.approx(knows_order["chance_in_order"])
    assert knows_order["auc"] > 0.7
    assert knows_order["auc_in_order"] == 0.5
    draws = [edge_recovery(rng.random((size, size)), transfer, order)["precision"] for _ in range(300)]
    assert np.mean(draws) == pytest.approx(perfect["chance"], abs=0.03)
    assert np.isnan(edge_recovery(transfer, np.zeros((size, size)), order)["precision"])


def test_a_receivers_mean_leaves_out_itself() -> None:
    gain = np.array([[9.0, 1.0, 4.0], [2.0, 9.0, 6.0], [4.0, 3.0, 9.0]])
    np.testing.assert_allclose(less_receivers_mean(gain), [[0, -1, -1], [-1, 0, 1], [1, 1, 0]])


@pytest.fixture(scope="module")
def study() -> tuple:
    simulation = simulate_with_truth(num_students=120, num_skills=5, num_items=25)
    cells = Compared.of(simulation.log, SeededFolds(num_folds=5, test_share=0.3, seed=0).split(simulation.log, 0))
    steps = simulation.truth.steps
    truth = Source(
        "oracle",
        steps.oracle_M,
        steps.mastery_before_L,
        steps.mastery_after_L,
        steps.gain_L,
        parameters={"mastery at first opportunity": cells.at_first_opportunity(steps.mastery_before_L)},
    )
    return simulation, cells, truth


def test_cells_are_the_scored_ones_of_test_students(study: tuple) -> None:
    simulation, cells, _ = study
    log, test = simulation.log, cells.split.test
    assert cells.scored_M.sum() == (log.lengths[test] - 1).sum()
    assert not cells.scored_M[log.offsets[:-1]].any()
    np.testing.assert_array_equal(cells.scored_L, cells.scored_M[cells.step_L])
    for title, slots in cells.courses(3):
        assert len(set(cells.student_L[slots])) == len(set(log.skills[slots])) == 1
        assert title == f"{log.students[cells.student_L[slots[0]]]}, {log.skill_names[log.skills[slots[0]]]}"
        assert np.all(np.diff(cells.step_L[slots]) > 0)


def test_a_report_compares_all_sources_and_finds_the_corrupted_one(study: tuple, rng: np.random.Generator) -> None:
    simulation, cells, true = study
    noise = rng.random(len(true.mastery_before_L))
    model = Source(
        "model",
        rng.random(len(true.probability_M)),
        noise,
        parameters=true.parameters,
        encoder1_M=true.probability_M,
    )
    content = compare(cells, true, true, [model], [])
    predictions = {row["source"]: row for row in content["predictions"]}
    assert predictions["oracle"]["auc_share"] == predictions["model, Encoder 1"]["auc_share"] == 1
    assert abs(predictions["model"]["auc_share"]) < 0.3
    low, high = predictions["oracle"]["auc_interval"]
    assert low < predictions["oracle"]["auc"] < high
    assert [row["source"] for row in content["gains"]] == ["oracle"]
    assert content["logits"] == [], "the study says nothing of them"
    made = truth_of(simulation, cells)
    steepness = simulation.truth.world.steepness_K[simulation.log.skills]
    np.testing.assert_allclose(made.logits_L, true.gain_L * steepness)
    whole = compare(cells, made, follow_bayes(simulation, cells, 50), [], [])
    assert [row["source"] for row in whole["logits"]] == ["Bayes filter"]
    assert 0.3 < whole["logits"][0]["spearman"] < 1
    before = {row["source"]: row for row in content["mastery_before"]}
    assert before["oracle"]["spearman"] == pytest.approx(1)
    assert abs(before["model"]["spearman"]) < 0.15

    corrupted = Compared.of(shuffle_q_matrix(simulation.log), cells.split)
    content["controls"] = label_control_rows([(model, model)], cells, cells) + q_matrix_control_rows(
        [(true, Source("corrupted", true.probability_M, rng.random(len(corrupted.log.skills))))],
        cells,
        true.mastery_before_L,
        corrupted,
        rng.random(len(corrupted.log.skills)),
    )
    assert [row["figure"] for row in content["controls"]][:2] == ["AUC", "AUC"]
    assert content["controls"][2]["true_data"] == pytest.approx(1)
    assert abs(content["controls"][2]["value"]) < 0.2

    about = {"students": 120, "skills": 5, "seed": 0, "test_students": 36, "steps": 9, "cells": 9}
    text = recovery_markdown({"about": about, **content})
    for expected in ("## Predictions", "| model, Encoder 1 |", "mastery at first opportunity", "## Negative controls"):
        assert expected in text
    assert "## Transfer" not in text
    assert "nan" not in text
    sources = [true, model]
    step = cells.step_L - simulation.log.offsets[cells.student_L]
    assert len(recovery_figure(sources, true, step, cells.courses()).axes) == 8
