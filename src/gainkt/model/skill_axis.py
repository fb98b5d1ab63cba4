"""SkillAxis: which skills a [B, T, C] tensor has columns for; all of them, or those that a window meets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gainkt.batch import Batch

GATHER_STEPS = 40


@dataclass(slots=True)
class SkillAxis:
    """Columns of the skill axis and where each step's skills stand among them."""

    skills_BC: Tensor
    """int64, the skill of each column; [1, K] where the columns are all skills. Spare columns repeat a skill."""
    column_BTS: Tensor
    """int64 in [0, C), the column of each of a step's skills; 0 in empty slots."""
    is_all: bool
    """True where the columns are all skills in order."""

    @property
    def size(self) -> int:
        """Number of columns, C."""
        return self.skills_BC.shape[1]

    def read(self, x_BTC: Tensor) -> Tensor:
        """Values at each step's own skills, [B, T, S]."""
        return x_BTC.gather(2, self.column_BTS)

    def practised(self, has_skill_BTS: Tensor) -> Tensor:
        """Bool [B, T, C], True at the columns of the step's own skills."""
        hit = torch.zeros(*self.column_BTS.shape[:2], self.size, device=self.column_BTS.device)
        return hit.scatter_add(2, self.column_BTS, has_skill_BTS.to(hit.dtype)) > 0


def all_skills(batch: Batch, num_skills: int) -> SkillAxis:
    """Return an axis with a column for every skill."""
    skills = torch.arange(num_skills, device=batch.skills_BTS.device)[None]
    return SkillAxis(skills, batch.skills_BTS, is_all=True)


def met_skills(batch: Batch) -> SkillAxis:
    """Return an axis with a column for each skill that the window meets, as wide as the busiest window needs."""
    shape = batch.skills_BTS.shape
    flat = batch.skills_BTS.flatten(1)
    # Empty slots take the skill of the row's first step, so that they add no column.
    flat = torch.where(batch.has_skill_BTS.flatten(1), flat, flat[:, :1])
    ordered, order = flat.sort(dim=1, stable=True)
    is_new = torch.ones_like(ordered, dtype=torch.bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    rank = is_new.cumsum(1) - 1
    skills = flat[:, :1].repeat(1, int(rank[:, -1].max()) + 1).scatter(1, rank, ordered)
    column = torch.empty_like(rank).scatter(1, order, rank).view(shape)
    return SkillAxis(skills, torch.where(batch.has_skill_BTS, column, 0), is_all=False)


def cheaper_axis(batch: Batch, num_skills: int) -> SkillAxis:
    """Return the axis that costs less to compute on.

    Gathering a column's weights costs about as much as computing GATHER_STEPS more steps of it (measured by
    scripts/benchmark_training.py at widths 64 and 256, 20 to 500 steps, 100 to 2,000 skills).
    """
    axis, steps = met_skills(batch), batch.valid_BT.shape[1]
    return axis if (steps + GATHER_STEPS) * axis.size < steps * num_skills else all_skills(batch, num_skills)
