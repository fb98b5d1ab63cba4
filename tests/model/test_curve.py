"""Curve and readouts against cases worked out by hand."""

from functools import partial

import pytest
import torch

from conftest import random_batch
from gainkt.errors import ConfigError
from gainkt.model.bounded import Bounded
from gainkt.model.curve import PowerCurve, SigmoidCurve
from gainkt.model.readout import GuessSlipReadout, ThresholdReadout, mean, minimum, soft_minimum

X = torch.tensor([[[1.0, 3.0], [2.0, 9.0], [5.0, 5.0]]])
HAS = torch.tensor([[[True, True], [True, False], [False, False]]])


def test_reductions_by_hand() -> None:
    assert minimum(X, HAS).tolist() == [[1.0, 2.0, 0.0]]
    assert mean(X, HAS).tolist() == [[2.0, 2.0, 0.0]]
    soft = soft_minimum(X, HAS)[0]
    assert 1.0 < soft[0] < 2.0
    assert soft[1] == pytest.approx(2.0)
    assert soft[2] == 0.0


def test_reductions_leave_no_nan_gradient_on_padding() -> None:
    for reduce in (minimum, soft_minimum, mean):
        x = X.clone().requires_grad_()
        reduce(x, HAS).sum().backward()
        assert x.grad is not None
        assert torch.isfinite(x.grad).all()
        assert (x.grad[~HAS] == 0).all()


def test_curve_by_hand() -> None:
    curve = SigmoidCurve(
        2,
        beta=partial(Bounded, mean=2.5, low=0.0),
        saturation=partial(Bounded, mean=0.7, low=0.0, high=1.0),
        offset=partial(Bounded, mean=1.5, per_skill=False),
    )
    value = curve(torch.tensor([0.0, 1.0]), torch.tensor([0, 1]), torch.tensor(1.1), torch.tensor([0.0, 0.4]))
    expected = 0.7 * torch.sigmoid(torch.tensor([-1.5, 2.5 * 1.1 - 1.5 + 0.4]))
    assert torch.allclose(value, expected, atol=1e-5)


def power_curve(experience: float) -> PowerCurve:
    """Return curves of two skills whose practice wears off."""
    return PowerCurve(
        2,
        beta=partial(Bounded, mean=2.5, low=0.0),
        saturation=partial(Bounded, mean=0.7, low=0.0, high=1.0),
        offset=partial(Bounded, mean=1.5, per_skill=False),
        experience=partial(Bounded, mean=experience, low=0.0),
    )


def test_odds_of_mastery_grow_as_a_power_of_practice() -> None:
    practice, skills = torch.tensor([0.0, 1.0, 4.0]), torch.tensor([0, 1, 1])
    value = power_curve(0.4)(practice, skills, torch.tensor(1.1), torch.tensor([0.0, 0.3, 0.3]))
    odds = torch.exp(torch.tensor([0.0, 0.3, 0.3]) - 1.5) * (1 + practice / 0.4) ** (2.5 * 1.1 * 0.4)
    torch.testing.assert_close(value / (0.7 - value), odds, rtol=1e-4, atol=1e-5)


def test_with_much_experience_the_power_curve_is_the_sigmoid_curve() -> None:
    straight = SigmoidCurve(
        2,
        beta=partial(Bounded, mean=2.5, low=0.0),
        saturation=partial(Bounded, mean=0.7, low=0.0, high=1.0),
        offset=partial(Bounded, mean=1.5, per_skill=False),
    )
    given = torch.linspace(0, 5, 9), torch.zeros(9, dtype=torch.int64), torch.tensor(0.8), torch.tensor(0.2)
    torch.testing.assert_close(power_curve(1e5)(*given), straight(*given), rtol=1e-3, atol=1e-4)


def test_slope_is_the_derivative_of_mastery() -> None:
    for curve in (power_curve(0.4), power_curve(3.0)):
        practice = torch.linspace(0, 5, 9, requires_grad=True)
        given = torch.ones(9, dtype=torch.int64), torch.tensor(0.8), torch.tensor(0.2)
        (slope,) = torch.autograd.grad(curve(practice, *given).sum(), practice)
        torch.testing.assert_close(curve.slope(practice, *given), slope)


def test_readout_reads_the_least_mastered_skill() -> None:
    readout = ThresholdReadout(
        7,
        threshold=partial(Bounded, mean=0.85, per_skill=False),
        temperature=partial(Bounded, mean=1.0, per_skill=False),
        reduce="minimum",
    )
    batch = random_batch()
    mastery = torch.rand(batch.skills_BTS.shape)
    least = mastery.masked_fill(~batch.has_skill_BTS, 9).amin(-1)
    logit = readout(mastery, batch)
    assert torch.allclose(logit[batch.valid_BT], (least - 0.85)[batch.valid_BT], atol=1e-5)


def test_unknown_reduction_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="minimum"):
        ThresholdReadout(
            7, threshold=partial(Bounded, mean=0.5), temperature=partial(Bounded, mean=1.0), reduce="minimun"
        )


def test_guess_and_slip_bound_the_probability() -> None:
    readout = GuessSlipReadout(7, guess=partial(Bounded, mean=0.2), slip=partial(Bounded, mean=0.1), reduce="minimum")
    batch = random_batch()
    mastery = torch.rand(batch.skills_BTS.shape)
    least = mastery.masked_fill(~batch.has_skill_BTS, 9).amin(-1)[batch.valid_BT]
    p = torch.sigmoid(readout(mastery, batch))[batch.valid_BT]
    torch.testing.assert_close(p, 0.2 + (1 - 0.1 - 0.2) * least)
    certain = GuessSlipReadout(7, guess=partial(Bounded, mean=0.0), slip=partial(Bounded, mean=0.0), reduce="minimum")
    full = torch.ones(batch.skills_BTS.shape, requires_grad=True)
    logit = certain(full, batch)[batch.valid_BT]
    assert (logit > 3).all(), "full mastery is near certainty, not a coin"
    logit.sum().backward()
    assert torch.isfinite(full.grad).all()
    with pytest.raises(ConfigError, match="minimum"):
        GuessSlipReadout(7, guess=partial(Bounded, mean=0.2), slip=partial(Bounded, mean=0.1), reduce="minimun")
