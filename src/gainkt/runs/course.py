"""The course of one student: gain, practice and mastery of every skill at every step, from the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, nearest
from gainkt.evaluation.schema import TRAJECTORIES
from gainkt.model import GainKT
from gainkt.runs.pass_ import Seen, one_pass
from gainkt.runs.recorder import as_table, cell_rows


def course(
    model: GainKT,
    datamodule: KTDataModule,
    student: str,
    skills: Sequence[str] | None = None,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Return a row for each step of a student and each skill, practised or not.

    Args:
        model: the two encoders.
        datamodule: the data, with the model's numbering of skills.
        student: of any part.
        skills: names of those wanted; all K where None, which takes 50 bytes a step and skill.
        device: where to compute.

    Returns:
        The columns of trajectories.parquet (gainkt.evaluation.schema), in order of steps; `relevant` says which rows
        are practice.

    Raises:
        ConfigError: there is no such student or skill.
    """
    log = datamodule.log_
    number = _number(student, log.students, "student", log)
    wanted = torch.ones(log.num_skills, dtype=torch.bool)
    if skills is not None:
        wanted[:] = False
        wanted[[_number(skill, log.skill_names, "skill", log) for skill in skills]] = True
    taken, alone = _Cells(log, wanted), datamodule.of_students("test", np.array([number]))
    one_pass(model, alone.loader("test"), [taken], device, every_skill=True)
    table = pa.concat_tables(taken.tables).unify_dictionaries()
    return table.to_pandas().sort_values("step", kind="stable", ignore_index=True)


def _number(name: str, names: np.ndarray, what: str, log: InteractionLog) -> int:
    found = np.flatnonzero(names == name)
    if not len(found):
        raise ConfigError(f"{what}={name}: not among the {len(names)} of {log.name}{nearest(name, names.tolist())}")
    return int(found[0])


class _Cells:
    """Takes the cells of some skills at all steps."""

    def __init__(self, log: InteractionLog, wanted_K: torch.Tensor) -> None:
        self._log, self._wanted_K, self.tables = log, wanted_K, list[pa.Table]()

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        cells = seen.shown_BT[..., None] & self._wanted_K.to(seen.shown_BT.device)
        self.tables.append(as_table(cell_rows(seen, self._log, cells), TRAJECTORIES))
