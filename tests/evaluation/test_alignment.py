"""Agreement with a reference, worked out by hand and against controls that must disagree."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from gainkt.errors import DataError
from gainkt.evaluation.alignment import alignment, correlations, distances, divergence, reach, thresholds

RNG = np.random.default_rng(0)
STUDENTS, STEPS, SKILLS = 40, 12, 5


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.Series]:
    """A run whose second head says exactly what the reference says."""
    student = np.repeat(np.arange(STUDENTS), STEPS)
    step = np.tile(np.arange(STEPS), STUDENTS)
    static = RNG.normal(0, 1, STUDENTS)[student]
    dynamic = static * step / STEPS + RNG.normal(0, 0.1, len(step))
    difficulty = np.linspace(-1, 1, SKILLS)
    skill = RNG.integers(0, SKILLS, len(step))
    q = sigmoid(dynamic - difficulty[skill])
    names = np.array([f"k{k}" for k in range(SKILLS)])
    predictions = pd.DataFrame(
        {
            "student": student.astype(str),
            "step": step,
            "scored": step > 0,
            "response": (RNG.random(len(step)) < q).astype(np.int8),
            "p1": q,
            "p2": q,
            "mastery": q,
            "readiness": dynamic,
        }
    )
    reference = pd.DataFrame(
        {
            "student": student.astype(str),
            "step": step,
            "probability": q,
            "ability": dynamic,
            "static_ability": static,
            "reference_mastery": q,
        }
    )
    skills = pd.DataFrame({"skill": names, "practised_steps": 1, "offset": difficulty})
    return predictions, skills, reference, pd.Series(difficulty, index=names)


def test_a_head_that_says_the_same_agrees(tables: tuple) -> None:
    found = alignment(*tables)
    assert found["steps"] == STUDENTS * (STEPS - 1)
    assert found["losses"]["l_21"]["kl"] == pytest.approx(0, abs=1e-9)
    assert found["losses"]["l_22"] == 0
    assert found["losses"]["l_23"]["dynamic"]["per_step"] == 0
    assert found["losses"]["l_23"]["static"]["per_step"] > 0.1
    for name in ("prediction", "mastery", "ability, dynamic"):
        assert found["agreement"][name] == pytest.approx(dict.fromkeys(found["agreement"][name], 1.0))
    assert found["auc"]["encoder2"] == found["auc"]["reference"]
    verdicts = {entry["name"]: entry["verdict"] for entry in found["thresholds"]}
    assert verdicts["l_21 (KL)"] == verdicts["r of abilities, dynamic"] == verdicts["r of difficulties"] == "pass"
    # Not even the reference itself has a cross-entropy under the entropy of what it says.
    assert verdicts["l_21 as published (cross-entropy)"] == "out_of_reach"


def test_a_head_that_says_something_else_does_not(tables: tuple) -> None:
    predictions, skills, reference, difficulty = tables
    mixed = RNG.permutation(len(predictions))
    predictions["p2"], predictions["readiness"] = predictions["p2"].to_numpy()[mixed], RNG.normal(0, 9, len(mixed))
    skills["offset"] = -skills["offset"]
    found = alignment(predictions, skills, reference, difficulty)
    assert abs(found["agreement"]["ability, dynamic"]["pearson"]) < 0.2
    assert found["agreement"]["difficulty"]["pearson"] == pytest.approx(-1)
    assert {entry["name"] for entry in found["thresholds"] if entry["verdict"] == "pass"} == set()


def test_gains_are_held_against_learning_rates(tables: tuple) -> None:
    predictions, skills, reference, difficulty = tables
    rate = pd.Series([0.1, 0.3, 0.2, 0.5, 0.4], index=skills["skill"])
    gain = np.array([0.2, 0.1, 0.4, 0.3, 0.9])
    found = alignment(predictions, skills.assign(gain_practised_mean=gain), reference, difficulty, rate[::-1])
    assert found["agreement"]["gain, mean a skill"]["pearson"] == pytest.approx(np.corrcoef(gain, rate)[0, 1])
    assert found["agreement"]["gain, mean a skill"]["spearman"] == pytest.approx(spearmanr(gain, rate).statistic)
    assert "gain, mean a skill" not in alignment(*tables)["agreement"]


def test_a_constant_has_no_correlation(tables: tuple) -> None:
    predictions, *others = tables
    found = alignment(predictions.assign(readiness=0.3), *others)
    assert found["agreement"]["ability, dynamic"]["pearson"] is None
    verdicts = {entry["name"]: entry["verdict"] for entry in found["thresholds"]}
    assert verdicts["r of abilities, dynamic"] == "fail"


def test_a_reference_that_does_not_vary_measures_no_correlation(tables: tuple) -> None:
    predictions, skills, reference, difficulty = tables
    for change, name in (
        ({"reference": reference.assign(ability=0.3)}, "r of abilities, dynamic"),
        ({"reference": reference.assign(static_ability=0.3)}, "r of abilities, static"),
        ({"difficulty": difficulty * 0}, "r of difficulties"),
    ):
        given = {"reference": reference, "difficulty": difficulty, **change}
        found = alignment(predictions, skills, **given)
        verdicts = {entry["name"]: entry["verdict"] for entry in found["thresholds"]}
        assert [row for row, verdict in verdicts.items() if verdict == "not_measurable"] == [name]


def test_what_is_attained_is_attainable(tables: tuple) -> None:
    """A head that goes with the whole history better than the reference before each step does."""
    predictions, skills, reference, difficulty = tables
    rows = predictions.assign(readiness=reference["static_ability"] + 0.8 * RNG.normal(size=len(predictions)))
    reference["ability"] = RNG.normal(size=len(reference))
    found = {entry["name"]: entry for entry in alignment(rows, skills, reference, difficulty)["thresholds"]}
    entry = found["r of abilities, static"]
    assert entry["value"] == entry["attainable"] > 0.5
    assert entry["verdict"] == "out_of_reach"


def test_rows_meet_by_student_and_step_in_any_order(tables: tuple) -> None:
    predictions, skills, reference, difficulty = tables
    shuffled = reference.sample(frac=1, random_state=1)
    assert alignment(predictions, skills, shuffled, difficulty) == alignment(*tables)


def test_steps_that_the_reference_does_not_know(tables: tuple) -> None:
    predictions, skills, reference, difficulty = tables
    with pytest.raises(DataError, match=r"11 of 440 scored steps, the first of student '3', step 1"):
        alignment(predictions, skills, reference[reference["student"] != "3"], difficulty)


def test_divergence_by_hand() -> None:
    q, p = np.array([0.2, 0.9]), np.array([0.5, 0.6])
    found = divergence(q, p)
    kl = np.mean(q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)))
    assert found["kl"] == pytest.approx(kl)
    assert found["kl"] == pytest.approx(found["bce"] - found["entropy"])
    flat = np.mean(q * np.log(q / 0.55) + (1 - q) * np.log((1 - q) / 0.45))
    assert found["constant"] == pytest.approx(flat)


def test_distances_by_hand() -> None:
    student = np.array([0, 0, 1])
    theta, ability = np.array([1.0, 3.0, 0.0]), np.array([0.0, 2.0, 4.0])
    found = distances(theta, ability, student)
    assert found["per_step"] == pytest.approx((1 + 1 + 16) / 3)
    assert found["averaged"] == pytest.approx((1 + 16) / 2)
    z = (ability - 2) / ability.std()
    assert found["standardized"] == pytest.approx(np.mean((theta - z) ** 2))


def test_correlations_against_scipy() -> None:
    student = np.repeat(np.arange(6), [20, 15, 9, 3, 8, 7])
    x = RNG.normal(size=len(student)) + student
    y = x + RNG.normal(size=len(student))
    y[student == 4] = 2.0  # one that does not vary
    found = correlations(x, y, student)
    assert found["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found["spearman"] == pytest.approx(spearmanr(x, y).statistic)
    own = (0, 1, 2, 5)
    each = [np.corrcoef(x[student == s], y[student == s])[0, 1] for s in own]
    assert found["pearson_per_student"] == pytest.approx(np.mean(each))
    ranked = [spearmanr(x[student == s], y[student == s]).statistic for s in own]
    assert found["spearman_per_student"] == pytest.approx(np.mean(ranked))


def test_one_ability_a_student_cannot_be_known_from_a_part_of_the_history() -> None:
    student = np.repeat(np.arange(200), 5)
    static = RNG.normal(size=200)[student]
    dynamic = 0.5 * static + RNG.normal(0, 1, len(student))
    best = reach(np.full(len(student), 0.5), dynamic, static, student)
    assert best["static correlation"] == pytest.approx(np.corrcoef(dynamic, static)[0, 1])
    assert 0.5 < best["static distance"] < 1
    losses = {
        "l_21": {"bce": 0.7, "kl": 0.01},
        "l_22": 0.2,
        "l_23": {"dynamic": {"per_step": 0.1}, "static": {"per_step": 0.9}},
    }
    agreement = {name: {"pearson": 0.4} for name in ("ability, dynamic", "ability, static", "difficulty")}
    verdicts = {entry["name"]: entry["verdict"] for entry in thresholds(losses, agreement, best)}
    assert verdicts["l_23, per step, static"] == "out_of_reach"
    assert verdicts["r of abilities, static"] == "out_of_reach"
    assert verdicts["r of abilities, dynamic"] == "fail"
    assert verdicts["l_22"] == "fail"
    assert verdicts["l_23, per step, dynamic"] == "pass"
