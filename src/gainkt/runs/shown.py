"""What a trained model says of the students of a table, gathered for the explorer of a page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gainkt.data.datamodule import KTDataModule, told
from gainkt.data.log import InteractionLog
from gainkt.data.readers.frame import RowLog
from gainkt.data.splits import Split
from gainkt.data.windows import Windows
from gainkt.errors import DataError
from gainkt.runs.classroom import ASKED, SKIPPED, TYPICAL, numbered
from gainkt.runs.page import explored
from gainkt.runs.recorder import record
from gainkt.runs.walk import taken

if TYPE_CHECKING:
    from gainkt.runs.trained import TrainedModel


class _Everybody:
    """All students are shown."""

    def split(self, log: InteractionLog, fold: int) -> Split:
        nobody = np.empty(0, dtype=np.int64)
        return Split(nobody, nobody, np.arange(log.num_students), "all students")


class _Whole(KTDataModule):
    """Data whose students of a single answer, which score nothing, are shown too."""

    def windows(self, part: str) -> Windows:
        found, lone = super().windows(part), np.flatnonzero(self.log_.lengths == 1)
        more = Windows(lone, 0 * lone, 0 * lone + 1, 0 * lone + 1, np.zeros(len(lone), dtype=np.bool_))
        pairs = ((getattr(one, field.name) for one in (found, more)) for field in fields(Windows))
        return Windows(*(np.concatenate(list(pair)) for pair in pairs))


def students_content(model: TrainedModel, read: RowLog, unknown_skills: str, rows: int, seed: int) -> dict[str, Any]:
    """Return what `gainkt.reporting.page.explorer.students_page` shows.

    Args:
        model: whose estimates.
        read: answers, as the reader left them; those without a response are not shown.
        unknown_skills: as for `gainkt.runs.classroom.numbered`.
        rows: practised (step, skill) cells at most; of more, students are drawn at random.
        seed: of that draw.

    Raises:
        DataError: there is no answer, or a skill is unknown.
    """
    given = numbered(read, model.skills, model.items, unknown_skills)
    log = _answered(given.log, given.asked)
    if not log.num_steps:
        raise DataError(f"{log.name}: no answer to show: each row is without a response, or was left out")
    data = _Whole(read=lambda: log, split=_Everybody(), window_length=model.content.windows["length"])
    data.conform(given.skills, model.items.names)
    with TemporaryDirectory() as folder:
        record(model.network_with(len(given.skills) - len(model.skills)), data, "test", Path(folder))
        found = explored(Path(folder), rows, seed)
    said = [*told(log.account), *_counted(given.notes)]
    return {"name": model.name, "protocol": ", ".join(said), "who": "students"} | found


def _answered(log: InteractionLog, asked_M: NDArray[np.bool_]) -> InteractionLog:
    """The log without steps that have no response, and without students who have no other."""
    kept = taken(log, np.flatnonzero(~asked_M))
    return kept.select(np.flatnonzero(kept.lengths))


def _counted(notes: NDArray[np.object_]) -> list[str]:
    """What `numbered` had to say of rows, and of how many."""
    what = {ASKED: "rows without a response, not shown", SKIPPED: f"rows: {SKIPPED}", TYPICAL: f"rows: {TYPICAL}"}
    counts = {said: sum(note is not None and reason in note for note in notes) for reason, said in what.items()}
    return [f"{count:,} {said}" for said, count in counts.items() if count]
