"""Fit a reference model and score it: `python -m gainkt.reference model=bkt`; or `score_reference(cfg)` from Python."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from gainkt.config import check_keys, conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.console import make_console
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.evaluation.statistics.metrics import CALIBRATION_BINS, prediction_metrics
from gainkt.files import write_json, write_whole
from gainkt.references import Floats, Prediction, Reference
from gainkt.references.cache import fit_of, fitted, settings_of
from gainkt.reporting.figures import save_figure
from gainkt.reporting.reference_view import reference_figure, reference_view
from gainkt.runs.folder import build_datamodule

logger = logging.getLogger(__name__)

PARTS = {"val": "valid", "test": "test"}
"""Parts that are scored, as results name them and as the data does."""


@dataclass(frozen=True)
class Scored:
    """What fitting and scoring a reference model leaves."""

    content: dict[str, Any]
    """As in figures.json."""
    parameters: pd.DataFrame
    """As in parameters.csv."""
    reference: Reference
    """The fitted model."""
    folder: Path
    """Where the files are: model.json, figures.json, parameters.csv, reference.png."""


def score_reference(cfg: DictConfig) -> Scored:
    """Fit the reference model of a config on the training students, score it on the others, and write what came out.

    Args:
        cfg: composed from conf/reference.yaml.

    Raises:
        ConfigError: a setting that cannot be used.
        DataError: data that cannot be used.
        OSError: the folder cannot be written.
    """
    check_keys(cfg)
    fit = fit_of(cfg.reference)
    if cfg.skills < 0:
        raise ConfigError(f"skills={cfg.skills}: give 0 or more skills to show")
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    log, train = datamodule.log_, datamodule.split.train
    started = time.perf_counter()
    reference, source = fitted(cfg.reference, datamodule, cfg.run.cache)
    seconds = time.perf_counter() - started
    scored = np.concatenate([datamodule.students(part) for part in PARTS.values()])
    prediction = reference.predict(log, scored)
    figures, calibration = {}, {}
    for name, part in PARTS.items():
        probability, response = scored_steps(log, datamodule.students(part), prediction)
        figures[name] = figures_of(probability, response)
        calibration[name] = calibration_of(probability, response)
    content = {
        "model": reference.name,
        "settings": settings_of(fit),
        "protocol": datamodule.protocol,
        "data": log.digest,
        "training_students": len(train),
        "fitted": None if source is None else str(source),
        "seconds": round(seconds, 2),
        "figures": figures,
        "calibration": calibration,
    }
    parameters = with_training_data(reference.table(), datamodule)
    folder = Path(cfg.run.dir)
    reference.save(folder / "model.json")
    write_json(folder / "figures.json", content)
    write_whole(folder / "parameters.csv", lambda building: parameters.to_csv(building, index=False))
    save_figure(reference_figure(content, parameters), folder / "reference.png")
    return Scored(content, parameters, reference, folder)


def scored_steps(
    log: InteractionLog, students: NDArray[np.int64], prediction: Prediction
) -> tuple[Floats, NDArray[np.uint8]]:
    """Probability of and response to each scored step of some students: all but the first of each history."""
    steps = log.steps_of(students)
    steps = steps[~np.isin(steps, log.offsets[:-1])]
    return prediction.probability_M[steps], np.asarray(log.responses[steps])


def figures_of(probability: Floats, response: NDArray[np.uint8]) -> dict[str, float]:
    """Return the figures that a training run reports of an encoder, and Pearson's r of probability and response."""
    p, r = torch.from_numpy(probability).float(), torch.from_numpy(response.astype(np.float32))
    with np.errstate(invalid="ignore"):
        correlation = float(np.corrcoef(probability, response)[0, 1])
    return {**prediction_metrics(p, r), "response_correlation": correlation, "steps": len(probability)}


def calibration_of(probability: Floats, response: NDArray[np.uint8]) -> list[dict[str, float]]:
    """Return count, mean probability and share right of each of the equal bins of probability that is not empty."""
    place = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = pd.DataFrame({"probability": probability, "right": response}).groupby(place)
    return [
        {"count": len(bin_), "probability": float(bin_.probability.mean()), "right": float(bin_.right.mean())}
        for _, bin_ in rows
    ]


def with_training_data(parameters: pd.DataFrame, datamodule: KTDataModule) -> pd.DataFrame:
    """Add to a table of parameters how often training students practised each skill, and their share right."""
    train = datamodule.log_.select(datamodule.split.train)
    right = np.repeat(train.responses, np.diff(train.skill_offsets))
    steps = np.bincount(train.skills, minlength=train.num_skills)
    rights = np.bincount(train.skills, weights=right, minlength=train.num_skills)
    with np.errstate(invalid="ignore"):
        share = rights / steps
    known = pd.DataFrame({"skill": train.skill_names, "steps": steps, "share_right": share})
    return parameters.merge(known, on="skill", how="left")


def as_reference(arguments: list[str]) -> list[str]:
    """Reword `model=bkt settings.strength=10` as Hydra knows it: `reference=bkt ++reference.strength=10`.

    `model` names the config group of GainKT's own parts, so that Hydra cannot take it for another. With `++` a setting
    that the model does not know gets as far as the check that names the nearest one.
    """
    names = {"model=": "reference=", "settings.": "++reference."}
    worded = []
    for argument in arguments:
        old = next((name for name in names if argument.startswith(name)), None)
        worded.append(argument if old is None else names[old] + argument.removeprefix(old))
    return worded


@hydra.main(config_path=conf_dir(), config_name="reference", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> float:
    """Fit and score as the command line says, print the tables, and hand the validation AUC to a sweeper."""
    OmegaConf.update(cfg, "run.dir", str(Path(HydraConfig.get().runtime.output_dir).resolve()))
    console = make_console()
    with console.status(f"fitting {HydraConfig.get().runtime.choices['reference']}"):
        done = score_reference(cfg)
    console.print(reference_view(done.content, done.parameters, cfg.skills))
    console.print(f"results: {done.folder}", soft_wrap=True)
    return float(done.content["figures"]["val"]["auc"])


def main() -> None:
    """Entry point of the command."""
    sys.argv[1:] = as_reference(sys.argv[1:])
    run_main(_main)


register_resolvers()

if __name__ == "__main__":
    main()
