"""The one pass over a part of the data: its windows go through a model in order, and consumers take what it says.

What a consumer asks for is computed once a batch, at the skills that its windows meet; what is over all K skills comes
in pieces of bounded size, so that memory does not grow with K.
"""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Protocol

import torch
from rich.progress import track
from torch import Tensor

from gainkt.data.batch import Batch, shift
from gainkt.evaluation.schema import ACTIVE_GAIN, FALL, SATURATED_SLOPE
from gainkt.evaluation.statistics.steadiness import Movement
from gainkt.model import Belief, Carrier, GainKT, Moments, Output
from gainkt.model.axis import Cells, SkillAxis, all_skills
from gainkt.model.state import SPARE, State

PIECE = 1 << 18
"""Cells (windows x steps x skills) of a piece: 1 MiB a tensor, so that a piece stays in cache."""
TRIM_EVERY = 100
"""Batches after which free memory is given back: they have many shapes and leave gaps, 300 MiB after a thousand."""


class Consumer(Protocol):
    """Takes what a model says about a part of the data, a batch at a time: sums it up, or writes it.

    One that asks for what is over all K skills, `pieces`, `every_skill` or `over_all_skills`, has
    `needs_every_skill = True`: state on all of them is carried then over the cut of a long history, else on those met
    later. One that asks for the skills met in earlier windows too has `needs_met_skills = True`.
    """

    def add(self, seen: Seen) -> None:
        """Take a batch."""


@torch.inference_mode()
def one_pass(
    model: GainKT,
    batches: Iterable[Batch],
    consumers: Iterable[Consumer],
    device: torch.device | str = "cpu",
    *,
    title: str | None = None,
    every_skill: bool = False,
) -> None:
    """Send batches through a model, in evaluation mode and float32, and give each to every consumer.

    Args:
        model: moved to `device`.
        batches: of one part of the data, the windows of a student in order.
        consumers: what is wanted.
        device: where to compute.
        title: of a progress bar, where there is a terminal; no bar where None.
        every_skill: columns C for all K skills.
    """
    model.to(device).eval()
    consumers, carrier = tuple(consumers), Carrier()
    whole = any(getattr(consumer, "needs_every_skill", False) for consumer in consumers)
    looks_back = not whole and any(getattr(consumer, "needs_met_skills", False) for consumer in consumers)
    shows = title is not None and sys.stdout.isatty()
    for number, batch in enumerate(track(batches, title or "", transient=True, disable=not shows), start=1):
        batch = batch.to(device)
        state = carrier.before(batch)
        asked = batch if state is None or not looks_back else _with_met(batch, state)
        seen = Seen(model, asked, model(asked, state, every_skill=every_skill), state, whole)
        for consumer in consumers:
            consumer.add(seen)
        carrier.after(batch, replace(seen.output, state_of=seen.state_of) if whole else seen.output)
        del seen
        if number % TRIM_EVERY == 0:
            _trim()(0)
    _trim()(0)


@cache
def _trim() -> Callable[[int], object]:
    """Return glibc's function that gives free memory back to the system; elsewhere one that does nothing."""
    found = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    return found or (lambda _: None)


def _with_met(batch: Batch, state: State) -> Batch:
    """The batch with columns for the skills that its students met before the windows."""
    met = torch.where(state.skill["met"] > 0, state.skills_BC, -1)
    return replace(batch, ahead_BL=torch.cat([batch.ahead_BL, met], 1))


@dataclass
class Piece:
    """Some windows of a batch, some skills: what the model says about all steps of these."""

    rows: slice
    """Windows of the batch, b of them."""
    steps: int
    """Steps from the first on, t of them; those left out are padding in all the windows."""
    cells: Cells
    """The skills, c of them; each is in one piece of a window."""
    gains: Tensor
    """[b, t, c]."""
    practice: Tensor
    """[b, t, c], the step's gain included, and what came before the window."""

    @property
    def before(self) -> Tensor:
        """Practice before each step, [b, t, c]."""
        return shift(self.practice, self.cells.kept["practice"] if self.cells.kept else 0.0)

    def of_skills(self, which: slice | Tensor) -> Piece:
        """The piece without some of its skills."""
        skills, first = self.cells.skills[..., which], self.cells.first[..., which]
        kept = {name: x[..., which] for name, x in self.cells.kept.items()}
        cells = replace(self.cells, skills=skills, first=first, kept=kept)
        return replace(self, cells=cells, gains=self.gains[..., which], practice=self.practice[..., which])


@dataclass
class Seen:
    """A batch and what a model says about it. Columns C are those of the output's axis: the skills met, or all."""

    model: GainKT
    batch: Batch
    output: Output
    state: State | None = None
    """Before the windows; None where they start anew."""
    whole: bool = True
    """Whether state is carried on all K skills; else on those that the columns are."""
    _kept: dict[str, Tensor] | None = field(default=None, init=False)

    @cached_property
    def shown_BT(self) -> Tensor:
        """Steps that count: each step of a history once, context left out."""
        batch = self.batch
        first = batch.start_B[:, None] + torch.arange(batch.valid_BT.shape[1], device=batch.start_B.device) == 0
        return batch.scored_BT | (first & batch.valid_BT)

    @cached_property
    def number_BT(self) -> Tensor:
        """Number of each step in its history, int64."""
        steps = torch.arange(self.batch.valid_BT.shape[1], device=self.batch.start_B.device)
        return self.batch.start_B[:, None] + steps

    @cached_property
    def since_B(self) -> Tensor:
        """Step of the history from which practice is summed, int64: 0 where windows go on from each other."""
        return self.batch.start_B - (0 if self.state is None else self.state.steps_B)

    @cached_property
    def student_BT(self) -> Tensor:
        """The student of each step, int64."""
        return self.batch.student_B[:, None].expand_as(self.batch.valid_BT)

    @cached_property
    def practised_BTC(self) -> Tensor:
        """Whether the step practises the skill."""
        return self.output.axis.practised(self.batch.has_skill_BTS)

    @cached_property
    def mastery_BTC(self) -> Tensor:
        """Mastery after each step, as believed then."""
        moments = Moments.after_steps(self.output.value_BTD.float(), self.output.start_BD)
        running = self.model.belief(self.batch, moments)
        return self.model.mastery(self.output.practice_BTC, self.output.axis.columns(), running)

    @cached_property
    def mastery_final_BTC(self) -> Tensor:
        """Mastery after each step, as believed at the end of the window."""
        return self.model.mastery(self.output.practice_BTC, self.output.axis.columns(), self.final)

    @cached_property
    def before_BTC(self) -> Tensor:
        """Practice before each step."""
        return self.output.axis.before(self.output.practice_BTC)

    @cached_property
    def mastery_before_BTC(self) -> Tensor:
        """Mastery before each step, as believed then."""
        return self.model.mastery(self.before_BTC, self.output.axis.columns(), self.output.belief)

    @cached_property
    def final(self) -> Belief:
        """What is believed at the end of the window; a long history is looked back on window by window."""
        return self.model.belief(self.batch, self._at_end(slice(None)))

    @cached_property
    def saturated_practised_BT(self) -> Tensor:
        """Skills of the step's own whose curve was flat before it."""
        axis, belief = self.output.axis, self.output.belief
        return (_saturated(self.model, self.before_BTC, axis.columns(), belief) & self.practised_BTC).sum(-1)

    @cached_property
    def every_skill(self) -> EverySkill:
        """Each step summed up over all K skills."""
        return EverySkill.of(self)

    @property
    def over_all_skills(self) -> dict[str, Tensor]:
        """Columns of predictions.parquet about all K skills, [B, T] each."""
        every, others = self.every_skill, self.model.num_skills - self.practised_BTC.sum(-1)
        return {
            "gain_mean": every.gain_mean_BT,
            "gain_std": every.gain_std_BT,
            "active_skills": every.active_BT,
            "mastery_falls": every.falls_BT,
            "saturated_other": (every.saturated_BT - self.saturated_practised_BT) / others.clamp_min(1),
        }

    @cached_property
    def belief_falls_BT(self) -> Tensor:
        """As `EverySkill.belief_falls_BT`, from the columns: they hold the skills that were practised before."""
        axis, step = self.output.axis, torch.arange(self.batch.valid_BT.shape[1], device=self.batch.start_B.device)
        counts = (axis.first_BC[:, None] < step[:, None]) & (axis.listed() < SPARE)[:, None]
        return (falls(self.mastery_before_BTC, self.mastery_BTC) & counts).sum(-1)

    @cached_property
    def at_end(self) -> tuple[Cells, Tensor, Tensor]:
        """Cells of the skills met so far and maybe others, [1 or B, 1, C]; practice and mastery of each at the end.

        `first` is T for those that the student did not meet; practice and mastery are [B, C].
        """
        if self.output.state_of is None or not self.whole:
            axis, practice_BC = self.output.axis, self.output.practice_BTC[:, -1]
            # A spare column repeats a skill, which may have been met before the window.
            first = torch.where(axis.listed() < SPARE, axis.first_BC, self.batch.valid_BT.shape[1])
            cells = replace(axis.columns(), first=first[:, None])
        else:
            practice_BC, is_met = self._kept_BK["practice"], self._kept_BK["met"][:, None] > 0
            first = torch.where(is_met, -1, self.batch.valid_BT.shape[1])
            skills = torch.arange(self.model.num_skills, device=first.device)[None, None]
            cells = Cells(skills, first, {name: x[:, None] for name, x in self._kept_BK.items()})
        return cells, practice_BC, self.model.mastery(practice_BC[:, None], cells, self.final)[:, 0]

    def state_of(self, rows: Tensor | None) -> State:
        """State on all K skills after the windows at `rows`, as `Output.state_of` makes it of those of the columns."""
        assert self.output.state_of is not None, "the model knows from the batch that windows go on"
        state, at = self.output.state_of(rows), slice(None) if rows is None else rows
        skills = torch.arange(self.model.num_skills, device=state.steps_B.device).expand(len(state), -1)
        return replace(state, skills_BC=skills, skill={name: x[at] for name, x in self._kept_BK.items()})

    @property
    def _kept_BK(self) -> dict[str, Tensor]:
        """What is kept of all K skills at the end of windows that go on, or have gone on, [B, K] each."""
        if self._kept is None:
            deque(self.pieces(), maxlen=0)
        assert self._kept is not None
        return self._kept

    def pieces(self) -> Iterator[Piece]:
        """Gains and practice of all K skills at all steps, in pieces of about `PIECE` cells.

        What later windows need of them is kept on the way.
        """
        kept: dict[str, Tensor] = {}
        for piece in self._pieces():
            if self.output.state_of is not None:
                found = self.model.kept(piece.practice, piece.cells, self._at_end(piece.rows, piece.steps))
                for name, x in found.items():
                    whole = kept.setdefault(name, x.new_zeros(len(self.batch), self.model.num_skills))
                    whole[piece.rows, piece.cells.skills[0, 0]] = x
            yield piece
        self._kept = kept

    def _pieces(self) -> Iterator[Piece]:
        """As `pieces`.

        Several windows with all skills where a window has no more cells than that, else one window with some of its
        skills; a gain head that is always given every skill gets them, whatever that costs.
        """
        output, batch, k = self.output, self.batch, self.model.num_skills
        num_windows, steps = batch.valid_BT.shape
        held = k if self.state is None else self.state.skills_BC.shape[1]
        assert held == k, "state is on some skills: the consumer lacks needs_every_skill"
        if output.axis.is_all:
            columns = output.axis.columns()
            yield Piece(slice(None), steps, columns, output.gains_BTC, output.practice_BTC)
            return
        whole = getattr(self.model.gain_head, "needs_every_skill", False)
        if whole or steps * k <= PIECE:
            some = max(1, PIECE // (steps * k))
            for first in range(0, num_windows, some):
                rows = slice(first, first + some)
                part = rows_of(batch, rows)
                axis = self._going_on(all_skills(part, k), rows)
                yield Piece(rows, steps, axis.columns(), *self._practise(rows, part, axis))
            return
        for row in range(num_windows):
            yield from self._window(row)

    def _window(self, row: int) -> Iterator[Piece]:
        """All skills of a window, in pieces: beside those wanted each asks for those met, which a head may read."""
        rows, k = slice(row, row + 1), self.model.num_skills
        steps = int(self.batch.valid_BT[row].sum())
        part, axis = rows_of(self.batch, rows, steps), self.output.axis
        met, column = axis.skills_BC[row], axis.column_BTS[rows, :steps]
        # Those met stand in order; a spare column behind them repeats one.
        num_met = 1 + int((met[1:] > met[:-1]).sum())
        others = torch.ones(k, dtype=torch.bool, device=met.device)
        others[met] = False
        never = torch.full((1, k), steps, device=met.device)
        begun = 0
        for some in others.nonzero()[:, 0].split(max(1, PIECE // steps)):
            skills = torch.cat([met[:num_met], some])[None]
            first = torch.cat([axis.first_BC[rows, :num_met].clamp_max(steps), never[:, : len(some)]], 1)
            practises = part.skills_BTS, part.has_skill_BTS
            beside = self._going_on(SkillAxis(skills, column, first, is_all=False, practises=practises), rows)
            yield Piece(rows, steps, beside.columns(), *self._practise(rows, part, beside)).of_skills(
                slice(begun, None)
            )
            begun = num_met

    def _practise(self, rows: slice, part: Batch, axis: SkillAxis) -> tuple[Tensor, Tensor]:
        """Gains and practice of an axis, as `GainKT.forward` has them of its own."""
        value = self.output.value_BTD[rows, : part.valid_BT.shape[1]]
        gains = self.model.receivers(self.model.gains(value, axis, part).float(), axis, part)
        return gains, axis.practice(gains)

    def _going_on(self, axis: SkillAxis, rows: slice) -> SkillAxis:
        """An axis of some windows with what is known from before them."""
        if self.state is None:
            return axis
        windows = torch.arange(len(self.batch), device=self.batch.start_B.device)[rows]
        return axis.going_on(self.state.select(windows))

    def _at_end(self, rows: slice, steps: int | None = None) -> Moments:
        """The end of some windows, of which so many steps are looked at."""
        value, start = self.output.value_BTD[rows, :steps].float(), self.output.start_BD
        return Moments.at_end(value, rows_of(self.batch, rows, steps), None if start is None else start[rows])


@dataclass
class EverySkill:
    """What the steps of a batch did to all K skills."""

    gain_mean_BT: Tensor
    gain_std_BT: Tensor
    active_BT: Tensor
    """Skills with a gain over .1."""
    falls_BT: Tensor
    """Skills whose curve at the final belief falls at the step, or is no number."""
    belief_falls_BT: Tensor
    """Skills practised before whose running mastery falls at the step: the belief was revised."""
    saturated_BT: Tensor
    """Skills whose curve was flat before the step."""
    gain_K: Tensor
    """Sum of each skill's gains over the steps shown, float64."""
    movement: Movement
    """How running mastery moved at the steps shown, of the skills that they do not practise."""

    @classmethod
    def of(cls, seen: Seen) -> EverySkill:
        """Sum up the pieces of a batch; means and variances are merged exactly (Chan, Golub and LeVeque, 1983)."""
        model, batch, shown = seen.model, seen.batch, seen.shown_BT
        mean, squares, active, fallen, revised, saturated = torch.zeros(6, *shown.shape, device=shown.device)
        count = torch.zeros(len(batch), device=shown.device)
        gain_K = torch.zeros(model.num_skills, dtype=torch.float64, device=shown.device)
        movement = Movement(shown.device)
        for piece in seen.pieces():
            at, here = (piece.rows, slice(0, piece.steps)), piece.gains.shape[-1]
            part = rows_of(batch, *at[:1], piece.steps)
            value, start = seen.output.value_BTD[at].float(), seen.output.start_BD
            start = None if start is None else start[piece.rows]
            held, running, first, final = (
                model.belief(part, moments)
                for moments in (
                    Moments.before_steps(value, start),
                    Moments.after_steps(value, start),
                    Moments.before_steps(value, start).first,
                    Moments.at_end(value, part, start),
                )
            )
            variance, own_mean = torch.var_mean(piece.gains, -1, correction=0)
            before = count[piece.rows][:, None]
            after, apart = before + here, own_mean - mean[at]
            squares[at] += variance * here + apart.square() * (before * here / after)
            mean[at] += apart * (here / after)
            count[piece.rows] += here
            active[at] += (piece.gains > ACTIVE_GAIN).sum(-1)
            before_step = piece.before
            curve = model.mastery(piece.practice, piece.cells, final)
            begin = model.mastery(before_step[:, :1], piece.cells, final)
            fallen[at] += falls(shift(curve, begin), curve).sum(-1)
            # What is believed before a step is what is believed after the one before it.
            now = model.mastery(piece.practice, piece.cells, running)
            past = shift(now, model.mastery(before_step[:, :1], piece.cells, first))
            # A curve starts with the first opportunity; what is expected of a skill before is a prior.
            met = piece.cells.first < torch.arange(piece.steps, device=shown.device)[:, None]
            revised[at] += (falls(past, now) & met).sum(-1)
            movement.add(now - past, met, ~piece.cells.practised() & shown[at][..., None])
            saturated[at] += _saturated(model, before_step, piece.cells, held).sum(-1)
            summed = (piece.gains * shown[at][..., None]).sum((0, 1), dtype=torch.float64)
            gain_K[piece.cells.skills[0, 0]] += summed
        deviation = (squares / model.num_skills).sqrt()
        return cls(mean, deviation, active.int(), fallen.int(), revised.int(), saturated, gain_K, movement)


def rows_of(batch: Batch, rows: slice, steps: int | None = None) -> Batch:
    """Some windows of a batch, their first steps."""
    return Batch(
        **{f.name: x[rows, :steps] if (x := getattr(batch, f.name)).ndim > 1 else x[rows] for f in fields(batch)}
    )


def falls(before: Tensor, after: Tensor) -> Tensor:
    """Whether the mastery of each skill fell; one that is no number counts, for it cannot be said to have risen."""
    return ~(after >= before - FALL)


def _saturated(model: GainKT, practice: Tensor, cells: Cells, belief: Belief) -> Tensor:
    """Whether further practice no longer moves mastery."""
    return model.curve.slope(practice, cells.skills, belief.velocity, belief.readiness(cells)) < SATURATED_SLOPE
