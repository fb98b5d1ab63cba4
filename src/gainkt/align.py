"""Hold a run against a reference model: `python -m gainkt.align run=<dir>`; or `align_run(...)` from Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.evaluation.alignment import alignment, write_alignment
from gainkt.references import Reference
from gainkt.references.base import Students, ask
from gainkt.references.cache import fitted
from gainkt.reporting.alignment_report import alignment_figure, alignment_view
from gainkt.reporting.figures import save_figure
from gainkt.runs.folder import Run, build_datamodule, load_run, references_of
from gainkt.runs.predict import pick_device
from gainkt.runs.scoring import folder_for, tables_of


@dataclass(frozen=True)
class Aligned:
    """What a comparison leaves."""

    content: dict[str, Any]
    """As in alignment.json."""
    folder: Path
    """Where alignment.json and alignment.png are."""


def align_run(
    run: Run,
    datamodule: KTDataModule,
    reference: Reference,
    part: str = "test",
    *,
    phase: str | None = None,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
) -> Aligned:
    """Compare a run's best checkpoint with a reference on a part of its own data; write alignment.json and .png.

    Args:
        run: a run read back.
        datamodule: its own data.
        reference: fitted on the run's training students.
        part: train, valid or test.
        phase: whose best checkpoint; the last where None.
        folder: where the files go; the run's own where None, its evaluation/ for another part or phase.
        device: where to compute, if the tables of that part and phase have to be made.

    Raises:
        ConfigError: there is no such part, phase or checkpoint.
    """
    run.require_same_data(datamodule)
    students, log = datamodule.students(part), datamodule.log_
    phase, wanted = run.choose_phase(phase), ("predictions", "skills")
    tables = tables_of(run, datamodule, part, phase, wanted, num_students=1, device=device)
    predictions, skills = (tables[name] for name in wanted)
    names, rates = list(map(str, log.skill_names)), reference.learn_rates(log)
    difficulty = pd.Series(reference.difficulties(log), index=names)
    learn_rate = None if rates is None else pd.Series(rates, index=names)
    rows = reference_rows(reference, log, students)
    content = alignment(predictions, skills, rows, difficulty, learn_rate)
    content["training"] = training_course(run.directory.metrics)
    content["protocol"] = {
        "name": run.config.name,
        "reference": reference.name,
        "data": datamodule.protocol,
        "split": part,
        "phase": phase,
    }
    if folder is None:
        folder = folder_for(run, datamodule, part, phase)
    write_alignment(content, folder / "alignment.json")
    save_figure(alignment_figure(content, predictions, skills, rows, difficulty), folder / "alignment.png")
    return Aligned(content, folder)


def reference_rows(reference: Reference, log: InteractionLog, students: Students) -> pd.DataFrame:
    """What a reference says of each step of some students, as `gainkt.evaluation.alignment` wants it."""
    told, steps = ask(reference, log, students), log.steps_of(students)
    student = np.repeat(students, log.lengths[students])
    least_M = np.minimum.reduceat(told.prediction.mastery_before_L, log.skill_offsets[:-1])
    return pd.DataFrame(
        {
            "student": log.students[student].astype(object),
            "step": (steps - log.offsets[student]).astype(np.int32),
            "probability": told.prediction.probability_M[steps],
            "ability": told.ability_M[steps],
            "static_ability": told.static_N[student],
            "reference_mastery": least_M[steps],
        }
    )


def training_course(metrics: Path) -> list[dict[str, Any]]:
    """Weight and share of the gradient of each term by epoch, as metrics.csv tells; empty where there is none.

    Shares are of the sum of the terms' norms, at what Encoder 2 reads (its gain head, or the stream where that has no
    parameters) and at the curves, whose offsets are the difficulties.
    """
    if not metrics.is_file():
        return []
    course = []
    for row in pd.read_csv(metrics).to_dict("records"):
        values = {str(name): float(x) for name, x in row.items() if isinstance(x, int | float) and not np.isnan(x)}
        entry: dict[str, Any] = {"epoch": int(values["epoch"])}
        entry["weight"] = {
            name.removeprefix("weight/"): w for name, w in values.items() if name.startswith("weight/") and w
        }
        for place in ("gain_head", "curve"):
            ending = f"_at_{place}"
            norms = {n.split("/")[1].removesuffix(ending): x for n, x in values.items() if n.endswith(ending)}
            total = sum(norms.values())
            entry[f"gradient_share{ending}"] = {name: x / total for name, x in norms.items() if total}
        course.append(entry)
    return course


def align_config(cfg: DictConfig) -> Aligned:
    """Compare as a config composed from conf/align.yaml says.

    Raises:
        ConfigError: the run, checkpoint, part or reference does not exist.
        DataError: the run's data cannot be read.
    """
    run = load_run(Path(hydra.utils.to_absolute_path(cfg.run)), cfg.get("trust") or ())
    run.choose_phase(cfg.phase)
    if cfg.path is not None:
        run.config.dataset.path = hydra.utils.to_absolute_path(cfg.path)
    settings = cfg.reference or run.config.get("reference")
    if not settings:
        raise ConfigError(
            "reference: the run was trained without one; choose what to hold it against, reference=bkt say"
        )
    datamodule = build_datamodule(run.config.dataset)
    datamodule.setup()
    reference, _ = fitted(settings, datamodule, references_of(run.config))
    return align_run(
        run,
        datamodule,
        reference,
        cfg.split,
        phase=cfg.phase,
        folder=None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output)),
        device=pick_device(cfg.device),
    )


@hydra.main(config_path=conf_dir(), config_name="align", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Compare as the command line says, and print the report."""
    console, done = make_console(), align_config(cfg)
    console.print(alignment_view(done.content))
    console.print(f"alignment: {done.folder / 'alignment.json'}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
