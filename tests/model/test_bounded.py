"""Bounded parameters start where they are told and stay in range."""

import pytest
import torch

from gainkt.errors import ConfigError
from gainkt.model.bounded import Bounded


@pytest.mark.parametrize(("low", "high"), [(None, None), (0.0, None), (0.0, 5.0)])
def test_starts_at_the_mean(low: float | None, high: float | None) -> None:
    assert torch.allclose(Bounded(4, mean=2.5, low=low, high=high)(), torch.full((4,), 2.5), atol=1e-5)


def test_stays_in_range_whatever_is_learnt() -> None:
    for raw in (-50.0, 50.0):
        both, one = Bounded(3, mean=0.5, low=0.2, high=0.9), Bounded(3, mean=0.5, low=0.2)
        for part in (both, one):
            part.raw.data.fill_(raw)
        assert ((both() >= 0.2) & (both() <= 0.9)).all()
        assert (one() >= 0.2).all()


def test_spread_is_clipped_to_the_range() -> None:
    torch.manual_seed(0)
    value = Bounded(2000, mean=2.0, std=0.5, low=0.5, high=5.0)().detach()
    assert value.min() >= 0.5
    assert value.max() <= 5.0
    assert value.std() == pytest.approx(0.5, abs=0.05)


def test_one_for_all_skills_broadcasts() -> None:
    assert Bounded(9, mean=1.0, per_skill=False).at(torch.tensor([3, 4])).shape == (1,)
    assert Bounded(9, mean=1.0).at(torch.tensor([[3], [4]])).shape == (2, 1)


def test_fixed_does_not_learn() -> None:
    assert not Bounded(1, mean=1.0, learn=False).raw.requires_grad


@pytest.mark.parametrize("bad", [{"low": 1.0, "high": 0.0}, {"high": 1.0}, {"mean": 2.0, "low": 0.0, "high": 1.0}])
def test_bad_ranges(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Bounded(1, **{"mean": 0.5, **bad})
