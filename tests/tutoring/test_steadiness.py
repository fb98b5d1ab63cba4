"""Movement of estimators that are told a log, by hand, and who must not move."""

from dataclasses import replace

import numpy as np
import pytest
from made_logs import log_of
from made_trained import apart_items, trained

from conftest import random_log
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints
from gainkt.tutoring.estimator.encoder2 import Encoder2
from gainkt.tutoring.estimator.references import OnlineBKT
from gainkt.tutoring.estimator.simple import MovingAverage
from gainkt.tutoring.replay import replay
from gainkt.tutoring.steadiness import steadiness, volatility

LOG = log_of([[([0], 1), ([1], 0), ([0], 1)], [([1], 1)]], num_skills=2)


class Restless(Estimator):
    """Its estimate of every skill is .5 plus .2 after an odd number of answers, whatever was practised."""

    def start(self, num_students: int, classroom: object) -> None:
        self.count = np.zeros(num_students)

    def observe(self, answers: Answers) -> None:
        self.count[answers.rows] += 1

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        return np.broadcast_to(0.5 + 0.2 * (self.count[rows] % 2)[:, None], skills.shape)


def test_movement_by_hand() -> None:
    """Student 0: skill 1 unmet at step 0 (+.2), skill 0 met at step 1 (-.2), skill 1 met at step 2 (+.2); student 1:
    skill 0 unmet (+.2).
    """
    found = volatility(LOG, np.arange(2), Restless())
    assert found["unmet"] == {"cells": 2, "mean": pytest.approx(0.2), "p95": pytest.approx(0.2, rel=2e-3), "drops": 0.0}
    assert found["met"]["cells"] == 2
    assert found["met"]["drops"] == 0.5


def test_who_looks_at_the_skill_alone_does_not_move() -> None:
    log = apart_items(random_log(num_students=20, seed=4))
    earlier = Earlier(log, np.arange(20))
    for estimator in (OnlineBKT(), MovingAverage()):
        estimator.fit(earlier)
        found = volatility(log, np.arange(20), estimator)
        assert found["met"]["cells"] > 100
        assert found["met"]["mean"] == found["unmet"]["mean"] == found["met"]["drops"] == 0
    model = Encoder2(trained())
    model.fit(earlier)
    assert volatility(log, np.arange(20), model)["met"]["mean"] > 1e-3
    only = log_of([[([0], 1)]])
    assert volatility(only, np.arange(1), Restless())["met"] == {"cells": 0, "mean": None, "p95": None, "drops": None}


def test_direction_is_of_the_practised_skill() -> None:
    """An average rises after right and falls after wrong answers; told of the opposite, it goes the wrong way."""
    average, everyone = MovingAverage(weight=0.3, first=0.5), np.arange(2)
    average.fit(Earlier(LOG, everyone))
    told = replay(LOG, everyone, average)
    assert steadiness(LOG, everyone, average, told)["direction"] == {"rises_after_wrong": 0.0, "falls_after_right": 0.0}
    opposite = replace(LOG, responses=1 - LOG.responses)
    found = steadiness(opposite, everyone, average, told)["direction"]
    assert found == {"rises_after_wrong": 1.0, "falls_after_right": 1.0}
