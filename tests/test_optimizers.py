"""Parts of the model get the learning rates that the config names."""

import pytest
from torch import nn

from gainkt.errors import ConfigError
from gainkt.optimizers import adam


def model() -> nn.ModuleDict:
    return nn.ModuleDict({"encoder2": nn.Linear(2, 2), "gain_head": nn.Linear(2, 2), "receivers": nn.Identity()})


def test_a_named_part_learns_faster() -> None:
    optimizer = adam(model(), lr=0.01, weight_decay=0.0, lr_scale={"gain_head": 3.0})
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {
        "encoder2": 0.01,
        "gain_head": 0.03,
    }


def test_unknown_part_and_bad_rate() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gain_head'"):
        adam(model(), lr=0.01, weight_decay=0.0, lr_scale={"gains_head": 3.0})
    with pytest.raises(ConfigError, match="lr=0"):
        adam(model(), lr=0, weight_decay=0.0, lr_scale={})
