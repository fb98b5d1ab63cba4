"""The weighted sum: blind to padding, silent at weight 0, and clear about weights it cannot use."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import loss_with, output_for, random_batch
from gainkt.errors import ConfigError
from gainkt.losses import Loss
from gainkt.losses.loss import check_bce_weights
from gainkt.model.bounded import Bounded
from gainkt.model.curve import SigmoidCurve
from gainkt.train import train

TERMS = (
    "bce1",
    "bce2",
    "gain_variance",
    "skill_contrast",
    "gain_sparsity",
    "beta_spread",
    "skill_triplet",
    "gain_response_correlation",
    "gain_discriminator",
    "gain_target",
    "difficulty_prior",
    "readiness_size",
    "belief_movement",
    "item_shrinkage",
    "item_prior",
)
NOT_OF_GAINS = {
    "bce1",
    "bce2",
    "beta_spread",
    "difficulty_prior",
    "readiness_size",
    "belief_movement",
    "item_shrinkage",
    "item_prior",
}


def every_term() -> Loss:
    loss = loss_with(**dict.fromkeys(TERMS, 1.0))
    assert set(loss.weights) == set(TERMS)
    free = lambda k: Bounded(k, mean=1.0)  # noqa: E731
    curve = SigmoidCurve(7, beta=free, saturation=free, offset=free)
    loss.start(SimpleNamespace(curve=curve, num_items=3), lambda: np.full(7, 0.4), num_steps=20)
    return loss


def test_padding_enters_no_term() -> None:
    batch = random_batch()
    output = output_for(batch)
    loss = every_term()
    torch.manual_seed(0)
    before = loss(output, batch, loss.weights)
    padding = ~batch.valid_BT
    assert padding.any()
    output.logit1_BT[padding] = 99.0
    output.logit2_BT[padding] = -99.0
    output.gains_BTC[padding] = 0.7
    torch.manual_seed(0)
    after = loss(output, batch, loss.weights)
    assert before.keys() == after.keys() == set(TERMS)
    for name in before:
        torch.testing.assert_close(before[name], after[name])


def test_no_gradient_reaches_padding() -> None:
    batch = random_batch()
    loss = every_term()
    for name in set(TERMS) - NOT_OF_GAINS:
        output = output_for(batch)
        output.gains_BTC.requires_grad_()
        value = loss(output, batch, {name: 1.0})[name]
        (gradient,) = torch.autograd.grad(value, output.gains_BTC)
        assert not gradient[~batch.valid_BT].any(), name
        assert gradient[batch.valid_BT].any(), name


def test_a_weight_of_zero_computes_nothing_and_draws_nothing() -> None:
    batch = random_batch()
    state = torch.get_rng_state()
    loss = loss_with(bce2=1)
    assert loss(output_for(batch), batch, loss.weights).keys() == {"bce2"}
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    for drawing in ("skill_triplet", "gain_discriminator"):
        loss = loss_with(**{drawing: 1.0})
        loss.start(SimpleNamespace(), lambda: np.zeros(7))
        state = torch.get_rng_state()
        loss(output_for(batch), batch, loss.weights)
        assert not torch.equal(torch.get_rng_state(), state), drawing


def test_terms_that_compare_skills_need_all_of_them() -> None:
    loss = every_term()
    assert not loss.needs_every_skill({"bce2": 1.0, "gain_response_correlation": 1.0, "gain_variance": 0.0})
    asking = {name for name in TERMS if loss.needs_every_skill({name: 0.1})}
    assert asking == {
        "gain_variance",
        "skill_contrast",
        "gain_sparsity",
        "skill_triplet",
        "gain_discriminator",
        "gain_target",
    }


def test_bad_weights() -> None:
    with pytest.raises(ConfigError, match="every weight is 0"):
        loss_with()
    with pytest.raises(ConfigError, match="bce1=-1"):
        loss_with(bce1=-1, bce2=1)
    with pytest.raises(ConfigError, match="did you mean 'bce2'"):
        loss_with(bce1=1).check({"bce_2": 1.0})


def test_a_term_that_learns_cannot_come_late() -> None:
    with pytest.raises(
        ConfigError, match=r"gain_discriminator=0\.5, and loss\.gain_discriminator=0: the term must be there"
    ):
        loss_with(bce1=1).check({"gain_discriminator": 0.5})
    loss_with(bce1=1, gain_discriminator=0.5).check({"bce1": 1.0, "gain_discriminator": 0.0})


def test_a_schedule_may_bring_in_a_term(config: Callable[..., DictConfig]) -> None:
    result = train(config("try_synthetic_gains", "trajectories.write=false"))
    assert result.run.phases == ["synthetic_gains", "joint"]
    assert result.module.weights["gain_target"] == 0


def test_bce_loss_weight_gives_encoder_1_its_share_and_encoder_2_the_rest(config: Callable[..., DictConfig]) -> None:
    weights = loss_with(bce1=0.9, bce2=0.9, gain_variance=0.1, bce_loss_weight=0.3).weights
    assert (weights["bce1"], weights["bce2"], weights["gain_variance"]) == (0.3, 0.7, 0.1)
    assert loss_with(bce1=0.9, bce2=0.9).weights["bce2"] == 0.9, "null: as they say"
    for wrong in (-0.1, 1.1):
        with pytest.raises(ConfigError, match=f"bce_loss_weight={wrong}: Encoder 1's share"):
            loss_with(bce_loss_weight=wrong)
    result = train(config("v3_inverse_warmup", "loss.bce_loss_weight=0.6", "trajectories.write=false"))
    table = pd.read_csv(result.run.directory.metrics)
    assert table["weight/bce1"].tolist() == pytest.approx([0.0, 0.6])
    assert table["weight/bce2"].tolist() == pytest.approx([1.0, 0.4])
    saved = result.run.config.loss
    assert (saved.bce_loss_weight, saved.bce1, saved.bce2) == (0.6, 0.6, 0.4), "the run says what it trained with"


def test_two_words_about_one_weight_must_agree() -> None:
    settings = {"bce_loss_weight": 0.3, "bce1": 0.3, "bce2": 0.5}
    check_bce_weights(settings, ["loss.bce_loss_weight=0.3", "loss.bce1=0.3", "seed=1"])
    with pytest.raises(ConfigError, match=r"loss\.bce2=0\.5: loss\.bce_loss_weight=0\.3 says loss\.bce2=0\.7"):
        check_bce_weights(settings, ["loss.bce2=0.5"])
    check_bce_weights({**settings, "bce_loss_weight": None}, ["loss.bce2=0.5"])


def test_a_schedule_that_leaves_bce_loss_weight_without_effect_is_refused(config: Callable[..., DictConfig]) -> None:
    for schedule, name in (("ramp", "bce1"), ("falling_bce1", "bce1")):
        with pytest.raises(
            ConfigError, match=f"bce_loss_weight: the schedule sets the weight of {name} in every epoch"
        ):
            train(config("v1_per_skill", f"schedule={schedule}", "loss.bce_loss_weight=0.3"))


@pytest.mark.parametrize("found", [0.5, torch.zeros(3), torch.tensor(1)])
def test_what_a_term_returns_is_checked(found: object) -> None:
    loss = Loss({"mine": lambda output, batch: found}, mine=1.0)
    batch = random_batch()
    with pytest.raises(ConfigError, match=r"loss\.terms\.mine: returned .*; a term returns one floating-point number"):
        loss(output_for(batch), batch, loss.weights)


def test_terms_and_weights_belong_together() -> None:
    with pytest.raises(ConfigError, match=r"terms\.mine: the term has no weight"):
        Loss({"mine": lambda output, batch: torch.zeros(())})
    with pytest.raises(ConfigError, match="mien: no such loss term; did you mean 'mine'"):
        Loss({"mine": lambda output, batch: torch.zeros(())}, mine=1.0, mien=1.0)
