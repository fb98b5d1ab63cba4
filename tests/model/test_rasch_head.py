"""l_23's second head: Rasch, read from the stream of Encoder 1."""

from collections.abc import Callable

import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from conftest import random_batch
from gainkt.data.datamodule import Sizes
from gainkt.errors import ConfigError
from gainkt.model import GainKT
from gainkt.model.readout import MasteryReadout
from gainkt.runs.folder import build_model

Config = Callable[..., DictConfig]


@pytest.fixture
def model(config: Config) -> GainKT:
    torch.manual_seed(0)
    made = build_model(config("l23_per_step").model, Sizes(7, 5, 0, tuple("abcdefg"), ())).eval()
    for parameter in (*made.readiness.parameters(), *made.curve.offset.parameters()):
        nn.init.normal_(parameter, std=0.5)
    return made


def test_prediction_is_rasch(model: GainKT) -> None:
    batch = random_batch(s=2)
    output = model(batch)
    theta = output.readiness_BT(batch)
    beta = model.curve.offset()[batch.skills_BTS]
    has = batch.has_skill_BTS
    mean_beta = (beta * has).sum(-1) / has.sum(-1).clamp_min(1)
    at = batch.valid_BT
    torch.testing.assert_close(output.logit2_BT[at], (theta - mean_beta)[at], rtol=1e-4, atol=1e-5)
    single = at & (has.sum(-1) == 1)
    torch.testing.assert_close(
        output.mastery_before_BTS[..., 0][single], torch.sigmoid(output.logit2_BT)[single], rtol=1e-4, atol=1e-5
    )
    assert theta[at].std() > 0.01, "abilities do not differ: the test could not fail"


def test_one_encoder_is_shaped_by_both_heads(model: GainKT) -> None:
    batch = random_batch()
    assert not list(model.encoder2.parameters())
    for read in ("logit1_BT", "logit2_BT"):
        model.zero_grad()
        getattr(model(batch), read)[batch.scored_BT].sum().backward()
        gradient = model.encoder1.embedding.table.weight.grad
        assert gradient is not None
        assert gradient.abs().sum() > 0, read


def test_readout_without_skills_or_with_another_reduction() -> None:
    batch = random_batch(s=2)
    mastery = torch.rand(batch.skills_BTS.shape)
    least = MasteryReadout(7, reduce="minimum")(mastery, batch)
    several = batch.has_skill_BTS.all(-1)
    expected = torch.logit(mastery.amin(-1), eps=1e-6)
    torch.testing.assert_close(least[several], expected[several])
    assert torch.isfinite(MasteryReadout(7, reduce="mean")(torch.ones_like(mastery), batch)).all()
    with pytest.raises(ConfigError, match="minimum"):
        MasteryReadout(7, reduce="minimun")
