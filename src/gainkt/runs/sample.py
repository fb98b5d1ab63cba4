"""Figures over all K skills where steps x K are too many: they rest on students that are drawn by a seed.

Gains of all skills at a step, how many are active, whose mastery falls and whose curve is flat cost K numbers a step;
all else in the tables is about the skills that a student meets, and rests on every step whatever K is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.datamodule import KTDataModule
from gainkt.evaluation.statistics.steadiness import Movement
from gainkt.model import GainKT
from gainkt.runs.pass_ import Seen, one_pass

CELLS = 30_000_000
"""Steps x skills of the sample, as in conf/train.yaml: 2.5 s of a processor."""
FEW_SKILLS = 2_000
"""Skills up to which every step is looked at, whatever that costs."""
FEW_STUDENTS = 10
"""Students that are drawn at minimum, so that figures have an interval."""
COUNTS = ("active_skills", "mastery_falls")
"""The whole numbers among the figures over all skills."""


@dataclass(frozen=True)
class Drawn:
    """The students on whom figures over all skills rest."""

    students: NDArray[np.int64]
    """Numbers in the log, rising."""
    steps: int
    """Steps of theirs."""
    of: int
    """Steps of the part of the data."""
    num_skills: int

    @property
    def told(self) -> str:
        """What a protocol says of it."""
        students = f"{len(self.students):,} students"
        return (
            f"figures over all {self.num_skills:,} skills from {self.steps:,} of {self.of:,} steps ({students} drawn)"
        )


def draw_students(datamodule: KTDataModule, part: str, cells: int | None = CELLS, seed: int = 0) -> Drawn | None:
    """Draw students of a part of the data until they have `cells` steps x skills, ten students at minimum.

    Args:
        datamodule: the data, with the model's numbering of skills.
        part: train, valid or test.
        cells: steps x K of the sample at most; None: every step.
        seed: of the draw.

    Returns:
        None where every step is looked at: those of the part fit, or there are at most `FEW_SKILLS` skills.
    """
    log, students = datamodule.log_, datamodule.students(part)
    lengths, k = log.lengths[students], log.num_skills
    if cells is None or k <= FEW_SKILLS or int(lengths.sum()) * k <= cells or len(students) <= FEW_STUDENTS:
        return None
    order = np.random.default_rng(seed).permutation(len(students))
    count = max(FEW_STUDENTS, int(np.searchsorted(np.cumsum(lengths[order]) * k, cells, side="right")))
    chosen = np.sort(order[:count])
    return Drawn(students[chosen], int(lengths[chosen].sum()), int(lengths.sum()), k)


class Sample:
    """Consumer: keeps the figures over all skills of the steps of some students."""

    needs_every_skill = True

    def __init__(self, datamodule: KTDataModule, drawn: Drawn) -> None:
        log = datamodule.log_
        self.drawn, self._first = drawn, np.full(log.num_students, -1, dtype=np.int64)
        lengths = log.lengths[drawn.students]
        self._first[drawn.students] = np.cumsum(lengths) - lengths
        self._columns: dict[str, NDArray[np.float32]] = {}
        self._gain_K, self._own_K, self._practised_K = torch.zeros(3, log.num_skills, dtype=torch.float64)
        self.movement = Movement()

    def add(self, seen: Seen) -> None:
        """Take a batch of the students."""
        shown = seen.shown_BT
        place = self._first[seen.student_BT[shown].cpu().numpy()] + seen.number_BT[shown].cpu().numpy()
        for name, x in seen.over_all_skills.items():
            column = self._columns.setdefault(name, np.zeros(self.drawn.steps, dtype=np.float32))
            column[place] = x[shown].cpu().numpy()
        row, _, at = cell = (seen.practised_BTC & shown[..., None]).nonzero(as_tuple=True)
        skill = seen.output.axis.skills_BC.expand(len(seen.batch), -1)[row, at]
        self._gain_K += seen.every_skill.gain_K.cpu()
        self.movement += seen.every_skill.movement
        add_at(self._own_K, skill, seen.output.gains_BTC[cell])
        add_at(self._practised_K, skill)

    @property
    def others_K(self) -> Tensor:
        """Mean gain of each skill at the steps that do not practise it, float64."""
        return (self._gain_K - self._own_K) / (self.drawn.steps - self._practised_K).clamp_min(1)

    def rows(self, student_N: NDArray[np.int64], number_N: NDArray[np.int64]) -> dict[str, pa.Array]:
        """Columns of predictions.parquet for some steps: null where the student was not drawn."""
        first = self._first[student_N]
        place = np.where(first < 0, 0, first + number_N)
        return {
            name: pa.array(x[place].astype(np.int32 if name in COUNTS else np.float32), mask=first < 0)
            for name, x in self._columns.items()
        }


@torch.inference_mode()
def take_sample(
    model: GainKT,
    datamodule: KTDataModule,
    part: str,
    cells: int | None = CELLS,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Sample | None:
    """Send the students of `draw_students` through a model; None where every step is looked at."""
    drawn = draw_students(datamodule, part, cells, seed)
    if drawn is None:
        return None
    sample, some = Sample(datamodule, drawn), datamodule.of_students("test", drawn.students)
    one_pass(model, some.loader("test"), [sample], device, title="figures over all skills")
    return sample


def add_at(sums_K: Tensor, skill_N: Tensor, x_N: Tensor | None = None) -> None:
    """Add a number of each skill named (1 where None) to float64 sums on the host."""
    added = torch.ones(len(skill_N), dtype=torch.float64) if x_N is None else x_N.double().cpu()
    sums_K.index_add_(0, skill_N.cpu(), added)
