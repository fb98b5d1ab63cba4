"""Score a run's checkpoint again, or the ensemble of several, on any part of the own data or on other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig, ListConfig

from gainkt.config import check_keys, listed, run_of
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError
from gainkt.files import write_json
from gainkt.runs.averaging import mean_probability
from gainkt.runs.bundle import content_of
from gainkt.runs.compare import labels_of
from gainkt.runs.ensemble import require_alike
from gainkt.runs.folder import Run, build_datamodule, load_run, place_data, read_checkpoint
from gainkt.runs.members import LOGITS, logits_of, require_same_parts
from gainkt.runs.predict import metrics_of, pick_device, predict
from gainkt.runs.scoring import described, folder_beside, judge, tabulate
from gainkt.runs.trained import TrainedModel


@dataclass(frozen=True)
class Evaluation:
    """What scoring a run again gives."""

    results: dict[str, Any]
    """Metrics of the checkpoint, laid out as in results.json; of several runs see `evaluate_ensemble`."""
    scorecard: dict[str, Any] | None
    """The scorecard; None with trajectories.write=false, and of several runs."""
    folder: Path | None
    """Where the tables are; of several runs ensemble.json, None where it was not asked for."""


def evaluate(cfg: DictConfig) -> Evaluation:
    """Score a run's checkpoint on a part of its data, or of another data set; of run=[a,b,c] their ensemble.

    Args:
        cfg: composed from conf/evaluate.yaml.

    Raises:
        ConfigError: the run, checkpoint or part does not exist, or the checkpoint does not fit.
        DataError: the data cannot be used, or has skills that the model does not know.
    """
    if isinstance(cfg.run, ListConfig):
        return evaluate_ensemble(cfg)
    run = load_run(Path(run_of(cfg)), cfg.get("trust") or ())
    phase = run.choose_phase(cfg.phase)
    other = cfg.get("dataset")
    datamodule, unknown_skills = _data(cfg, run)
    model = run.model(phase, unknown_skills)
    device = pick_device(cfg.device)

    def results(scores: pd.DataFrame) -> dict[str, Any]:
        return {
            **described(run, datamodule, cfg.split, cfg.trajectories if cfg.trajectories.write else None),
            "selected": phase,
            "phases": {phase: _of_phase(run, phase, cfg.split, scores)},
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
        card = judge(run, datamodule, cfg.split, folder, phase=phase, validation=validation, checks=checks)
    return Evaluation(results(scores), card, folder)


def _data(cfg: DictConfig, run: Run) -> tuple[KTDataModule, int]:
    """The data to score on, and how many of its skills a model of the run must be given beside its own."""
    other = cfg.get("dataset")
    dataset = run.config.dataset if other is None else other
    place_data(dataset, cfg.path)
    check_keys(dataset)
    datamodule = build_datamodule(dataset)
    if other is not None:
        return datamodule, datamodule.conform(run.sizes.skill_names, run.sizes.item_names)
    run.require_same_data(datamodule)
    return datamodule, 0


def evaluate_ensemble(cfg: DictConfig) -> Evaluation:
    """Score the ensemble of several runs, and each of them, on the same steps; see `gainkt.runs.ensemble`.

    Args:
        cfg: composed from conf/evaluate.yaml, `run` a list. Tables and scorecard are those of one model, and not made.

    Returns:
        In `results` under `members`, by name, what results.json has of a phase: first the ensemble, then the runs; and
        under `spread` the mean over scored steps of the standard deviation over members of p1 and p2. With `output` the
        same is in ensemble.json.

    Raises:
        ConfigError: runs do not go together, or were trained on other parts of the data.
        DataError: the data cannot be used.
    """
    if cfg.get("scorecard"):
        raise ConfigError("scorecard: not of an ensemble: it judges the gains of one model; give one run")
    places = [hydra.utils.to_absolute_path(one) for one in listed(cfg.run)]
    runs = [load_run(place, cfg.get("trust") or ()) for place in places]
    require_alike([TrainedModel(content_of(run, cfg.phase)) for run in runs], places)
    datamodule, unknown_skills = _data(cfg, runs[0])
    device, tables, members = pick_device(cfg.device), [], {}
    for label, run in zip(labels_of(runs), runs, strict=True):
        if cfg.get("dataset") is None:
            require_same_parts(run, datamodule)
        phase = run.choose_phase(cfg.phase)
        table = logits_of(run.model(phase, unknown_skills), datamodule, cfg.split, device)
        tables.append(table[table["scored"]])
        own, _ = _averaged(tables[-1:])
        members[label] = _of_phase(run, phase, cfg.split, own)
    mean, spread = _averaged(tables)
    name = f"ensemble of {len(runs)}"
    said = described(runs[0], datamodule, cfg.split, None)
    results = {
        **said,
        "name": name,
        "members": {name: {"epoch": None, "figures": {cfg.split: metrics_of(mean)}}, **members},
        "spread": spread,
    }
    folder = None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output))
    if folder is not None:
        write_json(folder / "ensemble.json", results)
    return Evaluation(results, None, folder)


def _of_phase(run: Run, phase: str, split: str, scores: pd.DataFrame) -> dict[str, Any]:
    """What results.json has of a phase's best checkpoint."""
    epoch = int(read_checkpoint(run.directory.best(phase))["epoch"])
    untrained = {"untrained": list(found)} if (found := run.untrained(phase)) else {}
    return {"epoch": epoch, "figures": {split: metrics_of(scores)}, **untrained}


def _averaged(tables: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions of the mean of models, as `predict` gives them, and the mean of their spread by encoder."""
    found, spread = tables[0][["student", "response", "scored"]], {}
    for name, encoder in zip(LOGITS, ("1", "2"), strict=True):
        p, std = mean_probability([torch.from_numpy(table[name].to_numpy(copy=True)) for table in tables])
        found, spread[f"encoder{encoder}"] = found.assign(**{f"p{encoder}": p.numpy()}), float(std.double().mean())
    return found, spread
