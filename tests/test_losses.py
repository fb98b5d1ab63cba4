"""Loss terms against cases worked out by hand, and blind to padding."""

import pytest
import torch
import torch.nn.functional as F

from conftest import random_batch
from gainkt import losses
from gainkt.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses import Loss, needs_every_skill
from gainkt.model import Output
from gainkt.model.skill_axis import all_skills


def output_for(batch: Batch, num_skills: int = 7) -> Output:
    b, t, s = batch.skills_BTS.shape
    draw = torch.Generator().manual_seed(1)
    gains = torch.rand(b, t, num_skills, generator=draw) * batch.valid_BT[..., None]
    return Output(
        logit1_BT=torch.randn(b, t, generator=draw),
        logit2_BT=torch.randn(b, t, generator=draw),
        mastery_before_BTS=torch.rand(b, t, s, generator=draw),
        gains_BTC=gains,
        practice_BTC=gains.cumsum(1),
        axis=all_skills(batch, num_skills),
        value_BTD=torch.randn(b, t, 4, generator=draw),
        beta_K=torch.linspace(1, 2, num_skills),
    )


def test_cross_entropy_is_the_mean_over_scored_steps() -> None:
    batch = random_batch()
    output = output_for(batch)
    for term, logit in ((losses.bce1, output.logit1_BT), (losses.bce2, output.logit2_BT)):
        scored = batch.scored_BT
        expected = F.binary_cross_entropy_with_logits(logit[scored], batch.response_BT[scored])
        torch.testing.assert_close(term(output, batch), expected)


def test_variance_terms_by_hand() -> None:
    batch = random_batch()
    output = output_for(batch)
    steps = output.gains_BTC[batch.valid_BT]
    torch.testing.assert_close(losses.gain_variance(output, batch), -steps.var(1, correction=0).mean())
    torch.testing.assert_close(losses.skill_contrast(output, batch), -steps.mean(0).var(correction=0))


def test_sparsity_counts_gains_that_were_not_practised() -> None:
    batch = random_batch()
    output = output_for(batch)
    total = 0.0
    for b, t in batch.valid_BT.nonzero().tolist():
        own = batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]].tolist()
        total += sum(float(output.gains_BTC[b, t, k]) for k in range(7) if k not in own)
    assert float(losses.gain_sparsity(output, batch)) == pytest.approx(total / int(batch.valid_BT.sum()), rel=1e-5)


def test_uniform_gains_have_no_variance_and_no_contrast() -> None:
    batch = random_batch()
    output = output_for(batch)
    output.gains_BTC = 0.6 * batch.valid_BT[..., None].expand(-1, -1, 7)
    assert abs(float(losses.gain_variance(output, batch))) < 1e-10
    assert abs(float(losses.skill_contrast(output, batch))) < 1e-10


def test_padding_enters_no_term() -> None:
    batch = random_batch()
    output = output_for(batch)
    terms = Loss(bce1=1, bce2=1, gain_variance=1, skill_contrast=1, gain_sparsity=1, beta_spread=1)
    before = terms(output, batch, terms.weights)
    padding = ~batch.valid_BT
    assert padding.any()
    output.logit1_BT[padding] = 99.0
    output.logit2_BT[padding] = -99.0
    output.gains_BTC[padding] = 0.7
    after = terms(output, batch, terms.weights)
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(before[name], after[name])


def test_beta_spread_ends_at_the_target() -> None:
    batch = random_batch()
    output = output_for(batch)
    std = float(output.beta_K.std(correction=0))
    assert float(losses.BetaSpread(std - 0.1)(output, batch)) == 0.0
    assert float(losses.BetaSpread(std + 0.1)(output, batch)) == pytest.approx(0.01, rel=1e-4)


def test_a_weight_of_zero_computes_nothing() -> None:
    batch = random_batch()
    terms = Loss(bce2=1)
    assert terms(output_for(batch), batch, terms.weights).keys() == {"bce2"}
    assert not needs_every_skill(terms.weights)
    assert needs_every_skill({"gain_variance": 0.1})


def test_bad_weights() -> None:
    with pytest.raises(ConfigError, match="every weight is 0"):
        Loss()
    with pytest.raises(ConfigError, match=r"loss\.bce1=-1"):
        Loss(bce1=-1, bce2=1)
    with pytest.raises(ConfigError, match="did you mean 'bce2'"):
        Loss(bce1=1).check({"bce_2": 1.0})
