"""Ask why Encoder 2 is weak: `python -m gainkt.diagnose run=<dir>`; or `diagnose_run(...)` from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.data.datamodule import KTDataModule
from gainkt.evaluation.diagnosis.diagnosis import diagnose, write_diagnosis
from gainkt.reporting.diagnosis_figures import save_figures
from gainkt.reporting.diagnosis_table import diagnosis_view
from gainkt.runs.folder import Run, build_datamodule, load_run
from gainkt.runs.leakage_probe import check_leakage
from gainkt.runs.predict import pick_device
from gainkt.runs.scoring import folder_for, tables_of


@dataclass(frozen=True)
class Diagnosis:
    """What a diagnosis leaves."""

    content: dict[str, Any]
    """As in diagnosis.json."""
    folder: Path
    """Where diagnosis.json and figures/ are."""


def diagnose_run(
    run: Run,
    datamodule: KTDataModule,
    part: str = "test",
    *,
    phase: str | None = None,
    folder: Path | None = None,
    leakage: bool = False,
    figures: bool = True,
    device: torch.device | str = "cpu",
) -> Diagnosis:
    """Diagnose a run's best checkpoint on a part of its own data, and write diagnosis.json and figures.

    The tables are those of `gainkt.runs.scoring.tables_of`: what training left, where it fits.

    Args:
        run: a run read back.
        datamodule: its own data.
        part: train, valid or test.
        phase: whose best checkpoint; the last where None.
        folder: where the files go; the run's own folder for test and the last phase, else
            evaluation/<data>-<part>-<phase> in it.
        leakage: also run the leakage guards, which need the model.
        figures: save the figures.
        device: where to compute.

    Raises:
        ConfigError: there is no such part, phase or checkpoint.
    """
    run.require_same_data(datamodule)
    datamodule.students(part)  # a part that does not exist is an error before anything is computed
    phase = run.choose_phase(phase)
    tables = tables_of(run, datamodule, part, phase, device=device)
    content = diagnose(tables["predictions"], tables["trajectories"], tables["skills"], run.directory.metrics)
    if leakage:
        content["leakage"] = check_leakage(
            run.model(phase), datamodule, tables["predictions"], part=part, device=device
        )
    content["protocol"] |= {"name": run.config.name, "data": datamodule.protocol, "split": part, "phase": phase}
    if folder is None:
        folder = folder_for(run, datamodule, part, phase)
    write_diagnosis(content, folder / "diagnosis.json")
    if figures:
        save_figures(content, folder / "figures")
    return Diagnosis(content, folder)


def diagnose_config(cfg: DictConfig) -> Diagnosis:
    """Diagnose as a config composed from conf/diagnose.yaml says.

    Raises:
        ConfigError: the run, checkpoint or part does not exist.
        DataError: the run's data cannot be read.
    """
    run = load_run(Path(hydra.utils.to_absolute_path(cfg.run)), cfg.get("trust") or ())
    run.choose_phase(cfg.phase)
    if cfg.path is not None:
        run.config.dataset.path = hydra.utils.to_absolute_path(cfg.path)
    return diagnose_run(
        run,
        build_datamodule(run.config.dataset),
        cfg.split,
        phase=cfg.phase,
        folder=None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output)),
        leakage=cfg.leakage,
        figures=cfg.figures,
        device=pick_device(cfg.device),
    )


@hydra.main(config_path=conf_dir(), config_name="diagnose", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Diagnose as the command line says, and print the report."""
    console, done = make_console(), diagnose_config(cfg)
    console.print(diagnosis_view(done.content))
    console.print(f"diagnosis: {done.folder / 'diagnosis.json'}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
