"""Schedules give the weights they promise, at every epoch."""

import pytest

from gainkt.errors import ConfigError
from gainkt.training.schedules import AlignmentWarmup, Constant, Knots, Phases, TwoPhase, phase_of

BASE = {"bce1": 0.7, "bce2": 0.3}
NAMES = ("encoder2_first", "joint")


def test_constant() -> None:
    assert Constant().weights(3, 10, BASE) == BASE
    assert Constant().phases(10) == [("train", 10)]


@pytest.mark.parametrize(("split", "switch"), [(0.4, 12), (0.5, 15), (0.6, 18)])
def test_inverse_warm_up_switches_once(split: float, switch: int) -> None:
    schedule = TwoPhase(split=split, names=NAMES, first={"bce1": 0.0, "bce2": 1.0})
    for epoch in range(30):
        expected = {"bce1": 0.0, "bce2": 1.0} if epoch < switch else BASE
        assert schedule.weights(epoch, 30, BASE) == expected
        assert phase_of(schedule, epoch, 30) == ("encoder2_first" if epoch < switch else "joint")


def test_linear_and_cosine_meet_at_the_ends_and_the_middle() -> None:
    for shape in ("linear", "cosine"):
        schedule = Knots({"bce1": [[0.0, 0.8], [1.0, 0.3]]}, shape=shape)
        values = [schedule.weights(epoch, 11, BASE)["bce1"] for epoch in range(11)]
        assert values[0] == pytest.approx(0.8)
        assert values[5] == pytest.approx(0.55)
        assert values[10] == pytest.approx(0.3)
        assert values == sorted(values, reverse=True)
    quarter = {
        shape: Knots({"bce1": [[0.0, 0.8], [1.0, 0.3]]}, shape=shape).weights(2, 11, BASE)["bce1"]
        for shape in ("linear", "cosine")
    }
    assert quarter["cosine"] > quarter["linear"]


def test_piecewise_jumps() -> None:
    schedule = Knots({"bce1": [[0.0, 0.2], [0.5, 0.7]]}, shape="step")
    assert [schedule.weights(epoch, 5, BASE)["bce1"] for epoch in range(5)] == [0.2, 0.2, 0.7, 0.7, 0.7]
    assert schedule.weights(0, 5, BASE)["bce2"] == 0.3


def test_one_epoch_is_enough_for_a_ramp() -> None:
    assert Knots({"bce1": [[0.0, 0.8], [1.0, 0.3]]}, shape="linear").weights(0, 1, BASE)["bce1"] == 0.8


def test_phases_that_do_not_cover_the_epochs() -> None:
    short = [{"name": "a", "share": 0.5, "weights": {}}, {"name": "b", "share": 0.3, "weights": {}}]
    with pytest.raises(ConfigError, match="do not cover the epochs"):
        Phases(short)
    with pytest.raises(ConfigError, match="no epoch"):
        TwoPhase(split=0.5, names=NAMES, first={}).phases(1)
    with pytest.raises(ConfigError, match=r"split=1\.5"):
        TwoPhase(split=1.5, names=NAMES, first={})
    with pytest.raises(ConfigError, match="same name"):
        Phases([{"name": "a", "share": 0.5, "weights": {}}] * 2)
    with pytest.raises(ConfigError, match="name, share and weights"):
        Phases([{"name": "a", "epochs": 3}])


def test_bad_knots() -> None:
    with pytest.raises(ConfigError, match="moments"):
        Knots({"bce1": [[0.5, 1.0], [0.2, 0.0]]}, shape="linear")
    with pytest.raises(ConfigError, match="shape"):
        Knots({"bce1": [[0.0, 1.0]]}, shape="square")


def test_phases_freeze_what_they_name() -> None:
    schedule = TwoPhase(split=0.5, names=NAMES, first={"bce1": 0.0}, frozen={"joint": ["encoder2", "gain_head"]})
    assert [list(schedule.frozen(epoch, 4)) for epoch in range(4)] == [[], [], *[["encoder2", "gain_head"]] * 2]
    plain = {"share": 0.5, "weights": {}}
    phases = Phases([{"name": "a", "frozen": ["encoder1"], **plain}, {"name": "b", **plain}])
    assert [list(phases.frozen(epoch, 2)) for epoch in range(2)] == [["encoder1"], []]
    assert not Constant().frozen(0, 2)
    with pytest.raises(ConfigError, match=r"frozen\.join: no such phase; did you mean 'joint'"):
        TwoPhase(split=0.5, names=NAMES, first={}, frozen={"join": ["encoder1"]})


def test_alignment_comes_in_as_encoder1_yields() -> None:
    base = {"bce1": 1.0, "l_21": 1.0, "l_22": 0.01, "l_23": 2.0}
    schedule = AlignmentWarmup(level=0.5, warmup=4, aligned=["l_21", "l_23"], yielding=["bce1"])
    assert schedule.weights(0, 9, base) == {"bce1": 1.0, "l_21": 0.0, "l_22": 0.01, "l_23": 0.0}
    assert schedule.weights(2, 9, base) == {"bce1": 0.75, "l_21": 0.25, "l_22": 0.01, "l_23": 0.5}
    for epoch in (4, 8):
        assert schedule.weights(epoch, 9, base) == {"bce1": 0.5, "l_21": 0.5, "l_22": 0.01, "l_23": 1.0}
    at_once = AlignmentWarmup(level=0.5, warmup=0, aligned=["l_21"])
    assert at_once.weights(0, 9, base) == {**base, "l_21": 0.5}


def test_the_published_warm_up_ends_early() -> None:
    published = AlignmentWarmup(level=0.5, warmup=50, aligned=["l_21"])
    assert published.weights(29, 30, {"l_21": 1.0})["l_21"] == pytest.approx(0.29)


def test_alignment_warmup_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="at most 1 where terms yield"):
        AlignmentWarmup(level=1.5, warmup=1, aligned=["l_21"], yielding=["bce1"])
    with pytest.raises(ConfigError, match="warmup=-1"):
        AlignmentWarmup(level=0.5, warmup=-1, aligned=["l_21"])
    with pytest.raises(ConfigError, match="no loss term l_21"):
        AlignmentWarmup(level=0.5, warmup=1, aligned=["l_21"]).weights(0, 9, BASE)
