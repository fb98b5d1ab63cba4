"""Real histories: what is left out, wheel-spinning and agreement, by hand."""

import numpy as np
import pytest
from made_logs import log_of

from gainkt.errors import ConfigError
from gainkt.tutoring.estimator.base import Earlier
from gainkt.tutoring.estimator.simple import Count, Streak
from gainkt.tutoring.estimator.truth import TrueState
from gainkt.tutoring.logs import Laid, kappa, left_out

SPINS = [([0], x) for x in (1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1)]
LEARNS = [([0], x) for x in (0, 1, 1, 1, 1, 0, 1, 1, 1, 1)]
SHORT = [([1], 1), ([0], 1), ([1], 1)]
LOG = log_of([SPINS, LEARNS, SHORT], num_skills=2)


def found(share: float = 0.3, students=(0, 1, 2), **estimators):
    return left_out(
        Earlier(LOG, np.arange(3)), LOG, np.array(students), estimators or {"row": Streak()}, share=share, resamples=20
    )


def test_courses_are_laid_out() -> None:
    here = Laid.of(LOG, np.arange(3))
    assert here.new_A.sum() == 4
    assert here.number_A.tolist() == [*range(11), *range(10), 0, 0, 1]
    peak, upto = here.peak(np.array([*range(11), *[2.0, 1.0] * 5, 0, 5, 4]))
    assert peak[:3].tolist() == [-np.inf, 0, 1]
    assert upto[11:15].tolist() == [2, 2, 2, 2]
    assert upto[-2:].tolist() == [5, 5]


def test_what_is_left_out_and_how_it_was_answered() -> None:
    """Three in a row: of LEARNS, opportunities 5 to 10 come after it; nothing else does."""
    told = found(share=6 / 24)
    row = told["estimators"][0]
    assert row["level"] == 3
    assert row["left_out"]["value"] == pytest.approx(6 / 24)
    assert row["right_when_left_out"]["value"] == pytest.approx(5 / 6)
    assert row["declared"] == 1 / 4
    assert row["wheel_spinning"] == {"courses": 2, "spinning": 1, "recall": 1.0, "others": 0.0}
    assert told["right"] == pytest.approx(np.mean(LOG.responses))
    # The negative control: a count of answers does not tell who spins.
    blind = found(share=6 / 24, count=Count())["estimators"][0]["wheel_spinning"]
    assert blind["recall"] == blind["others"]


def test_agreement_by_hand() -> None:
    one, other = np.array([True, True, False, False]), np.array([True, False, False, False])
    assert kappa(one, other) == pytest.approx((0.75 - 0.5) / 0.5)
    assert kappa(one, one) == 1
    assert kappa(one, ~one) == -1
    assert kappa(np.ones(3, bool), np.ones(3, bool)) == 1
    told = found(row=Streak(), count=Count())
    assert told["agreement"][0]["values"][0] == 1
    assert told["agreement"][0]["values"][1] == told["agreement"][1]["values"][0]


def test_what_needs_the_truth_is_left_out_and_named() -> None:
    assert found(row=Streak(), true_state=TrueState())["notes"] == ["true_state left out: it needs the truth"]
    with pytest.raises(ConfigError, match="none that real histories can be told to"):
        found(true_state=TrueState())
    with pytest.raises(ConfigError, match=r"left_out=1\.5"):
        found(share=1.5)
