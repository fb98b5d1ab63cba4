"""GainKT: Encoder 1 predicts; Encoder 2 reads gains, practice, mastery and a prediction off the history."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch, shift
from gainkt.errors import ConfigError
from gainkt.model.axis import Cells, SkillAxis, all_skills, cheaper_axis, met_skills
from gainkt.model.belief import Belief, Moments
from gainkt.model.curve import SigmoidCurve
from gainkt.model.encoder import After, SharedStream
from gainkt.model.gain_head.base import gains_for
from gainkt.model.gain_head.scalar import ScalarGain
from gainkt.model.item_difficulty import ItemDifficulty
from gainkt.model.readout import mean
from gainkt.model.receivers import AllSkills
from gainkt.model.returned import check_range, checked
from gainkt.model.size import Size
from gainkt.model.state import SPARE, Share, State

SAME = 1e-4
"""Difference of two gains that is rounding."""


@dataclass(slots=True)
class Output:
    """What the model says about a batch; probabilities are `sigmoid(logit)`."""

    logit1_BT: Tensor
    """Encoder 1's logit of a right response to each step, from the steps before it."""
    logit2_BT: Tensor
    """Encoder 2's."""
    mastery_before_BTS: Tensor
    """Mastery of each step's skills before the step: what `logit2_BT` is read from; in [0, 1]."""
    gains_BTC: Tensor
    """Gain that each column's skill received at the step, in [0, 1]: the tensor that practice sums."""
    practice_BTC: Tensor
    """Gains so far, this step's included."""
    axis: SkillAxis
    """Which skills the columns are."""
    value_BTD: Tensor
    """Value stream of Encoder 2 after each step: what gains and beliefs are read off."""
    beta_K: Tensor
    """Steepness of each skill's curve ([1] where all share one)."""
    offset_K: Tensor
    """Offset of each skill's curve ([1] where all share one): how much readiness or practice brings it half-way."""
    belief: Belief
    """What was believed about the students before each step."""
    difficulty2_BT: Tensor
    """Logits that Encoder 2 takes off for each step's item; 0 where it has no difficulties."""
    item_penalties: tuple[Tensor | None, Tensor | None]
    """Mean over items of Encoder 1's squared difficulties, and of Encoder 2's; None where it has none that learn."""
    others_BT: Tensor | None = None
    """Summed gains of all skills that the step does not practise, in training and where the gain head knows them."""
    start_BD: Tensor | None = None
    """Value stream of Encoder 2 before the first step; None where nothing came before."""
    state_of: Callable[[Tensor | None], State] | None = None
    """Makes the state after each window's last step, of the windows at the given rows (all where None), on the skills
    of the columns. None unless the batch goes on from a state or has windows that go on: a column may lack then."""

    @property
    def state(self) -> State | None:
        """State of all windows after each one's last step; None where `state_of` is."""
        return None if self.state_of is None else self.state_of(None)

    def readiness_BT(self, batch: Batch) -> Tensor:
        """Readiness for each step's skills before it, mean over them, logits; the ability of a Rasch-like model."""
        slots_BTS = self.belief.readiness(self.axis.slots(batch.skills_BTS)).expand(batch.skills_BTS.shape)
        return mean(slots_BTS, batch.has_skill_BTS)


class GainKT(nn.Module):
    """Two encoders side by side, nothing shared unless asked for. Encoder 2 is a pipeline of interchangeable parts.

    history -> encoder2 -> gain_head -> receivers -> practice -> curve (velocity, readiness) -> readout -> prediction
    """

    curve: SigmoidCurve
    items1: ItemDifficulty
    items2: ItemDifficulty

    def __init__(
        self,
        *,
        num_skills: int,
        num_students: int,
        num_items: int,
        size: Size,
        item_difficulty: Callable[[int], ItemDifficulty],
        encoder1: Callable[..., nn.Module],
        response_head: Callable[..., nn.Module],
        encoder2: Callable[..., nn.Module],
        gain_head: Callable[..., nn.Module],
        receivers: nn.Module,
        velocity: Callable[..., nn.Module],
        readiness: Callable[..., nn.Module],
        curve: Callable[..., SigmoidCurve],
        readout: Callable[..., nn.Module],
    ) -> None:
        """Build the parts, which come without the sizes that the data decides.

        Raises:
            ConfigError: parts that do not go together.
        """
        super().__init__()
        self.num_skills, self.num_items, self.width = num_skills, num_items, size.d_model
        self.items1, self.items2 = item_difficulty(num_items), item_difficulty(num_items)
        has_items = self.items1.known
        self.encoder1 = encoder1(num_skills, size, has_items=has_items)
        self.response_head = response_head(num_skills, size, has_items=has_items)
        self.encoder2 = encoder2(num_skills, size, has_items=has_items)
        self.gain_head = gain_head(num_skills, size)
        self.receivers = receivers
        self.velocity = velocity(num_students, size.d_model)
        self.readiness = readiness(num_skills, size.d_model)
        self.curve = curve(num_skills)
        self.readout = readout(num_skills)
        if isinstance(self.gain_head, ScalarGain) and isinstance(receivers, AllSkills):
            raise ConfigError(
                "model/gain_head=scalar with model/receivers=all: one number given to every skill makes all mastery "
                "curves the same; use model/receivers=practised"
            )

    def start(self, num_students: int) -> State:
        """State of students before their first step, on all skills."""
        steps = torch.zeros(num_students, dtype=torch.long, device=next(self.parameters()).device)
        zeros = torch.zeros(num_students, self.width, device=steps.device)
        student: dict[str, Tensor] = {"last.encoder1.context": zeros}
        context: dict[str, Tensor] = {}
        for name in self._streams():
            student[f"last.{name}.value"] = zeros
            if hasattr(part := getattr(self, name), "start"):
                student |= _named(name, part.start(num_students).student)
                context |= _named(name, part.start(num_students).context)
        skills = torch.arange(self.num_skills, device=steps.device).expand(num_students, -1)
        kept = ["practice", "met", *(f"readiness.{name}" for name in getattr(self.readiness, "keeps", ()))]
        skill = {name: torch.zeros(num_students, self.num_skills, device=steps.device) for name in kept}
        return State(steps, skills, student, context, skill)

    def forward(self, batch: Batch, state: State | None = None, *, every_skill: bool | None = None) -> Output:
        """Predict each step of the batch from the steps before it.

        Args:
            batch: windows of histories.
            state: of the windows' students before the window, so that predictions are those of the whole history, as
                far as attention's context reaches; None for windows that start anew.
            every_skill: give gains and practice a column for every skill, not only for those that are read; where None,
                if `state` speaks of all skills.
        """
        shape, goes_on = tuple(batch.valid_BT.shape), state is not None or batch.ahead_BL.shape[1] > 0
        items = (self.items1(batch), self.items2(batch))
        difficulty1, difficulty2 = (checked("model.item_difficulty", x, shape, "[B, T]") for x in items)
        streams = {"encoder1": self._stream("encoder1", batch, difficulty1, state, goes_on)}
        context1, value1, _ = streams["encoder1"]
        before = (
            shift(context1, _last(state, "last.encoder1.context")),
            shift(value1, _last(state, "last.encoder1.value")),
        )
        logit1 = self.response_head(*before, batch, difficulty1)
        logit1 = checked("model.response_head", logit1, shape, "[B, T]")
        if "encoder2" in self._streams():
            streams["encoder2"] = self._stream("encoder2", batch, difficulty2, state, goes_on)
        name = list(streams)[-1]
        value, start = streams[name][1], None if state is None else state.student[f"last.{name}.value"]
        if every_skill is None:
            every_skill = state is not None and state.skills_BC.shape[1] >= self.num_skills
        axis = all_skills(batch, self.num_skills) if every_skill else cheaper_axis(batch, self.num_skills)
        axis = axis if state is None else axis.going_on(state)
        gains = self.gains(value, axis, batch)
        # Sums over a long history and differences near a threshold do not survive half precision.
        with torch.autocast(gains.device.type, enabled=False):
            gains = self.receivers(gains.float(), axis, batch)
            gains = checked("model.receivers", gains, (*shape, axis.size), "[B, T, C]")
            practice = axis.practice(gains)
            belief = self.belief(batch, Moments.before_steps(value.float(), start))
            mastery, logit2 = self.read_out(practice, batch, axis, belief)
        output = Output(
            logit1_BT=logit1.float(),
            logit2_BT=logit2,
            mastery_before_BTS=mastery,
            gains_BTC=gains,
            practice_BTC=practice,
            axis=axis,
            value_BTD=value,
            beta_K=self.curve.beta(),
            offset_K=self.curve.offset(),
            belief=belief,
            difficulty2_BT=difficulty2,
            item_penalties=self.item_penalties(),
            others_BT=self._others(value, batch) if self.training and self.knows_others else None,
            start_BD=start,
        )
        if goes_on:  # made of tensors, not of the output: a circle of references would keep the graph alive
            output.state_of = lambda rows: self._state_after(rows, batch, state, streams, axis, practice)
        return output

    @property
    def knows_others(self) -> bool:
        """Whether gains over all skills are summed without a column for each (gainkt.model.gain_head.base)."""
        return isinstance(self.receivers, AllSkills) and hasattr(self.gain_head, "others")

    def _others(self, value_BTD: Tensor, batch: Batch) -> Tensor:
        others = cast(Any, self.gain_head).others(value_BTD, batch)
        return checked("model.gain_head", others, tuple(batch.valid_BT.shape), "[B, T] from others") * batch.valid_BT

    def _streams(self) -> tuple[str, ...]:
        """The encoders that have a stream of their own."""
        return ("encoder1",) if isinstance(self.encoder2, SharedStream) else ("encoder1", "encoder2")

    def _stream(
        self, name: str, batch: Batch, difficulty_BT: Tensor, state: State | None = None, goes_on: bool = False
    ) -> tuple[Tensor, Tensor, After | None]:
        """Context and value of an encoder, [B, T, D] each, and how to make its share of the state, if it keeps one."""
        stream, after = getattr(self, name), None
        if goes_on and hasattr(stream, "resume"):
            *found, after = stream.resume(batch, difficulty_BT, None if state is None else state.share(name))
        else:
            found = stream(batch, difficulty_BT)
            if goes_on:
                warnings.warn(
                    f"model.{name}: {type(stream).__name__} keeps no state and starts anew in every window of a long "
                    "history (gainkt.model.encoder says what a stream that goes on has)",
                    stacklevel=2,
                )
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise ConfigError(f"model.{name}: returned {type(found).__name__}, expected a pair, context and value")
        shape = (*batch.valid_BT.shape, self.width)
        context, value = (checked(f"model.{name}", x, shape, "[B, T, D]") for x in found)
        return context, value, after

    def _state_after(
        self,
        rows: Tensor | None,
        batch: Batch,
        state: State | None,
        streams: dict[str, tuple[Tensor, Tensor, After | None]],
        axis: SkillAxis,
        practice_BTC: Tensor,
    ) -> State:
        """State of the windows at `rows` after each one's last step."""
        at = slice(None) if rows is None else rows
        count = batch.valid_BT[at].sum(1)
        steps = count if state is None else state.steps_B[at] + count
        student: dict[str, Tensor] = {}
        context: dict[str, Tensor] = {}
        for name, (context_BTD, value_BTD, after) in streams.items():
            at_end = {
                key: Moments.at_end(x, batch, None if state is None else state.student.get(key))
                for key, x in {
                    f"last.{name}.context": context_BTD,
                    f"last.{name}.value": value_BTD.float(),
                }.items()
            }
            student |= {key: moments.now_BTD[at, 0] for key, moments in at_end.items()}
            share = after(rows) if after is not None else Share({}, {}, steps)
            student |= _named(name, share.student)
            context |= _named(name, share.context)
        student.pop("last.encoder2.context", None)  # Encoder 2 reads values alone
        listed, skill = axis.listed()[at], self.kept(practice_BTC, axis.columns(), at_end[f"last.{name}.value"])
        return State(steps, listed, student, context, {name: x[at] * (listed < SPARE) for name, x in skill.items()})

    def kept(self, practice_BTC: Tensor, columns: Cells, at_end: Moments) -> dict[str, Tensor]:
        """What a state keeps of skills after the last step of each window, [B, C] each; `State.skill`."""
        kept: dict[str, Tensor] = {}
        if (keep := getattr(self.readiness, "keep", None)) is not None:
            with torch.autocast(practice_BTC.device.type, enabled=False):
                kept = keep(at_end, columns.of("readiness"))
        # Padding adds no practice, so that the last step holds what each window ended with.
        return {
            "practice": practice_BTC[:, -1],
            "met": (columns.first[:, 0] < practice_BTC.shape[1]).float(),
            **_named("readiness", {what: x[:, 0] for what, x in kept.items()}),
        }

    def gains(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """What the gain head says for the columns of an axis, [B, T, C]; checked to be in [0, 1] in evaluation mode.

        Raises:
            ConfigError: it is something else.
        """
        gains = gains_for(self.gain_head, self.num_skills, value_BTD, axis, batch)
        if not self.training:
            check_range("model.gain_head", gains)
        return gains

    @torch.no_grad()
    def check_columns(self, batch: Batch) -> None:
        """Check once, on a batch, that the gain head's columns are the skills that the axis names, in that order.

        Shapes do not say so where a window meets as many skills as there are, or where a head takes the first C of K.
        Draws nothing from the random state, and compares where training takes its gains: at the skills met.

        Raises:
            ConfigError: a skill's gain depends on where its column stands, or on which other columns there are.
        """
        was, device = self.training, batch.valid_BT.device
        axis = met_skills(batch).reversed()
        self.eval()
        try:
            cuda = [device] if device.type == "cuda" else []
            with torch.random.fork_rng(cuda), torch.autocast(device.type, enabled=False):
                shared = isinstance(self.encoder2, SharedStream)
                stream = ("encoder1", self.items1) if shared else ("encoder2", self.items2)
                value = self._stream(stream[0], batch, stream[1](batch))[1]
                whole, part = (
                    self.gains(value, all_skills(batch, self.num_skills), batch),
                    self.gains(value, axis, batch),
                )
        finally:
            self.train(was)
        # Spare columns repeat a skill and are read by nobody.
        read = axis.practised(batch.has_skill_BTS).any(1, keepdim=True) & batch.valid_BT[..., None]
        apart = float(((axis.take(whole) - part).abs() * read).max())
        if not apart <= SAME:
            raise ConfigError(
                f"model.gain_head: gains for the skills that a window meets differ by up to {apart:.3g} from those for "
                "all skills: column c must be skill axis.skills_BC[:, c], whatever the others are; a head that is made "
                "for all skills in order sets needs_every_skill = True"
            )

    def item_penalties(self) -> tuple[Tensor | None, Tensor | None]:
        """Mean squared difficulty of the items, of either encoder; None without items."""
        # That of a frozen part is left out: shrinkage alone would pull at it.
        first, second = (part.penalty() for part in (self.items1, self.items2))
        return _learning(first), _learning(second)

    def belief(self, batch: Batch, moments: Moments) -> Belief:
        """What is believed about the students at the given moments.

        Apart from `read_out`, so that one can ask what would be predicted from another belief.
        """

        def readiness(cells: Cells) -> Tensor:
            # Asked for later, when the caller may have switched half precision on again.
            with torch.autocast(moments.now_BTD.device.type, enabled=False):
                found = self.readiness(moments, cells.of("readiness"))
            letters = "[B, T, C or S], those of the cells"
            return checked("model.readiness", found, self._each(moments, cells.skills.shape[2]), letters, spreads=True)

        velocity = self.velocity(batch, moments)
        return Belief(checked("model.velocity", velocity, self._each(moments, 1), "[B, T, 1]", spreads=True), readiness)

    @staticmethod
    def _each(moments: Moments, columns: int) -> tuple[int, int, int]:
        return *moments.now_BTD.shape[:2], columns

    def read_out(
        self, practice_BTC: Tensor, batch: Batch, axis: SkillAxis, belief_before: Belief
    ) -> tuple[Tensor, Tensor]:
        """Mastery of each step's skills before it, [B, T, S], and the logit of a right response, [B, T].

        Apart from `forward`, so that one can ask what would be predicted from other gains, skills or beliefs.
        """
        before = axis.read(axis.before(practice_BTC))
        mastery = self.mastery(before, axis.slots(batch.skills_BTS), belief_before)
        logit = checked("model.readout", self.readout(mastery, batch), tuple(batch.valid_BT.shape), "[B, T]")
        return mastery, logit - self.items2(batch)

    def mastery(self, practice: Tensor, cells: Cells, belief: Belief) -> Tensor:
        """Mastery after the given practice under a belief, in the shape that all broadcast to."""
        readiness = belief.readiness(cells)
        shape = torch.broadcast_shapes(practice.shape, cells.skills.shape, belief.velocity.shape, readiness.shape)
        found = self.curve(practice, cells.skills, belief.velocity, readiness)
        return checked("model.curve", found, tuple(shape), "that of practice and skills")


def _named(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A part's tensors by their names in a state."""
    return {f"{part}.{name}": x for name, x in tensors.items()}


def _learning(penalty: Tensor | None) -> Tensor | None:
    return penalty if penalty is not None and penalty.requires_grad else None


def _last(state: State | None, name: str) -> float | Tensor:
    """What a stream said after the last step before the window, [B, 1, D]; 0 where nothing came before."""
    return 0.0 if state is None else state.student[name][:, None]
