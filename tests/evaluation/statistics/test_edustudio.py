"""Degree of agreement and identifiability by hand and as EduStudio counts them, pair by pair."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from gainkt.evaluation.statistics import edustudio
from gainkt.evaluation.statistics.edustudio import degree_of_agreement, identifiability
from gainkt.evaluation.statistics.measurable import Unmeasurable

DRAW = np.random.default_rng(0)


def answers(num_students: int = 30, num_items: int = 6, count: int = 300) -> tuple[np.ndarray, ...]:
    """Student, item and response of some answers; item j is of skill j % 3, and students repeat items."""
    student = np.sort(DRAW.integers(num_students, size=count))
    return student, DRAW.integers(num_items, size=count), DRAW.integers(2, size=count)


def test_agreement_by_hand() -> None:
    """Skill 0, item 0: .9 > .2 and .4 > .2 in order, .9 = .9 does not count; skill 1: .3 < .6; skill 2: all right."""
    skill, item = np.array([0, 0, 0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 1, 1, 2])
    mastery, right = np.array([0.9, 0.4, 0.2, 0.9, 0.3, 0.6, 0.5]), np.array([1, 1, 0, 0, 1, 0, 1])
    found = degree_of_agreement(skill, item, mastery, right)
    # Of skill 0: (.9, .2) and (.4, .2) in order, (.4, .9) not.
    assert found == {"value": pytest.approx((2 / 3 + 0) / 2), "skills": 2, "pairs": 4}


def test_agreement_is_counted_as_edustudio_does() -> None:
    student, item, right = answers()
    theta = np.round(DRAW.random((30, 3)), 1)  # with ties
    skill = item % 3
    by_skill = []
    for k in range(3):
        above = apart = 0
        for j in np.unique(item[skill == k]):
            rows = np.flatnonzero(item == j)
            for one in rows[right[rows] == 1]:
                for other in rows[right[rows] == 0]:
                    above += theta[student[one], k] > theta[student[other], k]
                    apart += theta[student[one], k] != theta[student[other], k]
        by_skill.append(above / apart)
    assert degree_of_agreement(skill, item, theta[student, skill], right)["value"] == pytest.approx(np.mean(by_skill))


def test_what_agreement_comes_to_of_the_truth_of_chance_and_of_nothing() -> None:
    student, item, right = answers(num_students=400, count=20_000)
    ability = DRAW.random(400)
    right = (ability[student] > 0.5).astype(int)
    found = degree_of_agreement(item % 3, item, ability[student], right)
    assert found["value"] == 1
    shuffled = DRAW.permutation(ability)
    assert degree_of_agreement(item % 3, item, shuffled[student], right)["value"] == pytest.approx(0.5, abs=0.05)
    with pytest.raises(Unmeasurable, match="unequal mastery"):
        degree_of_agreement(item % 3, item, np.full(len(item), 0.5), right)
    with pytest.raises(Unmeasurable):
        degree_of_agreement(item, item, ability[student], np.ones(len(item)))


def test_identifiability_by_hand() -> None:
    """Students 0 and 1 end with the same answers, in another order and after an error; student 2 with others."""
    student, item = np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 1, 0, 0, 0, 1])
    right = np.array([1, 0, 0, 0, 1, 1, 1])
    mastery = csr_array(np.array([[0.5, 0.25], [0.75, 0.5], [0.1, 0.9]]))
    found = identifiability(student, item, right, mastery)
    assert found == {"value": pytest.approx(1 / (1 + 0.25 + 0.25) ** 2), "pairs": 1, "patterns": 1}
    same = csr_array(np.array([[0.5, 0.25], [0.5, 0.25], [0.1, 0.9]]))
    assert identifiability(student, item, right, same)["value"] == 1
    with pytest.raises(Unmeasurable, match="same items in the same way"):
        identifiability(student[:5], item[:5], np.array([1, 0, 0, 0, 0]), mastery)
    with pytest.raises(Unmeasurable):
        identifiability(student[:0], item[:0], right[:0], mastery)


def test_identifiability_is_counted_as_edustudio_does(monkeypatch: pytest.MonkeyPatch) -> None:
    student, item, right = answers(num_students=200, num_items=3, count=600)
    present = np.unique(student)
    student = np.searchsorted(present, student)
    log, theta = np.zeros((len(present), 3)), DRAW.random((len(present), 4))
    log[student, item] = np.where(right > 0, 1, -1)  # the last answer stays
    count, total = 0, 0.0
    for i in range(len(present)):
        for j in range(i + 1, len(present)):
            if (log[i] == log[j]).all():
                count, total = count + 1, total + (1 + np.abs(theta[i] - theta[j]).sum()) ** 2
    found = identifiability(student, item, right, csr_array(theta))
    assert (found["pairs"], found["value"]) == (count, pytest.approx(count / total))
    monkeypatch.setattr(edustudio, "MOST_STUDENTS", 5)
    drawn = identifiability(student, item, right, csr_array(theta))
    assert drawn["pairs"] <= 10 * drawn["patterns"] < count
    assert drawn["value"] == pytest.approx(found["value"], abs=0.1)
