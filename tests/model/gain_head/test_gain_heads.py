"""Gain heads: each does what its name says, on every axis, whatever stands in the padding or comes later."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from conftest import random_batch
from gainkt.config import build, conf_dir
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses.gains import gain_sparsity
from gainkt.model.axis import SkillAxis, all_skills, met_skills
from gainkt.model.gain_head.base import gains_for
from gainkt.model.gain_head.experts import ExpertGain, GroupedGain, MixtureGain
from gainkt.model.gain_head.linear import LinearGain
from gainkt.model.gain_head.own import OwnTableGain, QMatrixGain
from gainkt.model.gain_head.scalar import NoGain
from gainkt.model.size import Size

K, D = 7, 16
SIZE = Size(d_model=D, num_heads=2, num_blocks=1, d_ff=8, dropout=0.0)
HEADS = sorted(path.stem for path in Path(conf_dir(), "model", "gain_head").glob("*.yaml") if path.stem != "none")

Config = Callable[..., DictConfig]


@pytest.fixture(params=HEADS)
def head(request: pytest.FixtureRequest, config: Config) -> nn.Module:
    """Every option of the group, with parameters that have left their starting values."""
    torch.manual_seed(0)
    made = build(config("v1_per_skill", f"model/gain_head={request.param}").model.gain_head)(K, SIZE).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def value_of(batch: Batch) -> Tensor:
    return torch.randn(*batch.valid_BT.shape, D, generator=torch.Generator().manual_seed(1))


def test_gains_lie_in_range_and_reach_every_parameter(head: nn.Module) -> None:
    batch = random_batch(num_skills=K)
    value = value_of(batch).requires_grad_()
    gains = head(value, all_skills(batch, K), batch)
    assert gains.shape == (4, 9, K)
    assert ((gains >= 0) & (gains <= 1)).all()
    (gains * torch.rand(K)).sum().backward()
    assert value.grad is not None
    assert value.grad.abs().sum() > 0
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_either_axis_gives_a_skill_the_same_gain(head: nn.Module) -> None:
    batch = random_batch(b=3, t=60, num_skills=4)  # four skills met of seven
    batch.skills_BTS[1] = batch.skills_BTS[1].clamp_max(1)  # and fewer in one window, which has spare columns
    axis, value = met_skills(batch), value_of(batch)
    some, every = gains_for(head, K, value, axis, batch), head(value, all_skills(batch, K), batch)
    assert some.shape == (3, 60, 4)
    columns = range(axis.size)
    used = [(b, c) for b in range(3) for c in columns if _is_used(axis, batch, b, c)]
    assert len(used) == 4 + 2 + 4
    for b, c in used:
        torch.testing.assert_close(some[b, :, c], every[b, :, axis.skills_BC[b, c]], rtol=1e-5, atol=1e-6)


def _is_used(axis: SkillAxis, batch: Batch, b: int, c: int) -> bool:
    return bool(((axis.column_BTS[b] == c) & batch.has_skill_BTS[b]).any())


def test_a_gain_reads_its_own_step_only(head: nn.Module) -> None:
    batch = random_batch(num_skills=K)
    value, axis = value_of(batch), all_skills(batch, K)
    gains = head(value, axis, batch)
    for step in range(9):
        moved = value.clone()
        moved[:, step] += 1
        changed = (head(moved, axis, batch) != gains).any(-1)
        assert changed[:, step].any(), "the check could not fail"
        assert not changed[:, :step].any(), "a gain saw a later step"
        assert not changed[:, step + 1 :].any()


def test_padding_moves_no_gain(head: nn.Module) -> None:
    batch = random_batch(num_skills=K)
    value = value_of(batch)
    padding = ~batch.valid_BT
    assert padding.any()
    other = torch.where(padding[..., None], 100.0, value)
    for axis in (all_skills(batch, K), met_skills(batch)):
        before, after = (gains_for(head, K, x, axis, batch) for x in (value, other))
        assert torch.equal(before[batch.valid_BT], after[batch.valid_BT])


def test_dropout_stirs_gains_in_training_only() -> None:
    batch = random_batch(num_skills=K)
    value, axis = value_of(batch), all_skills(batch, K)
    torch.manual_seed(0)
    stirred = LinearGain(K, SIZE, dropout=0.5)
    torch.manual_seed(0)
    plain = LinearGain(K, SIZE)
    assert not torch.equal(stirred(value, axis, batch), stirred(value, axis, batch))
    assert torch.equal(stirred.eval()(value, axis, batch), plain(value, axis, batch))


def test_a_linear_head_without_dropout_draws_nothing_more() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(D, K)
    nn.init.normal_(linear.bias)
    drawn = torch.get_rng_state()
    torch.manual_seed(0)
    made = LinearGain(K, SIZE)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(made.output.linear.weight, linear.weight)
    assert list(made.state_dict()) == ["output.linear.weight", "output.linear.bias"]
    batch = random_batch(num_skills=K)
    value = value_of(batch)
    expected = torch.sigmoid(nn.functional.linear(value, linear.weight))
    assert torch.equal(made.train()(value, all_skills(batch, K), batch), expected)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_an_expert_learns_from_its_own_skill_only() -> None:
    batch = random_batch(num_skills=K)
    head = ExpertGain(K, SIZE, hidden=3)
    head(value_of(batch), all_skills(batch, K), batch)[..., 2].sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        moved = parameter.grad.flatten(1).abs().sum(1) if parameter.dim() > 1 else parameter.grad.abs()
        assert (moved > 0).tolist() == [k == 2 for k in range(K)], name


def test_an_expert_by_hand() -> None:
    batch = random_batch(num_skills=K)
    head, value = ExpertGain(K, SIZE, hidden=3), value_of(batch)
    gains = head(value, all_skills(batch, K), batch)
    for k in range(K):
        hidden = torch.relu(value[2, 1] @ head.hidden_weight[k].T + head.hidden_bias[k])
        torch.testing.assert_close(gains[2, 1, k], torch.sigmoid(hidden @ head.weight[k] + head.bias[k]))


def test_a_mixture_whose_gate_picks_one_expert_is_that_expert() -> None:
    batch = random_batch(num_skills=K)
    value, axis = value_of(batch), all_skills(batch, K)
    mixture, alone = MixtureGain(K, SIZE, experts=3), LinearGain(K, SIZE)
    nn.init.normal_(mixture.bias)
    nn.init.zeros_(mixture.gate.weight)
    said = []
    for expert in range(3):
        mixture.gate.bias.data = torch.full((3,), -100.0).index_fill(0, torch.tensor(expert), 100.0)
        alone.output.linear.weight.data = mixture.weight[:, expert].data
        alone.output.linear.bias.data = mixture.bias[:, expert].data
        said.append(mixture(value, axis, batch))
        torch.testing.assert_close(said[-1], alone(value, axis, batch))
    assert (said[0] - said[1]).abs().max() > 0.1, "experts that say the same show nothing"


def test_a_mixture_reads_the_step_to_pick_its_experts() -> None:
    batch = random_batch(num_skills=K)
    mixture = MixtureGain(K, SIZE, experts=2)
    nn.init.zeros_(mixture.weight)
    mixture.bias.data = torch.tensor([-1.0, 1.0]).expand(K, 2)
    mixture.gate.weight.data.zero_()
    mixture.gate.weight.data[0, 0] = 100.0  # a step with a large first entry asks the first expert
    value = torch.zeros(4, 9, D)
    value[0, 0, 0], value[0, 1, 0] = 9.0, -9.0
    gains = mixture(value, all_skills(batch, K), batch)
    torch.testing.assert_close(gains[0, 0], torch.full((K,), -1.0).sigmoid())
    torch.testing.assert_close(gains[0, 1], torch.full((K,), 1.0).sigmoid())


def test_skills_of_the_same_groups_gain_together() -> None:
    batch = random_batch(num_skills=K)
    torch.manual_seed(0)
    head, value = GroupedGain(K, SIZE, groups=3), value_of(batch)
    torch.testing.assert_close(head.assignment().sum(-1), torch.ones(K))
    head.membership.data[4] = head.membership.data[1] + 2.0  # the same shares: a softmax has no level
    gains = head(value, all_skills(batch, K), batch)
    torch.testing.assert_close(gains[..., 4], gains[..., 1])
    assert (gains[..., 4] - gains[..., 2]).abs().max() > 0.01
    head.shift.data[4] = 1.0
    apart = head(value, all_skills(batch, K), batch)
    torch.testing.assert_close(apart[..., 4].logit() - apart[..., 1].logit(), torch.ones(4, 9), rtol=1e-4, atol=1e-4)


def test_a_skill_of_one_group_gains_what_the_group_gains() -> None:
    batch = random_batch(num_skills=K)
    head, value = GroupedGain(K, SIZE, groups=3), value_of(batch)
    head.membership.data[0] = torch.tensor([0.0, 100.0, 0.0])
    gains = head(value, all_skills(batch, K), batch)
    torch.testing.assert_close(gains[..., 0], torch.sigmoid(head.group(value)[..., 1]))


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_gains_start_on_the_q_matrix(strength: float) -> None:
    batch = random_batch(b=6, t=30, s=3, num_skills=K)
    axis = all_skills(batch, K)
    torch.manual_seed(0)
    head = QMatrixGain(K, SIZE, strength=strength)
    value = nn.functional.layer_norm(value_of(batch), (D,))  # as the attention stream gives it
    gains, practised = head(value, axis, batch), axis.practised(batch.has_skill_BTS)
    least = gains.masked_fill(~practised, 2).amin(-1)
    most = gains.masked_fill(practised, -1).amax(-1)
    assert (least > most)[batch.valid_BT].all()
    start = torch.where(practised, strength, -strength).sigmoid()
    torch.testing.assert_close(gains, start, rtol=0, atol=0.05)


def test_the_q_matrix_may_be_left_again() -> None:
    batch = random_batch(num_skills=K)
    axis = all_skills(batch, K)
    head = QMatrixGain(K, SIZE, strength=2.0)
    practised = axis.practised(batch.has_skill_BTS)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(60):
        gains = head(value_of(batch), axis, batch)
        loss = gains[practised].mean() - gains[~practised].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert head.strength().item() < 0
    assert gains[practised].mean() < gains[~practised].mean()


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (LinearGain, {"dropout": 1.0}),
        (LinearGain, {"dropout": -0.1}),
        (ExpertGain, {"hidden": 0}),
        (MixtureGain, {"experts": 0}),
        (GroupedGain, {"groups": 0}),
        (QMatrixGain, {"strength": 0.0}),
    ],
)
def test_settings_out_of_range(kind: type, setting: dict[str, float]) -> None:
    name, found = next(iter(setting.items()))
    with pytest.raises(ConfigError, match=f"^{name}={found}"):
        kind(K, SIZE, **setting)


def test_without_gains_practice_stays_at_nothing() -> None:
    batch = random_batch(num_skills=K)
    for axis in (all_skills(batch, K), met_skills(batch)):
        gains = NoGain(K, SIZE)(value_of(batch), axis, batch)
        assert gains.shape == (4, 9, axis.size)
        assert not gains.any()


def test_topics_know_the_sum_over_skills_without_their_columns(config: Config) -> None:
    cfg = config("v4_belief", "model/gain_head=own_topics")
    model, loss = build(cfg.model, num_skills=500, num_students=4, num_items=0), build(cfg.loss)
    assert loss.needs_every_skill(loss.weights)
    assert not loss.needs_every_skill(loss.weights, model.knows_others)
    nn.init.normal_(model.gain_head.share)
    batch = random_batch(num_skills=K)
    output = model.train()(batch, every_skill=True)
    by_column = gain_sparsity(replace(output, others_BT=None), batch).detach()
    assert output.axis.size == 500
    assert float(gain_sparsity(output, batch).detach()) == pytest.approx(float(by_column), rel=1e-5)
    output = model(batch)
    assert output.axis.size < 9
    assert output.others_BT is not None
    assert model.eval()(batch).others_BT is None
    cfg = config("v4_belief", "model/gain_head=own_topics", "model/receivers=practised")
    assert not build(cfg.model, num_skills=K, num_students=4, num_items=0).knows_others, "others receive nothing"


def test_a_table_gives_a_skill_one_gain_a_response() -> None:
    head, batch = OwnTableGain(K, SIZE, right_bias=1.0, wrong_bias=-2.0, transfer_bias=-4.0), random_batch(num_skills=K)
    with torch.no_grad():
        head.table += torch.randn(2, K)
    gains = head(value_of(batch), all_skills(batch, K), batch)
    for b, t in batch.valid_BT.nonzero().tolist():
        own = batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]].tolist()
        for k in own:
            expected = torch.sigmoid(head.table[int(batch.response_BT[b, t]), k])
            torch.testing.assert_close(gains[b, t, k], expected)
        others = [k for k in range(K) if k not in own]
        assert (gains[b, t, others] < 0.1).all(), "a step hardly moves what it does not practise"
