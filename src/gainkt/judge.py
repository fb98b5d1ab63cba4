"""Judge a run: its tables on disk, and the scorecard read off them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig

from gainkt.data.datamodule import KTDataModule
from gainkt.evaluation.scorecard import scorecard, write_scorecard
from gainkt.model import GainKT
from gainkt.record import record
from gainkt.run import Run


def judge(
    run: Run,
    model: GainKT,
    datamodule: KTDataModule,
    part: str,
    folder: Path,
    *,
    trajectories: DictConfig,
    validation: pd.DataFrame | None = None,
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
        device: where to compute.
    """
    paths = record(
        model,
        datamodule,
        part,
        folder,
        device=device,
        num_students=trajectories.students,
        seed=trajectories.seed,
    )
    tables = {name: pd.read_parquet(path) for name, path in paths.items()}
    card = scorecard(
        tables["predictions"],
        tables["trajectories"],
        tables["skills"],
        training=watched_training(run),
        validation=validation,
        num_skills=model.num_skills,
    )
    card["protocol"] |= {"name": run.config.name, "data": datamodule.protocol, "split": part}
    write_scorecard(card, folder / "scorecard.json")
    return card


def watched_training(run: Run) -> dict[str, Any] | None:
    """Return what metrics.csv tells of the stability of training; None where the run has none."""
    if not run.directory.metrics.is_file():
        return None
    table = pd.read_csv(run.directory.metrics)
    watched = table.filter(regex=r"^(loss|gradient|parameter)/")
    # Only the terms of a loss that a phase leaves out have no value there.
    always = watched.filter(regex=r"^(parameter/|gradient/norm_max$)")
    broken = bool(always.isna().any(axis=None) or watched.isin([float("inf"), float("-inf")]).any(axis=None))
    return {
        "finite": not broken,
        "gradient_norm_max": float(table["gradient/norm_max"].max(skipna=False)),
        "epochs": len(table),
    }
