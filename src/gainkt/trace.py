"""What a model says about a batch, skill by skill, and what it would say with a part put out of action."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gainkt.batch import Batch, shift
from gainkt.evaluation.schema import FALL, SATURATED_SLOPE
from gainkt.model import Belief, GainKT, Output
from gainkt.model.mastery import probability
from gainkt.model.skill_axis import all_skills


@dataclass(frozen=True)
class Trace:
    """A batch, what the model says about it with a column for every skill, and what it would say otherwise."""

    batch: Batch
    output: Output
    mastery_BTK: Tensor
    """After each step, as believed then."""
    mastery_final_BTK: Tensor
    """After each step, as believed at the end of the window."""
    falls_BT: Tensor
    """Skills whose curve at the final belief falls at the step."""
    belief_falls_BT: Tensor
    """Skills whose running mastery falls at the step."""
    saturated_BTK: Tensor
    practised_BTK: Tensor
    counterfactual: dict[str, Tensor]
    shown_BT: Tensor
    """Steps that are written: each step of a history once, context left out."""

    @classmethod
    def of(cls, model: GainKT, batch: Batch, draw: torch.Generator, mean_belief: MeanBelief) -> Trace:
        """Trace a batch."""
        output = model(batch, every_skill=True)
        skills = output.axis.skills_BC[:, None]
        practice, before = output.practice_BTC, shift(output.practice_BTC)
        state = output.value_BTD.float()
        last = (batch.valid_BT.sum(1) - 1)[:, None, None].expand(-1, 1, state.shape[2])
        held, running, final = (model.belief(batch, s) for s in (shift(state), state, state.gather(1, last)))
        mastery, mastery_final = model.mastery(practice, skills, running), model.mastery(practice, skills, final)
        first = batch.start_B[:, None] + torch.arange(batch.valid_BT.shape[1], device=batch.start_B.device) == 0
        return cls(
            batch,
            output,
            mastery_BTK=mastery,
            mastery_final_BTK=mastery_final,
            falls_BT=_falls(model.mastery(before, skills, final), mastery_final),
            belief_falls_BT=_falls(model.mastery(before, skills, held), mastery),
            saturated_BTK=model.curve.slope(before, skills, held.velocity, held.readiness(skills)) < SATURATED_SLOPE,
            practised_BTK=output.axis.practised(batch.has_skill_BTS),
            counterfactual=counterfactuals(model, batch, output, draw, mean_belief),
            shown_BT=batch.scored_BT | (first & batch.valid_BT),
        )


class MeanBelief:
    """Mean velocity, and mean readiness of each skill, over the scored steps of a part."""

    def __init__(self, model: GainKT, batches: Iterable[Batch], device: torch.device | str) -> None:
        """Go over the batches once, if the model infers anything at all."""
        k = model.num_skills
        self.velocity = torch.ones(1, 1, 1, device=device)
        self.readiness_K = torch.zeros(k, device=device)
        self.infers_velocity, self.infers_readiness = model.velocity.inferred, model.readiness.inferred
        if not (self.infers_velocity or self.infers_readiness):
            return
        steps, velocity, readiness = 0, torch.zeros((), device=device), torch.zeros(k, device=device)
        columns = torch.arange(k, device=device)[None, None]
        for batch in batches:
            batch = batch.to(device)
            belief = model.belief(batch, shift(model.encoder2(batch)[1]))
            scored = batch.scored_BT
            steps += int(scored.sum())
            velocity += belief.velocity.expand(*scored.shape, 1)[scored].sum()
            readiness += belief.readiness(columns).expand(*scored.shape, k)[scored].sum(0)
        self.velocity, self.readiness_K = (velocity / steps).view(1, 1, 1), readiness / steps

    def without(self, belief: Belief) -> dict[str, Belief]:
        """The belief with each inferred part at its mean, by name of the column."""
        change = {}
        if self.infers_velocity:
            change["p2_velocity_mean"] = replace(belief, velocity=self.velocity)
        if self.infers_readiness:
            change["p2_readiness_mean"] = replace(belief, readiness=lambda skills: self.readiness_K[skills])
        return change


def counterfactuals(
    model: GainKT, batch: Batch, output: Output, draw: torch.Generator, mean_belief: MeanBelief
) -> dict[str, Tensor]:
    """Encoder 2's probabilities had a part been put out of action, [B, T] each, by name of the column."""
    belief, axis = model.belief(batch, shift(output.value_BTD.float())), output.axis
    key = torch.rand(batch.valid_BT.shape, generator=draw).to(batch.valid_BT.device)
    # Padding sorts behind every step, so that steps are permuted among themselves.
    order = key.masked_fill(~batch.valid_BT, 2.0).argsort(1)
    permuted = output.gains_BTC.gather(1, order[..., None].expand_as(output.gains_BTC)).cumsum(1)
    last = replace(batch, skills_BTS=shift(batch.skills_BTS), has_skill_BTS=shift(batch.has_skill_BTS, False))
    last_axis = all_skills(last, model.num_skills)
    read = {
        "p2_gains_permuted": model.read_out(permuted, batch, axis, belief),
        "p2_wrong_skill": model.read_out(output.practice_BTC, last, last_axis, belief),
    }
    for name, other in mean_belief.without(belief).items():
        read[name] = model.read_out(output.practice_BTC, batch, axis, other)
    return {name: probability(logit) for name, (_, logit) in read.items()}


def _falls(before_BTK: Tensor, after_BTK: Tensor) -> Tensor:
    """Number of skills whose mastery fell, [B, T]."""
    return (after_BTK < before_BTK - FALL).sum(-1)
