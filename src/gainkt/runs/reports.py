"""Reports on a run that is read back: its diagnosis, and how far it agrees with a reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig

from gainkt.config import run_of
from gainkt.data.datamodule import KTDataModule
from gainkt.evaluation.alignment import ReferenceTables, alignment, training_course
from gainkt.evaluation.diagnosis.diagnosis import diagnose
from gainkt.files import write_json
from gainkt.runs.folder import Run, build_datamodule, load_run, place_data
from gainkt.runs.leakage_probe import check_leakage
from gainkt.runs.predict import pick_device
from gainkt.runs.scoring import folder_for, tables_of


@dataclass(frozen=True)
class Report:
    """What a report leaves."""

    content: dict[str, Any]
    """As in its JSON file."""
    folder: Path
    """Where that file and the pictures are."""
    tables: dict[str, pd.DataFrame] = field(repr=False)
    """What it was computed from."""


@contextmanager
def open_run(cfg: DictConfig) -> Iterator[tuple[Run, KTDataModule, dict[str, Any]]]:
    """Hold the run that a door's config names; give it, its data, and what the config says of every report.

    Raises:
        ConfigError: there is no such run or checkpoint, or another process writes into its folder.
        DataError: the run's data cannot be read.
    """
    run = load_run(Path(run_of(cfg)), cfg.get("trust") or ())
    run.choose_phase(cfg.phase)
    place_data(run.config.dataset, cfg.path)
    folder = None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output))
    asked = {"part": cfg.split, "phase": cfg.phase, "folder": folder, "device": pick_device(cfg.device)}
    with run.directory.writing(folder):
        yield run, build_datamodule(run.config.dataset), asked


def diagnose_run(
    run: Run,
    datamodule: KTDataModule,
    part: str = "test",
    *,
    phase: str | None = None,
    folder: Path | None = None,
    leakage: bool = False,
    device: torch.device | str = "cpu",
) -> Report:
    """Diagnose a run's best checkpoint on a part of its own data, and write diagnosis.json.

    The tables are those of `gainkt.runs.scoring.tables_of`: what training left, where it fits.

    Args:
        run: a run read back.
        datamodule: its own data.
        part: train, valid or test.
        phase: whose best checkpoint; the last where None.
        folder: where the file goes; the run's own folder for test and the last phase, else
            evaluation/<data>-<part>-<phase> in it.
        leakage: also run the leakage guards, which need the model.
        device: where to compute.

    Raises:
        ConfigError: there is no such part, phase or checkpoint.
    """
    run.require_same_data(datamodule)
    datamodule.students(part)  # a part that does not exist is an error before anything is computed
    phase = run.choose_phase(phase)
    wanted = ("predictions", "trajectories", "skills")
    tables = tables_of(run, datamodule, part, phase, wanted, device=device)
    content = diagnose(tables["predictions"], tables["trajectories"], tables["skills"], run.directory.metrics)
    if leakage:
        model = run.model(phase)
        content["leakage"] = check_leakage(model, datamodule, tables["predictions"], part=part, device=device)
    content["protocol"] |= _protocol(run, datamodule, part, phase)
    folder = folder or folder_for(run, datamodule, part, phase)
    write_json(folder / "diagnosis.json", content)
    return Report(content, folder, tables)


def align_run(
    run: Run,
    datamodule: KTDataModule,
    reference: ReferenceTables,
    part: str = "test",
    *,
    phase: str | None = None,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Report:
    """Compare a run's best checkpoint with a reference on a part of its own data, and write alignment.json.

    Args:
        run: a run read back.
        datamodule: its own data.
        reference: what the reference, fitted on the run's training students, says of the part's students.
        part: train, valid or test.
        phase: whose best checkpoint; the last where None.
        folder: where the file goes, as in `diagnose_run`.
        device: where to compute, if the tables of that part and phase have to be made.

    Raises:
        ConfigError: there is no such part, phase or checkpoint.
    """
    run.require_same_data(datamodule)
    phase, wanted = run.choose_phase(phase), ("predictions", "skills")
    tables = tables_of(run, datamodule, part, phase, wanted, num_students=1, device=device)
    content = alignment(
        tables["predictions"], tables["skills"], reference.rows, reference.difficulty, reference.learn_rate
    )
    content["training"] = training_course(run.directory.metrics)
    content["protocol"] = {"reference": reference.name, **_protocol(run, datamodule, part, phase)}
    folder = folder or folder_for(run, datamodule, part, phase)
    write_json(folder / "alignment.json", content)
    return Report(content, folder, tables)


def _protocol(run: Run, datamodule: KTDataModule, part: str, phase: str) -> dict[str, Any]:
    return {"name": run.config.name, "data": datamodule.protocol, "split": part, "phase": phase}
