"""Score a run's checkpoint again, on any part of its own data or on other data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from omegaconf import DictConfig

from gainkt.config import check_keys
from gainkt.runs.folder import build_datamodule, load_run, read_checkpoint
from gainkt.runs.predict import metrics_of, pick_device, predict
from gainkt.runs.scoring import described, folder_beside, judge, tabulate


@dataclass(frozen=True)
class Evaluation:
    """What scoring a run again gives."""

    results: dict[str, Any]
    """Metrics of the checkpoint, laid out as in results.json."""
    scorecard: dict[str, Any] | None
    """The scorecard; None with trajectories.write=false."""
    folder: Path | None
    """Where the tables are."""


def evaluate(cfg: DictConfig) -> Evaluation:
    """Score a run's checkpoint on a part of its data, or of another data set.

    Args:
        cfg: composed from conf/evaluate.yaml.

    Raises:
        ConfigError: the run, checkpoint or part does not exist, or the checkpoint does not fit.
        DataError: the data cannot be used, or has skills that the model does not know.
    """
    run = load_run(Path(hydra.utils.to_absolute_path(cfg.run)), cfg.get("trust") or ())
    phase = run.choose_phase(cfg.phase)
    other = cfg.get("dataset")
    dataset = run.config.dataset if other is None else other
    if cfg.path is not None:
        dataset.path = hydra.utils.to_absolute_path(cfg.path)
    check_keys(dataset)
    datamodule = build_datamodule(dataset)
    unknown_skills = 0
    if other is not None:
        unknown_skills = datamodule.conform(run.sizes.skill_names, run.sizes.item_names)
    else:
        run.require_same_data(datamodule)
    model = run.model(phase, unknown_skills)
    device = pick_device(cfg.device)
    epoch = int(read_checkpoint(run.directory.best(phase))["epoch"])

    def results(scores: pd.DataFrame) -> dict[str, Any]:
        return {
            **described(run, datamodule, cfg.split, cfg.trajectories if cfg.trajectories.write else None),
            "selected": phase,
            "phases": {phase: {"epoch": epoch, "figures": {cfg.split: metrics_of(scores)}}},
        }

    if not cfg.trajectories.write:
        return Evaluation(results(predict(model, datamodule.loader(cfg.split), device)), None, None)
    folder = folder_beside(run, datamodule, cfg.split, phase)
    if cfg.output is not None:
        folder = Path(hydra.utils.to_absolute_path(cfg.output))
    validation = predict(model, datamodule.loader("valid"), device) if other is None and cfg.split == "test" else None
    checks = cfg.get("scorecard")
    with run.directory.writing(folder):
        asked: dict[str, Any] = {"trajectories": cfg.trajectories, "checks": checks, "device": device}
        scores = tabulate(run, model, datamodule, cfg.split, folder, **asked)
        card = judge(run, datamodule, cfg.split, folder, validation=validation, checks=checks)
    return Evaluation(results(scores), card, folder)
