"""A history in pieces is the whole history, on every experiment: what the model keeps is all that it needs."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from conftest import EXPERIMENTS, random_batch, untrained
from gainkt.config import conf_dir
from gainkt.data.batch import Batch
from gainkt.data.datamodule import Sizes
from gainkt.model import GainKT, Moments, Output, Size
from gainkt.model.state import SPARE, State

SIZES = Sizes(num_skills=7, num_students=3, num_items=5, skill_names=tuple("abcdefg"), item_names=tuple("vwxyz"))
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
"""Sums of gains may be over 8, where neighbouring float32 numbers are 1e-6 apart."""
BLOCKS = "model.size.num_blocks=2"


def options() -> list[tuple[str, ...]]:
    """Every option of the parts that read the history, in a model of V4's; gain heads that no experiment has too."""
    folder = Path(conf_dir(), "model")
    groups = ("encoder1", "encoder2", "receivers", "velocity", "readiness")
    found = [f"model/{group}={path.stem}" for group in groups for path in sorted((folder / group).glob("*.yaml"))]
    return [("v4_belief", option) for option in [*found, "model/gain_head=own_matrix", "model/curve=power"]]


def built(*settings: str) -> GainKT:
    """A small model with all parts stirred, so that those that start at 0 say something."""
    experiment, *more = settings
    model = untrained(SIZES, f"experiment={experiment}", *more, BLOCKS)
    for part in (model.velocity, model.readiness, model.items1, model.items2):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def piece(batch: Batch, start: int, stop: int) -> Batch:
    """Some steps of every window, as a batch."""
    cut = {f.name: getattr(batch, f.name) for f in fields(Batch)}
    cut = {name: x[:, start:stop] if name.endswith(("_BT", "_BTS")) else x for name, x in cut.items()}
    return Batch(**{**cut, "start_B": batch.start_B + start})


def in_pieces(model: GainKT, batch: Batch, length: int) -> tuple[list[Output], State]:
    """Outputs of pieces of a length, and the state after the last."""
    state, outputs = model.start(len(batch)), []
    for start in range(0, batch.valid_BT.shape[1], length):
        outputs.append(model(piece(batch, start, start + length), state))
        assert outputs[-1].state is not None
        state = outputs[-1].state
    return outputs, state


def running(model: GainKT, batch: Batch, output: Output) -> torch.Tensor:
    belief = model.belief(batch, Moments.after_steps(output.value_BTD, output.start_BD))
    return model.mastery(output.practice_BTC, output.axis.columns(), belief)


def assert_same(model: GainKT, batch: Batch, length: int) -> None:
    whole = model(batch, every_skill=True)
    pieces, state = in_pieces(model, batch, length)
    valid = batch.valid_BT
    for name in ("logit1_BT", "logit2_BT", "gains_BTC", "practice_BTC", "mastery_before_BTS"):
        found = torch.cat([getattr(output, name) for output in pieces], 1)
        torch.testing.assert_close(
            found[valid], getattr(whole, name)[valid], **CLOSE, msg=lambda m, n=name: f"{n}: {m}"
        )
    cuts = [piece(batch, start, start + length) for start in range(0, valid.shape[1], length)]
    mastery = torch.cat([running(model, cut, output) for cut, output in zip(cuts, pieces, strict=True)], 1)
    torch.testing.assert_close(mastery[valid], running(model, batch, whole)[valid], **CLOSE)
    assert torch.equal(state.steps_B, valid.sum(1))
    end = (valid.sum(1) - 1)[:, None, None].expand(-1, 1, SIZES.num_skills)
    torch.testing.assert_close(state.skill["practice"], whole.practice_BTC.gather(1, end)[:, 0], **CLOSE)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_pieces_are_the_whole(experiment: str) -> None:
    model = built(experiment)
    for length in (1, 2, 7):
        with torch.no_grad():
            assert_same(model, random_batch(t=16), length)


@pytest.mark.parametrize("settings", options(), ids=lambda settings: settings[1])
def test_pieces_are_the_whole_with_every_part(settings: tuple[str, ...]) -> None:
    with torch.no_grad():
        assert_same(built(*settings), random_batch(t=16), 5)


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_steady", "v1_per_skill", "v4_monotone"])
def test_nothing_came_before_the_start_to_the_bit(experiment: str) -> None:
    model, batch = built(experiment), random_batch()
    alone, started = model(batch, every_skill=True), model(batch, model.start(len(batch)))
    assert alone.state is None
    for name in ("logit1_BT", "logit2_BT", "gains_BTC", "practice_BTC"):
        assert torch.equal(getattr(alone, name), getattr(started, name)), name


@pytest.mark.parametrize("experiment", ["v4_belief", "v1_per_skill"])
def test_the_first_prediction_of_a_piece_is_read_from_the_state_alone(experiment: str) -> None:
    model, batch = built(experiment), random_batch()
    state = in_pieces(model, piece(batch, 0, 5), 5)[1]
    rest = piece(batch, 5, 9)
    other = replace(rest, response_BT=1 - rest.response_BT)
    asked, flipped, anew = model(rest, state), model(other, state), model(rest)
    for name in ("logit1_BT", "logit2_BT"):
        assert torch.equal(getattr(asked, name)[:, 0], getattr(flipped, name)[:, 0])
        assert not torch.allclose(getattr(asked, name)[:, 0], getattr(anew, name)[:, 0]), "the state says something"


def test_no_response_moves_earlier_predictions_over_a_cut() -> None:
    for experiment in ("v4_belief", "v4_steady", "v4_monotone", "v1_per_skill"):
        model, batch = built(experiment), random_batch(b=1, t=9)
        before = torch.cat([output.logit2_BT for output in in_pieces(model, batch, 4)[0]], 1)
        for step in range(9):
            response = batch.response_BT.clone()
            response[0, step] = 1 - response[0, step]
            outputs = in_pieces(model, replace(batch, response_BT=response), 4)[0]
            after = torch.cat([output.logit2_BT for output in outputs], 1)
            assert torch.equal(after[:, : step + 1], before[:, : step + 1])
            assert step == 8 or (after != before)[:, step + 1 :].any()


def test_attention_sees_a_bounded_context() -> None:
    model, batch = built("v1_per_skill"), random_batch(b=2, t=12)
    batch.valid_BT[:] = True
    whole = model(batch).logit1_BT
    for stream in (model.encoder1, model.encoder2):
        stream.context = 4
    outputs, state = in_pieces(model, batch, 3)
    assert all(x.shape[1] == 4 for x in state.context.values())
    found = torch.cat([output.logit1_BT for output in outputs], 1)
    torch.testing.assert_close(found[:, :7], whole[:, :7], **CLOSE)  # the context covers the history up to there
    assert not torch.allclose(found[:, 7:], whole[:, 7:], **CLOSE)


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_steady", "v1_per_skill", "v4_monotone"])
def test_states_are_told_apart_and_put_together(experiment: str) -> None:
    model, batch = built(experiment), random_batch()
    state = in_pieces(model, piece(batch, 0, 6), 6)[1]
    early = in_pieces(model, piece(batch, 0, 2), 2)[1]  # less context
    mixed = State.stack([state.select(torch.tensor([2, 0])), model.start(1), early.select(torch.tensor([3]))])
    rows = torch.tensor([2, 0, 1, 3])
    rest = Batch(**{f.name: getattr(piece(batch, 6, 9), f.name)[rows] for f in fields(Batch)})
    together = model(rest, mixed)
    for at, (row, one) in enumerate(((2, state), (0, state), (None, model.start(1)), (3, early))):
        alone = Batch(**{f.name: getattr(rest, f.name)[at : at + 1] for f in fields(Batch)})
        kept = one if row is None else one.select(torch.tensor([row]))
        for name in ("logit1_BT", "logit2_BT", "practice_BTC"):
            torch.testing.assert_close(getattr(together, name)[at : at + 1], getattr(model(alone, kept), name), **CLOSE)
    again = State.from_tensors(mixed.to("cpu").detach().tensors())
    assert all(torch.equal(x, again.tensors()[name]) for name, x in mixed.tensors().items())
    assert all(len(x) == len(mixed) for x in mixed.tensors().values())


@pytest.mark.parametrize("receivers", ["practised", "all"])
def test_a_state_may_speak_of_the_skills_to_come_alone(receivers: str) -> None:
    model = built("v4_monotone", f"model/receivers={receivers}")
    batch = random_batch(t=90, s=1, num_skills=3)
    batch.skills_BTS[:, 60:] = torch.where(batch.has_skill_BTS[:, 60:], batch.skills_BTS[:, 60:] + 1, 0)
    whole = model(batch, every_skill=True)
    first = replace(piece(batch, 0, 60), ahead_BL=torch.tensor([[1, 2, 3], [3, 1, 2], [1, 2, 3], [2, 3, 1]]))
    state = model(first).state
    assert state is not None
    assert state.skills_BC.tolist() == [[0, 1, 2, 3]] * 4, "fewer than all"
    rest = piece(batch, 60, 90)
    output = model(rest, state)
    torch.testing.assert_close(output.logit2_BT[rest.valid_BT], whole.logit2_BT[:, 60:][rest.valid_BT], **CLOSE)
    if receivers == "all":
        unaware = model(replace(first, ahead_BL=torch.full((4, 1), -1))).state
        off = model(rest, unaware).logit2_BT
        assert not torch.allclose(off[rest.valid_BT], output.logit2_BT[rest.valid_BT], **CLOSE), "gains would be lost"


def test_spare_columns_hold_nothing() -> None:
    model, batch = built("v4_monotone"), random_batch(t=90, s=1, num_skills=3)
    batch.skills_BTS[0] = 2
    state = model(replace(batch, ahead_BL=torch.full((4, 1), -1))).state
    assert state is not None
    assert state.skills_BC[0].tolist() == [2, SPARE, SPARE]
    assert all((x[0, 1:] == 0).all() for x in state.skill.values())


class Forgetful(torch.nn.Module):
    """A stream from outside that knows nothing of state."""

    def __init__(self, num_skills: int, size: Size, *, has_items: bool) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(2, size.d_model)

    def forward(self, batch: Batch, difficulty_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = self.table(batch.response_BT.long())
        return value, value


def test_a_stream_without_state_is_named() -> None:
    model, batch = built("v4_belief"), random_batch()
    model.encoder2 = Forgetful(7, Size(16, 2, 1, 16, 0.0), has_items=False)
    with pytest.warns(UserWarning, match="encoder2: Forgetful keeps no state"):
        assert_same(model, batch, 4)  # it looks back one step, which is kept for it
    model(batch)
