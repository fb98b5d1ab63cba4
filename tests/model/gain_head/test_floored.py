"""The floor under the spread of gains: kept for any gains, and never more than is needed."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from conftest import random_batch
from gainkt.config import build, check_keys
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import all_skills, met_skills
from gainkt.model.gain_head.base import gains_for
from gainkt.model.gain_head.floored import MOST_STRETCH, FlooredGain, raise_std
from gainkt.model.gain_head.linear import LinearGain, MLPGain
from gainkt.model.gain_head.scalar import ScalarGain
from gainkt.model.size import Size

K, D = 7, 16
SIZE = Size(d_model=D, num_heads=2, num_blocks=1, d_ff=8, dropout=0.0)

Config = Callable[..., DictConfig]


def value_of(batch: Batch) -> Tensor:
    return torch.randn(*batch.valid_BT.shape, D, generator=torch.Generator().manual_seed(1))


def constant(level: float) -> Callable[[int, Size], nn.Module]:
    """A linear head that gives every skill the same gain at every step, until it is trained."""

    def make(num_skills: int, size: Size) -> nn.Module:
        made = LinearGain(num_skills, size)
        nn.init.zeros_(made.output.linear.weight)
        nn.init.constant_(made.output.linear.bias, torch.tensor(level).logit().item())
        return made

    return make


def std_of(gains: Tensor) -> Tensor:
    return gains.double().std(-1, correction=0)


@pytest.mark.parametrize("floor", [0.01, 0.05, 0.2, 0.45])
@pytest.mark.parametrize("level", [1e-4, 0.3, 0.5, 0.9999])
def test_the_floor_holds_for_uniform_gains_and_says_how_to_leave_them(level: float, floor: float) -> None:
    batch = random_batch(num_skills=K)
    head = FlooredGain(K, SIZE, head=constant(level), floor=floor)
    gains = head(value_of(batch).requires_grad_(), all_skills(batch, K), batch)
    assert (std_of(gains)[batch.valid_BT] >= floor - 1e-6).all()
    assert ((gains >= 0) & (gains <= 1)).all()
    assert torch.equal(gains, gains[:1, :1].expand_as(gains)), "a fixed pattern, the same at every step"
    (gains * torch.rand(K)).sum().backward()
    weight = head.head.output.linear.weight
    assert torch.isfinite(weight.grad).all()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e-5, 1e-3, 0.03, 0.3, 1.0])
@pytest.mark.parametrize("level", [0.0, 0.02, 0.6, 1.0])
@pytest.mark.parametrize("num_skills", [3, 8, 101])
def test_the_floor_holds_whatever_the_gains(level: float, scale: float, num_skills: int) -> None:
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(5, 40, num_skills, generator=draw)
    noise[2:4] = (noise[2:4] > 1.2).float()  # few skills stand out, the others are equal
    gains = (level + scale * noise).clamp(0, 1).requires_grad_()
    for floor in (0.001, 0.05, 0.3, 0.46):
        raised = raise_std(gains, floor)
        assert (std_of(raised) >= floor - 1e-6).all()
        assert ((raised >= 0) & (raised <= 1)).all()
        enough = std_of(gains) > floor + 1e-6
        assert torch.equal(raised[enough], gains[enough]), "unchanged where it was over the floor"
        order = gains.argsort(dim=-1, stable=True)
        assert (raised.gather(-1, order).diff(dim=-1) >= -1e-6).all(), "no two skills change places"
        (gradient,) = torch.autograd.grad((raised * noise).sum(), gains)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() <= 4 * MOST_STRETCH * num_skills


def test_raised_gains_keep_mean_and_shape() -> None:
    gains = torch.tensor([[[0.49, 0.50, 0.52, 0.53]]])
    raised = raise_std(gains, 0.1)
    torch.testing.assert_close(raised.mean(-1), gains.mean(-1))
    expected = (gains - gains.mean()) / gains.std(correction=0) * 0.1
    torch.testing.assert_close(raised - raised.mean(), expected)


def test_the_gradient_through_the_floor_is_that_of_the_projection() -> None:
    draw = torch.Generator().manual_seed(0)
    near = torch.rand(3, 2, 6, generator=draw, dtype=torch.float64) * 0.05
    for level in (0.5, 0.0, 0.95):  # stretched; stretched, clipped and moved apart
        gains = (level + near).requires_grad_()
        assert torch.autograd.gradcheck(partial(raise_std, floor=0.2), gains)


def test_the_floor_counts_all_skills_on_either_axis() -> None:
    batch = random_batch(b=3, t=60, s=1, num_skills=2)
    axis, value = met_skills(batch), value_of(batch)
    inner = constant(0.5)
    head = FlooredGain(K, SIZE, head=inner, floor=0.1)
    some, every = gains_for(head, K, value, axis, batch), head(value, all_skills(batch, K), batch)
    assert axis.size == 2
    for column, skill in enumerate(axis.skills_BC[0].tolist()):
        assert torch.equal(some[0, :, column], every[0, :, skill])
    assert (std_of(some[0]) < 1e-6).all(), "skills 0 and 1 stand on one side of the pattern over all seven"
    assert (std_of(every) >= 0.1 - 1e-6).all()


def test_the_floor_takes_any_head(config: Config) -> None:
    batch = random_batch(num_skills=K)
    assert FlooredGain(K, SIZE, head=ScalarGain, floor=0.05)(value_of(batch), all_skills(batch, K), batch).std() > 0.04
    inner = "model.gain_head.head._target_=gainkt.model.gain_head.linear.MLPGain"
    cfg = config("v1_per_skill", "model/gain_head=floored", inner, "model.gain_head.floor=0.2")
    check_keys(cfg)
    made = build(cfg.model.gain_head)(K, SIZE)
    assert isinstance(made.head, MLPGain)
    assert made.floor == 0.2


@pytest.mark.parametrize("floor", [-0.1, 0.0, 0.5, 0.9])
def test_a_floor_out_of_range(floor: float) -> None:
    with pytest.raises(ConfigError, match=f"floor={floor}"):
        FlooredGain(8, SIZE, head=LinearGain, floor=floor)


def test_a_floor_that_few_skills_cannot_reach() -> None:
    FlooredGain(3, SIZE, head=LinearGain, floor=0.47)
    with pytest.raises(ConfigError, match=r"3 skills reach 0\.471"):
        FlooredGain(3, SIZE, head=LinearGain, floor=0.48)
