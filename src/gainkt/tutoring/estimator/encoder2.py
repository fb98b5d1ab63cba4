"""Encoder 2 of a trained run as an estimator, by the online tracer; and its negative controls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.model import GainKT
from gainkt.model.axis import SkillAxis
from gainkt.model.readout import probability
from gainkt.model.state import State
from gainkt.names import visible
from gainkt.runs import tracer
from gainkt.runs.trained import TrainedModel
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom

READS = ("mastery", "share", "chance")
"""Mastery; mastery as a share of what endless practice of the skill leads to; the chance of a right answer."""
FILTERED = "filtered"
"""A reading by another estimator, gainkt.tutoring.estimator.filtered."""
PROBED = 3
"""Right answers in a row by which a model's transfer is found."""


class Encoder2(Estimator):
    """Mastery by Encoder 2 of a trained model; it was trained before, on its own training students."""

    def __init__(self, model: TrainedModel, *, reads: str = "mastery", permuted: bool = False) -> None:
        """Take a model.

        Args:
            model: trained on the earlier students.
            reads: what counts as its estimate, one of READS.
            permuted: give each student the gains that another's history would earn.

        Raises:
            ConfigError: it cannot be read so.
        """
        if reads not in READS:
            raise ConfigError(f"reads={reads}: no such reading{nearest(reads, [*READS, FILTERED])}")
        self.model, self.reads = model, reads
        self.network = _permuted(model.network) if permuted else model.network

    def fit(self, earlier: Earlier) -> None:
        """Find the numbers of skills and items in the model.

        Raises:
            DataError: a skill is unknown to the model.
        """
        self.skill_K = torch.tensor([self.model.skills.require(str(name)) for name in earlier.log.skill_names])
        if len(set(self.skill_K.tolist())) < len(self.skill_K):
            raise DataError(f"{visible(earlier.log.name)}: two skills have one name in the model")
        items = self.model.items.numbers(map(str, earlier.log.item_names))
        self.item_I = torch.tensor([*items, -1])  # the last is that of -1

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin anew."""
        with torch.inference_mode():
            new = tracer.started(self.network, num_students)
            # Written to in place later, while tensors of a new state share their memory.
            self.state = State.from_tensors({name: x.clone() for name, x in new.tensors().items()})

    @torch.inference_mode()
    def observe(self, answers: Answers) -> None:
        """Take the answers in one step of the network."""
        rows, everyone = torch.from_numpy(np.asarray(answers.rows)), len(answers.rows) == len(self.state)
        skills = torch.from_numpy(np.asarray(answers.skills, dtype=np.int64))
        skills = torch.where(skills >= 0, self.skill_K[skills], -1)
        given = (self.item_I[torch.from_numpy(np.asarray(answers.items, dtype=np.int64))], answers.right)
        before = self.state if everyone else self.state.select(rows)
        after = tracer.step(self.network, before, skills, given[0], torch.from_numpy(given[1].astype(np.float32)))
        if everyone:
            self.state = after
        else:
            found = after.tensors()
            for name, x in self.state.tensors().items():
                if name != "skills":
                    x[rows] = found[name]

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Mastery now, or what else is read, [n, C]."""
        if self.reads == "chance":
            return self.chance(rows, skills)
        with torch.inference_mode():
            state, batch = self._asked(rows, skills)
            belief, cells, practice = tracer.belief_now(self.network, state, batch)
            found = self.network.mastery(practice, cells, belief).expand(batch.skills_BTS.shape)
            if self.reads == "share":
                found = found / self.network.curve.saturation.at(batch.skills_BTS)
        return found[..., 0].double().numpy()

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Encoder 2's chance of a right answer to an item of average difficulty, [n, C]."""
        with torch.inference_mode():
            return probability(tracer.ask(self.network, *self._asked(rows, skills)).logit2_BQ).double().numpy()

    def _asked(self, rows: Ints, skills: Ints) -> tuple[State, Batch]:
        """The students' state, and a question a column."""
        state = self.state if len(rows) == len(self.state) else self.state.select(torch.from_numpy(np.asarray(rows)))
        asked = self.skill_K[torch.from_numpy(np.array(skills))]
        return state, tracer.questions(asked[..., None], torch.full(asked.shape, -1), torch.zeros(asked.shape))

    @torch.inference_mode()
    def transfer(self) -> Floats:
        """Mean gain of each other skill in a new student's first right answers on a skill, [K, K]."""
        size = len(self.skill_K)
        skills = self.skill_K[:, None, None].expand(-1, PROBED, 1)
        batch = tracer.questions(skills, torch.full((size, PROBED), -1), torch.ones(size, PROBED))
        output = self.network(batch, tracer.started(self.network, size), every_skill=True)
        return output.gains_BTC.mean(1)[:, self.skill_K].double().numpy()


class ShuffledQ(Estimator):
    """A negative control: an estimator that is told of each answer with the skills' names exchanged."""

    def __init__(self, inner: Estimator, seed: int = 0) -> None:
        """Take an estimator; a cycle through all skills in random order leaves none its own name."""
        self.inner, self.seed = inner, seed

    def fit(self, earlier: Earlier) -> None:
        """Draw the cycle."""
        self.inner.fit(earlier)
        cycle = np.random.default_rng(self.seed).permutation(earlier.log.num_skills)
        self.told_K = np.empty_like(cycle)
        self.told_K[cycle] = np.roll(cycle, 1)

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin anew."""
        self.inner.start(num_students, classroom)

    def observe(self, answers: Answers) -> None:
        """Tell the inner estimator of other skills than those that were practised."""
        told = np.where(answers.skills >= 0, self.told_K[answers.skills], -1)
        self.inner.observe(Answers(answers.rows, told, answers.items, answers.right))

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """What the inner estimator says, [n, C]."""
        return self.inner.mastery(rows, skills)

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """What the inner estimator says, [n, C]."""
        return self.inner.chance(rows, skills)


class _OtherStudents(nn.Module):
    """A gain head that reads another student's value stream: gains say nothing of the student's own responses."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.needs_every_skill = getattr(head, "needs_every_skill", False)
        self.draw = torch.Generator().manual_seed(0)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains of the practised skills, by the histories of other students, [B, T, C]."""
        return self.head(value_BTD[torch.randperm(len(value_BTD), generator=self.draw)], axis, batch)


def _permuted(network: GainKT) -> GainKT:
    """A copy of a network with gains permuted over students."""
    other = copy.copy(network)
    other._modules = {**network._modules, "gain_head": _OtherStudents(network.gain_head)}
    return other.eval()
