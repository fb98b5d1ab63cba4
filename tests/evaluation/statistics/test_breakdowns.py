"""Views of prediction against scikit-learn and cases worked out by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from gainkt.evaluation.statistics import breakdowns
from gainkt.evaluation.statistics.measurable import Unmeasurable
from gainkt.evaluation.statistics.metrics import prediction_metrics


def predictions(n: int = 900, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    student = np.sort(draw.integers(30, size=n))
    p2 = draw.random(n).round(2)
    sets = np.array(["a", "b", "a;c", "d", "b;c;a"])
    table = pd.DataFrame({"student": [f"s{i}" for i in student], "skills": draw.choice(sets, n)})
    table["scored"] = table["student"].duplicated()
    table["response"] = (draw.random(n) < p2).astype(np.int8)
    table["p1"], table["p2"] = np.float32(0.3 + p2 / 2 + draw.normal(0, 0.05, n)), p2.astype(np.float32)
    table["mastery"] = table["p2"] ** 2
    return table


HAND = pd.DataFrame(
    {
        "student": ["x"] * 5 + ["y"] * 3 + ["z"] * 2,
        "skills": ["a", "a", "b", "a;b", "b;c", "a", "a", "a", "b", "b"],
        "scored": [False, True, True, True, True, False, True, True, False, True],
        "response": [1, 1, 0, 0, 1, 0, 1, 0, 1, 1],
        "p2": [0.9, 0.8, 0.3, 0.8, 0.1, 0.5, 0.2, 0.4, 0.5, 0.6],
    }
)


def test_pooled_auc_is_that_of_scikit_learn() -> None:
    table = predictions()
    rows = table[table["scored"]]
    for column in ("p1", "p2"):
        assert breakdowns.auc(table, column) == pytest.approx(roc_auc_score(rows["response"], rows[column]))


def test_auc_within_students_is_the_weighted_mean_of_scikit_learn() -> None:
    table = predictions()
    found = breakdowns.within_student_auc(table)
    aucs, pairs = [], []
    for _, rows in table[table["scored"]].groupby("student"):
        aucs.append(roc_auc_score(rows["response"], rows["p2"]))
        pairs.append(rows["response"].sum() * (1 - rows["response"]).sum())
    assert found.auc == pytest.approx(np.average(aucs, weights=pairs))
    assert found.unweighted == pytest.approx(np.mean(aucs))
    assert (found.groups, found.pairs) == (len(aucs), sum(pairs))


def test_auc_within_students_by_hand() -> None:
    # x: rights .8 .1, wrongs .3 .8: .8 > .3, .8 = .8, .1 < both: 1.5 of 4; y: .2 < .4: 0 of 1; z: one class
    found = breakdowns.within_student_auc(HAND)
    assert found == breakdowns.GroupedAuc(auc=1.5 / 5, unweighted=pytest.approx((1.5 / 4) / 2), groups=2, pairs=5)


def test_auc_within_skills_counts_a_step_under_each_of_its_skills() -> None:
    table = predictions()
    rows = table[table["scored"]]
    aucs, pairs = [], []
    for skill in "abcd":
        mine = rows[[skill in names.split(";") for names in rows["skills"]]]
        aucs.append(roc_auc_score(mine["response"], mine["p2"]))
        pairs.append(mine["response"].sum() * (1 - mine["response"]).sum())
    found = breakdowns.within_skill_auc(table)
    assert found.auc == pytest.approx(np.average(aucs, weights=pairs))
    assert found.groups == 4


def test_first_attempts_by_hand() -> None:
    # unscored steps count as attempts; a step with one new skill among several is a first attempt
    expected = [True, False, True, False, True, True, False, False, True, False]
    assert breakdowns.first_attempts(HAND).tolist() == expected
    found = breakdowns.first_and_later(HAND)
    assert found["first"] == {"steps": 2, "auc": 0.0}  # x: wrong .3, right .1
    assert found["later"] == {"steps": 5, "auc": pytest.approx(2.5 / 6)}
    # rights .8 .2 .6 against wrongs .8 .4: a tie and .8 > .4, then .6 > .4


def test_first_attempts_with_one_class_have_no_auc() -> None:
    assert breakdowns.first_and_later(HAND.assign(response=1))["first"] == {"steps": 2, "auc": None}


def test_reliability_by_hand() -> None:
    table = breakdowns.reliability_table(HAND, num_bins=2)  # scored: .3 .1 .2 .4 | .8 .8 .6
    assert table["count"].tolist() == [4, 3]
    assert table["probability"].tolist() == pytest.approx([0.25, 2.2 / 3])
    assert table["right"].tolist() == pytest.approx([0.5, 2 / 3])
    assert breakdowns.expected_calibration_error(HAND, num_bins=2) == pytest.approx((4 * 0.25 + 3 * 0.2 / 3) / 7)


def test_calibration_error_is_that_of_the_run() -> None:
    table = predictions()
    table["p2"] = np.random.default_rng(1).random(len(table), dtype=np.float32)
    rows = table[table["scored"]]
    y = torch.tensor(rows["response"].to_numpy())
    figures = prediction_metrics(torch.tensor(rows["p2"].to_numpy()), y)
    assert breakdowns.expected_calibration_error(table) == pytest.approx(figures["calibration_error"], abs=1e-6)


def test_probabilities_0_and_1_fall_into_the_outer_bins() -> None:
    table = pd.DataFrame({"scored": True, "response": [0, 1], "p2": [0.0, 1.0]})
    assert breakdowns.reliability_table(table)[["low", "high"]].to_numpy().tolist() == [
        [0.0, pytest.approx(0.1)],
        [pytest.approx(0.9), 1.0],
    ]
    assert breakdowns.expected_calibration_error(table) == 0


def test_correlation_within_students_ignores_differences_between_them() -> None:
    table = pd.DataFrame({"student": list("aabb"), "scored": True, "response": [0, 1, 0, 1]})
    table["mastery"] = [0.8, 0.9, 0.1, 0.2]
    assert breakdowns.within_student_correlation(table) == pytest.approx(1)
    table["mastery"] = [0.9, 0.8, 0.2, 0.1]
    assert breakdowns.within_student_correlation(table) == pytest.approx(-1)


def test_agreement_is_that_of_scipy() -> None:
    table = predictions()
    rows = table[table["scored"]]
    found = breakdowns.encoder_agreement(table)
    assert found["pearson"] == pytest.approx(np.corrcoef(rows["p1"], rows["p2"])[0, 1])
    assert found["spearman"] == pytest.approx(spearmanr(rows["p1"], rows["p2"]).statistic)


def test_what_is_not_defined_is_said() -> None:
    table = predictions()
    with pytest.raises(Unmeasurable, match="1 of 870 values of p2"):
        breakdowns.auc(table.assign(p2=table["p2"].where(np.arange(len(table)) != 5)))
    with pytest.raises(Unmeasurable, match="one class"):
        breakdowns.within_student_auc(table.assign(response=1))
    with pytest.raises(Unmeasurable, match="no rows"):
        breakdowns.auc(table.assign(scored=False))
    with pytest.raises(Unmeasurable, match="does not vary"):
        breakdowns.encoder_agreement(table.assign(p1=np.float32(0.3)))
