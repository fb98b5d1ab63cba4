"""The closed loop: what happens in it does not depend on the tutor, and what is counted is what happened."""

import numpy as np
import pytest

from gainkt.simulation.simulate import simulate_with_truth
from gainkt.tutoring.classroom import DECLARED, LIMIT, Cohort, Courses, teach
from gainkt.tutoring.curves import summed
from gainkt.tutoring.estimator.base import Earlier, Estimator
from gainkt.tutoring.estimator.simple import Count, MovingAverage, Streak
from gainkt.tutoring.estimator.truth import BayesFilter, TrueState
from gainkt.tutoring.sequencing import Blocked, ClosestFirst, LowestFirst, PrerequisitesFirst
from gainkt.tutoring.stopping import Chance, Fixed, InARow, Mastery

SIMULATION = simulate_with_truth(num_students=80, num_skills=5, num_items=20, seed=3, transfer_density=0.4)
EARLIER = Earlier(SIMULATION.log, np.arange(80), SIMULATION.truth)
COHORT = Cohort(SIMULATION.truth, 40, 0)
MASTERED = 0.7


def taught(estimator: Estimator, level: float, stopping=None, sequencing=None, limit: int = 15) -> Courses:
    estimator.fit(EARLIER)
    stopping, sequencing = stopping or Mastery(), sequencing or Blocked()
    return teach(COHORT, estimator, stopping, sequencing, level, limit=limit, mastered=MASTERED)[0]


def test_who_knows_the_state_lets_nobody_go_too_early_nor_keeps_anybody() -> None:
    courses = taught(TrueState(), MASTERED)
    declared = courses.reason == DECLARED
    assert declared.mean() > 0.5
    assert not courses.false.any()
    # An answer at least is asked for, so that who had mastered a skill before has one over, and nobody more.
    assert courses.over.max() == 1
    assert (courses.opportunities[courses.over > 0] == 1).all()
    assert (courses.mastery[~declared] < MASTERED).all()
    assert (courses.opportunities[~declared] == 15).all()


def test_a_fixed_number_and_answers_in_a_row() -> None:
    by_policy, by_estimator = taught(Count(), 4, Fixed()), taught(Streak(), 4, Fixed())
    assert (by_policy.opportunities == 4).all()
    assert by_policy.false.any()
    assert np.array_equal(by_policy.mastery, by_estimator.mastery), "the same luck whoever teaches"
    in_a_row = taught(Count(), 3, InARow())
    assert in_a_row.opportunities.min() == 3
    assert ((in_a_row.reason == LIMIT) <= (in_a_row.opportunities == 15)).all()
    assert in_a_row.opportunities.mean() > by_policy.opportunities.mean()


def test_it_is_repeatable_and_depends_on_the_seed() -> None:
    once, again = (taught(MovingAverage(weight=0.3, first=0.5), 0.8) for _ in range(2))
    assert np.array_equal(once.opportunities, again.opportunities)
    assert np.array_equal(once.mastery, again.mastery)
    other = teach(Cohort(SIMULATION.truth, 40, 1), TrueState(), Fixed(), Blocked(), 4, limit=15, mastered=MASTERED)[0]
    assert not np.array_equal(other.mastery, taught(Count(), 4, Fixed()).mastery)


def test_the_best_observer_is_between_the_truth_and_a_count() -> None:
    best, blind = taught(BayesFilter(num_particles=100, mastered=MASTERED), 0.9), taught(Count(), 5)
    rate = {name: c.false.sum() / (c.reason == DECLARED).sum() for name, c in {"best": best, "blind": blind}.items()}
    assert rate["best"] < 0.15 < rate["blind"]
    assert best.opportunities.mean() > taught(TrueState(), MASTERED).opportunities.mean()
    by_chance = taught(BayesFilter(num_particles=100), 0.7, Chance())
    assert 1 < by_chance.opportunities.mean() < 15


@pytest.mark.parametrize("policy", [Blocked, LowestFirst, ClosestFirst, PrerequisitesFirst])
def test_every_course_is_taught_in_every_order(policy: type) -> None:
    courses = taught(TrueState(), MASTERED, sequencing=policy())
    assert (courses.opportunities >= 1).all()
    assert (courses.reason >= 0).all()
    sums = summed(courses)
    assert sums[:, 0].sum() == 40 * 5
    assert sums[:, 3].sum() + sums[:, 5].sum() == 40 * 5


def test_orders_choose_what_they_say() -> None:
    room = next(COHORT.classrooms(15, MASTERED))
    truth = TrueState()
    truth.fit(EARLIER)
    truth.start(40, room)
    rows, skills = np.arange(40), np.broadcast_to(np.arange(5), (40, 5))
    mastery = truth.mastery(rows, skills)
    assert np.array_equal(Blocked().choose(room, truth, rows, 0.7), room.order_NK[:, 0])
    assert np.array_equal(LowestFirst().choose(room, truth, rows, 0.7), mastery.argmin(1))
    assert np.array_equal(ClosestFirst().choose(room, truth, rows, 0.7), np.abs(mastery - 0.7).argmin(1))
    first = PrerequisitesFirst().choose(room, truth, rows, 0.7)
    assert (first == SIMULATION.truth.world.transfer_KK.sum(1).argmax()).all()
    room.close(rows, first, DECLARED)
    assert (PrerequisitesFirst().choose(room, truth, rows, 0.7) != first).all()


def test_the_count_of_what_began_mastered_is_that_of_the_truth() -> None:
    """Over-practice by hand: the true mastery before each answer, as the classroom stands."""
    room = next(COHORT.classrooms(15, MASTERED))
    rows, skill, over = np.arange(40), np.full(40, 2), np.zeros(40)
    for _ in range(6):
        over += room.mastery(rows, skill) >= MASTERED
        room.ask(rows, skill)
    assert np.array_equal(room.over_NK[:, 2], over)
    assert 0 < over.sum() < 240
