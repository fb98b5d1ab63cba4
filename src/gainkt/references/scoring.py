"""How well a fitted reference model predicts the students that it was not fitted on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.evaluation.statistics.metrics import CALIBRATION_BINS, prediction_metrics
from gainkt.files import write_json, write_whole
from gainkt.references.base import Floats, Prediction, Reference, checked_prediction
from gainkt.references.cache import fit_of, fitted, settings_of

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
    """Where model.json, figures.json and parameters.csv are."""


def score(cfg: DictConfig, datamodule: KTDataModule) -> Scored:
    """Fit a reference model on the training students, score it on the others, and write what came out.

    Args:
        cfg: composed from conf/reference.yaml.
        datamodule: its data, read here.

    Raises:
        ConfigError: a setting that cannot be used, or a model that returns what cannot be.
        DataError: data that cannot be used.
        OSError: a folder cannot be written.
    """
    folder = Path(cfg.run.dir)
    fit = fit_of(cfg.reference)  # what is wrong with a setting is said before the data is read
    datamodule.setup()
    log, started = datamodule.log_, time.perf_counter()
    reference, source = fitted(cfg.reference, datamodule, cfg.run.cache)
    seconds = time.perf_counter() - started
    students = {name: datamodule.students(part) for name, part in PARTS.items()}
    prediction = checked_prediction(reference, log, np.concatenate(list(students.values())))
    scored = {name: scored_steps(log, some, prediction) for name, some in students.items()}
    content = {
        "model": reference.name,
        "settings": settings_of(fit),
        "protocol": datamodule.protocol,
        "data": log.digest,
        "training_students": len(datamodule.split.train),
        "fitted": None if source is None else str(source),
        "seconds": round(seconds, 2),
        "figures": {name: figures_of(*steps) for name, steps in scored.items()},
        "calibration": {name: calibration_of(*steps) for name, steps in scored.items()},
    }
    parameters = with_training_data(reference.table(), log.select(datamodule.split.train))
    reference.save(folder / "model.json")
    write_json(folder / "figures.json", content)
    write_whole(folder / "parameters.csv", lambda building: parameters.to_csv(building, index=False))
    return Scored(content, parameters, reference, folder)


def scored_steps(
    log: InteractionLog, students: NDArray[np.int64], prediction: Prediction
) -> tuple[Floats, NDArray[np.uint8]]:
    """Probability of and response to each scored step of some students: all but the first of each history."""
    steps = log.steps_of(students)
    steps = steps[~np.isin(steps, log.offsets[:-1])]
    return prediction.probability_M[steps], np.asarray(log.responses[steps])


def figures_of(probability: Floats, response: NDArray[np.uint8]) -> dict[str, float]:
    """Return the metrics that a training run reports of an encoder, and Pearson's r of probability and response."""
    p, r = torch.from_numpy(probability).float(), torch.from_numpy(response.astype(np.float32))
    with np.errstate(invalid="ignore"):
        correlation = float(np.corrcoef(probability, response)[0, 1])
    return {**prediction_metrics(p, r), "response_correlation": correlation, "steps": len(probability)}


def calibration_of(probability: Floats, response: NDArray[np.uint8]) -> list[dict[str, float]]:
    """Return count, mean probability and share right of each of the equal bins of probability that is not empty."""
    place = np.minimum((probability * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows = pd.DataFrame({"count": 1, "probability": probability, "right": response})
    return rows.groupby(place).agg({"count": "sum", "probability": "mean", "right": "mean"}).to_dict("records")  # type: ignore[return-value]


def with_training_data(parameters: pd.DataFrame, train: InteractionLog) -> pd.DataFrame:
    """Add to a table of parameters how often training students practised each skill, and their share right."""
    right = pd.Series(np.repeat(train.responses, np.diff(train.skill_offsets)))
    known = right.groupby(train.skills).agg(["size", "mean"]).reindex(range(train.num_skills))
    steps, share = known["size"].fillna(0).astype(int), known["mean"]
    known = pd.DataFrame({"skill": train.skill_names, "steps": steps, "share_right": share})
    return parameters.merge(known, on="skill", how="left")
