from dataclasses import replace

import numpy as np
import pytest

from gainkt.data.log import InteractionLog, offsets_of
from gainkt.data.splits import GivenFolds, SeededFolds
from gainkt.errors import ConfigError, DataError


def make_log(folds, length=3, responses=None) -> InteractionLog:
    n = len(folds)
    steps = n * length
    return InteractionLog(
        name="made",
        offsets=offsets_of(np.full(n, length)),
        responses=np.tile([0, 1, 0], n).astype(np.uint8) if responses is None else np.array(responses, np.uint8),
        skill_offsets=np.arange(steps + 1),
        skills=np.zeros(steps, dtype=np.int32),
        items=np.full(steps, -1, dtype=np.int32),
        students=np.array([f"s{i}" for i in range(n)]),
        skill_names=np.array(["k"]),
        item_names=np.array([], dtype=np.str_),
        folds=np.array(folds, dtype=np.int16),
    )


def parts(split):
    return split.train.tolist(), split.valid.tolist(), split.test.tolist()


def test_given_folds_with_held_out_test_set():
    split = GivenFolds().split(make_log([2, -1, 0, 1, -1, 1]), fold=1)
    assert parts(split) == ([0, 2], [3, 5], [1, 4])
    assert split.train.dtype == split.valid.dtype == split.test.dtype == np.int64
    assert split.description == "3 given folds, held-out test set, validation on fold 1"


def test_given_folds_without_test_set():
    log = make_log([0, 1, 2, 3, 0])
    assert parts(GivenFolds().split(log, fold=0)) == ([2, 3], [1], [0, 4])
    assert parts(GivenFolds().split(log, fold=3)) == ([1, 2], [0, 4], [3])
    tested = np.concatenate([GivenFolds().split(log, fold).test for fold in range(4)])
    assert sorted(tested) == [0, 1, 2, 3, 4]


def test_given_folds_that_start_at_one():
    assert parts(GivenFolds().split(make_log([1, 2, 3]), fold=3)) == ([1], [0], [2])


def test_seeded_folds_deal_every_student_once():
    log = make_log([-2] * 23)
    rule = SeededFolds(num_folds=4, test_share=0.25, seed=3)
    splits = [rule.split(log, fold) for fold in range(4)]
    for split in splits:
        assert sorted(np.concatenate([split.train, split.valid, split.test])) == list(range(23))
        assert split.test.tolist() == splits[0].test.tolist()
        for part in (split.train, split.valid, split.test):
            assert (np.diff(part) > 0).all()
    assert len(splits[0].test) == 6
    assert len(set(np.concatenate([split.valid for split in splits]))) == 17


def test_seeded_folds_follow_the_seed():
    log = make_log([-2] * 40)
    first, again, other = (SeededFolds(seed=seed).split(log, 0) for seed in (7, 7, 8))
    assert parts(first) == parts(again)
    assert first.test.tolist() != other.test.tolist()
    assert "seed 7" in first.description


@pytest.mark.parametrize("fold", [-2, -1, 3])
def test_fold_out_of_range(fold):
    with pytest.raises(ConfigError, match=r"made has 3 given folds \(0, 1, 2\)"):
        GivenFolds().split(make_log([0, 1, 2, -1]), fold)
    with pytest.raises(ConfigError, match="there are 3 folds; choose one of 0 to 2"):
        SeededFolds(num_folds=3).split(make_log([-2] * 20), fold)


def test_no_given_folds():
    with pytest.raises(DataError, match="made: 2 of 3 students have no fold in the source; use seeded folds"):
        GivenFolds().split(make_log([-2, 0, -2]), 0)
    with pytest.raises(ConfigError, match=r"0 given folds \(a test set only\)"):
        GivenFolds().split(make_log([-1, -1]), 0)


@pytest.mark.parametrize("folds", [[0, 1], [0, -1]])
def test_empty_part(folds):
    with pytest.raises(DataError, match="the train part is empty"):
        GivenFolds().split(make_log(folds), 0)


def test_empty_seeded_parts():
    with pytest.raises(DataError, match="the test part is empty"):
        SeededFolds(num_folds=2, test_share=0.1).split(make_log([-2] * 4), 0)
    with pytest.raises(DataError, match="the valid part is empty"):
        SeededFolds(num_folds=5).split(make_log([-2] * 4), 4)
    with pytest.raises(DataError, match="the valid part is empty"):  # and takes no more memory than a few folds
        SeededFolds(num_folds=10**12).split(make_log([-2] * 4), 10**11)


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ([0, 1, 1], "test part has 2 scored steps, all right"),
        ([1, 0, 0], "test part has 2 scored steps, all wrong"),
    ],
)
def test_one_class_among_scored_steps(held_out, message):
    """The first step of a student is not scored, so its response does not make up for a missing class."""
    log = make_log([0, 1, -1], responses=[0, 1, 0, 0, 1, 0, *held_out])
    with pytest.raises(DataError, match=message):
        GivenFolds().split(log, 0)


def test_part_with_nothing_to_score():
    log = make_log([0, 1, -1, -1])
    lengths = np.array([5, 5, 1, 1])
    log = replace(log, offsets=offsets_of(lengths), responses=np.tile([0, 1], 6).astype(np.uint8))
    with pytest.raises(DataError, match="the test part has no student with two or more steps"):
        GivenFolds().split(log, 0)


def test_students_without_steps_do_no_harm():
    log = replace(make_log([0, 1, -1, -1]), offsets=offsets_of(np.array([3, 3, 0, 6])))
    assert parts(GivenFolds().split(log, 0)) == ([1], [0], [2, 3])


@pytest.mark.parametrize("settings", [{"num_folds": 1}, {"test_share": 0.0}, {"test_share": 1.0}, {"seed": -1}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        SeededFolds(**settings)
