"""What a benchmark holds against each other: experiments of gainkt, and references fitted on the same students."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import OmegaConf

from gainkt.config import check_keys
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import NO_FOLD, InteractionLog, offsets_of, spans
from gainkt.digests import read_table
from gainkt.errors import ConfigError
from gainkt.overrides import compose_train
from gainkt.references.base import checked_prediction
from gainkt.references.cache import fitted
from gainkt.runs.audit import Predict, audit_model
from gainkt.runs.folder import build_datamodule, way_out
from gainkt.runs.recorder import pick_students
from gainkt.runs.trained import load

LONGEST_AUDITED = 200
"""Steps of a history that an audit asks about."""
MODEL_KEYS = ("model", "loss", "schedule", "optimizer", "trainer", "callbacks", "reference", "distillation", "dataset")
"""Of a training run; an experiment sets batches and windows in `dataset`."""
COMPOSED = "composed="
"""What the digest of a composed config starts with, among what tells a model from others."""
EPOCHS = ["train_seconds", "seconds", "best"]
"""Of each epoch: seconds of its training steps, seconds since training began at its end, whether it was kept."""


@dataclass(frozen=True)
class Task:
    """One model on one data set and fold with one seed."""

    data: tuple[str, ...]
    """Overrides that choose data set and fold."""
    seed: int
    folder: Path
    audited: int
    """Test students that the audit asks about; 0 for no audit."""


@dataclass(frozen=True)
class Told:
    """What a model said of the test students."""

    predictions: pd.DataFrame
    """Columns student, step, response, and one a row of the table; a row a scored step."""
    datamodule: KTDataModule
    seconds: float
    """Of training and predicting."""
    peak_mib: float | None = None
    """Largest resident memory of the process that did it, MiB; None where not known."""
    audits: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By column of the predictions, as `gainkt.runs.audit` has them."""
    notes: tuple[str, ...] = ()
    epochs: pd.DataFrame | None = None
    """A row an epoch of training, columns `EPOCHS`; None where nothing is known of epochs."""

    @property
    def speed(self) -> dict[str, float] | None:
        """Training interactions a second (median over epochs), and seconds until the end of the best epoch."""
        if self.epochs is None or not len(self.epochs):
            return None
        best, train = self.epochs[self.epochs["best"]], self.datamodule.students("train")
        interactions = int(self.datamodule.log_.lengths[train].sum())
        return {
            "interactions_a_second": interactions / float(self.epochs["train_seconds"].median()),
            "seconds_to_best": float(best["seconds"].iloc[0]) if len(best) else math.nan,
            "epochs": len(self.epochs),
        }


@dataclass(frozen=True)
class Composed:
    """A model that a config group has an option for: of its own name unless the overrides choose one."""

    name: str
    overrides: tuple[str, ...] = ()

    group: ClassVar[str]
    config: ClassVar[str]
    keys: ClassVar[Sequence[str]]
    """Parts of the config that decide what the model is, whatever the data and the run's folder."""

    @property
    def chosen(self) -> list[str]:
        """Overrides that choose it."""
        is_chosen = any(o.startswith(f"{self.group}=") for o in self.overrides)
        return [*([] if is_chosen else [f"{self.group}={self.name}"]), *self.overrides]

    @property
    def rows(self) -> list[str]:
        """Names of its rows in the table."""
        return [self.name]

    @property
    def reads_as_given(self) -> bool:
        """Whether it reads a data set as the table's entry says; an override of its own may say otherwise."""
        return not any(o.lstrip("+~").startswith(("dataset=", "dataset.read.")) for o in self.overrides)

    def identity(self) -> list[str]:
        """What tells it from others: the overrides, and what they compose to, which an edited option may have moved."""
        return [*self.chosen, self._digest]

    @cached_property
    def _digest(self) -> str:
        cfg = compose_train(self.chosen, config=self.config)
        text = "".join(f"{key}: {OmegaConf.to_yaml(cfg[key])}" for key in self.keys if cfg.get(key) is not None)
        return f"{COMPOSED}{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


@dataclass(frozen=True)
class Experiment(Composed):
    """An experiment of gainkt, trained; a row for each of its encoders that is asked for."""

    encoders: tuple[int, ...] = (1, 2)

    group: ClassVar[str] = "experiment"
    config: ClassVar[str] = "train"
    keys: ClassVar[Sequence[str]] = MODEL_KEYS
    seeded: ClassVar[bool] = True

    @property
    def rows(self) -> list[str]:
        """Names of its rows in the table."""
        return [self.name] if len(self.encoders) == 1 else [f"{self.name} E{n}" for n in self.encoders]

    def run(self, task: Task) -> Told:
        """Train and score."""
        from gainkt.training.callbacks.epoch_clock import EpochClock
        from gainkt.training.train import train

        chosen = [*self.chosen, *task.data, f"seed={task.seed}"]
        cfg = compose_train(chosen)
        cfg.run.dir, cfg.run.overwrite = str(task.folder), True  # what an earlier attempt left does not count
        start = time.perf_counter()
        done = train(cfg, chosen)
        seconds, peak = time.perf_counter() - start, peak_mib()
        clock = next(c for c in done.trainer.callbacks if isinstance(c, EpochClock))  # type: ignore[attr-defined]
        kept = list(done.results["phases"].values())[-1]["epoch"]
        epochs = pd.DataFrame({"train_seconds": clock.train_seconds, "seconds": clock.seconds})
        columns = {f"p{n}": row for n, row in zip(self.encoders, self.rows, strict=True)}
        path, keys = task.folder / "predictions.parquet", ["student", "step", "response"]
        table = read_table(path, way_out(path), [*keys, "scored", *columns])
        table = table.loc[table["scored"], [*keys, *columns]].rename(columns=columns).reset_index(drop=True)
        audits, model = {}, load(task.folder)
        for p, name in columns.items() if task.audited else ():
            audits[name] = audited(done.datamodule, task, lambda log, p=p: model.predict(log)[p].to_numpy(), name)  # type: ignore[misc]
        level = (done.scorecard or {}).get("level")
        notes = () if 2 not in self.encoders else (f"scorecard of Encoder 2: {level or 'no level reached'}",)
        return Told(table, done.datamodule, seconds, peak, audits, notes, epochs.assign(best=epochs.index == kept))


@dataclass(frozen=True)
class ReferenceModel(Composed):
    """A reference model, fitted on the training students."""

    group: ClassVar[str] = "reference"
    config: ClassVar[str] = "reference"
    keys: ClassVar[Sequence[str]] = ("reference",)
    seeded: ClassVar[bool] = False

    def run(self, task: Task) -> Told:
        """Fit and predict."""
        cfg = compose_train([*self.chosen, *task.data], config="reference")
        check_keys(cfg)
        datamodule = data_of(cfg)
        log, students = datamodule.log_, datamodule.students("test")
        start = time.perf_counter()
        reference, _ = fitted(cfg.reference, datamodule)
        probability = checked_prediction(reference, log, students).probability_M
        seconds, peak = time.perf_counter() - start, peak_mib()
        table, steps = asked(log, students)
        audits = {}
        if task.audited:
            ask: Callable[[InteractionLog], NDArray] = lambda some: reference.predict(some).probability_M  # noqa: E731
            audits[self.name] = audited(datamodule, task, ask, self.name)
        return Told(table.assign(**{self.name: probability[steps]}), datamodule, seconds, peak, audits)


def data_of(cfg: Any) -> KTDataModule:
    """Read and split the data of a config."""
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    return datamodule


def asked(log: InteractionLog, students: NDArray[np.integer]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Return the scored steps of some students, all but the first of each, and their places in the log."""
    steps = log.steps_of(students)
    place = steps - np.repeat(log.offsets[:-1][students], log.lengths[students])
    table = pd.DataFrame(
        {
            "student": np.repeat(log.students[students], log.lengths[students]),
            "step": place,
            "response": np.asarray(log.responses[steps], dtype=np.int64),
        }
    )
    return table[place > 0].reset_index(drop=True), steps[place > 0]


def require_asked(told: Told) -> None:
    """Check that a model predicted what it was asked for.

    Raises:
        ConfigError: it predicted other steps, or something that is no probability.
    """
    keys = ["student", "step", "response"]
    wanted, _ = asked(told.datamodule.log_, told.datamodule.students("test"))
    found = told.predictions[keys].astype(wanted.dtypes.to_dict())
    if len(found) != len(wanted) or len(found.merge(wanted, on=keys)) != len(wanted) or found.duplicated(keys).any():
        raise ConfigError(f"scored {len(found):,} steps, not the {len(wanted):,} of the test part")
    for name in told.predictions.columns.difference(keys):
        p = told.predictions[name].to_numpy(dtype=np.float64)
        if bad := int((~((p >= 0) & (p <= 1))).sum()):
            raise ConfigError(f"{bad:,} of {len(p):,} predictions are no probability from 0 to 1")


def audited_students(datamodule: KTDataModule, count: int, seed: int) -> NDArray[np.int64]:
    """Return test students of two steps or more, over the range of lengths."""
    log, students = datamodule.log_, datamodule.students("test")
    return np.sort(pick_students(log, students[log.lengths[students] > 1], count, seed))


def audited(
    datamodule: KTDataModule, task: Task, predict: Callable[[InteractionLog], NDArray], name: str
) -> dict[str, Any]:
    """Ask a model of whole logs about changed histories of some test students, as `gainkt audit` does."""
    log, some = datamodule.log_, audited_students(datamodule, task.audited, task.seed)
    steps, student = log.steps_of(some), np.repeat(log.students[some], log.lengths[some])
    kept = steps - np.repeat(log.offsets[:-1][some], log.lengths[some]) < LONGEST_AUDITED
    rows = pd.DataFrame({"student": student[kept], "at": steps[kept]})
    rows = rows.assign(skill=log.skills[log.skill_offsets[rows["at"]]], response=log.responses[rows["at"]])
    ask: Predict = lambda changed: predict(_log_of(changed, log))  # noqa: E731
    return audit_model(ask, rows, subject=name, seed=task.seed).content


def _log_of(rows: pd.DataFrame, log: InteractionLog) -> InteractionLog:
    """Return histories whose steps are places (`at`) in a log, with the responses of the rows."""
    student, names = pd.factorize(rows["student"])
    at = rows["at"].to_numpy()
    counts = np.diff(log.skill_offsets)[at]
    return replace(
        log,
        offsets=offsets_of(np.bincount(student)),
        responses=rows["response"].to_numpy(dtype=np.uint8),
        skill_offsets=offsets_of(counts),
        skills=np.asarray(log.skills[spans(log.skill_offsets[at], counts)]),
        items=np.asarray(log.items[at]),
        students=np.array([str(name) for name in names]),
        folds=np.full(len(names), NO_FOLD, dtype=np.int16),
        account={},
    )


def peak_mib(process: int | str = "self") -> float | None:
    """Return the largest resident memory that a process has had, MiB; None where the system does not tell.

    Not ru_maxrss: a process starts with its parent's.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)
