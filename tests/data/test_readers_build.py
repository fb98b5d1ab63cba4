import numpy as np
import pytest

from gainkt.data.readers.expansion import step_starts
from gainkt.data.readers.frame import natural_key


def greedy(student, item, response, skill_sets):
    """The rule as it is written, one row after another."""
    starts, step = [], set()
    for r, skills in enumerate(skill_sets):
        same = r > 0 and (student[r], item[r], response[r]) == (student[r - 1], item[r - 1], response[r - 1])
        joins = same and item[r] >= 0 and not (step & skills)
        step = step | skills if joins else set(skills)
        starts.append(not joins)
    return starts


def starts_of(student, item, response, skill_sets):
    counts = np.array([len(skills) for skills in skill_sets])
    flat = np.array([skill for skills in skill_sets for skill in skills])
    return step_starts(np.array(student), np.array(item), np.array(response), flat, counts).tolist()


@pytest.mark.parametrize(
    ("skills", "expected"),
    [
        ("AB", [1, 0]),
        ("AA", [1, 1]),
        ("ABAB", [1, 0, 1, 0]),
        ("AABB", [1, 1, 0, 1]),
        ("ABCBA", [1, 0, 0, 1, 0]),
        ("ABBA", [1, 0, 1, 0]),
        ("ABCABC", [1, 0, 0, 1, 0, 0]),
    ],
)
def test_repeated_skill_starts_a_step(skills, expected):
    sets = [{ord(skill)} for skill in skills]
    same = [0] * len(sets)
    assert starts_of(same, same, same, sets) == [bool(start) for start in expected]


def test_unknown_items_never_fold():
    assert starts_of([0, 0], [-1, -1], [1, 1], [{0}, {1}]) == [True, True]


def test_agrees_with_the_rule_on_random_rows():
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = int(rng.integers(1, 60))
        student = np.sort(rng.integers(0, 3, size)).tolist()
        item = rng.integers(-1, 2, size).tolist()
        response = (rng.random(size) < 0.85).astype(int).tolist()
        sets = [set(rng.integers(0, 4, rng.integers(1, 3)).tolist()) for _ in range(size)]
        assert starts_of(student, item, response, sets) == greedy(student, item, response, sets)


def test_natural_order():
    names = ["a10", "10", "b", "a2", "-3", "2", "02"]
    assert sorted(names, key=natural_key) == ["-3", "02", "2", "10", "a2", "a10", "b"]
