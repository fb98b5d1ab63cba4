"""Score a run's checkpoints and judge the last: metrics, tables on disk, and the scorecard read off them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig

from gainkt.data.datamodule import KTDataModule
from gainkt.digests import read_table
from gainkt.evaluation.scorecard.scorecard import scorecard
from gainkt.files import write_json
from gainkt.model import GainKT
from gainkt.names import file_name
from gainkt.runs.checks import added_rules, step_columns
from gainkt.runs.folder import Run, read_checkpoint, way_out
from gainkt.runs.predict import metrics_of, predict
from gainkt.runs.recorder import TABLES, record


@dataclass(frozen=True)
class Scored:
    """Metrics of each phase's best checkpoint on validation and test, and what judging the last one needs."""

    results: dict[str, Any]
    """As results.json holds them."""
    model: GainKT
    """The last phase's best model."""
    validation: pd.DataFrame
    """Its scored predictions of the validation part."""

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics of the last phase, as `metrics_in` gives them."""
        return metrics_in(self.results)


def metrics_in(results: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of the last phase in the content of results.json: `val/encoder1_auc`, `test/encoder2_auc`, ..."""
    parts = results["phases"][results["selected"]]["figures"]
    return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}


def score_phases(run: Run, datamodule: KTDataModule, device: torch.device | str) -> Scored:
    """Score each phase's best checkpoint on validation and test.

    Raises:
        ConfigError: there is none.
    """
    phases, selected = {}, run.choose_phase()
    for phase in run.phases:
        model = run.model(phase)
        epoch = int(read_checkpoint(run.directory.best(phase))["epoch"])
        validation = predict(model, datamodule.loader("valid"), device)
        test = predict(model, datamodule.loader("test"), device)
        phases[phase] = {"epoch": epoch, "figures": {"val": metrics_of(validation), "test": metrics_of(test)}}
    results = {
        "name": run.config.name,
        "protocol": datamodule.protocol,
        "account": datamodule.account,
        "selected": selected,
        "phases": phases,
    }
    return Scored(results, model, validation)


def judge(
    run: Run,
    model: GainKT,
    datamodule: KTDataModule,
    part: str,
    folder: Path,
    *,
    trajectories: DictConfig,
    validation: pd.DataFrame | None = None,
    checks: DictConfig | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Record what a model says about a part of the data, and write and return its scorecard.

    Args:
        run: whose training is judged for stability.
        model: one of the run's best models.
        datamodule: the data, with the model's numbering of skills.
        part: train, valid or test.
        folder: where predictions.parquet, trajectories.parquet, skills.parquet and scorecard.json go.
        trajectories: students (all where null) and seed, as in conf/train.yaml.
        validation: scored predictions of the validation part; Encoder 2's AUC is judged on the lower of the two.
        checks: a `scorecard` node (conf/scorecard) that says which checks are added; the run's own where None.
        device: where to compute.

    Raises:
        ConfigError: an added check is not what a check must be.
    """
    added = added_rules(run.config.get("scorecard") if checks is None else checks)
    paths = record(
        model,
        datamodule,
        part,
        folder,
        device=device,
        num_students=trajectories.students,
        seed=trajectories.seed,
        columns=step_columns(added),
    )
    tables = {name: pd.read_parquet(path) for name, path in paths.items()}
    card = scorecard(
        tables["predictions"],
        tables["trajectories"],
        tables["skills"],
        training=watched_training(run),
        validation=validation,
        num_skills=model.num_skills,
        added=added,
    )
    card["protocol"] |= {"name": run.config.name, "data": datamodule.protocol, "split": part}
    write_json(folder / "scorecard.json", card)
    return card


def tables_of(
    run: Run,
    datamodule: KTDataModule,
    part: str,
    phase: str,
    names: Iterable[str] = tuple(TABLES),
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
        tables = {name: read_table(path, way_out(path)) for name, path in paths.items()}
        are_new = all(set(TABLES[name].names) <= set(table) for name, table in tables.items())
        if are_new and len(tables.get("predictions", range(steps))) == steps:
            return tables
    with tempfile.TemporaryDirectory() as temporary:
        model = run.model(phase)
        paths = record(model, datamodule, part, Path(temporary), device=device, num_students=num_students)
        return {name: pd.read_parquet(paths[name]) for name in names}


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
