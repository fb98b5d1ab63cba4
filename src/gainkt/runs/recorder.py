"""Run a model over a part of the data and record what it says, as the tables of `evaluation.schema`.

Every gain that is written is the tensor that practice sums. Memory stays flat: batches are written as they come.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.evaluation.schema import ACTIVE_GAIN, FLOAT, PREDICTIONS, SKILLS, TRAJECTORIES
from gainkt.files import replacing
from gainkt.model import Carrier, GainKT
from gainkt.model.bounded import Bounded
from gainkt.model.gain_head.scalar import left_over
from gainkt.model.readout import mean, minimum, probability
from gainkt.names import escaped, joined
from gainkt.runs.ablations import Means, Trace
from gainkt.runs.checks import StepColumn

TABLES = {"predictions": PREDICTIONS, "trajectories": TRAJECTORIES, "skills": SKILLS}
"""Schema of each table."""


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
    columns: Sequence[StepColumn] = (),
) -> dict[str, Path]:
    """Write predictions.parquet, trajectories.parquet and skills.parquet of a part of the data.

    Args:
        model: the two encoders.
        datamodule: the data, with the model's numbering of skills.
        part: train, valid or test.
        folder: where the tables go; each appears whole or not at all.
        device: where to compute.
        num_students: students in the trajectories, picked over the range of lengths; all of them where None.
        seed: of that pick, and of the permutation of gains.
        columns: that added checks ask for; predictions.parquet ends with them.

    Returns:
        The tables' paths by name.

    Raises:
        ConfigError: a column is not what a column must be.
    """
    model.to(device).eval()
    log, paths = datamodule.log_, {name: folder / f"{name}.parquet" for name in TABLES}
    shown = np.zeros(log.num_students, dtype=bool)
    shown[pick_students(log, datamodule.students(part), num_students, seed)] = True
    draw = torch.Generator().manual_seed(seed)
    skills, means = SkillSums(log.num_skills), Means(model, datamodule.loader(part), device)
    carrier = Carrier()
    schema = pa.schema([*PREDICTIONS, *((column.name, FLOAT) for column in columns)])
    with (
        _table(paths["predictions"], schema) as predictions,
        _table(paths["trajectories"], TRAJECTORIES) as trajectories,
    ):
        for batch in track(datamodule.loader(part), "recording", transient=True, disable=not sys.stdout.isatty()):
            trace = Trace.of(model, batch.to(device), draw, means, carrier)
            predictions.write_table(_prediction_rows(trace, log, schema, columns))
            trajectories.write_table(_trajectory_rows(trace, log, shown))
            skills.add(trace)
    with _table(paths["skills"], SKILLS) as table:
        table.write_table(skills.rows(model, log))
    return paths


def are_recorded(folder: Path) -> bool:
    """Tell whether a folder holds every table with the columns that they have now."""
    paths = {folder / f"{name}.parquet": schema for name, schema in TABLES.items()}
    return all(
        path.is_file() and set(schema.names) <= set(pq.read_schema(path).names) for path, schema in paths.items()
    )


def pick_students(log: InteractionLog, students: NDArray[np.int64], count: int | None, seed: int) -> NDArray[np.int64]:
    """Return `count` of the students, one drawn from each of as many equal slices of the range of lengths."""
    if count is None or count >= len(students):
        return students
    ordered = students[np.argsort(log.lengths[students], kind="stable")]
    draw = np.random.default_rng(seed)
    return np.array([draw.choice(piece) for piece in np.array_split(ordered, count)])


@contextmanager
def _table(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A parquet writer under a temporary name, renamed when it closes without an error."""
    with replacing(path) as building, pq.ParquetWriter(building, schema, compression="zstd") as writer:
        yield writer


def _prediction_rows(trace: Trace, log: InteractionLog, schema: pa.Schema, added: Sequence[StepColumn]) -> pa.Table:
    batch, output, shown = trace.batch, trace.output, trace.shown_BT
    gains, has = output.gains_BTC, batch.has_skill_BTS
    practised, others = trace.practised_BTK, ~trace.practised_BTK
    columns: dict[str, Tensor] = {
        "p1": probability(output.logit1_BT),
        "p2": probability(output.logit2_BT),
        "mastery": minimum(output.mastery_before_BTS, has),
        "mastery_mean": mean(output.mastery_before_BTS, has),
        "item_difficulty": output.difficulty2_BT,
        "readiness": output.readiness_BT(batch),
        "velocity": output.belief.velocity.expand(*batch.valid_BT.shape, -1).mean(-1),
        "gain_practised": _share(gains, practised),
        "gain_mean": gains.mean(-1),
        "gain_std": gains.std(-1, correction=0),
        "active_skills": (gains > ACTIVE_GAIN).sum(-1),
        "mastery_falls": trace.falls_BT,
        "belief_falls": trace.belief_falls_BT,
        "saturated_practised": _share(trace.saturated_BTK, practised),
        "saturated_other": _share(trace.saturated_BTK, others),
        "left_over": left_over(output.value_BTD),
        **trace.counterfactual,
        **{column.name: column.of(output, batch, shown) for column in added},
    }
    row, step = (x.numpy() for x in shown.cpu().nonzero(as_tuple=True))
    student = batch.student_B.cpu().numpy()[row]
    number = batch.start_B.cpu().numpy()[row] + step
    flat = log.offsets[student] + number
    values: dict[str, object] = {
        "student": _names(log.students, student),
        "step": number,
        "skills": _skill_sets(log, flat),
        "item": _names(log.item_names, log.items[flat]) if log.num_items else None,
        "response": log.responses[flat],
        "scored": batch.scored_BT[shown].cpu().numpy(),
        **{name: x[shown].cpu().numpy() for name, x in columns.items()},
    }
    return _as_table(values, schema, len(row))


def _trajectory_rows(trace: Trace, log: InteractionLog, wanted: NDArray[np.bool_]) -> pa.Table:
    batch, output = trace.batch, trace.output
    chosen = torch.from_numpy(wanted)[batch.student_B.cpu()].to(batch.student_B.device)
    met = trace.practised_BTK.any(1, keepdim=True) & chosen[:, None, None]
    cell = (trace.shown_BT[..., None] & met).nonzero(as_tuple=True)
    row, step, skill = (x.cpu().numpy() for x in cell)
    student = batch.student_B.cpu().numpy()[row]
    number = batch.start_B.cpu().numpy()[row] + step
    values: dict[str, object] = {
        "student": _names(log.students, student),
        "step": number,
        "window": batch.start_B.cpu().numpy()[row],
        "skill": _names(log.skill_names, skill),
        "relevant": trace.practised_BTK[cell].cpu().numpy(),
        "response": log.responses[log.offsets[student] + number],
        "p1": probability(output.logit1_BT)[cell[:2]].cpu().numpy(),
        "p2": probability(output.logit2_BT)[cell[:2]].cpu().numpy(),
        "gain": output.gains_BTC[cell].cpu().numpy(),
        "practice": output.practice_BTC[cell].cpu().numpy(),
        "mastery": trace.mastery_BTK[cell].cpu().numpy(),
        "mastery_final": trace.mastery_final_BTK[cell].cpu().numpy(),
    }
    return _as_table(values, TRAJECTORIES, len(row))


class SkillSums:
    """Running sums for the table of skills."""

    def __init__(self, num_skills: int) -> None:
        """Start at zero."""
        self.steps = 0
        self.gain = torch.zeros(num_skills, dtype=torch.float64)
        self.practised, self.right, self.gain_practised = (torch.zeros_like(self.gain) for _ in range(3))

    def add(self, trace: Trace) -> None:
        """Add the written steps of a batch."""
        shown = trace.shown_BT
        gains, practised = trace.output.gains_BTC[shown].double(), trace.practised_BTK[shown].double()
        self.steps += int(shown.sum())
        self.gain += gains.sum(0).cpu()
        self.practised += practised.sum(0).cpu()
        self.gain_practised += (gains * practised).sum(0).cpu()
        self.right += (practised * trace.batch.response_BT[shown][:, None]).sum(0).cpu()

    def rows(self, model: GainKT, log: InteractionLog) -> pa.Table:
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
        values: dict[str, object] = {
            "skill": pa.array(log.skill_names.astype(object)),
            "steps": np.full(k, self.steps),
            "practised_steps": self.practised.long().numpy(),
            "responses_right": torch.where(met, self.right / self.practised, nothing).numpy(),
            "gain_mean": (self.gain / max(self.steps, 1)).numpy(),
            "gain_practised_mean": torch.where(met, self.gain_practised / self.practised, nothing).numpy(),
            **parameters,
        }
        return _as_table(values, SKILLS, k)


def _share(x_BTK: Tensor, mask_BTK: Tensor) -> Tensor:
    """Mean over the masked skills, 0 where there are none; [B, T]."""
    return (x_BTK * mask_BTK).sum(-1) / mask_BTK.sum(-1).clamp_min(1)


def _names(names: NDArray[np.str_], index: NDArray[np.integer]) -> pa.Array:
    """Names at the given places, without a Python string a row."""
    used, place = np.unique(index, return_inverse=True)
    words = pa.array(names[used].astype(object), pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32)), words).cast(pa.string())


def _skill_sets(log: InteractionLog, flat: NDArray[np.int64]) -> pa.Array:
    """Each step's skill names, joined as `gainkt.names.joined` does."""
    if log.max_slots == 1:
        return _names(np.array([escaped(name) for name in log.skill_names.tolist()], dtype=object), log.skills[flat])
    names, first = log.skill_names, log.skill_offsets
    return pa.array([joined(names[log.skills[first[m] : first[m + 1]]].tolist()) for m in flat], pa.string())


def _as_table(values: dict[str, object], schema: pa.Schema, rows: int) -> pa.Table:
    """Columns in the schema's order and types; null where there is no value."""
    columns = [
        pa.nulls(rows, field.type) if values.get(field.name) is None else _cast(values[field.name], field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _cast(column: object, kind: pa.DataType) -> pa.Array:
    return column if isinstance(column, pa.Array) else pa.array(np.asarray(column)).cast(kind, safe=False)
