"""Each estimator says online what its model says of whole histories."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_logs import log_of
from made_trained import V4, apart_items, table_of, trained

import gainkt.tutoring.estimator.filtered
from conftest import random_log
from gainkt.errors import ConfigError, DataError
from gainkt.references import BKT, PFA
from gainkt.runs.tracer import questions
from gainkt.simulation.bayes_filter import bayes_filter
from gainkt.simulation.simulate import simulate_with_truth
from gainkt.tutoring.estimator.base import Answers, Earlier
from gainkt.tutoring.estimator.encoder2 import Encoder2, ShuffledQ
from gainkt.tutoring.estimator.filtered import FITTED, FilteredEncoder2, ModelLaws, mean_gains
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


@pytest.mark.parametrize("experiment", V4)
def test_laws_of_a_model_are_its_curve_and_its_readout(experiment: str) -> None:
    model = trained(experiment)
    filtered = FilteredEncoder2(model)
    encoder2 = filtered.encoder2
    encoder2.fit(EARLIER)
    laws = ModelLaws(
        encoder2, np.full((2, LOG.num_skills), 0.5), np.zeros((LOG.num_skills, LOG.num_skills), np.float32)
    )
    # At no practice and readiness 0 the particles are what the model says of a student of whom nothing is known.
    skills = np.arange(LOG.num_skills)
    start = laws.mastery(skills, np.zeros((len(skills), 2), np.float32), np.tile(-laws.offset_K[:, None], (1, 2)))
    curve = model.network.curve
    expected = curve.saturation() * torch.sigmoid(-curve.offset())
    assert np.abs(start - expected.detach().numpy().reshape(-1, 1)).max() < 1e-6
    right = filtered.right(np.full(len(skills), -1), skills[:, None], start[..., None])
    batch = questions(
        torch.from_numpy(skills)[:, None, None], torch.full((len(skills), 1), -1), torch.zeros(len(skills), 1)
    )
    logit = model.network.readout(torch.from_numpy(start[:, :1, None]), batch)
    assert np.abs(right[:, :1] - torch.sigmoid(logit).detach().numpy()).max() < 1e-6


def test_practice_of_particles_grows_by_gains_and_what_others_receive_and_wears_off() -> None:
    encoder2 = Encoder2(trained())
    encoder2.fit(EARLIER)
    share = np.zeros((LOG.num_skills, LOG.num_skills), np.float32)
    share[0, 2] = 0.5
    laws = ModelLaws(encoder2, np.full((2, LOG.num_skills), 0.5), share)
    laws.forgetting = 0.1
    practice = np.ones((1, LOG.num_skills, 2), np.float32)
    laws.advance(practice, np.array([[0, -1]]), np.array([[[0.4, 0.2], [9.0, 9.0]]], np.float32))
    assert practice[0, 0] == pytest.approx([1.4, 1.2])  # practised: nothing forgotten
    assert practice[0, 2] == pytest.approx([1.1, 1.0])
    assert practice[0, 1] == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_tutor", "v4_items", "v1_per_skill", "v0_scalar"])
def test_filtered_mastery_follows_answers_on_the_skill(experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gainkt.tutoring.estimator.filtered, "TRIALS", 6)
    filtered = FilteredEncoder2(trained(experiment), num_particles=400)
    filtered.fit(EARLIER)
    assert all(getattr(filtered.spread, name) > 0 for name in FITTED)
    filtered.start(2, None)
    everyone, skills = np.arange(2), np.zeros((2, 1), dtype=np.int64)
    before = filtered.mastery(everyone, skills)[:, 0]
    for _ in range(6):
        filtered.observe(Answers(everyone, skills, np.full(2, -1), np.array([True, False])))
    after = filtered.mastery(everyone, skills)[:, 0]
    assert before[0] == pytest.approx(before[1], abs=0.05)
    assert after[0] > after[1] + 0.05
    assert ((after > 0) & (after <= 1)).all()
    assert filtered.chance(everyone, skills)[0, 0] > filtered.chance(everyone, skills)[1, 0]
    assert filtered.transfer().shape == (LOG.num_skills, LOG.num_skills)
    again = FilteredEncoder2(trained(experiment), num_particles=400)
    again.fit(EARLIER)
    told = [replay(LOG, EARLIER.students, one).after_L for one in (filtered, again)]
    assert np.array_equal(*told)
    filtered.start(3, None)
    filtered.observe(Answers(np.array([0, 2]), skills, np.full(2, -1), np.array([True, False])))
    assert filtered.mastery(np.array([2]), skills[:1]).shape == (1, 1)


def test_mean_gains_are_those_of_the_model() -> None:
    model, log = trained(), apart_items(random_log(num_students=20, slots=1, seed=5))
    encoder2 = Encoder2(model)
    encoder2.fit(Earlier(log, np.arange(20)))
    gain_RK, share_KK = mean_gains(log, np.arange(20), encoder2)
    batch = questions(
        torch.from_numpy(log.skills[:1].astype(np.int64))[:, None, None],
        torch.from_numpy(log.items[:1].astype(np.int64))[:, None],
        torch.from_numpy(log.responses[:1].astype(np.float32))[:, None],
    )
    one = log_of([[([int(log.skills[0])], int(log.responses[0]))]], num_skills=7)
    one = replace(one, items=log.items[:1], item_names=log.item_names, skill_names=log.skill_names)
    alone_RK, alone_KK = mean_gains(one, np.arange(1), encoder2)
    with torch.inference_mode():
        gains = model.network(batch, every_skill=True).gains_BTC[0, 0].numpy()
    first, right = int(log.skills[0]), int(log.responses[0])
    assert alone_RK[right, first] == pytest.approx(gains[first])
    others = np.arange(7) != first
    assert alone_KK[first, others] == pytest.approx(gains[others] / gains[first], rel=1e-5)
    assert alone_RK[1 - right] == pytest.approx(np.zeros(7))
    assert alone_RK[right] == pytest.approx(gains[first])
    assert ((gain_RK > 0) & (gain_RK < 1)).all()
    assert (share_KK.diagonal() == 0).all()


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
