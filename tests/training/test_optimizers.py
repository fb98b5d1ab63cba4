"""Parts of the model get the learning rates that the config names."""

import pytest
import torch
from torch import nn

from gainkt.errors import ConfigError
from gainkt.training import optimizers
from gainkt.training.optimizers import adam, chosen, clip_gradients


def model() -> nn.ModuleDict:
    return nn.ModuleDict({"encoder2": nn.Linear(2, 2), "gain_head": nn.Linear(2, 2), "receivers": nn.Identity()})


def test_a_named_part_learns_faster() -> None:
    optimizer = adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={"gain_head": 3.0})["optimizer"]
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "encoder2": 0.01,
        "gain_head": 0.03,
    }


def test_unknown_part_and_bad_rate() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gain_head'"):
        adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={"gains_head": 3.0})
    with pytest.raises(ConfigError, match="lr=0"):
        adam(model(), 10, lr=0, weight_decay=0.0, lr_scale={})
    with pytest.raises(ConfigError, match="final_lr=2"):
        adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={}, final_lr=2)
    with pytest.raises(ConfigError, match="weight_decay=-1"):
        adam(model(), 10, lr=0.01, weight_decay=-1, lr_scale={})
    with pytest.raises(ConfigError, match=r"lr_scale\.gain_head=-1"):
        adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={"gain_head": -1})
    with pytest.raises(ConfigError, match="betas="):
        adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={}, betas=(0.9, 1.0))


def test_the_rate_falls_along_a_cosine() -> None:
    config = adam(model(), 4, lr=0.01, weight_decay=0.0, lr_scale={"gain_head": 3.0}, final_lr=0.2)
    optimizer, scheduler = config["optimizer"], config["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(6):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert [rate for rate, _ in seen] == pytest.approx([0.01, 0.008828, 0.006, 0.003172, 0.002, 0.002], abs=1e-6)
    assert all(head == pytest.approx(3 * rate) for rate, head in seen)


def test_auto_fuses_where_parameters_are_many_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fused(setting: bool | str) -> bool:
        optimizer = adam(model(), 10, lr=0.01, weight_decay=0.0, lr_scale={}, fused=setting)["optimizer"]
        return bool(optimizer.defaults["fused"])

    auto = {"fused": "auto"}
    assert (fused("auto"), fused(True), fused(False), chosen(model(), auto)) == (False, True, False, None)
    monkeypatch.setattr(optimizers, "MANY_PARAMETERS", 11)  # the model has 12
    assert (fused("auto"), fused(False), chosen(model(), {"fused": True})) == (True, False, None)
    assert "12 parameters are over 11" in str(chosen(model(), auto))
    with pytest.raises(ConfigError, match="fused=maybe"):
        fused("maybe")


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e3, float("inf")])
@pytest.mark.parametrize("broken", [False, True])
def test_gradients_are_clipped_as_torch_clips_them(max_norm: float, broken: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = [nn.Parameter(torch.zeros(size)) for size in (12, 5, 2)], []
    for parameter in ours[:2]:  # the third has no gradient
        parameter.grad = torch.randn_like(parameter)
    if broken:
        ours[0].grad[1] = torch.nan
    for parameter in ours:
        copied = nn.Parameter(parameter.detach().clone())
        copied.grad = None if parameter.grad is None else parameter.grad.clone()
        theirs.append(copied)
    norms = clip_gradients(ours, max_norm), nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(*norms, rtol=0, atol=0, equal_nan=True)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0, equal_nan=True)
