"""Score a run's checkpoints and judge the last: metrics, tables on disk, and the scorecard read off them."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig

from gainkt.data.datamodule import KTDataModule
from gainkt.digests import read_table
from gainkt.evaluation.check import Rule
from gainkt.evaluation.schema import names_in
from gainkt.evaluation.scorecard.scorecard import COLUMNS, scorecard
from gainkt.files import write_json
from gainkt.model import GainKT
from gainkt.names import file_name
from gainkt.runs.ablations import Means
from gainkt.runs.checks import added_rules, step_columns
from gainkt.runs.folder import Run, read_checkpoint, way_out
from gainkt.runs.predict import Scores, metrics_of, predict
from gainkt.runs.recorder import TABLES, record
from gainkt.runs.sample import CELLS, draw_students, take_sample


@dataclass(frozen=True)
class Scored:
    """Metrics of each phase's best checkpoint on validation and test, and what judging the last one needs."""

    results: dict[str, Any]
    """As results.json holds them."""
    validation: pd.DataFrame
    """Scored predictions of the last phase's best model, of the validation part."""
    means: Means | None = None
    """What its ablations need, of the test part."""

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the last phase, as `metrics_in` gives them."""
        return metrics_in(self.results)


def metrics_in(results: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of the last phase in the content of results.json: `val/encoder1_auc`, `test/encoder2_auc`, ..."""
    parts = results["phases"][results["selected"]]["figures"]
    return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}


def score_phases(run: Run, datamodule: KTDataModule, device: torch.device | str, *, means: bool = False) -> Scored:
    """Score each phase's best checkpoint on validation and test.

    Args:
        run: with its checkpoints.
        datamodule: the data.
        device: where to compute.
        means: take, in the pass over test, what `tabulate` needs of the last phase's model.

    Raises:
        ConfigError: there is none.
    """
    phases, selected, taken = {}, run.choose_phase(), None
    for phase in run.phases:
        model = run.model(phase)
        epoch = int(read_checkpoint(run.directory.best(phase))["epoch"])
        validation = predict(model, datamodule.loader("valid"), device)
        taken = None
        if means and phase == selected:
            asked = sampling(run.config.trajectories)
            taken = Means(model, take_sample(model, datamodule, "test", device=device, **asked))
        test = predict(model, datamodule.loader("test"), device, also=[taken] if taken else [])
        phases[phase] = {"epoch": epoch, "figures": {"val": metrics_of(validation), "test": metrics_of(test)}}
    results = {
        **described(run, datamodule, "test", run.config.trajectories if means else None),
        "selected": selected,
        "phases": phases,
    }
    return Scored(results, validation, taken)


def sampling(trajectories: DictConfig) -> dict[str, Any]:
    """How students are drawn for figures over all skills (gainkt.runs.sample), by a config's `trajectories`."""
    return {"cells": trajectories.get("cells", CELLS), "seed": trajectories.seed}


def described(run: Run, datamodule: KTDataModule, part: str, trajectories: DictConfig | None) -> dict[str, Any]:
    """What results.json says of run and data; and of a sample on which figures in the tables rest, if there is one.

    Args:
        run: scored.
        datamodule: the data.
        part: train, valid or test.
        trajectories: as `tabulate` is given; None where there are no tables.
    """
    drawn = None if trajectories is None else draw_students(datamodule, part, **sampling(trajectories))
    said = {"name": run.config.name, "protocol": datamodule.protocol, "account": datamodule.account}
    if drawn is not None:
        said["protocol"] += f", {drawn.told}"
        said["over_all_skills"] = {"steps": drawn.steps, "of": drawn.of, "students": len(drawn.students)}
    return said


def tabulate(
    run: Run,
    model: GainKT,
    datamodule: KTDataModule,
    part: str,
    folder: Path,
    *,
    trajectories: DictConfig,
    checks: DictConfig | None = None,
    means: Means | None = None,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Record what a model says about a part of the data, and return its scored predictions.

    Args:
        run: that the model is of.
        model: one of the run's best models.
        datamodule: the data, with the model's numbering of skills.
        part: train, valid or test.
        folder: where the tables go (`gainkt.runs.recorder.record`).
        trajectories: students (all where null), cells and seed, as in conf/train.yaml.
        checks: a `scorecard` node (conf/scorecard) that says which checks are added; the run's own where None.
        means: of the part under the model; where None they take a pass of their own.
        device: where to compute.

    Raises:
        ConfigError: an added check is not what a check must be.
    """
    scores = Scores()
    record(
        model,
        datamodule,
        part,
        folder,
        device=device,
        num_students=trajectories.students,
        **sampling(trajectories),
        columns=step_columns(_added(run, checks)),
        also=[scores],
        means=means,
    )
    return scores.table()


def judge(
    run: Run,
    datamodule: KTDataModule,
    part: str,
    folder: Path,
    *,
    phase: str | None = None,
    validation: pd.DataFrame | None = None,
    checks: DictConfig | None = None,
) -> dict[str, Any]:
    """Write and return the scorecard of the tables in a folder.

    Args:
        run: whose training is judged for stability.
        datamodule: the data.
        part: that the tables are of.
        folder: with the tables of `tabulate`; scorecard.json is put beside them.
        phase: that the tables are of; the last one where None.
        validation: scored predictions of the validation part; Encoder 2's AUC is judged on the lower of the two.
        checks: as `tabulate` was given.

    Raises:
        ConfigError: an added check is not what a check must be.
    """
    added = _added(run, checks)
    columns = {} if added else COLUMNS
    card = scorecard(
        *(_read(folder / f"{name}.parquet", columns.get(name, ())) for name in TABLES),
        truth=datamodule.true_mastery(),
        training=watched_training(run),
        validation=validation,
        num_skills=run.sizes.num_skills,
        is_trained=2 not in run.untrained(phase),
        added=added,
    )
    card["protocol"] |= {"name": run.config.name, "data": datamodule.protocol, "split": part}
    write_json(folder / "scorecard.json", card)
    return card


def _added(run: Run, checks: DictConfig | None) -> tuple[Rule, ...]:
    return added_rules(run.config.get("scorecard") if checks is None else checks)


def tables_of(
    run: Run,
    datamodule: KTDataModule,
    part: str,
    phase: str,
    names: Iterable[str],
    *,
    num_students: int | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, pd.DataFrame]:
    """Return what a run's best checkpoint says about a part of its own data, by name of the table.

    The tables that training left in the run's folder are read where they are of this part and phase, and not of an
    older version; otherwise the model is run over the part into a temporary folder.

    Args:
        run: a run read back.
        datamodule: its own data.
        part: train, valid or test.
        phase: whose best checkpoint.
        names: tables wanted.
        num_students: students in trajectories that have to be made; all of them where None.
        device: where to make them.
    """
    home, steps = run.directory.path, datamodule.log_.lengths[datamodule.students(part)].sum()
    paths = {name: home / f"{name}.parquet" for name in names}
    if as_trained(run, part, phase) and all(path.is_file() for path in paths.values()):
        tables = {name: _read(path) for name, path in paths.items()}
        are_new = all(set(TABLES[name].names) <= set(table) for name, table in tables.items())
        if are_new and len(tables.get("predictions", range(steps))) == steps:
            return tables
    with tempfile.TemporaryDirectory() as temporary:
        asked = {"device": device, "num_students": num_students, "cells": sampling(run.config.trajectories)["cells"]}
        paths = record(run.model(phase), datamodule, part, Path(temporary), **asked)
        return {name: _read(paths[name]) for name in names}


def _read(path: Path, columns: Collection[str] = ()) -> pd.DataFrame:
    return read_table(path, way_out(path), columns, names_in(TABLES[path.stem]))


def folder_for(run: Run, datamodule: KTDataModule, part: str, phase: str) -> Path:
    """Where a report on a part and phase goes: the run's own folder for what training scored, else its evaluation/."""
    return run.directory.path if as_trained(run, part, phase) else folder_beside(run, datamodule, part, phase)


def folder_beside(run: Run, datamodule: KTDataModule, part: str, phase: str) -> Path:
    """Where tables and reports go that must not stand in for those of training, whatever the part and phase."""
    return run.directory.path / "evaluation" / f"{file_name(datamodule.log_.name)}-{part}-{phase}"


def as_trained(run: Run, part: str, phase: str) -> bool:
    """Tell whether a part and phase are those that training scored at its end."""
    return part == "test" and phase == run.phases[-1]


def watched_training(run: Run) -> dict[str, Any] | None:
    """Return what metrics.csv tells of the stability of training; None where the run has none."""
    table = run.metrics
    if table is None:
        return None
    watched = table.filter(regex=r"^(loss|gradient|parameter)/")
    # Only the terms of a loss that a phase leaves out have no value there.
    always = watched.filter(regex=r"^(parameter/|gradient/norm_max$)")
    broken = bool(always.isna().any(axis=None) or watched.isin([float("inf"), float("-inf")]).any(axis=None))
    return {
        "finite": not broken,
        "gradient_norm_max": float(table["gradient/norm_max"].max(skipna=False)),
        "epochs": len(table),
    }
