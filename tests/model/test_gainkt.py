"""Structure, on every experiment: causality, padding, monotone mastery, the reported gain, either way to compute."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from omegaconf import DictConfig

from conftest import EXPERIMENTS, random_batch, untrained
from gainkt.data.batch import Batch
from gainkt.data.datamodule import Sizes
from gainkt.errors import ConfigError
from gainkt.model import GainKT, Moments, Output
from gainkt.model.encoder import SharedStream
from gainkt.model.readiness import FirstContactReadiness
from gainkt.runs.folder import build_model

SIZES = Sizes(num_skills=7, num_students=3, num_items=5, skill_names=tuple("abcdefg"), item_names=tuple("vwxyz"))

Config = Callable[..., DictConfig]


@pytest.fixture(params=EXPERIMENTS)
def model(request: pytest.FixtureRequest) -> GainKT:
    made = untrained(SIZES, f"experiment={request.param}")
    for parameter in made.readiness.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # it starts at 0, where no response could move it
    return made


def flip(batch: Batch, row: int, step: int) -> Batch:
    response = batch.response_BT.clone()
    response[row, step] = 1 - response[row, step]
    return Batch(**{**{name: getattr(batch, name) for name in Batch.__slots__}, "response_BT": response})


def test_a_response_moves_only_later_predictions(model: GainKT) -> None:
    batch = random_batch()
    before = model(batch)
    moved = {1: 0, 2: 0}
    for step in range(batch.response_BT.shape[1]):
        after = model(flip(batch, 0, step))
        for number, (x, y) in {
            1: (before.logit1_BT, after.logit1_BT),
            2: (before.logit2_BT, after.logit2_BT),
        }.items():
            assert torch.equal(x[0, : step + 1], y[0, : step + 1]), f"encoder {number} saw the response of step {step}"
            assert torch.equal(x[1:], y[1:]), "a response moved another student's prediction"
            moved[number] += int((x[0] != y[0]).any())
    assert moved[1] > 0, "no response moves Encoder 1: the check could not fail"
    assert moved[2] > 0, "no response moves Encoder 2: the check could not fail"


def test_jacobian_is_strictly_lower_triangular(model: GainKT) -> None:
    batch = random_batch(b=1)
    embedded = []
    shared = isinstance(model.encoder2, SharedStream)
    for stream in [model.encoder1] if shared else [model.encoder1, model.encoder2]:
        stream.embedding.register_forward_hook(lambda module, args, out: embedded.append(_watch(out)) or embedded[-1])
    output = model(batch)
    for watched, logit in zip(embedded * (1 + shared), (output.logit1_BT, output.logit2_BT), strict=True):
        steps = logit.shape[1]
        jacobian = torch.zeros(steps, steps)
        for t in range(steps):
            if not logit.requires_grad:
                continue
            for gradient in torch.autograd.grad(logit[0, t], watched, retain_graph=True, allow_unused=True):
                if gradient is not None:
                    jacobian[t] += gradient[0].abs().sum(-1)
        assert (jacobian.triu() == 0).all(), "d p[t] / d interaction[s] must vanish for s >= t"
        assert (jacobian.tril(-1) > 0).any()


def _watch(out: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor | tuple[torch.Tensor, ...]:
    return out.detach().requires_grad_() if isinstance(out, torch.Tensor) else tuple(_watch(x) for x in out)


def test_padding_changes_nothing(model: GainKT) -> None:
    batch = random_batch()
    row = 1
    length = int(batch.valid_BT[row].sum())
    alone = Batch(**{name: getattr(batch, name)[row : row + 1] for name in Batch.__slots__})
    for name in Batch.__slots__:
        if name.endswith(("_BT", "_BTS")):
            setattr(alone, name, getattr(alone, name)[:, :length])
    padded, bare = model(batch, every_skill=True), model(alone, every_skill=True)
    for name in ("logit1_BT", "logit2_BT", "gains_BTC", "practice_BTC", "mastery_before_BTS"):
        x = getattr(padded, name)[row, :length]
        torch.testing.assert_close(x, getattr(bare, name)[0], rtol=1e-4, atol=1e-5)
    assert (padded.gains_BTC[row, length:] == 0).all(), "padding adds no practice"


def test_practice_sums_the_reported_gain(model: GainKT) -> None:
    output = model(random_batch(), every_skill=True)
    before = torch.cat([torch.zeros_like(output.practice_BTC[:, :1]), output.practice_BTC[:, :-1]], 1)
    torch.testing.assert_close(output.practice_BTC - before, output.gains_BTC, rtol=0, atol=1e-5)
    assert (output.gains_BTC >= 0).all()
    assert (output.gains_BTC <= 1).all()


def stir(model: GainKT) -> None:
    """Let parts that start at 0, readiness and velocity, say something."""
    for part in (model.velocity, model.readiness):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.5)


def held_after(output: Output, steps: int) -> Moments:
    """The one moment after so many steps."""
    states = Moments.after_steps(output.value_BTD).states_BND
    return Moments(states, torch.full((len(states), 1), steps), states[:, steps : steps + 1])


def test_mastery_never_falls_under_any_belief(model: GainKT) -> None:
    stir(model)
    batch = random_batch(t=20)
    output = model(batch, every_skill=True)
    for steps in (0, 7, 20):
        mastery = model.mastery(
            output.practice_BTC, output.axis.columns(), model.belief(batch, held_after(output, steps))
        )
        assert (mastery.diff(dim=1) >= -1e-6).all()
        assert ((mastery >= 0) & (mastery <= 1)).all()


def running(model: GainKT, batch: Batch, output: Output) -> torch.Tensor:
    """Mastery after each step as believed then."""
    belief = model.belief(batch, Moments.after_steps(output.value_BTD))
    return model.mastery(output.practice_BTC, output.axis.columns(), belief)


def test_running_mastery_falls_only_where_beliefs_are_revised(model: GainKT) -> None:
    stir(model)
    batch = random_batch(t=20)
    output = model(batch, every_skill=True)
    falls = running(model, batch, output).diff(dim=1) < -1e-6
    met = output.axis.practised(batch.has_skill_BTS).cummax(1).values[:, :-1]
    if isinstance(model.readiness, FirstContactReadiness):
        assert falls[~met].any(), "a prior is revised until the skill is met"
        assert not (falls & met).any(), "and never again"
    else:
        assert bool((falls & met).any()) == (model.velocity.inferred or model.readiness.inferred)


def test_mastery_is_what_the_prediction_reads(model: GainKT) -> None:
    stir(model)
    batch = random_batch(t=20)
    output = model(batch, every_skill=True)
    has = batch.has_skill_BTS[:, 1:]
    # After step t-1, of the skills of step t.
    read = running(model, batch, output)[:, :-1].gather(2, batch.skills_BTS[:, 1:])
    torch.testing.assert_close(output.mastery_before_BTS[:, 1:][has], read[has])


def test_both_ways_to_compute_agree(model: GainKT) -> None:
    batch = random_batch(b=3, t=60, s=1, num_skills=3)  # three skills met of seven: columns are gathered
    gathered, full = model(batch), model(batch, every_skill=True)
    assert not gathered.axis.is_all
    assert full.axis.is_all
    torch.testing.assert_close(gathered.logit2_BT, full.logit2_BT, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gathered.mastery_before_BTS, full.mastery_before_BTS, rtol=1e-5, atol=1e-6)
    for column, skill in enumerate(gathered.axis.skills_BC[0].tolist()):
        torch.testing.assert_close(gathered.gains_BTC[0, :, column], full.gains_BTC[0, :, skill], rtol=1e-5, atol=1e-6)


def test_no_cap_on_length(model: GainKT) -> None:
    output = model(random_batch(b=1, t=700))
    assert torch.isfinite(output.logit1_BT).all()
    assert torch.isfinite(output.logit2_BT).all()


def test_scalar_gain_for_all_skills_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match="receivers=practised"):
        build_model(config("v0_scalar", "model/receivers=all").model, SIZES)


def test_heads_that_do_not_divide_the_width(config: Config) -> None:
    with pytest.raises(ConfigError, match="num_heads=5"):
        build_model(config("v1_per_skill", "model.size.num_heads=5").model, SIZES)


@pytest.mark.parametrize("head", ["scalar", "linear", "mlp", "skill_attention", "small_init"])
def test_every_gain_head_goes_with_practised_receivers(config: Config, head: str) -> None:
    cfg = config("v1_per_skill", f"model/gain_head={head}", "model/receivers=practised")
    output = build_model(cfg.model, SIZES)(random_batch(), every_skill=True)
    practised = output.axis.practised(random_batch().has_skill_BTS)
    assert (output.gains_BTC[~practised] == 0).all()
    assert (output.gains_BTC[practised] > 0).all()


def test_items_of_unknown_difficulty_are_as_hard_as_their_skill(config: Config) -> None:
    model = build_model(config("v4_belief").model, SIZES).eval()
    torch.nn.init.normal_(model.items1.difficulty)
    torch.nn.init.normal_(model.items2.difficulty)
    batch = random_batch()
    known, unknown = model(batch), model(replace(batch, item_BT=torch.full_like(batch.item_BT, -1)))
    with torch.no_grad():
        model.items1.difficulty.zero_()
        model.items2.difficulty.zero_()
    average = model(batch)
    for name in ("logit1_BT", "logit2_BT"):
        torch.testing.assert_close(getattr(unknown, name), getattr(average, name))
        assert not torch.allclose(getattr(known, name), getattr(average, name))


def test_a_harder_item_lowers_only_its_own_chance(config: Config) -> None:
    model = build_model(config("v4_belief").model, SIZES).eval()
    batch = random_batch(s=1)
    easy = model(batch).logit2_BT
    with torch.no_grad():
        model.items2.difficulty[2] += 1.0
    change = (model(batch).logit2_BT - easy)[:, 0]  # the first step: no history yet in which the item could stand
    torch.testing.assert_close(change, torch.where(batch.item_BT[:, 0] == 2, -1.0, 0.0))


def test_data_without_items_needs_no_difficulties(config: Config) -> None:
    bare = replace(SIZES, num_items=0, item_names=())
    torch.manual_seed(0)
    rasch = build_model(config("v4_belief").model, bare).eval()
    torch.manual_seed(0)
    none = build_model(config("v4_belief", "model/item_difficulty=none").model, bare).eval()
    batch = random_batch()
    assert torch.equal(rasch(batch).logit2_BT, none(batch).logit2_BT)
    assert rasch(batch).item_penalties == (None, None)
