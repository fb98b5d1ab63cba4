"""Terms without parameters against cases worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import output_for, random_batch
from gainkt import losses
from gainkt.model import Belief, GainKT
from gainkt.model.item_difficulty import RaschDifficulty


def test_cross_entropy_is_the_mean_over_scored_steps() -> None:
    batch = random_batch()
    output = output_for(batch)
    for term, logit in ((losses.bce1, output.logit1_BT), (losses.bce2, output.logit2_BT)):
        scored = batch.scored_BT
        expected = F.binary_cross_entropy_with_logits(logit[scored], batch.response_BT[scored])
        torch.testing.assert_close(term(output, batch), expected)


def test_mastery_entropy_is_over_the_steps_whose_skills_are_all_let_in() -> None:
    batch = random_batch()
    output = output_for(batch)
    term = losses.MasteryEntropy()
    assert torch.equal(term(output, batch), losses.bce2(output, batch))
    term.skills_K = torch.arange(7) < 4
    total, steps = 0.0, 0
    for b, t in batch.scored_BT.nonzero().tolist():
        if all(k < 4 for k in batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]].tolist()):
            logit, response = output.logit2_BT[b, t], batch.response_BT[b, t]
            total += float(F.binary_cross_entropy_with_logits(logit, response))
            steps += 1
    assert 0 < steps < int(batch.scored_BT.sum())
    assert float(term(output, batch)) == pytest.approx(total / steps, rel=1e-5)


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


def test_correlation_is_that_of_numpy() -> None:
    batch = random_batch(b=6, t=20, seed=2)
    output = output_for(batch)
    gains, responses = [], []
    for b, t in batch.valid_BT.nonzero().tolist():
        own = batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]]
        gains.append(float(output.gains_BTC[b, t, own].mean()))
        responses.append(float(batch.response_BT[b, t]))
    expected = -np.corrcoef(gains, responses)[0, 1]
    assert abs(expected) > 0.01
    assert float(losses.gain_response_correlation(output, batch)) == pytest.approx(expected, rel=1e-4)
    output.gains_BTC = batch.response_BT[..., None].expand(-1, -1, 7)
    assert float(losses.gain_response_correlation(output, batch)) == pytest.approx(-1, abs=1e-5)


def test_correlation_of_gains_that_do_not_vary_is_0_and_can_be_left() -> None:
    batch = random_batch(b=6, t=20)
    output = output_for(batch)
    output.gains_BTC = torch.full_like(output.gains_BTC, 0.6).requires_grad_()
    value = losses.gain_response_correlation(output, batch)
    assert abs(float(value.detach())) < 1e-3
    (gradient,) = torch.autograd.grad(value, output.gains_BTC)
    assert gradient.isfinite().all()
    right = batch.valid_BT & (batch.response_BT == 1)
    assert (gradient[right].sum(-1) < 0).all(), "descent raises the gain after a right response"


def test_beta_spread_ends_at_the_target() -> None:
    batch = random_batch()
    output = output_for(batch)
    std = float(output.beta_K.std(correction=0))
    assert float(losses.BetaSpread(target=std - 0.1)(output, batch)) == 0.0
    assert float(losses.BetaSpread(target=std + 0.1)(output, batch)) == pytest.approx(0.01, rel=1e-4)


def test_readiness_is_shrunk_at_scored_steps_for_their_own_skills() -> None:
    batch = random_batch()
    output = output_for(batch)
    size = torch.arange(7.0)
    output.belief = Belief(torch.ones(1, 1, 1), lambda cells: size[cells.skills])
    total = []
    for b, t in batch.scored_BT.nonzero().tolist():
        own = batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]]
        total.append(float((size[own] ** 2).mean()))
    assert float(losses.readiness_size(output, batch)) == pytest.approx(np.mean(total), rel=1e-5)
    output.belief = Belief(torch.ones(1, 1, 1), lambda cells: torch.full((4, 9, 1), 3.0))
    assert float(losses.readiness_size(output, batch)) == pytest.approx(9.0)


def test_movement_of_belief_by_hand() -> None:
    batch = random_batch()
    output = output_for(batch)
    windows, steps = batch.valid_BT.shape
    velocity, readiness = torch.rand(windows, steps, 1) + 0.5, torch.rand(windows, steps, 7)
    output.belief = Belief(velocity, lambda cells: readiness)
    moves, count = 0.0, 0
    for b in range(windows):
        for t in range(1, steps):
            if not batch.valid_BT[b, t]:
                continue
            own = batch.skills_BTS[b, t - 1][batch.has_skill_BTS[b, t - 1]].tolist()
            others = [k for k in range(7) if k not in own]
            moves += float((velocity[b, t] / velocity[b, t - 1]).log() ** 2)
            moves += float(((readiness[b, t] - readiness[b, t - 1]) ** 2)[others].mean())
            count += 1
    assert float(losses.belief_movement(output, batch)) == pytest.approx(moves / count, rel=1e-5)


def test_a_belief_that_stays_does_not_move() -> None:
    batch = random_batch()
    output = output_for(batch)
    practised = output.axis.practised(batch.has_skill_BTS)
    own = practised.float().cumsum(1) - practised.float()  # moves at the skill's own steps alone
    for velocity, readiness in ((torch.ones(1, 1, 1), own), (torch.full((*own.shape[:2], 1), 0.3), own[..., :1] * 0)):
        output.belief = Belief(velocity, lambda cells, readiness=readiness: readiness)
        assert float(losses.belief_movement(output, batch)) == 0


def test_shrinkage_alone_does_not_move_a_frozen_difficulty() -> None:
    part = RaschDifficulty(4)
    part.requires_grad_(False)
    both = SimpleNamespace(items1=part, items2=RaschDifficulty(0))
    assert GainKT.item_penalties(both) == (None, None)
    part.requires_grad_(True)
    first, second = GainKT.item_penalties(both)
    assert float(first.detach()) == 0
    assert second is None


def test_item_shrinkage_is_what_the_model_says_of_both_encoders_and_0_without_items() -> None:
    batch = random_batch()
    output = output_for(batch)
    assert float(losses.item_shrinkage(output, batch)) == 0
    output.item_penalties = torch.tensor(2.5), torch.tensor(4.0)
    assert float(losses.item_shrinkage(output, batch)) == 6.5
    output.item_penalties = None, torch.tensor(4.0)
    assert float(losses.item_shrinkage(output, batch)) == 4.0
