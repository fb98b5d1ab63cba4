"""GainKT: Encoder 1 predicts; Encoder 2 reads gains, practice, mastery and a prediction off the history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gainkt.batch import Batch, shift
from gainkt.errors import ConfigError
from gainkt.model.encoders import ResponseHead, Size
from gainkt.model.gains import AllSkills, ScalarGain
from gainkt.model.mastery import SigmoidCurve
from gainkt.model.skill_axis import SkillAxis, all_skills, cheaper_axis


@dataclass(slots=True)
class Belief:
    """What is believed about the students at some moment."""

    velocity: Tensor
    """gamma > 0, to broadcast to [B, T, C]."""
    readiness: Callable[[Tensor], Tensor]
    """o of the given skills, [B, T, S] slots or [1 or B, 1, C] columns; to broadcast to [B, T, S or C]."""


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


class GainKT(nn.Module):
    """Two encoders side by side, nothing shared. Encoder 2 is a pipeline of interchangeable parts.

    history -> encoder2 -> gain_head -> receivers -> practice -> curve (velocity, readiness) -> readout -> prediction
    """

    curve: SigmoidCurve

    def __init__(
        self,
        *,
        num_skills: int,
        num_students: int,
        size: Size,
        encoder1: Callable[..., nn.Module],
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
        self.num_skills = num_skills
        self.encoder1 = encoder1(num_skills, size)
        self.response_head = ResponseHead(num_skills, size)
        self.encoder2 = encoder2(num_skills, size)
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

    def forward(self, batch: Batch, *, every_skill: bool = False) -> Output:
        """Predict each step of the batch from the steps before it.

        Args:
            batch: windows of histories.
            every_skill: give gains and practice a column for every skill, not only for those that are read.
        """
        context1, value1 = self.encoder1(batch)
        logit1 = self.response_head(shift(context1), shift(value1), batch)
        _, value = self.encoder2(batch)
        axis = all_skills(batch, self.num_skills) if every_skill else cheaper_axis(batch, self.num_skills)
        gains = self.gain_head(value, axis, batch)
        # Sums over a long history and differences near a threshold do not survive half precision.
        with torch.autocast(gains.device.type, enabled=False):
            gains = self.receivers(gains.float(), axis, batch)
            practice = gains.cumsum(1)
            mastery, logit2 = self.read_out(practice, batch, axis, self.belief(batch, shift(value.float())))
        return Output(
            logit1_BT=logit1.float(),
            logit2_BT=logit2,
            mastery_before_BTS=mastery,
            gains_BTC=gains,
            practice_BTC=practice,
            axis=axis,
            value_BTD=value,
            beta_K=self.curve.beta(),
        )

    def belief(self, batch: Batch, state_BTD: Tensor) -> Belief:
        """What is believed about the students in the given states of the value stream.

        Apart from `read_out`, so that one can ask what would be predicted from another belief.
        """
        return Belief(self.velocity(batch, state_BTD), lambda skills: self.readiness(state_BTD, skills))

    def read_out(
        self, practice_BTC: Tensor, batch: Batch, axis: SkillAxis, belief_before: Belief
    ) -> tuple[Tensor, Tensor]:
        """Mastery of each step's skills before it, [B, T, S], and the logit of a right response, [B, T].

        Apart from `forward`, so that one can ask what would be predicted from other gains, skills or beliefs.
        """
        before = axis.read(shift(practice_BTC))
        mastery = self.mastery(before, batch.skills_BTS, belief_before)
        return mastery, self.readout(mastery, batch)

    def mastery(self, practice: Tensor, skills: Tensor, belief: Belief) -> Tensor:
        """Mastery after the given practice under a belief, in the shape that all broadcast to."""
        return self.curve(practice, skills, belief.velocity, belief.readiness(skills))
