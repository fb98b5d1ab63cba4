"""What Encoder 2 would predict without a part of its mastery path, and the means that such ablations take."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gainkt.data.batch import shift
from gainkt.model import Belief, GainKT
from gainkt.model.axis import SkillAxis
from gainkt.model.readout import probability
from gainkt.runs.pass_ import Seen
from gainkt.runs.sample import Sample, add_at


class Means:
    """Of a part of the data: mean velocity, mean readiness of each skill where it is read, and its mean gains.

    Velocity and readiness are means over scored steps, readiness over those that practise the skill. Gains have two
    means a skill, over all steps of the windows: at steps that practise it, and at the others. With each gain at its
    mean, practice counts opportunities and knows no response; a permutation lets gains of later steps in.
    Where K is large, means at steps that do not practise the skill are those of a sample of students.
    """

    def __init__(self, model: GainKT, sample: Sample | None = None) -> None:
        k, self.sample, self.needs_every_skill = model.num_skills, sample, sample is None
        self._infers_velocity, self._infers_readiness = model.velocity.inferred, model.readiness.inferred
        self._steps, self._valid, self._velocity = 0, 0, 0.0
        self._readiness_K, self._read_K, self._gain_K, self._own_K, self._practised_K = torch.zeros(
            5, k, dtype=torch.float64
        )

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        batch, output = seen.batch, seen.output
        scored = batch.scored_BT
        self._steps += int(scored.sum())
        self._valid += int(batch.valid_BT.sum())
        self._velocity += float(output.belief.velocity.expand(*scored.shape, 1)[scored].sum(dtype=torch.float64))
        if self._infers_readiness:
            read = scored[..., None] & batch.has_skill_BTS
            slots = output.belief.readiness(output.axis.slots(batch.skills_BTS)).expand(read.shape)
            add_at(self._readiness_K, batch.skills_BTS[read], slots[read])
            add_at(self._read_K, batch.skills_BTS[read])
        row, _, column = cell = seen.practised_BTC.nonzero(as_tuple=True)
        skill = output.axis.skills_BC.expand(len(batch), -1)[row, column]
        add_at(self._own_K, skill, output.gains_BTC[cell])
        add_at(self._practised_K, skill)
        for piece in seen.pieces() if self.sample is None else ():
            valid = batch.valid_BT[piece.rows, : piece.steps, None]
            self._gain_K[piece.cells.skills[0, 0].cpu()] += (piece.gains * valid).sum((0, 1), dtype=torch.float64).cpu()

    def at(self, axis: SkillAxis) -> tuple[Tensor, Tensor]:
        """Mean gain of each column's skill at steps that do not practise it, and at those that do, [1 or B, 1, C]."""
        if self.sample is None:
            others = (self._gain_K - self._own_K) / (self._valid - self._practised_K).clamp_min(1)
        else:
            others = self.sample.others_K
        own = self._own_K / self._practised_K.clamp_min(1)
        skills = axis.skills_BC[:, None]
        return others.float().to(skills.device)[skills], own.float().to(skills.device)[skills]

    def without(self, belief: Belief) -> dict[str, Belief]:
        """The belief with each inferred part at its mean, by name of the column."""
        change = {}
        if self._infers_velocity:
            velocity = torch.full_like(belief.velocity[:1, :1], self._velocity / max(self._steps, 1))
            change["p2_velocity_mean"] = replace(belief, velocity=velocity)
        if self._infers_readiness:
            mean_K = (self._readiness_K / self._read_K.clamp_min(1)).float().to(belief.velocity.device)
            change["p2_readiness_mean"] = replace(belief, readiness=lambda cells: mean_K[cells.skills])
        return change


def ablated(seen: Seen, draw: torch.Generator, means: Means) -> dict[str, Tensor]:
    """Encoder 2's probabilities under each ablation, [B, T] each, by name of the column.

    Args:
        seen: a batch.
        draw: of the permutation of gains.
        means: of the part of the data.
    """
    model, batch, output = seen.model, seen.batch, seen.output
    belief, axis = output.belief, output.axis
    key = torch.rand(batch.valid_BT.shape, generator=draw).to(batch.valid_BT.device)
    # Padding sorts behind every step, so that steps are permuted among themselves.
    order = key.masked_fill(~batch.valid_BT, 2.0).argsort(1)
    # Practice from before the window stays as it was.
    permuted = axis.practice(output.gains_BTC.gather(1, order[..., None].expand_as(output.gains_BTC)))
    others, own = means.at(axis)
    at_mean = axis.practice(torch.where(seen.practised_BTC, own, others) * batch.valid_BT[..., None])
    # The first step of a window that goes on keeps its skills: those of the step before are not at hand.
    first_has = batch.has_skill_BTS[:, :1] & batch.scored_BT[:, :1, None]
    last = replace(
        batch,
        skills_BTS=shift(batch.skills_BTS, batch.skills_BTS[:, :1] * first_has),
        has_skill_BTS=shift(batch.has_skill_BTS, first_has),
    )
    last_axis = replace(axis, column_BTS=shift(axis.column_BTS, axis.column_BTS[:, :1] * first_has))
    read = {
        "p2_gains_permuted": model.read_out(permuted, batch, axis, belief),
        "p2_gains_mean": model.read_out(at_mean, batch, axis, belief),
        "p2_wrong_skill": model.read_out(output.practice_BTC, last, last_axis, belief),
    }
    for name, other in means.without(belief).items():
        read[name] = model.read_out(output.practice_BTC, batch, axis, other)
    return {name: probability(logit) for name, (_, logit) in read.items()}
