"""Run a model over a part of the data and record what it says, as the tables of `evaluation.schema`.

Every gain that is written is the tensor that practice sums. Memory stays flat: rows are written as they come, and names
are numbers until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.evaluation.schema import FLOAT, MASTERY, MOVEMENT, PREDICTIONS, SKILLS, TRAJECTORIES
from gainkt.evaluation.statistics.steadiness import Movement
from gainkt.files import replacing
from gainkt.model import GainKT
from gainkt.model.bounded import Bounded
from gainkt.model.gain_head.scalar import left_over
from gainkt.model.readout import mean, minimum, probability
from gainkt.names import joined
from gainkt.runs.ablations import Means, ablated
from gainkt.runs.checks import StepColumn
from gainkt.runs.pass_ import Consumer, Seen, one_pass
from gainkt.runs.sample import CELLS, Sample, add_at, take_sample

TABLES = {
    **{"predictions": PREDICTIONS, "trajectories": TRAJECTORIES},
    **{"skills": SKILLS, "mastery": MASTERY, "movement": MOVEMENT},
}
"""Schema of each table, in the order in which `gainkt.evaluation.scorecard.scorecard` takes them."""
ROWS = 1 << 16
"""Rows that are gathered before they are written."""


@torch.inference_mode()
def record(
    model: GainKT,
    datamodule: KTDataModule,
    part: str,
    folder: Path,
    *,
    device: torch.device | str = "cpu",
    num_students: int | None = None,
    seed: int = 0,
    cells: int | None = CELLS,
    columns: Sequence[StepColumn] = (),
    also: Sequence[Consumer] = (),
    means: Means | None = None,
) -> dict[str, Path]:
    """Write predictions, trajectories, mastery, movement and skills (.parquet) of a part of the data.

    Args:
        model: the two encoders.
        datamodule: the data, with the model's numbering of skills.
        part: train, valid or test.
        folder: where the tables go; each appears whole or not at all.
        device: where to compute.
        num_students: students in trajectories and mastery, picked over the range of lengths; all of them where None.
        seed: of that pick, of the permutation of gains, and of the students on whom figures over all skills rest.
        cells: steps x skills up to which those are all (`gainkt.runs.sample`); all of them where None.
        columns: that added checks ask for; predictions.parquet ends with them.
        also: what else takes part in the pass.
        means: of the part under the model; where None they take a pass of their own. Their sample is the tables' too.

    Returns:
        The tables' paths by name.

    Raises:
        ConfigError: a column is not what a column must be.
    """
    log, paths = datamodule.log_, {name: folder / f"{name}.parquet" for name in TABLES}
    chosen = np.zeros(log.num_students, dtype=bool)
    chosen[pick_students(log, datamodule.students(part), num_students, seed)] = True
    if means is None:
        means = Means(model, take_sample(model, datamodule, part, cells, seed, device))
        one_pass(model, datamodule.loader(part), [means], device, title="means of gains")
    skills, mastery = SkillSums(log.num_skills, means.sample), LastMastery(chosen, whole=means.sample is None)
    schema = pa.schema([*PREDICTIONS, *((column.name, FLOAT) for column in columns)])
    with (
        _table(paths["predictions"], schema) as of_steps,
        _table(paths["trajectories"], TRAJECTORIES) as of_cells,
    ):
        predictions = PredictionRows(of_steps, log, columns, means, seed)
        trajectories = TrajectoryRows(of_cells, log, chosen)
        consumers = (*also, predictions, trajectories, mastery, skills)
        one_pass(model, datamodule.loader(part), consumers, device, title="recording")
    small = {"mastery": mastery.rows(log), "movement": _of_movement(skills.movement), "skills": skills.rows(model, log)}
    for name, values in small.items():
        with _table(paths[name], TABLES[name]) as table:
            table.add(values)
    return paths


def pick_students(log: InteractionLog, students: NDArray[np.int64], count: int | None, seed: int) -> NDArray[np.int64]:
    """Return `count` of the students, one drawn from each of as many equal slices of the range of lengths."""
    if count is None or count >= len(students):
        return students
    ordered = students[np.argsort(log.lengths[students], kind="stable")]
    draw = np.random.default_rng(seed)
    return np.array([draw.choice(piece) for piece in np.array_split(ordered, count)])


Values = dict[str, NDArray | pa.Array | None]
"""Columns by name, arrays or None where there is no value."""


class Rows:
    """Gathers rows and writes them, names last."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer, self.schema = writer, schema
        self._waiting: list[pa.Table] = []

    def add(self, values: Values) -> None:
        """Add rows."""
        self._waiting.append(as_table(values, self.schema))
        if sum(map(len, self._waiting)) >= ROWS:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).cast(self.schema))
            self._waiting.clear()


def as_table(values: Values, schema: pa.Schema) -> pa.Table:
    """Columns in a schema's order and types, but for names that are still numbers; null where there is no value."""
    count = max(len(x) for x in values.values() if x is not None)

    def column(field: pa.Field) -> pa.Array:
        x = values.get(field.name)
        if x is None:
            return pa.nulls(count, field.type)
        return x if isinstance(x, pa.Array) else pa.array(x).cast(field.type, safe=False)

    return pa.table({field.name: column(field) for field in schema})


@contextmanager
def _table(path: Path, schema: pa.Schema) -> Iterator[Rows]:
    """A parquet file under a temporary name, renamed when it closes without an error."""
    with replacing(path) as building, pq.ParquetWriter(building, schema, compression="zstd") as writer:
        rows = Rows(writer, schema)
        yield rows
        rows.write()


class PredictionRows:
    """Writes predictions.parquet."""

    needs_met_skills = True

    def __init__(self, rows: Rows, log: InteractionLog, columns: Sequence[StepColumn], means: Means, seed: int) -> None:
        self._rows, self._log, self._columns, self._means = rows, log, columns, means
        self._draw, self.needs_every_skill = torch.Generator().manual_seed(seed), means.sample is None

    def add(self, seen: Seen) -> None:
        """Write the steps of a batch."""
        batch, output, shown, log = seen.batch, seen.output, seen.shown_BT, self._log
        has, practised, sample = batch.has_skill_BTS, seen.practised_BTC, self._means.sample
        own = practised.sum(-1).clamp_min(1)
        columns: dict[str, Tensor] = {
            "p1": probability(output.logit1_BT),
            "p2": probability(output.logit2_BT),
            "mastery": minimum(output.mastery_before_BTS, has),
            "mastery_mean": mean(output.mastery_before_BTS, has),
            "item_difficulty": output.difficulty2_BT,
            "readiness": output.readiness_BT(batch),
            "velocity": output.belief.velocity.expand(*batch.valid_BT.shape, -1).mean(-1),
            "gain_practised": (output.gains_BTC * practised).sum(-1) / own,
            "belief_falls": seen.every_skill.belief_falls_BT if sample is None else seen.belief_falls_BT,
            "saturated_practised": seen.saturated_practised_BT / own,
            "left_over": left_over(output.value_BTD),
            **ablated(seen, self._draw, self._means),
            **{column.name: column.of(output, batch, shown) for column in self._columns},
            **(seen.over_all_skills if sample is None else {}),
        }
        student, number = seen.student_BT[shown].cpu().numpy(), seen.number_BT[shown].cpu().numpy()
        flat = log.offsets[student] + number
        self._rows.add(
            {
                "student": _names(log.students, student),
                "step": number,
                "skills": _skill_sets(log, flat),
                "item": _names(log.item_names, log.items[flat]) if log.num_items else None,
                "response": log.responses[flat],
                "scored": batch.scored_BT[shown].cpu().numpy(),
                **{name: x[shown].cpu().numpy() for name, x in columns.items()},
                **({} if sample is None else sample.rows(student, number)),
            }
        )


class TrajectoryRows:
    """Writes trajectories.parquet, of the chosen students."""

    def __init__(self, rows: Rows, log: InteractionLog, chosen: NDArray[np.bool_]) -> None:
        self._rows, self._log, self._chosen = rows, log, torch.from_numpy(chosen)

    def add(self, seen: Seen) -> None:
        """Write the skills that the steps of a batch practise."""
        batch = seen.batch
        wanted = seen.shown_BT & self._chosen.to(batch.student_B.device)[batch.student_B][:, None]
        cells = seen.practised_BTC & wanted[..., None]
        if cells.any():
            self._rows.add(cell_rows(seen, self._log, cells))


def cell_rows(seen: Seen, log: InteractionLog, cells_BTC: Tensor) -> Values:
    """Columns of trajectories.parquet for some (step, skill) cells of a batch."""
    cell = cells_BTC.nonzero(as_tuple=True)
    row, output = cell[0], seen.output
    step, skill = cell[:2], output.axis.skills_BC.expand(len(seen.batch), -1)[row, cell[2]].cpu().numpy()
    student, number = (x[step].cpu().numpy() for x in (seen.student_BT, seen.number_BT))
    of_cells = {
        "relevant": seen.practised_BTC,
        "gain": output.gains_BTC,
        "practice": output.practice_BTC,
        "mastery_before": seen.mastery_before_BTC,
        "mastery": seen.mastery_BTC,
        "mastery_final": seen.mastery_final_BTC,
    }
    return {
        "student": _names(log.students, student),
        "step": number,
        "window": seen.batch.start_B[row].cpu().numpy(),
        "skill": _names(log.skill_names, skill),
        "response": log.responses[log.offsets[student] + number],
        "p1": probability(output.logit1_BT)[step].cpu().numpy(),
        "p2": probability(output.logit2_BT)[step].cpu().numpy(),
        **{name: x[cell].cpu().numpy() for name, x in of_cells.items()},
    }


class LastMastery:
    """Keeps what mastery.parquet says: the state of each skill that a student met, at the end."""

    needs_met_skills = True

    def __init__(self, chosen: NDArray[np.bool_], *, whole: bool = True) -> None:
        self._chosen, self.needs_every_skill = torch.from_numpy(chosen), whole
        self._pieces: list[dict[str, NDArray]] = []

    def add(self, seen: Seen) -> None:
        """Take the last step of each window."""
        batch, (cells, practice, mastery) = seen.batch, seen.at_end
        is_met = cells.first[:, 0] < batch.valid_BT.shape[1]
        row, column = (is_met & self._chosen.to(is_met.device)[batch.student_B][:, None]).nonzero(as_tuple=True)
        skill = cells.skills[:, 0].expand(len(batch), -1)
        opportunities = (seen.practised_BTC & seen.shown_BT[..., None]).sum(1)
        if seen.output.state_of is not None and seen.whole:  # the cells are all K skills
            met = seen.output.axis.skills_BC.expand(len(batch), -1)
            opportunities = torch.zeros_like(skill).scatter_add(1, met, opportunities)
        values = {
            "student": batch.student_B[row].int(),
            "skill": skill[row, column].int(),
            "since": seen.since_B[row].int(),
            "step": (batch.start_B + batch.valid_BT.sum(1) - 1)[row].int(),
            "opportunities": opportunities[row, column].int(),
            "practice": practice[row, column],
            "mastery": mastery[row, column],
        }
        self._pieces.append({name: x.cpu().numpy() for name, x in values.items()})

    def rows(self, log: InteractionLog) -> Values:
        """A row a student and skill: its last window's state, and its opportunities in all windows."""
        kept = {name: np.concatenate([piece[name] for piece in self._pieces]) for name in self._pieces[0]}
        order = np.lexsort((kept["step"], kept["skill"], kept["student"]))
        kept = {name: x[order] for name, x in kept.items()}
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (np.diff(kept["student"]) != 0) | (np.diff(kept["skill"]) != 0)
        last = np.roll(is_first, -1)
        if len(order):
            kept["opportunities"] = np.add.reduceat(kept["opportunities"], np.flatnonzero(is_first))
        return {
            **{name: kept[name][last] for name in ("since", "step", "practice", "mastery")},
            "opportunities": kept["opportunities"],
            "student": _names(log.students, kept["student"][last]),
            "skill": _names(log.skill_names, kept["skill"][last]),
        }


def _of_movement(movement: Movement) -> Values:
    """A row for the skills met, and one for the others."""
    found = movement.figures()
    columns = {name: pa.array([row[name] for row in found.values()]) for name in MOVEMENT.names[1:]}
    return {"met": pa.array([kind == "met" for kind in found]), **columns}


class SkillSums:
    """Running sums for the tables of skills and of movement.

    What is about steps that do not practise a skill may be that of a sample.
    """

    def __init__(self, num_skills: int, sample: Sample | None = None) -> None:
        self.steps, self._sample, self.needs_every_skill = 0, sample, sample is None
        self.gain, self.practised, self.right, self.gain_practised = torch.zeros(4, num_skills, dtype=torch.float64)
        self.movement = Movement() if sample is None else sample.movement

    def add(self, seen: Seen) -> None:
        """Add the written steps of a batch."""
        self.steps += int(seen.shown_BT.sum())
        if self._sample is None:
            self.gain += seen.every_skill.gain_K.cpu()
            self.movement += seen.every_skill.movement
        row, step, column = cell = (seen.practised_BTC & seen.shown_BT[..., None]).nonzero(as_tuple=True)
        skill = seen.output.axis.skills_BC.expand(len(seen.batch), -1)[row, column]
        add_at(self.practised, skill)
        add_at(self.gain_practised, skill, seen.output.gains_BTC[cell])
        add_at(self.right, skill, seen.batch.response_BT[row, step])

    def rows(self, model: GainKT, log: InteractionLog) -> Values:
        """One row a skill, with the learnt parameters of its curve and readout."""
        parts = {
            name: part
            for parent in (model.curve, model.readout)
            for name, part in parent.named_children()
            if isinstance(part, Bounded)
        }
        k, nothing = log.num_skills, torch.full((log.num_skills,), torch.nan, dtype=torch.float64)
        parameters = {n: p().detach().cpu().double().expand(k).numpy() for n, p in parts.items() if n in SKILLS.names}
        velocity = getattr(model.velocity, "gamma", None)
        if velocity is not None:
            value = velocity() if callable(velocity) else velocity
            parameters["velocity"] = np.full(k, float(value.mean()))
        met = self.practised > 0
        if self._sample is not None:
            self.gain = self.gain_practised + self._sample.others_K * (self.steps - self.practised)
        return {
            "skill": pa.array(log.skill_names.astype(object)),
            "steps": np.full(k, self.steps),
            "practised_steps": self.practised.long().numpy(),
            "responses_right": torch.where(met, self.right / self.practised, nothing).numpy(),
            "gain_mean": (self.gain / max(self.steps, 1)).numpy(),
            "gain_practised_mean": torch.where(met, self.gain_practised / self.practised, nothing).numpy(),
            **parameters,
        }


def _names(names: NDArray[np.str_], index: NDArray[np.integer]) -> pa.DictionaryArray:
    """Names at the given places, as numbers and the names that occur."""
    used, place = np.unique(index, return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(place.astype(np.int32)), pa.array(names[used].astype(object), pa.string())
    )


def _skill_sets(log: InteractionLog, flat: NDArray[np.int64]) -> pa.DictionaryArray:
    """Each step's skill names, joined as `gainkt.names.joined` does."""
    first, end = log.skill_offsets[flat], log.skill_offsets[flat + 1]
    slot = first[:, None] + np.arange((end - first).max(initial=1))
    sets = np.where(slot < end[:, None], log.skills[np.minimum(slot, end[:, None] - 1)], -1)
    used, place = np.unique(sets, axis=0, return_inverse=True)
    words = [joined(log.skill_names[row[row >= 0]].tolist()) for row in used]
    return pa.DictionaryArray.from_arrays(pa.array(place.ravel().astype(np.int32)), pa.array(words, pa.string()))
