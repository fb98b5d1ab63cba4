"""One training run: from a composed config to a run's folder, and what is scored and judged at its end."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build, check_keys
from gainkt.data.datamodule import KTDataModule
from gainkt.files import write_json, write_whole
from gainkt.losses import Loss
from gainkt.model import GainKT
from gainkt.references.base import Reference
from gainkt.references.cache import fitted
from gainkt.references.tables import reference_tables
from gainkt.references.targets import Targets
from gainkt.reporting.alignment_report import save_alignment_figure
from gainkt.reporting.diagnosis_figures import save_figures
from gainkt.reporting.figures import save_figure, students_figure, training_figure
from gainkt.runs.checks import added_rules, try_columns
from gainkt.runs.folder import (
    Run,
    RunDirectory,
    build_datamodule,
    build_model,
    load_run,
    load_weights,
    read_checkpoint,
    references_of,
)
from gainkt.runs.received import packages_of
from gainkt.runs.reports import align_run, diagnose_run
from gainkt.runs.scoring import judge, score_phases
from gainkt.training.callbacks.checkpoint import PhaseCheckpoint, WholeCheckpointIO
from gainkt.training.callbacks.early_stopping import PhaseEarlyStopping
from gainkt.training.callbacks.loss_schedule import LossScheduleCallback
from gainkt.training.callbacks.metrics_table import MetricsTable
from gainkt.training.callbacks.progress import progress_callbacks
from gainkt.training.callbacks.reseed import ReseedEachBatch
from gainkt.training.loggers import build_loggers, close_loggers
from gainkt.training.module import GainKTModule
from gainkt.training.settings import check_settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a training run leaves behind."""

    metrics: dict[str, float]
    """Figures of the last phase's best checkpoint: `val/encoder1_auc`, `test/encoder2_auc`, ..."""
    results: dict[str, Any]
    """Figures of every phase's best checkpoint, as in results.json."""
    scorecard: dict[str, Any] | None
    """Scorecard of the last phase's best checkpoint on test, as in scorecard.json; None where none was asked for."""
    diagnosis: dict[str, Any] | None
    """Why Encoder 2 is weak, as in diagnosis.json; None unless `diagnose=true`."""
    alignment: dict[str, Any] | None
    """Agreement with the reference model, as in alignment.json; None without a reference or without tables."""
    run: Run
    """The run's folder, config and way to its models."""
    datamodule: KTDataModule
    """The data."""
    module: GainKTModule
    """The module as the last epoch left it."""
    trainer: Trainer
    """Lightning's trainer."""


def train(cfg: DictConfig, overrides: Sequence[str] | None = None) -> RunResult:
    """Train the variant of a composed config, and score each phase's best checkpoint.

    Args:
        cfg: composed from conf/train.yaml; with `run.resume` set, the config saved in that folder is used instead.
        overrides: that the config was composed with, to be kept with the run; None where they are not known.

    Raises:
        ConfigError: a setting that cannot be used.
        DataError: data that cannot be used.
        OSError: the run's folder cannot be written; the last good checkpoint stays readable.
    """
    cfg, resumes = _config_of(cfg)
    check_settings(cfg)
    check_keys(cfg)
    directory = RunDirectory(Path(cfg.run.dir))
    seed_everything(cfg.seed, verbose=False)
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    trust = packages_of(OmegaConf.to_container(cfg))
    if resumes:
        load_run(directory.path, trust).require_same_data(datamodule)
    model = build_model(cfg.model, datamodule.sizes)
    try_columns(added_rules(cfg.get("scorecard")), model, datamodule.loader("valid"))
    loss = build(cfg.loss)
    if loss.bce_loss_weight is not None:  # the run's config shows the weights that it trains with
        cfg.loss.bce1, cfg.loss.bce2 = loss.weights["bce1"], loss.weights["bce2"]
    reference = _start_loss(loss, model, cfg, datamodule)
    module = GainKTModule(model, loss, build(cfg.optimizer), gradient_every=cfg.gradient_every)
    schedule = LossScheduleCallback(build(cfg.schedule))
    schedule.schedule.phases(cfg.trainer.max_epochs)
    if not resumes:
        directory.create(cfg, datamodule, overrides)
    run, last = load_run(directory.path, trust), directory.checkpoints / "last.ckpt"
    saved = read_checkpoint(last) if resumes and last.exists() else None
    if saved is not None:
        load_weights(model, saved, last)

    loggers = build_loggers(cfg)
    trainer = _build_trainer(cfg, schedule, directory, loggers)
    log.info("training %s on %s", cfg.name, datamodule.protocol)
    status = "failed"
    try:
        if not _has_stopped(saved):
            trainer.fit(module, datamodule=datamodule, ckpt_path=last if saved else None, weights_only=True)
        scored = score_phases(run, datamodule, trainer.strategy.root_device)
        _record(scored.results, directory, loggers)
        card = None
        if cfg.trajectories.write:
            card = judge(
                run,
                scored.model,
                datamodule,
                "test",
                directory.path,
                trajectories=cfg.trajectories,
                validation=scored.validation,
                device=trainer.strategy.root_device,
            )
        _draw(directory, cfg.name, tables=card is not None)
        status = "success"
    finally:
        close_loggers(loggers, status)
    device = trainer.strategy.root_device
    diagnosis = _diagnose(run, datamodule, device) if cfg.diagnose else None
    aligned = None
    if reference is not None and card is not None:
        aligned = _align(run, datamodule, reference, device)
    return RunResult(scored.metrics, scored.results, card, diagnosis, aligned, run, datamodule, module, trainer)


def _config_of(cfg: DictConfig) -> tuple[DictConfig, bool]:
    """The config to train, that of the run's folder where one is resumed, and whether one is."""
    if not cfg.run.resume:
        return cfg, False
    saved = load_run(cfg.run.resume, cfg.get("trust") or ()).config
    saved.run.dir, saved.run.resume = str(Path(cfg.run.resume).expanduser().resolve()), cfg.run.resume
    return saved, True


def _start_loss(loss: Loss, model: GainKT, cfg: DictConfig, datamodule: KTDataModule) -> Reference | None:
    """Give the loss what its terms need of model, data and reference; return the reference, if there is one."""
    reference = fitted(cfg.reference, datamodule, references_of(cfg))[0] if cfg.reference else None
    targets = None if reference is None else Targets(reference, datamodule.log_, datamodule.split.train)
    loss.start(model, datamodule.skill_rates, targets)
    return reference


def _has_stopped(saved: dict[str, Any] | None) -> bool:
    """Tell whether early stopping had ended the run that is resumed."""
    states = (saved or {}).get("callbacks", {})
    return any(state.get("stopped", False) for name, state in states.items() if name == PhaseEarlyStopping.__qualname__)


def _build_trainer(
    cfg: DictConfig, schedule: LossScheduleCallback, directory: RunDirectory, loggers: list[Logger]
) -> Trainer:
    """Lightning's trainer with the run's callbacks; those of the package come before those of the config."""
    chosen = [build(entry) for entry in cfg.callbacks.values()]
    for callback in chosen:
        if isinstance(callback, PhaseCheckpoint):
            callback.dirpath = directory.checkpoints
    table = MetricsTable(directory.metrics)
    callbacks: list[Callback] = [schedule, ReseedEachBatch(cfg.seed), *progress_callbacks(), table, *chosen]
    # Batches are gathered in-process on purpose, and an epoch here may be shorter than a logging interval.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return build(
        cfg.trainer,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=any(type(c).__name__ == "RunProgressBar" for c in callbacks),
    )


def _draw(directory: RunDirectory, name: str, *, tables: bool) -> None:
    """Draw training.png and, where there are tables, students.png."""
    save_figure(training_figure(pd.read_csv(directory.metrics), name), directory.path / "training.png")
    if tables:
        trajectories = pd.read_parquet(directory.path / "trajectories.parquet")
        save_figure(students_figure(trajectories), directory.path / "students.png")


def _diagnose(run: Run, datamodule: KTDataModule, device: torch.device) -> dict[str, Any]:
    """Diagnose the last phase's best checkpoint on test, and draw it."""
    done = diagnose_run(run, datamodule, device=device)
    save_figures(done.content, done.folder / "figures")
    return done.content


def _align(run: Run, datamodule: KTDataModule, reference: Reference, device: torch.device) -> dict[str, Any]:
    """Hold the same checkpoint against the reference that it was trained with, and draw it."""
    said = reference_tables(reference, datamodule.log_, datamodule.students("test"))
    done = align_run(run, datamodule, said, device=device)
    save_alignment_figure(done.content, done.tables, said.rows, said.difficulty, done.folder)
    return done.content


def _record(results: dict[str, Any], directory: RunDirectory, loggers: list[Logger]) -> None:
    """Write results.json, and the test metrics into metrics.csv and the loggers at the epochs they belong to."""
    write_json(directory.results, results)
    tests = {
        entry["epoch"]: {f"test/{name}": value for name, value in entry["figures"]["test"].items()}
        for entry in results["phases"].values()
    }
    for epoch, figures in tests.items():
        for logger in loggers:
            logger.log_metrics({**figures, "epoch": epoch})
    columns = pd.DataFrame.from_dict(tests, orient="index")
    table = pd.read_csv(directory.metrics)
    table = table.drop(columns=columns.columns, errors="ignore").join(columns, on="epoch")
    write_whole(directory.metrics, lambda building: table.to_csv(building, index=False))
