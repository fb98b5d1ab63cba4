"""One training run: from a composed config to a run's folder, and what is scored and judged at its end."""

from __future__ import annotations

import logging
import math
import shlex
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build, check_keys, said
from gainkt.data.datamodule import KTDataModule
from gainkt.digests import exists, read_table
from gainkt.errors import ConfigError, ReportError, Terminated
from gainkt.evaluation.schema import TRAJECTORIES, names_in
from gainkt.files import claimed, write_json, write_whole
from gainkt.losses import Loss
from gainkt.losses.distillation import Teachers
from gainkt.losses.loss import check_bce_weights
from gainkt.masking import MASK
from gainkt.model import GainKT
from gainkt.references.base import Reference
from gainkt.references.cache import fitted
from gainkt.references.tables import reference_tables
from gainkt.references.targets import Targets
from gainkt.reporting.alignment_report import save_alignment_figure
from gainkt.reporting.diagnosis_figures import save_figures
from gainkt.reporting.figures import DRAWN, save_figure, students_figure, training_figure
from gainkt.reporting.page import require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.runs.checks import added_rules, try_columns
from gainkt.runs.folder import (
    OWNER,
    TEACHERS,
    Run,
    RunDirectory,
    build_datamodule,
    build_model,
    load_run,
    load_weights,
    read_checkpoint,
    references_of,
    way_out,
)
from gainkt.runs.places import write_here
from gainkt.runs.received import leaves, packages_of, read_config
from gainkt.runs.reports import align_run, diagnose_run
from gainkt.runs.scoring import judge, score_phases, tabulate
from gainkt.training.balancing import Balancing
from gainkt.training.budget import auto_tokens
from gainkt.training.callbacks.checkpoint import PhaseCheckpoint, WholeCheckpointIO
from gainkt.training.callbacks.early_stopping import PhaseEarlyStopping
from gainkt.training.callbacks.epoch_clock import EpochClock
from gainkt.training.callbacks.folder_stands import FolderStands
from gainkt.training.callbacks.loss_schedule import LossScheduleCallback
from gainkt.training.callbacks.metrics_table import MetricsTable
from gainkt.training.callbacks.progress import progress_callbacks
from gainkt.training.callbacks.reseed import ReseedEachBatch
from gainkt.training.loggers import build_loggers, close_loggers, number_runs
from gainkt.training.module import GainKTModule
from gainkt.training.optimizers import chosen
from gainkt.training.page import run_page, write_page
from gainkt.training.processes import SETTINGS, follows, num_processes, part_ways, require_strategy, strategy_of
from gainkt.training.settings import check_groups, check_settings
from gainkt.training.teachers import keep_teachers, require_apart, teachers_of

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

    def report(self) -> Page:
        """Return the run's page, which a notebook shows and `save` writes; errors are those of `run_page`."""
        return run_page(self.run, self.datamodule)


def train(cfg: DictConfig, overrides: Sequence[str] | None = None) -> RunResult:
    """Train the variant of a composed config, and score each phase's best checkpoint.

    Args:
        cfg: composed from conf/train.yaml; with `run.resume` set, the config saved in that folder is used instead.
        overrides: that the config was composed with, to be kept with the run; None where they are not known.

    Raises:
        ConfigError: a setting that cannot be used.
        DataError: data that cannot be used.
        OSError: the run's folder cannot be written; the last good checkpoint stays readable.
        ReportError: the run is trained and its metrics are in results.json, but a report on it failed.
        SystemExit: where several processes train, of all but the first; it writes and scores.
    """
    check_groups(cfg)
    cfg, resumes, restarts = _config_of(cfg, overrides or ())
    check_settings(cfg)
    check_keys(cfg)
    require_strategy(cfg.trainer)
    check_bce_weights(cfg.loss, overrides or ())
    if cfg.get("report"):
        require_pages()
    directory = RunDirectory(Path(cfg.run.dir))
    require_apart(cfg, directory.path)
    if num_processes(cfg.trainer) > 1 and follows():
        _follow(cfg, directory, resumes)
    with claimed(directory.path, OWNER), _resumable(directory):
        if not resumes and not cfg.run.get("overwrite"):
            directory.require_free()
        return _train(cfg, directory, resumes, None if restarts else overrides)


def _train(cfg: DictConfig, directory: RunDirectory, resumes: bool, overrides: Sequence[str] | None) -> RunResult:
    """Train in a folder that is held, and is the run's own or free."""
    datamodule, reference, teachers, module, schedule = _prepare(cfg, directory, resumes)
    if not resumes:
        if cfg.run.get("overwrite") and directory.is_begun:
            directory.clear()
        number_runs(cfg)
        directory.create(cfg, datamodule, overrides)
    if teachers is not None and not (resumes and (directory.path / TEACHERS).is_file()):
        keep_teachers(teachers, datamodule, directory.path)
    run, last = load_run(directory.path, packages_of(OmegaConf.to_container(cfg))), directory.checkpoints / "last.ckpt"
    saved = _saved(directory) if resumes else None
    if saved is not None:
        load_weights(module.model, saved, last)
        _require_bests(directory, _rows(saved), cfg)

    loggers = build_loggers(cfg)
    trainer = _build_trainer(cfg, schedule, directory, loggers)
    log.info("training %s on %s", cfg.name, datamodule.protocol)
    if (told := chosen(module, cfg.optimizer)) is not None:
        log.info("optimizer: %s", told)
    status = "failed"
    try:
        if not _has_stopped(saved):
            _fit(trainer, module, datamodule, last if saved else None)
        part_ways()
        directory.require_whole()
        table = next(c for c in trainer.callbacks if isinstance(c, MetricsTable))  # type: ignore[attr-defined]
        table.rows = table.rows or _rows(saved)
        _require_bests(directory, table.rows, cfg)
        table.write()  # what is on disk may be damaged where a finished run is resumed
        device = trainer.strategy.root_device
        scored = score_phases(run, datamodule, device, means=cfg.trajectories.write)
        scored.results.update({} if told is None else {"optimizer": told})
        scored.results.update({} if teachers is None else {"teachers": len(cfg.distillation.teachers)})
        for phase, untrained in _untrained(module.loss, table.rows).items():
            scored.results["phases"][phase]["untrained"] = untrained
        _record(scored.results, directory, loggers)
        card, reports = None, Reports(directory)
        if cfg.trajectories.write:
            with reports.part("the scorecard", "evaluate"):
                asked: dict[str, Any] = {"trajectories": cfg.trajectories, "means": scored.means, "device": device}
                tabulate(run, run.model(), datamodule, "test", directory.path, **asked)
                card = judge(run, datamodule, "test", directory.path, validation=scored.validation)
        with reports.part("the pictures", "train", argument="run.resume"):
            _draw(directory, cfg.name, tables=card is not None)
        status = "failed" if reports.failures else "success"
    finally:
        close_loggers(loggers, status)
    diagnosis = aligned = None
    without_tables = cfg.trajectories.write and card is None
    if cfg.diagnose and not without_tables:
        with reports.part("the diagnosis", "diagnose"):
            diagnosis = _diagnose(run, datamodule, device)
    if reference is not None and card is not None:
        with reports.part("the alignment", "align"):
            aligned = _align(run, datamodule, reference, device)
    if cfg.get("report"):
        with reports.part("the page", "report"):
            write_page(run, datamodule)
    reports.require_all()
    directory.require_whole()
    return RunResult(scored.metrics, scored.results, card, diagnosis, aligned, run, datamodule, module, trainer)


def _untrained(loss: Loss, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """By phase, the encoders that neither it nor one before it fitted; only phases that have some."""
    used: set[str] = set()
    found = {}
    for row in rows:
        used |= {key.removeprefix("weight/") for key, weight in row.items() if key.startswith("weight/") and weight}
        found[str(row["phase"])] = loss.untrained(used)
    return {phase: encoders for phase, encoders in found.items() if encoders}


def _prepare(
    cfg: DictConfig, directory: RunDirectory, resumes: bool
) -> tuple[KTDataModule, Reference | None, Teachers | None, GainKTModule, LossScheduleCallback]:
    """Build what trains; the config is completed with the weights that the loss has."""
    seed_everything(cfg.seed, verbose=False)
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    if resumes:
        load_run(directory.path, packages_of(OmegaConf.to_container(cfg))).require_same_data(datamodule)
    model = build_model(cfg.model, datamodule.sizes)
    loss = build(cfg.loss)
    if loss.bce_loss_weight is not None:  # the run's config shows the weights that it trains with
        cfg.loss.bce1, cfg.loss.bce2 = loss.weights["bce1"], loss.weights["bce2"]
    reference, teachers = _start_loss(loss, model, cfg, datamodule, directory.path if resumes else None)
    if cfg.dataset.tokens_per_batch == "auto":
        cfg.dataset.tokens_per_batch = datamodule.tokens_per_batch = auto_tokens(cfg, model, loss, datamodule)
        log.info("batches of %s cells", f"{datamodule.tokens_per_batch:,}")
    try_columns(added_rules(cfg.get("scorecard")), model, datamodule.loader("valid"))
    module = GainKTModule(model, loss, build(cfg.optimizer), gradient_every=cfg.gradient_every)
    schedule = LossScheduleCallback(build(cfg.schedule))
    schedule.schedule.phases(cfg.trainer.max_epochs)
    if isinstance(schedule.schedule, Balancing) and num_processes(cfg.trainer) > 1:
        raise ConfigError(
            f"schedule: {type(schedule.schedule).__name__} learns weights from each process's own losses, which would "
            "part; set trainer.devices=1, or take another schedule"
        )
    return datamodule, reference, teachers, module, schedule


def _follow(cfg: DictConfig, directory: RunDirectory, resumes: bool) -> NoReturn:
    """Train beside the process that writes and scores, and end."""
    datamodule, _, _, module, schedule = _prepare(cfg, directory, resumes)
    saved = _saved(directory) if resumes else None
    trainer = _build_trainer(cfg, schedule, directory, [])
    if not _has_stopped(saved):
        _fit(trainer, module, datamodule, directory.checkpoints / "last.ckpt" if saved else None)
    part_ways()
    raise SystemExit(0)


def _saved(directory: RunDirectory) -> dict[str, Any] | None:
    """The last checkpoint of a run; None where no epoch has ended."""
    last = directory.checkpoints / "last.ckpt"
    return read_checkpoint(last) if exists(last, way_out(last)) else None


@contextmanager
def _resumable(directory: RunDirectory) -> Iterator[None]:
    """Note on an interruption how the run goes on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        command = f"python -m gainkt.train {shlex.quote(f'run.resume={directory.path}')}"
        begun = directory.provenance.is_file()
        interruption.add_note(f"{command} goes on" if begun else "nothing is trained yet, start the run again")
        raise


def _fit(trainer: Trainer, module: GainKTModule, datamodule: KTDataModule, checkpoint: Path | None) -> None:
    """Train, from a checkpoint on where there is one.

    Raises:
        KeyboardInterrupt: the process was interrupted, of which Lightning makes an exit: after Ctrl-C one of status 1
            that can no more be interrupted, after SIGTERM one of status 0.
    """
    on_sigint = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        if isinstance(end, SIGTERMException):
            raise Terminated from None
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_sigint)


def _config_of(cfg: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, bool, bool]:
    """The config to train, that of the run's folder where one is resumed; whether one is, or is started anew.

    A resumed run trains on other devices where the overrides say so.

    A run that was killed before it had begun has nothing to resume but its config.
    """
    if not cfg.run.resume:
        return cfg, False, False
    directory, trust = RunDirectory(Path(cfg.run.resume).expanduser().resolve()), cfg.get("trust") or ()
    restarts = directory.config.is_file() and not directory.is_begun
    saved = read_config(directory.config, trust) if restarts else load_run(directory.path, trust).config
    moved = None if OmegaConf.is_missing(cfg.dataset, "path") else cfg.dataset.get("path")
    if moved is not None:
        saved.dataset.path = str(Path(moved).expanduser().resolve())
    for key in {override.partition("=")[0].lstrip("+") for override in overrides} & set(SETTINGS):
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key), force_add=True)
    write_here(saved, directory.path, str(directory.config), trust)
    _put_secrets(saved, cfg, directory.config)
    saved.run.dir, saved.run.resume = str(directory.path), None if restarts else cfg.run.resume
    saved.run.root = cfg.run.root
    return saved, not restarts, restarts


def _put_secrets(saved: DictConfig, cfg: DictConfig, file: Path) -> None:
    """Put secrets, which are not kept on disk, from the command's config into the saved one.

    Raises:
        ConfigError: one is not given.
    """
    for key, value in leaves(OmegaConf.to_container(saved)):
        if isinstance(value, str) and MASK in value:
            given = OmegaConf.select(cfg, key)
            if given is None or MASK in str(given):
                raise ConfigError(
                    f"{file}: {key}={value}: a secret, which is not kept on disk; give it again: +{key}=..."
                )
            OmegaConf.update(saved, key, given)


def _rows(saved: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Rows of metrics.csv that a checkpoint knows."""
    return list(((saved or {}).get("callbacks", {}).get(MetricsTable.__qualname__) or {}).get("rows", []))


def _require_bests(directory: RunDirectory, rows: Sequence[Mapping[str, Any]], cfg: DictConfig) -> None:
    """Check that every phase that was trained has its best checkpoint.

    Raises:
        ConfigError: one is missing, so that the run would be scored without it.
    """
    monitor = str(OmegaConf.select(cfg, "callbacks.select.monitor"))
    for row in rows:
        best = directory.best(row["phase"])
        if not math.isnan(row.get(monitor, math.nan)) and not best.is_file():
            raise ConfigError(
                f"{best}: is missing, though the run has trained that phase; put it back, or start the run again in "
                "another folder"
            )


def _start_loss(
    loss: Loss, model: GainKT, cfg: DictConfig, datamodule: KTDataModule, home: Path | None = None
) -> tuple[Reference | None, Teachers | None]:
    """Give the loss what its terms need of model, data, reference and teachers; return these two, if there are any."""
    reference = fitted(cfg.reference, datamodule, references_of(cfg, home))[0] if cfg.reference else None
    targets = None if reference is None else Targets(reference, datamodule.log_, datamodule.split.train)
    teachers = teachers_of(cfg, loss, datamodule, home)
    loss.start(model, datamodule.skill_rates, targets, teachers, datamodule.num_scored("train"))
    return reference, teachers


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
    stands = FolderStands(directory.require_whole)
    own: list[Callback] = [schedule, ReseedEachBatch(cfg.seed), EpochClock(), *progress_callbacks(), stands, table]
    callbacks = own + chosen
    # Batches are gathered in-process on purpose, and an epoch here may be shorter than a logging interval.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*number of training batches.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")  # of figures that are the same in every process
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return build(
        cfg.trainer,
        default_root_dir=directory.path,  # where a profiler that is named by a word writes
        strategy=strategy_of(cfg.trainer),
        callbacks=callbacks,
        logger=loggers or False,
        plugins=[WholeCheckpointIO()],
        enable_progress_bar=any(type(c).__name__ == "RunProgressBar" for c in callbacks),
    )


class Reports:
    """Runs what follows once the metrics are on disk: a part that fails costs neither them nor the parts after it."""

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        self.failures: list[str] = []

    @contextmanager
    def part(self, name: str, door: str, more: str = "", argument: str = "run") -> Iterator[None]:
        """Make a part; where that fails, keep why, and by which command it is made alone."""
        try:
            yield
        except Exception as error:  # running out of memory too: what is lacking can be made in another way
            log.exception("%s failed", name)
            command = f"python -m gainkt.{door} {shlex.quote(f'{argument}={self.directory.path}')}"
            self.failures.append(f"{name} failed ({said(error).rstrip('.: ')}), `{command}` makes it{more}")

    def require_all(self) -> None:
        """Raise ReportError where a part failed."""
        if self.failures:
            raise ReportError(f"the run is trained and its results.json written, but {'; '.join(self.failures)}")


def _draw(directory: RunDirectory, name: str, *, tables: bool) -> None:
    """Draw training.png and, where there are tables, students.png."""
    save_figure(training_figure(pd.read_csv(directory.metrics), name), directory.path / "training.png")
    if tables:
        path = directory.path / "trajectories.parquet"
        trajectories = read_table(path, way_out(path), DRAWN, names_in(TRAJECTORIES))
        save_figure(students_figure(trajectories), directory.path / "students.png")


def _diagnose(run: Run, datamodule: KTDataModule, device: torch.device) -> dict[str, Any]:
    """Diagnose the last phase's best checkpoint on test, and draw it."""
    done = diagnose_run(run, datamodule, device=device)
    save_figures(done.content, done.folder / "figures")
    return done.content


def _align(run: Run, datamodule: KTDataModule, reference: Reference, device: torch.device) -> dict[str, Any]:
    """Hold the same checkpoint against the reference that it was trained with, and draw it."""
    tables = reference_tables(reference, datamodule.log_, datamodule.students("test"))
    done = align_run(run, datamodule, tables, device=device)
    save_alignment_figure(done.content, done.tables, tables.rows, tables.difficulty, done.folder)
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
