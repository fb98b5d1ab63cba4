"""Plan a grid, run what is left of it, and finish: the sweeper that `--multirun` uses."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from gainkt.arguments import quoted
from gainkt.errors import ConfigError
from gainkt.files import LOCK, claimed, is_claimed
from gainkt.interruption import exit_status
from gainkt.masking import masked_content
from gainkt.runs.places import require_here
from gainkt.runs.received import check_targets
from gainkt.sweeping.command import RESUME, TRUST, require_one_device
from gainkt.sweeping.jobs import INTERRUPTED, LOG, PLAN, RECORD, Job, SweepFolder
from gainkt.sweeping.launchers import SlotLauncher
from gainkt.sweeping.progress import SweepProgress, metric_of

LOST = "the job's process ended without a result; was it killed, or out of memory?"
PATIENCE = 10.0
"""Seconds that an interrupted sweep waits for its jobs to end."""
GIVEN_ANEW = ("hydra.mode=", "hydra.sweep.dir=")
"""Hydra's settings that a resumed sweep does not keep."""


class SweepError(ValueError):
    """Jobs of a sweep failed; the others ran to their end."""


class Grid(Sweeper):
    """Every combination of the values that a command or an experiment lists.

    A folder that holds a sweep already is resumed: jobs that are done stay as they are, the others start anew.
    """

    hydra_context: HydraContext
    config: DictConfig
    launcher: Launcher

    def __init__(self, max_batch_size: int | None, params: DictConfig | None = None) -> None:
        """Take the settings of hydra.sweeper.

        Args:
            max_batch_size: jobs that the launcher gets at a time; all of them where None.
            params: the grid of an experiment, setting -> values as on a command line.
        """
        self.max_batch_size = max_batch_size
        self.params: dict[str, Any] = {str(key): values for key, values in (params or {}).items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra gives, and make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the grid of the given settings and of hydra.sweeper.params.

        Raises:
            ConfigError: a setting that no job can use, or a folder that holds another sweep.
            SweepError: jobs failed; raised after all have ended.
        """
        folder = SweepFolder(Path(self.config.hydra.sweep.dir).resolve())
        wanted = self._grid([a for a in arguments if not a.startswith(TRUST)])
        self._check(wanted, str(folder.path / PLAN) if folder.planned else None)
        with claimed(folder.path):
            if not folder.planned:
                hydra = [o for o in self.config.hydra.overrides.hydra if not o.startswith(GIVEN_ANEW)]
                name = f"{self.config.name}/{folder.path.name}"
                folder.write_plan(name, self.config.hydra.overrides.task, hydra, wanted)
            elif [list(job.overrides) for job in folder.jobs] != masked_content(wanted):
                raise ConfigError(f"{folder.path}: holds a sweep with other settings; start this one in another folder")
            left = [job for job in folder.jobs if not job.is_done]
            print(f"sweep: {folder.path} ({len(left)} of {len(folder.jobs)} jobs to run)", flush=True)
            for job in left:
                _check_leftovers(job)
            for folder_left in (job.folder for job in left if job.folder.exists()):
                shutil.rmtree(folder_left)
            monitor = self.config.sweep.monitor
            try:
                with SweepProgress(folder, len(folder.jobs), folder.label, monitor, partial(metric_of, name=monitor)):
                    size = self.max_batch_size or max(len(left), 1)
                    for start in range(0, len(left), size):
                        self._launch(left[start : start + size], folder, wanted)
            except (KeyboardInterrupt, SystemExit) as interruption:
                _interrupted(folder, interruption)
            from gainkt.sweeping.summary.report import summarize_or_say_why  # Hydra loads this module at every start

            summarize_or_say_why(folder.path)
        _report_failures(folder)

    def _grid(self, arguments: Sequence[str]) -> list[list[str]]:
        """Settings of each job, those of the experiment's own grid first."""
        # Hydra loads its plugins anew when it starts: a base class of this module would be another one by then.
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

        own = [f"{key}={values}" for key, values in self.params.items()]
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        batches = BasicSweeper.split_arguments(parser.parse_overrides([*own, *arguments]), None)
        return [job for batch in batches for job in batch]

    def _check(self, jobs: Sequence[Sequence[str]], received: str | None) -> None:
        """Compose a config with every setting that occurs, so that an unknown one stops the sweep before it starts.

        Settings that were read from disk (`received` is the file) may name no code that the user does not trust.
        """
        seen: set[str] = set()
        # Composing takes a good part of a second: the job with the most that is new comes next.
        while new := set(job := max(jobs, key=lambda job: len(set(job) - seen))) - seen:
            seen |= new
            cfg = self.hydra_context.config_loader.load_sweep_config(self.config, list(job))
            require_one_device(cfg.trainer)
            if received:
                parts = {key: node for key, node in cfg.items_ex(resolve=False) if key != "hydra"}
                content = OmegaConf.to_container(OmegaConf.create(parts), resolve=False)
                check_targets(content, received, self.config.get("trust") or ())
                require_here(cfg, received, self.config.get("trust") or ())

    def _launch(self, jobs: Sequence[Job], folder: SweepFolder, wanted: Sequence[Sequence[str]]) -> None:
        """Hand jobs to the launcher, each with its own folder; those that end without a record of it have failed.

        Their settings are those of the command (`wanted`): the plan keeps no secrets.
        """
        if isinstance(self.launcher, SlotLauncher):
            self.launcher.lost = lambda index, error: jobs[index].fail(f"{LOST} ({error})")
        place = f"hydra.sweep.dir={quoted(str(folder.path))}"
        batch = [[*wanted[job.number], place, f"hydra.sweep.subdir={job.number}"] for job in jobs]
        self.launcher.launch(batch, initial_job_idx=0)
        for job in jobs:
            job.fail(LOST)


def resume_hint(folder: SweepFolder) -> str:
    """How to run what is missing."""
    return f"resume it with: python -m gainkt.train -m {shlex.quote(RESUME + str(folder.path))}"


def _check_leftovers(job: Job) -> None:
    """Check that what a job's folder holds may be removed before the job starts anew.

    Raises:
        ConfigError: an earlier attempt is still running, or the folder is not one that a job left.
    """
    if is_claimed(job.folder):
        raise ConfigError(f"{job.folder}: the job is still running; wait for it to end, or end it, then resume")
    left = {path.name for path in job.folder.iterdir()} if job.folder.exists() else set()
    if left and not left & {RECORD, LOCK, LOG}:
        raise ConfigError(
            f"{job.folder}: holds files, but none that a job of a sweep writes; move it elsewhere, then resume"
        )


def _interrupted(folder: SweepFolder, interruption: BaseException) -> NoReturn:
    """Leave a readable state: no job is recorded as running that does not run."""
    running = [job for job in folder.jobs if job.state == "running"]
    until = time.monotonic() + PATIENCE
    while any(is_claimed(job.folder) for job in running) and time.monotonic() < until:
        time.sleep(0.2)
    for job in running:
        if not is_claimed(job.folder):
            job.fail(INTERRUPTED)
    done = sum(job.state == "done" for job in folder.jobs)
    said = f"sweep: interrupted with {done} of {len(folder.jobs)} jobs done; {resume_hint(folder)}"
    print(said, file=sys.stderr, flush=True)
    raise SystemExit(exit_status(interruption))


def _report_failures(folder: SweepFolder) -> None:
    """Raise SweepError where jobs failed."""
    failed = [job for job in folder.jobs if job.state != "done"]
    if failed:
        shown = "; ".join(f"{job.number} ({folder.label(job)}): {job.record.get('error')}" for job in failed)
        raise SweepError(
            f"{len(failed)} of {len(folder.jobs)} jobs failed: {shown}; each job's {LOG} says more; "
            f"{resume_hint(folder)}"
        )
