"""The tables of a page against what is counted by hand."""

import numpy as np
import pandas as pd
import pytest
from made_tables import good_tables
from sklearn.metrics import roc_auc_score

from gainkt.evaluation import overview


@pytest.fixture(scope="module")
def made():
    return good_tables(num_students=30)


def test_cells_hold_each_practised_step_and_skill_once(made) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories)
    assert len(cells) == int(made.trajectories.relevant.sum())
    practised = made.trajectories[made.trajectories.relevant]
    assert cells.student.unique().tolist() == practised.student.unique().tolist()
    for _, rows in cells.groupby("student"):
        assert rows.step.is_monotonic_increasing
        for _, own in rows.groupby("skill"):
            assert own.opportunity.tolist() == list(range(1, len(own) + 1))
    one = cells.iloc[17]
    step = made.predictions[(made.predictions.student == one.student) & (made.predictions.step == one.step)].iloc[0]
    assert (one.p1, one.before, one.response) == (step.p1, step.mastery, step.response)


def test_cells_are_the_same_with_the_skills_that_a_step_does_not_practise(made) -> None:
    """As tables of older versions have them."""
    others = made.trajectories.assign(relevant=False, skill="met at another step")
    more = pd.concat([made.trajectories, others], ignore_index=True)
    found = overview.practised_cells(made.predictions, more)
    pd.testing.assert_frame_equal(found, overview.practised_cells(made.predictions, made.trajectories))
    assert len(overview.mastery_now(more)) > len(overview.mastery_now(made.trajectories))


def test_students(made) -> None:
    table = overview.by_student(made.predictions, overview.mastery_now(made.trajectories)).set_index("student")
    name = table.index[3]
    own = made.predictions[made.predictions.student == name]
    assert table.steps[name] == len(own)
    assert table.right[name] == pytest.approx(own.response.mean())
    scored = own[own.scored]
    assert table.auc2[name] == pytest.approx(roc_auc_score(scored.response, scored.p2))
    end = made.trajectories[made.trajectories.student == name].groupby("skill").mastery.last()
    assert table.mastery[name] == pytest.approx(end.mean())
    alike = made.predictions.assign(response=1)
    assert overview.by_student(alike, overview.mastery_now(made.trajectories)).auc1.isna().all()


def test_skills(made) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories)
    table = overview.by_skill(made.skills, cells).set_index("skill")
    own = cells[cells.skill == "k2"]
    assert table.students["k2"] == own.student.nunique()
    assert table.gain_wrong["k2"] == pytest.approx(own[own.response == 0].gain.mean())
    assert table.initial["k2"] == pytest.approx(own.drop_duplicates("student").before.mean())
    assert overview.by_skill(made.skills, cells[cells.skill != "k2"]).set_index("skill").loc["k2", "students"] == 0


def test_opportunities_leave_few_students_out_but_never_all(made) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories)
    table = overview.by_opportunity(cells)
    own = cells[(cells.skill == "k1") & (cells.opportunity == 2)]
    row = table[(table.skill == "k1") & (table.opportunity == 2)].iloc[0]
    assert row.students == len(own)
    np.testing.assert_allclose(
        row[["low", "middle", "high"]].tolist(), own.mastery.quantile([0.1, 0.5, 0.9]), atol=1e-6
    )
    assert (table.students >= overview.FEWEST).all()
    lonely = overview.by_opportunity(cells[cells.student == cells.student.iloc[0]])
    assert (lonely.students == 1).all()
    assert len(overview.by_opportunity(cells.head(0))) == 0


def test_a_sample_is_seeded_and_holds_whole_students(made) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories)
    assert overview.sample_students(cells, len(cells), seed=0) is None
    drawn = overview.sample_students(cells, 200, seed=0)
    assert drawn == overview.sample_students(cells, 200, seed=0) != overview.sample_students(cells, 200, seed=1)
    assert 150 < cells.student.isin(drawn).sum() <= 200
    assert len(overview.sample_students(cells, 1, seed=0)) == 1


def test_the_parts_of_a_prediction_add_up_to_its_logit(made) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories)
    parts = overview.prediction_parts(cells, made.skills)
    logit = np.log(cells.p2 / (1 - cells.p2))
    assert parts.mastery.isna().mean() > 0.99
    np.testing.assert_allclose(parts.sum(axis=1), logit, atol=0.01)
    at = 17
    one = made.skills.set_index("skill").loc[cells.skill[at]]
    start = 1 / (1 + np.exp(one.offset))
    assert parts.initial[at] == pytest.approx((start - one.threshold) / one.temperature, abs=1e-5)
    assert (parts.own[cells.opportunity > 1] > 0).all()


@pytest.mark.parametrize("change", [{"beta": np.nan}, {"temperature": 0.2}])
def test_parts_that_do_not_add_up_are_not_shown(made, change) -> None:
    cells = overview.practised_cells(made.predictions, made.trajectories).assign(item_difficulty=0.5)
    parts = overview.prediction_parts(cells, made.skills.assign(**change))
    assert parts[["initial", "own", "velocity", "readiness"]].isna().mean().min() > 0.9
    np.testing.assert_allclose(parts.sum(axis=1), np.log(cells.p2 / (1 - cells.p2)), atol=0.01)
