"""What a part returns is checked where it enters: a gain head that does not look at its axis does not train."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from conftest import random_batch
from gainkt.config import build
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model import GainKT
from gainkt.model.axis import SkillAxis
from gainkt.train import train

Config = Callable[..., DictConfig]
K = 7


class EverySkill(nn.Module):
    """Gains of all skills, whatever the axis."""

    def __init__(self, num_skills: int, size: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(size.d_model, num_skills)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        return torch.sigmoid(self.linear(value_BTD))


class FirstOfThem(EverySkill):
    """The right shape, the wrong skills."""

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        return super().forward(value_BTD, axis, batch)[..., : axis.size]


class SaysSo(EverySkill):
    needs_every_skill = True


class Shared(EverySkill):
    """A skill's gain depends on which others are asked for."""

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        columns = axis.skills_BC[:, None].expand(len(batch), value_BTD.shape[1], -1)
        return self.linear(value_BTD).gather(2, columns).softmax(-1)


class TooLarge(SaysSo):
    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        return 1.5 * super().forward(value_BTD, axis, batch)


def model_of(config: Config, **parts: Any) -> GainKT:
    cfg = config("v1_per_skill").model
    return build(cfg, num_skills=K, num_students=4, num_items=0, **parts)


def test_a_head_that_ignores_the_axis_is_found_by_its_shape(config: Config) -> None:
    few = random_batch(t=4, s=1, num_skills=2)
    # With so many skills those met are the cheaper axis.
    sizes = {"num_skills": 200, "num_students": 4, "num_items": 0}
    model, says_so = (build(config("v1_per_skill").model, **sizes, gain_head=head) for head in (EverySkill, SaysSo))
    with pytest.raises(
        ConfigError, match=r"model.gain_head: returned torch.float32 \[4, 4, 200\], expected .* \[4, 4, 2\]"
    ):
        model(few)
    assert says_so(few).gains_BTC.shape[-1] == 2


@pytest.mark.parametrize("head", [EverySkill, FirstOfThem, Shared])
@pytest.mark.parametrize("num_met", [3, K])
def test_columns_that_are_other_skills_are_found_before_training(config: Config, head: type, num_met: int) -> None:
    # With all K met, columns are as many as skills: EverySkill has the right shape by accident.
    batch = random_batch(b=6, t=20, s=1, num_skills=num_met)
    if head is Shared and num_met == K:
        pytest.skip("over all skills a softmax is one")
    with pytest.raises(ConfigError, match=r"model\.gain_head"):
        model_of(config, gain_head=head).check_columns(batch)


@pytest.mark.parametrize(
    "head", ["linear", "own_transfer", "own_topics", "own_matrix", "own_table", "floored", "experts", "q_matrix"]
)
def test_the_check_passes_ours_and_leaves_no_trace(config: Config, head: str) -> None:
    model = build(config("v1_per_skill", f"model/gain_head={head}").model, num_skills=K, num_students=4, num_items=0)
    before = torch.get_rng_state()
    model.train().check_columns(random_batch())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(part.training for part in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_training_starts_with_the_check(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gainkt.model.gain_head.linear.MLPGain", FirstOfThem)
    cfg = config("v1_per_skill", "model/gain_head=mlp", "trajectories.write=false")
    with pytest.raises(ConfigError, match=r"model\.gain_head: gains for the skills that a window meets"):
        train(cfg)


def test_gains_out_of_range_are_found_in_evaluation(config: Config) -> None:
    model, batch = model_of(config, gain_head=TooLarge), random_batch()
    model.train()(batch)
    with pytest.raises(ConfigError, match=r"model.gain_head: gains from .* to 1\.\d*; a gain is a finite number"):
        model.eval()(batch)
    model.gain_head = model_of(config, gain_head=SaysSo).gain_head.eval()
    nn.init.constant_(model.gain_head.linear.bias, torch.nan)
    with pytest.raises(ConfigError, match="gains from nan to nan"):
        model(batch)


class Wrong(nn.Module):
    """Any part that returns what it was made with."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found

    def forward(self, *given: Any) -> Any:
        return self.found


@pytest.mark.parametrize(
    ("part", "found", "said"),
    [
        ("encoder1", torch.zeros(4, 9, 16), "model.encoder1: returned Tensor, expected a pair"),
        ("encoder2", (torch.zeros(4, 9, 16), torch.zeros(4, 9, 8)), "[4, 9, 8], expected floating point [4, 9, 16]"),
        ("response_head", torch.zeros(4, 9, 1), "model.response_head: returned torch.float32 [4, 9, 1]"),
        ("receivers", torch.zeros(4, 9, 3), "model.receivers: returned torch.float32 [4, 9, 3]"),
        (
            "velocity",
            torch.ones(4, 9),
            "model.velocity: returned torch.float32 [4, 9], expected floating point [4, 9, 1]",
        ),
        ("readiness", torch.ones(4, 1, 5), "model.readiness: returned torch.float32 [4, 1, 5]"),
        ("curve", torch.ones(4, 9), "model.curve: returned torch.float32 [4, 9]"),
        ("readout", torch.ones(4, 9, 2), "model.readout: returned torch.float32 [4, 9, 2]"),
        ("readout", None, "model.readout: returned NoneType"),
        ("items1", torch.ones(4), "model.item_difficulty: returned torch.float32 [4]"),
        ("gain_head", torch.ones(4, 9, K, dtype=torch.long), "model.gain_head: returned torch.int64 [4, 9, 7]"),
    ],
)
def test_every_part_is_checked(config: Config, part: str, found: Any, said: str) -> None:
    model = model_of(config)
    setattr(model, part, Wrong(found))
    with pytest.raises(ConfigError) as error:
        model(random_batch())
    assert said in str(error.value)
    assert "\n" not in str(error.value)
