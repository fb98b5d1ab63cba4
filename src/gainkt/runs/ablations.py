"""What a model says about a batch, skill by skill, and what it would say under each ablation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gainkt.data.batch import Batch, shift
from gainkt.evaluation.schema import FALL, SATURATED_SLOPE
from gainkt.model import Belief, Carrier, GainKT, Moments, Output
from gainkt.model.readout import probability


@dataclass(frozen=True)
class Trace:
    """A batch, what the model says about it with a column for every skill, and what it would say otherwise."""

    batch: Batch
    output: Output
    mastery_BTK: Tensor
    """After each step, as believed then."""
    mastery_final_BTK: Tensor
    """After each step, as believed at the end of the window: a long history is looked back on window by window."""
    falls_BT: Tensor
    """Skills whose curve at the final belief falls at the step."""
    belief_falls_BT: Tensor
    """Skills practised before whose running mastery falls at the step."""
    saturated_BTK: Tensor
    practised_BTK: Tensor
    counterfactual: dict[str, Tensor]
    shown_BT: Tensor
    """Steps that are written: each step of a history once, context left out."""

    @classmethod
    def of(cls, model: GainKT, batch: Batch, draw: torch.Generator, means: Means, carrier: Carrier) -> Trace:
        """Trace a batch."""
        output = model(batch, carrier.before(batch), every_skill=True)
        carrier.after(batch, output)
        columns, value, start = output.axis.columns(), output.value_BTD.float(), output.start_BD
        practice, before = output.practice_BTC, output.axis.before(output.practice_BTC)
        held, moments = output.belief, (Moments.after_steps(value, start), Moments.at_end(value, batch, start))
        running, final = (model.belief(batch, moment) for moment in moments)
        mastery, mastery_final = model.mastery(practice, columns, running), model.mastery(practice, columns, final)
        slope = model.curve.slope(before, columns.skills, held.velocity, held.readiness(columns))
        practised = output.axis.practised(batch.has_skill_BTS)
        # A curve starts with the first opportunity; what is expected of a skill before is a prior.
        met = output.axis.met_before(practised)
        first = batch.start_B[:, None] + torch.arange(batch.valid_BT.shape[1], device=batch.start_B.device) == 0
        return cls(
            batch,
            output,
            mastery_BTK=mastery,
            mastery_final_BTK=mastery_final,
            falls_BT=_falls(model.mastery(before, columns, final), mastery_final).sum(-1),
            belief_falls_BT=(_falls(model.mastery(before, columns, held), mastery) & met).sum(-1),
            saturated_BTK=slope < SATURATED_SLOPE,
            practised_BTK=practised,
            counterfactual=counterfactuals(model, batch, output, draw, means),
            shown_BT=batch.scored_BT | (first & batch.valid_BT),
        )


class Means:
    """Of a part of the data: mean velocity, mean readiness of each skill where it is read, and its mean gains.

    Velocity and readiness are means over scored steps, readiness over those that practise the skill. Gains have two
    means a skill, over all steps of the windows: at steps that practise it, and at the others. With each gain at its
    mean, practice counts opportunities and knows no response; a permutation lets gains of later steps in.
    """

    def __init__(self, model: GainKT, batches: Iterable[Batch], device: torch.device | str) -> None:
        """Go over the batches once."""
        k = model.num_skills
        self.infers_velocity, self.infers_readiness = model.velocity.inferred, model.readiness.inferred
        velocity, readiness_K, read_K = (torch.zeros(size, device=device) for size in ((), (k,), (k,)))
        gain_2K, count_2K = torch.zeros(2, k, device=device), torch.zeros(2, k, device=device)
        steps, carrier = 0, Carrier()
        for batch in batches:
            batch = batch.to(device)
            output, scored = model(batch, carrier.before(batch), every_skill=True), batch.scored_BT
            carrier.after(batch, output)
            steps += int(scored.sum())
            velocity += output.belief.velocity.expand(*scored.shape, 1)[scored].sum()
            read = scored[..., None] & batch.has_skill_BTS
            slots = output.belief.readiness(output.axis.slots(batch.skills_BTS)).expand(read.shape)
            readiness_K.index_add_(0, batch.skills_BTS[read], slots[read])
            read_K.index_add_(0, batch.skills_BTS[read], torch.ones_like(slots[read]))
            practised = output.axis.practised(batch.has_skill_BTS)
            for role, cells in enumerate((~practised & batch.valid_BT[..., None], practised)):
                gain_2K[role] += (output.gains_BTC * cells).sum((0, 1))
                count_2K[role] += cells.sum((0, 1))
        self.velocity = (velocity / max(steps, 1)).view(1, 1, 1)
        self.readiness_K = readiness_K / read_K.clamp_min(1)
        self.gain_2K = gain_2K / count_2K.clamp_min(1)

    def without(self, belief: Belief) -> dict[str, Belief]:
        """The belief with each inferred part at its mean, by name of the column."""
        change = {}
        if self.infers_velocity:
            change["p2_velocity_mean"] = replace(belief, velocity=self.velocity)
        if self.infers_readiness:
            change["p2_readiness_mean"] = replace(belief, readiness=lambda cells: self.readiness_K[cells.skills])
        return change

    def gains(self, practised_BTK: Tensor, valid_BT: Tensor) -> Tensor:
        """Each gain at its mean, [B, T, K]."""
        return torch.where(practised_BTK, self.gain_2K[1], self.gain_2K[0]) * valid_BT[..., None]


def counterfactuals(
    model: GainKT, batch: Batch, output: Output, draw: torch.Generator, means: Means
) -> dict[str, Tensor]:
    """Encoder 2's probabilities under each ablation, [B, T] each, by name of the column."""
    belief, axis = output.belief, output.axis
    key = torch.rand(batch.valid_BT.shape, generator=draw).to(batch.valid_BT.device)
    # Padding sorts behind every step, so that steps are permuted among themselves.
    order = key.masked_fill(~batch.valid_BT, 2.0).argsort(1)
    # Practice from before the window stays as it was.
    permuted = axis.practice(output.gains_BTC.gather(1, order[..., None].expand_as(output.gains_BTC)))
    at_mean = axis.practice(means.gains(axis.practised(batch.has_skill_BTS), batch.valid_BT))
    # The first step of a window that goes on keeps its skills: those of the step before are not at hand.
    first_has = batch.has_skill_BTS[:, :1] & batch.scored_BT[:, :1, None]
    last = replace(
        batch,
        skills_BTS=shift(batch.skills_BTS, batch.skills_BTS[:, :1] * first_has),
        has_skill_BTS=shift(batch.has_skill_BTS, first_has),
    )
    last_axis = replace(axis, column_BTS=last.skills_BTS)
    read = {
        "p2_gains_permuted": model.read_out(permuted, batch, axis, belief),
        "p2_gains_mean": model.read_out(at_mean, batch, axis, belief),
        "p2_wrong_skill": model.read_out(output.practice_BTC, last, last_axis, belief),
    }
    for name, other in means.without(belief).items():
        read[name] = model.read_out(output.practice_BTC, batch, axis, other)
    return {name: probability(logit) for name, (_, logit) in read.items()}


def _falls(before_BTK: Tensor, after_BTK: Tensor) -> Tensor:
    """Whether the mastery of each skill fell."""
    return after_BTK < before_BTK - FALL
