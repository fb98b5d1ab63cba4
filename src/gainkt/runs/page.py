"""What the page of a run shows, gathered from its folder as plain dictionaries and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from gainkt.data.datamodule import KTDataModule
from gainkt.digests import exists, read_json, read_table
from gainkt.errors import ConfigError
from gainkt.evaluation import overview
from gainkt.model import Carrier
from gainkt.overrides import command_line
from gainkt.runs.folder import Run, way_out
from gainkt.runs.recorder import TABLES

MOST_ROWS = 250_000
"""Practised (step, skill) cells in a page; of more, the students are a sample."""
REPORTS = {"card": "scorecard", "diagnosis": "diagnosis", "advice": "advice", "alignment": "alignment"}
MODEL_PARTS = ("gain_head", "receivers", "curve", "readout", "velocity", "readiness")
PARTS = [
    {"name": "part_initial", "title": "logit: initial mastery"},
    {"name": "part_own", "title": "logit: gains of its own answers"},
    {"name": "part_transferred", "title": "logit: gains from other skills"},
    {"name": "part_velocity", "title": "logit: student's velocity"},
    {"name": "part_readiness", "title": "logit: student's readiness"},
    {"name": "part_mastery", "title": "logit: mastery"},
    {"name": "part_item", "title": "logit: item's difficulty"},
    {"name": "before", "title": "mastery before the step"},
    {"name": "velocity", "title": "velocity"},
]
"""Columns of the cells that say why Encoder 2 predicted as it did."""
TRAJECTORY = ("student", "step", "skill", "relevant", "gain", "practice", "mastery", "mastery_final")
"""Columns of the trajectories that are read."""
TRANSFER_STEPS = 20_000
"""Steps over which transfer between skills is measured, at most."""


def gather(
    run: Run,
    *,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
    transfer: Mapping[str, Any] | str | None = None,
    truth: pd.DataFrame | None = None,
    parts: pd.DataFrame | None = None,
    teaching: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what `gainkt.reporting.page.run_page` shows.

    Args:
        run: a finished run read back.
        most_rows: practised (step, skill) cells in the explorer, at least 1; of more, students are drawn at random.
        seed: of that draw.
        transfer: from `measure_transfer`, or why it was not measured.
        truth: of simulated students: student, step, skill, true_mastery (after the step).
        parts: of predictions: student, step, and a column of numbers a part, shown under its name.
        teaching: from `gainkt.reporting.page.teaching.teaching_section`.

    Raises:
        ConfigError: the run did not finish, or a file in its folder is damaged.
    """
    home = run.directory.path
    if not run.results:
        way = command_line("train", [f"run.resume={home}"])
        raise ConfigError(f"{home}: training did not finish; `{way}` goes on with it")
    provenance = run.provenance
    config: Any = OmegaConf.to_container(run.config, resolve=True, throw_on_missing=False)
    content: dict[str, Any] = {
        "name": run.config.name,
        "results": run.results,
        "metrics": run.metrics,
        "provenance": provenance,
        "config": {key: (config["model"].get(key) or {}).get("_target_") for key in MODEL_PARTS},
        "sizes": {key: value for key, value in asdict(run.sizes).items() if key.startswith("num_")},
        "commands": _commands(home, provenance),
        "transfer": None if isinstance(transfer, str) else transfer,
        "teaching": teaching,
        "transfer_reason": transfer if isinstance(transfer, str) else None,
        **{key: report_of(home / f"{name}.json") for key, name in REPORTS.items()},
    }
    content["part"] = content["card"]["protocol"].get("split", "test") if content["card"] else "test"
    content["who"] = f"{content['part']} students"
    return content | explored(home, most_rows, seed, truth, parts)


def report_of(path: Path) -> dict[str, Any] | None:
    """Return what a report in a run's folder holds; None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    return read_json(path, way_out(path), {}) if exists(path, way_out(path)) else None


def explored(
    home: Path,
    most_rows: int = MOST_ROWS,
    seed: int = 0,
    truth: pd.DataFrame | None = None,
    parts: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return tables by student, skill and step of a folder that `record` filled; None each where it did not."""
    names = ("cells", "now", "students", "skills", "curves", "sample")
    paths = {name: home / f"{name}.parquet" for name in TABLES}
    last, _ = paths.pop("mastery"), paths.pop("movement")
    if not all(exists(path, way_out(path)) for path in paths.values()):
        return {**dict.fromkeys(names), "parts": []}
    predictions, skills = (read_table(paths[name], way_out(paths[name])) for name in ("predictions", "skills"))
    trajectories = read_table(paths["trajectories"], way_out(paths["trajectories"]), TRAJECTORY)
    cells = overview.practised_cells(predictions, trajectories)
    # Trajectories of older versions, which have no such table, go on at steps that practise other skills.
    columns, is_there = ("student", "skill", "mastery"), exists(last, way_out(last))
    now = read_table(last, way_out(last), columns) if is_there else overview.mastery_now(trajectories)
    students = overview.by_student(predictions, now)
    found = {
        "students": students,
        "skills": overview.by_skill(skills, cells),
        "curves": overview.by_opportunity(cells),
    }
    drawn, sample = overview.sample_students(cells, most_rows, seed), []
    num_known = cells["student"].nunique()
    if num_known < len(students):
        sample.append(f"The run recorded the steps of {num_known:,} of {len(students):,} students.")
    if drawn is not None:
        cells, now = (table[table["student"].isin(set(drawn))].reset_index(drop=True) for table in (cells, now))
        sample.append(
            f"A random sample (seed {seed}) of {len(drawn):,} of {num_known:,} students is shown here; "
            "the report's numbers are over all of them."
        )
    cells = cells.join(overview.prediction_parts(cells, skills).add_prefix("part_"))
    if truth is not None:
        cells = cells.merge(truth, on=["student", "step", "skill"], how="left")
    listed = list(PARTS)
    if parts is not None:
        own = [name for name in parts if name not in ("student", "step")]
        named = {name: f"given_{i}" for i, name in enumerate(own)}
        cells = cells.merge(parts.rename(columns=named), on=["student", "step"], how="left")
        listed += [{"name": column, "title": str(name)} for name, column in named.items()]
    return {**found, "cells": cells, "now": now, "parts": listed, "sample": " ".join(sample) or None}


def _commands(home: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Commands for a reader: what makes the run again, its tables, and what looks further into it."""
    where = f"run={home}"
    overrides = provenance.get("overrides")
    again = None
    if isinstance(overrides, list):
        kept = [o for o in map(str, overrides) if not o.startswith(("run.", "hydra."))]
        again = command_line("train", kept)
    return {
        "again": again or provenance.get("command"),
        "evaluate": command_line("evaluate", [where, f"output={home}"]),
        "further": [
            ("Why is Encoder 2 weak?", command_line("diagnose", [where, "leakage=true"])),
            ("Which experiment comes next?", command_line("advise", [where])),
            (
                "What is its mastery worth to a tutor? (then in this page)",
                command_line("teach", [where, f"output={home}"]),
            ),
            ("How far does it agree with Bayesian knowledge tracing?", command_line("align", [where, "reference=bkt"])),
            ("This page again", command_line("report", [where])),
        ],
    }


@torch.inference_mode()
def measure_transfer(run: Run, datamodule: KTDataModule, part: str = "test") -> dict[str, Any]:
    """Measure the mean gain that skill j receives at steps that practise skill i.

        gains[i, j] = mean over steps t that practise i of g[t, j];   missing where no step practises i

    Args:
        run: a run read back; the model is the best of its last phase.
        datamodule: its data.
        part: train, valid or test; batches of it, from long to short histories, until TRANSFER_STEPS are reached.

    Returns:
        gains [K, K], and the numbers of steps and students that they were measured on.

    Raises:
        DataError: the data has changed since the run.
    """
    run.require_same_data(datamodule)
    model, k = run.model(), run.sizes.num_skills
    sums, counts, steps = torch.zeros(k, k, dtype=torch.float64), torch.zeros(k, dtype=torch.float64), 0
    students, carrier = set[int](), Carrier()
    for batch in datamodule.loader(part):
        output = model(batch, carrier.before(batch), every_skill=True)
        carrier.after(batch, output)
        practised = output.axis.practised(batch.has_skill_BTS)[batch.scored_BT].double()
        sums += practised.T @ output.gains_BTC[batch.scored_BT].double()
        counts += practised.sum(0)
        steps += len(practised)
        students.update(batch.student_B.tolist())
        if steps >= TRANSFER_STEPS:
            break
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = sums.numpy() / counts.numpy()[:, None]
    return {"gains": gains, "steps": steps, "students": len(students)}
