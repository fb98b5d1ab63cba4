"""Train a variant: `python -m gainkt.train experiment=v3_inverse_warmup`, or `train(cfg)` from Python."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from gainkt.align import align_run
from gainkt.config import build, check_keys, conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.console import make_console
from gainkt.data.datamodule import KTDataModule
from gainkt.diagnose import diagnose_run
from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole
from gainkt.references.cache import fitted
from gainkt.references.targets import Targets
from gainkt.reporting.alignment_report import alignment_view
from gainkt.reporting.diagnosis_table import diagnosis_view
from gainkt.reporting.figures import save_figure, students_figure, training_figure
from gainkt.reporting.scorecard_table import scorecard_view
from gainkt.reporting.tables import results_table
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
from gainkt.runs.predict import figures_of, predict
from gainkt.runs.scoring import judge
from gainkt.sweeping.command import refuse_a_grid_alone, resumed_arguments
from gainkt.sweeping.devices import require_one_device
from gainkt.sweeping.job import sweep_job
from gainkt.training.callbacks.checkpoint import PhaseCheckpoint, WholeCheckpointIO
from gainkt.training.callbacks.early_stopping import PhaseEarlyStopping
from gainkt.training.callbacks.loss_schedule import LossScheduleCallback
from gainkt.training.callbacks.metrics_table import MetricsTable
from gainkt.training.callbacks.progress import progress_callbacks
from gainkt.training.callbacks.reseed import ReseedEachBatch
from gainkt.training.loggers import build_loggers, close_loggers
from gainkt.training.module import GainKTModule

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


def train(cfg: DictConfig) -> RunResult:
    """Train the variant of a composed config, and score each phase's best checkpoint.

    Args:
        cfg: composed from conf/train.yaml; with `run.resume` set, the config saved in that folder is used instead.

    Raises:
        ConfigError: a setting that cannot be used.
        DataError: data that cannot be used.
        OSError: the run's folder cannot be written; the last good checkpoint stays readable.
    """
    resume = cfg.run.resume
    if resume:
        moved = None if OmegaConf.is_missing(cfg.dataset, "path") else cfg.dataset.get("path")
        cfg = load_run(resume).config
        if moved is not None:
            cfg.dataset.path = str(Path(moved).expanduser().resolve())
        cfg.run.dir, cfg.run.resume = str(Path(resume).expanduser().resolve()), resume
    check_keys(cfg)
    if not 0 <= cfg.seed < 2**32:
        raise ConfigError(f"seed={cfg.seed}: must lie between 0 and {2**32 - 1}")
    directory = RunDirectory(Path(cfg.run.dir))
    seed_everything(cfg.seed, verbose=False)
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    if resume:
        load_run(resume).require_same_data(datamodule)
    model = build_model(cfg.model, datamodule.sizes)
    loss = build(cfg.loss)
    reference = fitted(cfg.reference, datamodule, references_of(cfg))[0] if cfg.reference else None
    targets = None if reference is None else Targets(reference, datamodule.log_, datamodule.split.train)
    loss.start(model, datamodule.skill_rates, targets)
    module = GainKTModule(model, loss, build(cfg.optimizer), gradient_every=cfg.gradient_every)
    schedule = LossScheduleCallback(build(cfg.schedule))
    schedule.schedule.phases(cfg.trainer.max_epochs)
    if not resume:
        directory.create(cfg, datamodule)
    run = load_run(directory.path)
    last = directory.checkpoints / "last.ckpt"
    saved = read_checkpoint(last) if resume and last.exists() else None
    if saved is not None:
        load_weights(model, saved, last)

    table, loggers = MetricsTable(directory.metrics), build_loggers(cfg)
    chosen = [build(entry) for entry in cfg.callbacks.values()]
    for callback in chosen:
        if isinstance(callback, PhaseCheckpoint):
            callback.dirpath = directory.checkpoints
    callbacks = [schedule, ReseedEachBatch(cfg.seed), *progress_callbacks(), table, *chosen]
    trainer = _build_trainer(cfg.trainer, callbacks, loggers)
    log.info("training %s on %s", cfg.name, datamodule.protocol)
    status = "failed"
    try:
        if not _has_stopped(saved):
            trainer.fit(module, datamodule=datamodule, ckpt_path=last if saved else None, weights_only=True)
        results, card = _score_phases(run, datamodule, trainer)
        _record(results, directory, loggers)
        _draw(directory, cfg.name, tables=card is not None)
        status = "success"
    finally:
        close_loggers(loggers, status)
    diagnosis = diagnose_run(run, datamodule, device=trainer.strategy.root_device).content if cfg.diagnose else None
    aligned = None
    if reference is not None and card is not None:
        aligned = align_run(run, datamodule, reference, device=trainer.strategy.root_device).content
    figures = results["phases"][results["selected"]]["figures"]
    metrics = {f"{part}/{name}": value for part, values in figures.items() for name, value in values.items()}
    return RunResult(metrics, results, card, diagnosis, aligned, run, datamodule, module, trainer)


def _has_stopped(saved: dict[str, Any] | None) -> bool:
    """Tell whether early stopping had ended the run that is resumed."""
    states = (saved or {}).get("callbacks", {})
    return any(state.get("stopped", False) for name, state in states.items() if name == PhaseEarlyStopping.__qualname__)


def _build_trainer(cfg: DictConfig, callbacks: list[Any], loggers: list[Logger]) -> Trainer:
    # Batches are gathered in-process on purpose, and an epoch here may be shorter than a logging interval.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return build(
        cfg,
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=any(type(c).__name__ == "RunProgressBar" for c in callbacks),
    )


def _score_phases(run: Run, datamodule: KTDataModule, trainer: Trainer) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Figures of each phase's best checkpoint on validation and test, and the scorecard of the last on test."""
    phases = {}
    device = trainer.strategy.root_device
    for phase in run.phases:
        model = run.model(phase)
        epoch = int(read_checkpoint(run.directory.best(phase))["epoch"])
        validation = predict(model, datamodule.loader("valid"), device)
        test = predict(model, datamodule.loader("test"), device)
        phases[phase] = {"epoch": epoch, "figures": {"val": figures_of(validation), "test": figures_of(test)}}
    results = {
        "name": run.config.name,
        "protocol": datamodule.protocol,
        "account": datamodule.account,
        "selected": run.phases[-1],
        "phases": phases,
    }
    if not run.config.trajectories.write:
        return results, None
    trajectories = run.config.trajectories
    folder = run.directory.path
    card = judge(
        run, model, datamodule, "test", folder, trajectories=trajectories, validation=validation, device=device
    )
    return results, card


def _draw(directory: RunDirectory, name: str, *, tables: bool) -> None:
    """Draw training.png and, where there are tables, students.png."""
    save_figure(training_figure(pd.read_csv(directory.metrics), name), directory.path / "training.png")
    if tables:
        trajectories = pd.read_parquet(directory.path / "trajectories.parquet")
        save_figure(students_figure(trajectories), directory.path / "students.png")


def _record(results: dict[str, Any], directory: RunDirectory, loggers: list[Logger]) -> None:
    """Write results.json, and the test figures into metrics.csv and the loggers at the epochs they belong to."""
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


def _refuse_what_hydra_cannot_do(cfg: DictConfig) -> None:
    """Stop before work that would go wrong: several devices, a grid alone, and overrides beside a resumed run."""
    hydra_cfg = HydraConfig.get()
    sweep = hydra_cfg.mode == RunMode.MULTIRUN
    require_one_device(cfg.trainer, sweep=sweep)
    if not sweep:
        refuse_a_grid_alone(cfg, hydra_cfg)
    may = ("run.resume=", "dataset.path=")
    extra = [o for o in hydra_cfg.overrides.task if not o.lstrip("+").startswith(may)]
    if cfg.run.resume and extra:
        raise ConfigError(
            f"run.resume={cfg.run.resume}: a resumed run keeps the settings it was started with; leave out "
            f"{' '.join(extra)} (dataset.path alone may follow the data), or start a new run"
        )


@hydra.main(config_path=conf_dir(), config_name="train", version_base="1.3")
@one_line_errors
@sweep_job
def _main(cfg: DictConfig) -> float:
    """Train as the command line says, print the summary, and hand the monitored figure to a sweeper."""
    _refuse_what_hydra_cannot_do(cfg)
    if not cfg.run.resume:
        OmegaConf.update(cfg, "run.dir", str(Path(HydraConfig.get().runtime.output_dir).resolve()))
    result = train(cfg)
    console = make_console()
    console.print(results_table(result.results))
    if result.scorecard is not None:
        console.print(scorecard_view(result.scorecard))
    if result.diagnosis is not None:
        console.print(diagnosis_view(result.diagnosis))
    if result.alignment is not None:
        console.print(alignment_view(result.alignment))
    console.print(f"run: {result.run.directory.path}", soft_wrap=True)
    return result.metrics["val/combined_score"]


def main() -> None:
    """Entry point of the command."""
    run_main(_main, resumed_arguments)


register_resolvers()

if __name__ == "__main__":
    main()
