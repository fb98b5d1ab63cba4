"""SkillAxis: which skills a [B, T, C] tensor has columns for; all of them, or those that a window meets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gainkt.data.batch import Batch, shift
from gainkt.model.state import SPARE, State

GATHER_STEPS = 40


@dataclass(slots=True)
class Cells:
    """(step, skill) pairs about which something is asked: the slots of every step, or the columns of an axis."""

    skills: Tensor
    """int64, the skills' numbers: [B, T, S] slots, or [1 or B, 1, C] columns."""
    first: Tensor
    """int64 in [-1, T], the step at which the student first practises the skill: -1 before the window, T not yet at its
    end; [B, T, S] or [B, 1, C]."""
    kept: dict[str, Tensor] = field(default_factory=dict)
    """What was kept of the skills from before the window, by name (State.skill), shaped as `first`."""
    axis: SkillAxis | None = None
    """Whose slots or columns they are; None where all that is known of the students is in `kept`."""

    def own_sums(self, x_BT: Tensor, after_BN: Tensor) -> Tensor:
        """Sum of a number of each step over the steps that practise the cell's skill, [B, N, C], or [B, T, S] of slots.

        Args:
            x_BT: of the window's steps; 0 on padding.
            after_BN: int64 in [0, T], how many of these steps each sum is over; N = T for slots.
        """
        if self.axis is None or not x_BT.shape[1]:
            return x_BT.new_zeros(1, 1, 1)
        columns = self if self.are_columns else self.axis.columns()
        sums = F.pad((columns.practised() * x_BT[..., None]).cumsum(1), (0, 0, 1, 0))
        sums = sums.gather(1, after_BN[..., None].expand(-1, -1, sums.shape[2]))
        return sums if self.are_columns else self.axis.read(sums)

    def practised(self) -> Tensor:
        """Whether each step practises the skill of each column, bool [B, T, C]; of the columns of an axis.

        By the skills' numbers, for slots may be asked about other skills than the step's own.
        """
        assert self.axis is not None
        of_BTS, has_BTS = self.axis.practises
        return ((of_BTS[..., None] == self.skills[:, :, None]) & has_BTS[..., None]).any(2)

    def of(self, part: str) -> Cells:
        """The same cells with what one part kept, under its own names."""
        own = {name.removeprefix(f"{part}."): x for name, x in self.kept.items() if name.startswith(f"{part}.")}
        return replace(self, kept=own)

    @property
    def are_columns(self) -> bool:
        """True where every step is asked about the same skills."""
        return self.skills.shape[1] == 1


@dataclass(slots=True)
class SkillAxis:
    """Columns of the skill axis and where each step's skills stand among them."""

    skills_BC: Tensor
    """int64, the skill of each column; [1, K] where the columns are all skills. Spare columns repeat a skill."""
    column_BTS: Tensor
    """int64 in [0, C), the column of each of a step's skills; 0 in empty slots."""
    first_BC: Tensor
    """int64 in [-1, T], the step at which the student first practises the column's skill: -1 before the window, T not
    yet at its end."""
    is_all: bool
    """True where the columns are all skills in order."""
    practises: tuple[Tensor, Tensor]
    """The batch's `skills_BTS` and `has_skill_BTS`."""
    kept: dict[str, Tensor] = field(default_factory=dict)
    """What was kept of the columns' skills from before the window, [B, C] each; empty where nothing came before."""

    @property
    def size(self) -> int:
        """Number of columns, C."""
        return self.skills_BC.shape[1]

    def read(self, x_BTC: Tensor) -> Tensor:
        """Values at each step's own skills, [B, T, S]."""
        return x_BTC.gather(2, self.column_BTS)

    def take(self, x_BTK: Tensor) -> Tensor:
        """The columns out of those of all skills in order, [B, T, C]."""
        return x_BTK if self.is_all else x_BTK.gather(2, self.skills_BC[:, None].expand(-1, x_BTK.shape[1], -1))

    def reversed(self) -> SkillAxis:
        """The same columns from the last to the first."""
        kept = {name: x.flip(1) for name, x in self.kept.items()}
        column = self.size - 1 - self.column_BTS
        return replace(
            self,
            skills_BC=self.skills_BC.flip(1),
            column_BTS=column,
            first_BC=self.first_BC.flip(1),
            is_all=False,
            kept=kept,
        )

    def going_on(self, state: State) -> SkillAxis:
        """The same columns of students about whom something is known from before the window."""
        kept = state.of_skills(self.skills_BC)
        return replace(self, first_BC=torch.where(kept.pop("met") > 0, -1, self.first_BC), kept=kept)

    def practice(self, gains_BTC: Tensor) -> Tensor:
        """Practice after each step: what came before the window, and the gains so far."""
        here = gains_BTC.cumsum(1)
        return here + self.kept["practice"][:, None] if self.kept else here

    def before(self, practice_BTC: Tensor) -> Tensor:
        """Practice before each step."""
        return shift(practice_BTC, self.kept["practice"][:, None] if self.kept else 0.0)

    def listed(self) -> Tensor:
        """The columns' skills as a list for every window, [B, C]: rising, SPARE in spare columns."""
        skills = self.skills_BC.expand(len(self.first_BC), -1)
        if self.is_all:
            return skills
        spare = torch.zeros_like(skills, dtype=torch.bool)
        spare[:, 1:] = skills[:, 1:] <= skills[:, :-1].cummax(1).values
        return skills.masked_fill(spare, SPARE)

    def columns(self) -> Cells:
        """Every column, at every step."""
        kept = {name: x[:, None] for name, x in self.kept.items()}
        return Cells(self.skills_BC[:, None], self.first_BC[:, None], kept, self)

    def slots(self, skills_BTS: Tensor) -> Cells:
        """Each step's own skills."""
        at = {"": self.first_BC, **self.kept}
        read = {name: self.read(x[:, None].expand(-1, skills_BTS.shape[1], -1)) for name, x in at.items()}
        return Cells(skills_BTS, read.pop(""), read, self)

    def practised(self, has_skill_BTS: Tensor) -> Tensor:
        """Bool [B, T, C], True at the columns of the step's own skills."""
        hit = torch.zeros(*self.column_BTS.shape[:2], self.size, device=self.column_BTS.device)
        return hit.scatter_add(2, self.column_BTS, has_skill_BTS.to(hit.dtype)) > 0


def all_skills(batch: Batch, num_skills: int) -> SkillAxis:
    """Return an axis with a column for every skill."""
    skills = torch.arange(num_skills, device=batch.skills_BTS.device)[None]
    first, practises = _first(batch, batch.skills_BTS, num_skills), (batch.skills_BTS, batch.has_skill_BTS)
    return SkillAxis(skills, batch.skills_BTS, first, is_all=True, practises=practises)


def met_skills(batch: Batch) -> SkillAxis:
    """Return an axis with a column for each skill that the window meets or that the batch says is met later.

    It is as wide as the busiest window needs.
    """
    shape, slots = batch.skills_BTS.shape, batch.skills_BTS[0].numel()
    flat = torch.cat([batch.skills_BTS.flatten(1), batch.ahead_BL], 1)
    # Empty slots take the skill of the row's first step, so that they add no column.
    flat = torch.where(torch.cat([batch.has_skill_BTS.flatten(1), batch.ahead_BL >= 0], 1), flat, flat[:, :1])
    ordered, order = flat.sort(dim=1, stable=True)
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    rank = is_new.cumsum(1) - 1
    skills = flat[:, :1].repeat(1, int(rank[:, -1].max()) + 1).scatter(1, rank, ordered)
    column = torch.empty_like(rank).scatter(1, order, rank)[:, :slots].view(shape)
    column = torch.where(batch.has_skill_BTS, column, 0)
    first, practises = _first(batch, column, skills.shape[1]), (batch.skills_BTS, batch.has_skill_BTS)
    return SkillAxis(skills, column, first, is_all=False, practises=practises)


def _first(batch: Batch, column_BTS: Tensor, num_columns: int) -> Tensor:
    """Step at which each column's skill is first practised, [B, C]; T if never."""
    b, steps, _ = column_BTS.shape
    step = torch.arange(steps, device=column_BTS.device)[None, :, None]
    step = torch.where(batch.has_skill_BTS, step, steps).flatten(1)
    never = torch.full((b, num_columns), steps, dtype=torch.long, device=column_BTS.device)
    return never.scatter_reduce(1, column_BTS.flatten(1), step, "amin")


def cheaper_axis(batch: Batch, num_skills: int) -> SkillAxis:
    """Return the axis that costs less to compute on.

    Gathering a column's weights costs about as much as computing GATHER_STEPS more steps of it (measured by
    scripts/benchmark_training.py at widths 64 and 256, 20 to 500 steps, 100 to 2,000 skills).
    """
    axis, steps = met_skills(batch), batch.valid_BT.shape[1]
    return axis if (steps + GATHER_STEPS) * axis.size < steps * num_skills else all_skills(batch, num_skills)
