"""A table of answers in; a table of predictions, or of each student's mastery, out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.data.readers.frame import RowLog
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.files import write_whole
from gainkt.model import GainKT
from gainkt.model.state import State
from gainkt.names import joined, visible
from gainkt.runs.averaging import mean_of
from gainkt.runs.tracer import ask, questions, require_number, require_threshold, step
from gainkt.runs.vocabulary import UNKNOWN_SKILLS, Vocabulary
from gainkt.runs.walk import CELLS, AtEnd, Walk, size_of, walk

if TYPE_CHECKING:
    from gainkt.runs.trained import TrainedModel

ASKED = "no response: predicted, not learnt from"
SKIPPED = "skill unknown to the model: left out"
TYPICAL = "skill unknown to the model: taken for a typical one"
LEFT_OUT = "left out in reading"
SPREAD = ("p1_std", "p2_std", "mastery_std")
"""Columns that say how far apart the members of an ensemble are."""
ESTIMATES = ("p1", "p2", "mastery", "missing", "right_answers_missing", *SPREAD)
"""Columns of numbers that the model gives, six digits of which are written; the user's own stay as they are."""


@dataclass(frozen=True)
class Numbered:
    """A table's log with the model's numbers of skills and items, and what had to be done for that."""

    log: InteractionLog
    asked: NDArray[np.bool_]
    """[M], steps without a response."""
    step: NDArray[np.int64]
    """[R], the step of each row; -1 for a row that was left out."""
    slots: NDArray[np.int64]
    """[R, 2], its skills, start : stop; empty where the row was left out."""
    notes: NDArray[np.object_]
    """[R], what is to be said of a row; None for most."""
    skills: tuple[str, ...]
    """Names of the skills; those beside the model's are taken for typical ones."""


def numbered(read: RowLog, skills: Vocabulary, items: Vocabulary, unknown_skills: str) -> Numbered:
    """Number skills and items as a model does; an unknown item is -1.

    Args:
        read: as the reader left it.
        skills: that the model knows.
        items: that the model knows.
        unknown_skills: what becomes of a skill that it does not: `fail`; `skip` it, and a step that has no other; or
            `prior`, to take it for a typical skill.

    Raises:
        ConfigError: unknown_skills is none of these.
        DataError: a skill is unknown, and unknown_skills is `fail`.
    """
    if unknown_skills not in UNKNOWN_SKILLS:
        raise ConfigError(f"unknown_skills={unknown_skills}: no such choice{nearest(unknown_skills, UNKNOWN_SKILLS)}")
    log = read.log
    number = np.array(skills.numbers(map(str, log.skill_names)), dtype=np.int64)
    unknown = number < 0
    slots = int(unknown[log.skills].sum())
    if slots and unknown_skills == "fail":
        name = str(log.skill_names[int(np.argmax(unknown))])
        raise DataError(
            f"{log.name}: skill {visible(name)!r} is unknown to the model, which knows {len(skills)} skills (so are "
            f"{int(unknown.sum())} of {len(unknown)}, in {slots} of {len(log.skills)} places)"
            f"{nearest(name, skills.names)}; correct the names, leave such skills out by unknown_skills=skip, or take "
            "them for typical ones by unknown_skills=prior"
        )
    more: list[str] = []
    if unknown_skills == "prior":
        more = [str(name) for name in log.skill_names[unknown]]
        number[unknown] = len(skills) + np.arange(len(more))
    found, step_of_slot = number[log.skills], np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    known = found >= 0
    counts = np.bincount(step_of_slot[known], minlength=log.num_steps)
    kept = counts > 0
    owner = np.repeat(np.arange(log.num_students), log.lengths)
    item = np.array([*items.numbers(map(str, log.item_names)), -1], dtype=np.int32)
    rows = _rows_without(read, kept, known)
    notes = np.full(len(read.step), None, dtype=object)
    slot_is_new = np.r_[0, np.cumsum(unknown[log.skills])]
    new = slot_is_new[read.slots[:, 1]] > slot_is_new[read.slots[:, 0]]
    notes[new] = TYPICAL if more else SKIPPED
    notes[read.step < 0] = LEFT_OUT
    is_asked = (read.step >= 0) & read.asked[read.step]
    notes[is_asked] = [ASKED if note is None else f"{ASKED}; {note}" for note in notes[is_asked]]
    return Numbered(
        replace(
            log,
            offsets=offsets_of(np.bincount(owner[kept], minlength=log.num_students)),
            responses=log.responses[kept],
            skill_offsets=offsets_of(counts[kept]),
            skills=found[known].astype(np.int32),
            items=item[log.items[kept]],
            skill_names=np.array([*skills.names, *more], dtype=np.str_),
            item_names=np.array(items.names, dtype=np.str_),
        ),
        read.asked[kept],
        *rows,
        notes,
        (*skills.names, *more),
    )


def _rows_without(read: RowLog, kept_M: NDArray[np.bool_], known_L: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
    """Return step and slots of the rows once steps and slots are left out."""
    new_step = np.where(kept_M, np.cumsum(kept_M) - 1, -1)
    step_of_row = np.where(read.step >= 0, np.r_[new_step, -1][read.step], -1)
    return step_of_row, np.r_[0, np.cumsum(known_L)][read.slots]


def rows_of(log: InteractionLog) -> tuple[RowLog, pd.DataFrame]:
    """Return a log as a table of a row a step."""
    step = np.arange(log.num_steps)
    slots = np.stack([log.skill_offsets[:-1], log.skill_offsets[1:]], axis=1)
    read = RowLog(log, step, slots, np.zeros(log.num_steps, dtype=np.bool_))
    table = {
        "student": np.repeat(log.students, log.lengths),
        "skill": [joined(log.skill_names[log.skills[a:b]]) for a, b in slots],
        **({"item": log.item_names[log.items]} if log.num_items else {}),
        "correct": log.responses,
    }
    return read, pd.DataFrame(table)


def predictions(model: TrainedModel, read: RowLog, unknown_skills: str) -> pd.DataFrame:
    """Return a row for each row that was read, in their order; see TrainedModel.predict."""
    rows, done = _walked(model, read, unknown_skills)
    log, there = rows.log, rows.step >= 0
    lowest = np.minimum.reduceat(done.mastery_L, log.skill_offsets[:-1]) if log.num_steps else np.empty(0)

    def column(values: NDArray) -> NDArray:
        found = np.full(len(rows.step), np.nan, dtype=np.float64)
        found[there] = values[rows.step[there]]
        return found

    by_skill = np.full(len(rows.step), None, dtype=object)
    mastery = done.mastery_L.astype(np.float64)
    for row in np.flatnonzero(there):
        by_skill[row] = mastery[rows.slots[row, 0] : rows.slots[row, 1]].tolist()
    table = {
        "p1": column(done.p1_M),
        "p2": column(done.p2_M),
        "mastery": column(lowest),
        "mastery_by_skill": by_skill,
        "note": pd.Series(rows.notes, dtype=object),  # None, where pandas would have nan
    }
    if model.shows_spread:
        is_lowest = done.mastery_L == np.repeat(lowest, np.diff(log.skill_offsets))
        apart = np.where(is_lowest, done.mastery_std_L, np.inf)
        spread = np.minimum.reduceat(apart, log.skill_offsets[:-1]) if log.num_steps else np.empty(0)
        table |= {"p1_std": column(done.p1_std_M), "p2_std": column(done.p2_std_M), "mastery_std": column(spread)}
    return pd.DataFrame(table)


def _walked(
    model: TrainedModel, read: RowLog, unknown_skills: str, at_end: Callable[[Numbered], AtEnd] | None = None
) -> tuple[Numbered, Walk]:
    """Number the rows and walk through them."""
    rows = numbered(read, model.skills, model.items, unknown_skills)
    networks = model.networks_with(len(rows.skills) - len(model.skills))
    end = None if at_end is None else at_end(rows)
    return rows, walk(networks, rows.log, rows.asked, model.content.windows["length"], len(model.items), end)


@torch.inference_mode()
def mastery_table(
    model: TrainedModel,
    read: RowLog,
    when: pd.Series,
    *,
    threshold: float,
    every_skill: bool,
    look_ahead: int,
    unknown_skills: str,
) -> pd.DataFrame:
    """Return a row for each student and skill; see TrainedModel.mastery.

    Args:
        model: whose estimates.
        read: the answers so far.
        when: [R], what stands for the time of each row.
        threshold: of mastery.
        every_skill: of the model, not only those that the student has practised or that were asked.
        look_ahead: right answers in a row that are tried at most; 0 for none.
        unknown_skills: as for `numbered`.
    """
    require_threshold(threshold)
    require_number("look_ahead", look_ahead, 0)
    stand: list[_Standing] = []

    def at_end(rows: Numbered) -> AtEnd:
        networks = model.networks_with(len(rows.skills) - len(model.skills))
        stand.append(_Standing(rows, networks, every_skill, threshold, look_ahead))
        return stand[0].at_end

    rows, _ = _walked(model, read, unknown_skills, at_end)
    student, skill = np.divmod(stand[0].cells, len(rows.skills))
    opportunities, last_row = stand[0].practised()
    last = when.iloc[last_row.clip(0)]
    last = (last.astype("Int64") if pd.api.types.is_integer_dtype(last) else last).mask(last_row < 0)
    found = {name: x for name, x in stand[0].found.items() if model.shows_spread or not name.endswith("_std")}
    return pd.DataFrame(
        {
            "student": rows.log.students[student],
            "skill": np.array(rows.skills)[skill],
            "mastery": found.pop("mastery"),
            "opportunities": opportunities,
            "last_practised": last.array,
            **found,
        }
    )


class _Standing:
    """Where students stand on each skill: a cell a student and skill, by student and then by skill."""

    def __init__(
        self, rows: Numbered, networks: Sequence[GainKT], every_skill: bool, threshold: float, look_ahead: int
    ) -> None:
        self.rows, self.networks, self.threshold, self.look_ahead = rows, networks, threshold, look_ahead
        log, number = rows.log, len(rows.skills)
        self.step = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
        self.place = np.repeat(np.arange(log.num_students), log.lengths)[self.step] * number + log.skills
        self.cells = np.arange(log.num_students * number) if every_skill else np.unique(self.place)
        self.bounds = np.searchsorted(self.cells, np.arange(log.num_students + 1) * number)
        names = ["mastery", "p1", "p2", "missing", *(["right_answers_missing"] if look_ahead else []), *SPREAD]
        self.found = {name: np.full(len(self.cells), np.nan) for name in names}

    def practised(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the answers of each cell, and the row of the last of them; -1 where there is none."""
        told = ~self.rows.asked[self.step]
        at = np.searchsorted(self.cells, self.place[told])
        last_row, last = np.full(self.rows.log.num_steps + 1, -1), np.full(len(self.cells), -1)
        there = np.flatnonzero(self.rows.step >= 0)
        last_row[self.rows.step[there]] = there
        np.maximum.at(last, at, self.step[told])
        return np.bincount(at, minlength=len(self.cells)), last_row[last]

    def at_end(self, students: NDArray[np.int64], states: Sequence[State]) -> None:
        """Ask for the cells of some students, from where they stand."""
        counts = self.bounds[students + 1] - self.bounds[students]
        cells = spans(self.bounds[students], counts)
        owner, column = np.repeat(np.arange(len(students)), counts), spans(np.zeros_like(counts), counts)
        skills = np.full((len(students), int(counts.max(initial=1))), -1)
        skills[owner, column] = self.cells[cells] % len(self.rows.skills)
        now = self._ask(states, torch.from_numpy(skills))
        for name in ("mastery", "p1", "p2", *SPREAD):
            self.found[name][cells] = now[name][owner, column]
        self.found["missing"][cells] = np.maximum(self.threshold - self.found["mastery"][cells], 0)
        if self.look_ahead:
            size = max(1, CELLS // sum(map(size_of, self.networks)))
            for first in range(0, len(cells), size):
                some = slice(first, first + size)
                rows = torch.from_numpy(owner[some])
                self._look_ahead(cells[some], [state.select(rows) for state in states])

    def _ask(self, states: Sequence[State], skills_BQ: Tensor) -> dict[str, NDArray[np.float64]]:
        """What is expected of questions of one skill each, [B, Q] by name."""
        batch = _asked(skills_BQ)
        said = [ask(network, state, batch) for network, state in zip(self.networks, states, strict=True)]
        mean = mean_of(*zip(*((one.logit1_BQ, one.logit2_BQ, one.mastery_BQS[..., 0]) for one in said), strict=True))
        return {name: x.double().numpy() for name, x in mean._asdict().items()}

    def _look_ahead(self, cells: NDArray[np.int64], states: Sequence[State]) -> None:
        """Find how many right answers in a row bring each cell to the threshold; each state has a row a cell."""
        skills = torch.from_numpy(self.cells[cells] % len(self.rows.skills))[:, None]
        item, right = torch.full((len(cells),), -1), torch.ones(len(cells))
        needed = np.where(self.found["mastery"][cells] >= self.threshold, 0, np.nan)
        for answers in range(1, self.look_ahead + 1):
            open_ = np.isnan(needed)
            if not open_.any():
                break
            both = zip(self.networks, states, strict=True)
            states = [step(network, state, skills, item, right) for network, state in both]
            needed[open_ & (self._ask(states, skills)["mastery"][:, 0] >= self.threshold)] = answers
        self.found["right_answers_missing"][cells] = needed


def _asked(skills_BQ: Tensor) -> Batch:
    """Questions of one skill each, without an item."""
    return questions(skills_BQ[..., None], torch.full(skills_BQ.shape, -1), torch.zeros(skills_BQ.shape))


def require_ending(path: Path) -> Path:
    """Return the path of a table that can be written.

    Raises:
        ConfigError: it ends neither in .csv nor in .parquet.
    """
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"output={path}: give a name that ends in .csv or .parquet")
    return path


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV or, by its ending, Parquet; masteries by skill are joined by ";" in CSV."""
    if require_ending(path).suffix.lower() == ".parquet":
        write_whole(path, lambda building: table.to_parquet(building, index=False))
        return
    if "mastery_by_skill" in table:
        table = table.assign(mastery_by_skill=table["mastery_by_skill"].map(_in_a_cell, na_action="ignore"))
    ours = {name: table[name].map("{:.6g}".format, na_action="ignore") for name in ESTIMATES if name in table}
    write_whole(path, lambda building: table.assign(**ours).to_csv(building, index=False))


def _in_a_cell(mastery: list[float]) -> str:
    return ";".join(f"{one:.6g}" for one in mastery)
