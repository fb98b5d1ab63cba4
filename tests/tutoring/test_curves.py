"""Curves of false mastery, levels and matching, by hand."""

import numpy as np

from gainkt.tutoring.curves import Comparison, Curve, Record, crossings, level_at, levels_for, ratio

RECORD = Record(
    course=np.array([0, 1, 0, 1, 0]),
    score=np.array([0.2, 0.6, 0.7, 0.5, 0.4]),
    mastered=np.array([False, False, True, True, True]),
)


def test_crossings_by_hand() -> None:
    reached, false = crossings(RECORD, np.array([0.1, 0.3, 0.6, 0.7, 0.8]))
    assert reached.tolist() == [2, 2, 2, 1, 0]
    assert false.tolist() == [2, 1, 1, 0, 0]
    none, _ = crossings(Record(*(np.zeros(0),) * 3), np.array([1.0]))
    assert none.tolist() == [0]


def test_the_level_of_a_rate() -> None:
    assert level_at(RECORD, 0.05) is None, "at .7 too few courses are left for a rate to be known"
    many = 40
    record = Record(np.repeat(np.arange(many), 2), np.tile([0.3, 0.8], many), np.tile([False, True], many))
    assert level_at(record, 0.05) == 0.8
    assert levels_for(record).tolist() == [0.3, 0.8]


def curve(false: list[float], opportunities: list[float], students: int = 10) -> Curve:
    """Each student has 100 courses, all declared."""
    rows = [[100, 100 * o, 0, 100, 100 * f, 0] for f, o in zip(false, opportunities, strict=True)]
    sums = np.repeat(np.array(rows, dtype=float)[:, None], students, axis=1)
    return Curve(np.arange(1.0, 1 + len(false)), sums)


def test_matching_interpolates_between_two_levels() -> None:
    found = curve([0.2, 0.1, 0.04, 0.02], [2, 4, 7, 9]).matched(np.ones((1, 10)), 0.05)
    part = (0.1 - 0.05) / (0.1 - 0.04)
    assert np.allclose(found["opportunities"], 4 + part * 3)
    assert np.allclose(found["false"], 0.05)
    assert np.allclose(found["level"], 2 + part)
    # A rate that rises again does not count as reached before it falls for good.
    assert curve([0.2, 0.03, 0.1, 0.04], [2, 4, 7, 9]).matched(np.ones((1, 10)), 0.05)["level"][0] > 3
    assert np.isnan(curve([0.2, 0.1], [2, 4]).matched(np.ones((1, 10)), 0.05)["opportunities"]).all()
    assert curve([0.01, 0.0], [2, 4]).matched(np.ones((1, 10)), 0.05)["opportunities"][0] == 2
    assert curve([0.2, 0.1], [2, 4]).at(1.5)["opportunities"] == 3


def test_cohorts_are_resampled_too() -> None:
    one, other = curve([0.2, 0.05], [2, 4]), curve([0.2, 0.05], [4, 8])
    found = Comparison({"a": [one, other], "b": [other, other]}, 0.05, resamples=50).matched()
    assert found["a"]["opportunities"].value == 6
    assert found["a"]["opportunities"].interval == (4, 8)
    assert found["b"]["opportunities"].interval == (8, 8)
    assert ratio(found["a"]["opportunities"], found["b"]["opportunities"]).value == 0.75
