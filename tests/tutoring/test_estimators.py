"""Each estimator says online what its model says of whole histories."""

import numpy as np
import pytest
from made_logs import log_of
from made_trained import V4, apart_items, table_of, trained

from conftest import random_log
from gainkt.errors import ConfigError, DataError
from gainkt.references import BKT, PFA
from gainkt.simulation.bayes_filter import bayes_filter
from gainkt.simulation.simulate import simulate_with_truth
from gainkt.tutoring.estimator.base import Answers, Earlier
from gainkt.tutoring.estimator.encoder2 import Encoder2, ShuffledQ
from gainkt.tutoring.estimator.references import OnlineBKT, OnlinePFA
from gainkt.tutoring.estimator.simple import Count, MovingAverage, Streak
from gainkt.tutoring.estimator.truth import BayesFilter
from gainkt.tutoring.replay import replay

LOG = apart_items(random_log(num_students=20, seed=4))
EARLIER = Earlier(LOG, np.arange(20))


def test_bkt_and_pfa_are_those_of_whole_histories() -> None:
    for online, fitted in (
        (OnlineBKT(forgets=True), BKT.fit(LOG, EARLIER.students, forgets=True)),
        (OnlinePFA(), PFA.fit(LOG, EARLIER.students)),
    ):
        online.fit(EARLIER)
        told, said = replay(LOG, EARLIER.students, online), fitted.predict(LOG)
        assert np.abs(told.before_L - said.mastery_before_L).max() < 1e-9
    bkt = BKT.fit(LOG, EARLIER.students)
    online = OnlineBKT()
    online.fit(EARLIER)
    assert np.abs(replay(LOG, EARLIER.students, online).after_L - bkt.predict(LOG).mastery_after_L).max() < 1e-12
    assert np.abs(replay(LOG, EARLIER.students, online, chance=True).before_L - bkt.predict(LOG).right_L).max() < 1e-12


@pytest.mark.parametrize("experiment", V4)
def test_encoder2_is_that_of_whole_histories(experiment: str) -> None:
    model = trained(experiment)
    online = Encoder2(model)
    online.fit(EARLIER)
    told = replay(LOG, EARLIER.students, online)
    whole = model.predict(table_of(LOG))["mastery"].to_numpy()  # the lowest of each step's skills
    lowest = np.minimum.reduceat(told.before_L, LOG.skill_offsets[:-1])
    assert np.abs(lowest - whole).max() < 1e-5
    share, chance = (Encoder2(model, reads=how) for how in ("share", "chance"))
    share.fit(EARLIER)
    chance.fit(EARLIER)
    ratio = told.after_L / replay(LOG, EARLIER.students, share).after_L
    saturation = model.network.curve.saturation().detach().numpy()
    assert np.abs(ratio - np.broadcast_to(saturation, LOG.num_skills)[LOG.skills]).max() < 1e-5
    after = replay(LOG, EARLIER.students, chance).after_L
    assert ((after > 0) & (after < 1)).all()


def test_negative_controls_say_something_else() -> None:
    model = trained()
    plain, permuted, shuffled = Encoder2(model), Encoder2(model, permuted=True), ShuffledQ(Encoder2(model))
    told = []
    for estimator in (plain, permuted, shuffled):
        estimator.fit(EARLIER)
        told.append(replay(LOG, EARLIER.students, estimator).after_L)
    assert np.abs(told[1] - told[0]).max() > 0.01
    assert np.abs(told[2] - told[0]).max() > 0.01
    assert not (shuffled.told_K == np.arange(LOG.num_skills)).any()
    transfer = plain.transfer()
    assert transfer.shape == (LOG.num_skills, LOG.num_skills)
    assert ((transfer >= 0) & (transfer <= 1)).all()


def test_the_moving_average_by_hand() -> None:
    log = log_of([[([0], 1), ([0], 0), ([1], 1)], [([1], 0)]], num_skills=2)
    average = MovingAverage(weight=0.25, first=0.5)
    average.fit(Earlier(log, np.arange(2)))
    told = replay(log, np.arange(2), average)
    assert told.before_L.tolist() == [0.5, 0.625, 0.5, 0.5]
    assert told.after_L.tolist() == [0.625, 0.46875, 0.625, 0.375]
    streak, count = Streak(), Count()
    for estimator in (streak, count):
        estimator.fit(Earlier(log, np.arange(2)))
    assert replay(log, np.arange(2), streak).after_L.tolist() == [1, 0, 1, 0]
    assert replay(log, np.arange(2), count).after_L.tolist() == [1, 2, 1, 1]


def test_the_moving_average_is_tuned() -> None:
    """Responses that alternate are predicted by nothing newer than their mean; those that change once by the latest."""
    steady = log_of([[([0], step % 2) for step in range(40)]] * 3)
    changing = log_of([[([0], int(step > 20)) for step in range(40)]] * 3)
    weights = []
    for log in (steady, changing):
        average = MovingAverage()
        average.fit(Earlier(log, np.arange(3)))
        weights.append(average.weight)
    assert weights[0] == 0.05
    assert weights[1] == 0.6


def test_the_bayes_filter_is_that_of_whole_histories() -> None:
    simulation = simulate_with_truth(num_students=30, num_skills=4, num_items=12, seed=1)
    online = BayesFilter(num_particles=400)
    online.fit(Earlier(simulation.log, np.arange(30), simulation.truth))
    told = replay(simulation.log, np.arange(30), online)
    whole = bayes_filter(simulation.log, simulation.truth, num_particles=400, seed=5)
    assert np.abs(told.after_L - whole.mastery_after_L).mean() < 0.02
    assert np.corrcoef(told.after_L, whole.mastery_after_L)[0, 1] > 0.97


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="weight=2: must lie in"):
        MovingAverage(weight=2)
    with pytest.raises(ConfigError, match="num_particles=1: give at least 2"):
        BayesFilter(num_particles=1)
    with pytest.raises(ConfigError, match="reads=masteri: no such reading; did you mean 'mastery'"):
        Encoder2(trained(), reads="masteri")
    with pytest.raises(DataError, match="unknown to the model"):
        Encoder2(trained()).fit(Earlier(log_of([[([0], 1)]] * 2, num_skills=9), np.arange(2)))


def test_students_who_leave_do_not_change_the_others() -> None:
    model = trained()
    rows = np.arange(3)
    answers = Answers(rows, np.array([[0], [1], [2]]), np.array([0, 1, 2]), np.array([True, False, True]))
    alone, together = Encoder2(model), Encoder2(model)
    for estimator in (alone, together):
        estimator.fit(EARLIER)
        estimator.start(3, None)
        estimator.observe(answers)
    some = np.array([0, 2])
    together.observe(Answers(some, np.array([[1], [1]]), np.array([3, 3]), np.array([True, True])))
    skills = np.broadcast_to(np.arange(LOG.num_skills), (3, LOG.num_skills))
    before, after = alone.mastery(rows, skills), together.mastery(rows, skills)
    assert np.abs(before[1] - after[1]).max() < 1e-6
    assert np.abs(before[0] - after[0]).max() > 1e-4
