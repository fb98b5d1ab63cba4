"""A job of a sweep or a search: its record (job.json), who works at it (.lock), and the sweep's plan (sweep.json)."""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gainkt.config import said
from gainkt.digests import read_json
from gainkt.errors import ConfigError, ReportError
from gainkt.files import claimed, write_json
from gainkt.masking import masked, masked_content

T = TypeVar("T")
log = logging.getLogger(__name__)

PLAN, RECORD, LOG = "sweep.json", "job.json", "train.log"
ENDED = ("done", "failed", "pruned")
INTERRUPTED = "interrupted"
AGAIN = "put it back, or remove the job's folder and resume the sweep, which runs the job again"
BLANK = dict.fromkeys(("state", "error", "started", "ended", "seconds", "gpu", "threads"))


@dataclass(frozen=True)
class Job:
    """One run of a sweep, or one trial of a search."""

    number: int
    """From 0, in the order of the grid or of the trials; also the name of its folder."""
    overrides: tuple[str, ...]
    """Settings it was started with, as on a command line: `loss.bce1=0.3`."""
    folder: Path
    """Where its job.json, results.json, scorecard.json and config.yaml lie."""

    @property
    def record(self) -> dict[str, Any]:
        """What job.json says; empty where the job has not started.

        Raises:
            ConfigError: it is damaged.
        """
        path = self.folder / RECORD
        return read_json(path, AGAIN, {"number": int, "overrides": list, "state": str}) if path.is_file() else {}

    @property
    def is_done(self) -> bool:
        """Whether the job ended well, and its results stand."""
        return self.state == "done" and (self.folder / "results.json").is_file()

    @property
    def state(self) -> str:
        """`waiting`, `running`, `done`, `failed` or, in a search, `pruned`."""
        return self.record.get("state", "waiting")

    def write(self, **said: Any) -> None:
        """Change what job.json says."""
        own = {"number": self.number, "overrides": list(map(masked, self.overrides))}
        write_json(self.folder / RECORD, {**own, **BLANK, **self.record, **said})

    def fail(self, error: str) -> None:
        """Record from the outside that the job ended without a result, unless it said itself how it ended."""
        if self.state not in ENDED:
            self.write(state="failed", error=error)

    def run(self, task: Callable[[], T]) -> T | None:
        """Do the job's work: job.json says before and after how it stands, output.txt holds what is printed.

        A job that is done already is left as it is.

        Raises:
            ConfigError: another process is at this job.
            Exception: whatever `task` raises, after it is recorded.
        """
        import torch

        with claimed(self.folder):
            if self.state == "done":
                return None
            gpu, start = os.environ.get("CUDA_VISIBLE_DEVICES") or None, time.monotonic()
            self.write(
                **BLANK | {"state": "running", "started": _now(), "gpu": gpu, "threads": torch.get_num_threads()}
            )
            ended: dict[str, Any] = {"state": "failed", "error": INTERRUPTED}
            try:
                with (
                    (self.folder / "output.txt").open("w", buffering=1) as out,
                    redirect_stdout(out),
                    redirect_stderr(out),
                ):
                    value = task()
                ended = {"state": "done"}
                return value
            except ReportError as fault:  # it is trained, and its metrics stand
                ended = {"state": "done", "error": said(fault)}
                raise
            except Exception as fault:
                ended = {"state": "pruned" if type(fault).__name__ == "TrialPruned" else "failed", "error": said(fault)}
                raise
            finally:
                self.write(**ended, ended=_now(), seconds=round(time.monotonic() - start, 3))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep or a search, whose jobs lie in sub-folders named by their numbers."""

    path: Path

    @property
    def planned(self) -> bool:
        """Whether a sweep was started here before."""
        return (self.path / PLAN).is_file()

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What sweep.json says.

        Raises:
            ConfigError: there is none, it is of another making, or it names a job's folder that no sweep makes.
        """
        file = self.path / PLAN
        try:
            plan = json.loads(file.read_text())
            assert {"sweep", "overrides", "jobs"} <= set(plan)
            assert all(isinstance(o, str) for entry in (plan, *plan["jobs"]) for o in entry["overrides"])
            folders = [(job["folder"], int(job["number"])) for job in plan["jobs"]]
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{self.path}: not the folder of a sweep ({PLAN} is missing); a sweep's folder lies under "
                "outputs/<name>/ and is printed when the sweep starts"
            ) from None
        except (ValueError, TypeError, KeyError, AssertionError):
            raise ConfigError(f"{file}: not the plan of a sweep; restore it, or start a new one") from None
        for place, (folder, number) in enumerate(folders):
            # What a file says must not decide which folder outside the sweep is read, written or removed.
            if folder != str(number) or number != place or (self.path / folder).is_symlink():
                raise ConfigError(
                    f"{file}: the folder of job {number} is {folder!r}; a sweep's job has a folder of its own in the "
                    "sweep's, named by its number; restore the file, or start a new sweep"
                )
        return plan

    @property
    def jobs(self) -> list[Job]:
        """Every planned job, in order; of a search, every trial that has begun."""
        if self.planned:
            return [Job(job["number"], tuple(job["overrides"]), self.path / job["folder"]) for job in self.plan["jobs"]]
        begun = [(Job(0, (), path.parent).record, path.parent) for path in self.path.glob(f"*/{RECORD}")]
        found = [Job(record["number"], tuple(record["overrides"]), folder) for record, folder in begun]
        return sorted(found, key=lambda job: job.number)

    def write_plan(self, name: str, typed: Sequence[str], hydra: Sequence[str], jobs: Sequence[Sequence[str]]) -> None:
        """Write sweep.json.

        Args:
            name: of the sweep, for people and for W&B.
            typed: settings as given on the command line.
            hydra: Hydra's own settings as given there, the launcher among them.
            jobs: settings of each job.
        """
        entries = [{"number": n, "overrides": list(job), "folder": str(n)} for n, job in enumerate(jobs)]
        plan = {"sweep": name, "overrides": list(typed), "hydra": list(hydra), "jobs": entries}
        write_json(self.path / PLAN, masked_content(plan))

    def label(self, job: Job) -> str:
        """Return what sets a job apart from the others: its settings of the keys that differ between jobs."""
        last = [dict(o.partition("=")[::2] for o in each.overrides) for each in self.jobs]
        swept = {key for each in last for key in each if len({other.get(key) for other in last}) > 1}
        return " ".join(masked(o.lstrip("+")) for o in job.overrides if not swept or o.partition("=")[0] in swept)


def sweep_job(task: Callable[[DictConfig], T]) -> Callable[[DictConfig], T | None]:
    """Wrap a Hydra task: under --multirun it is run as a Job whose failure stops no other; else it is as it was."""

    @functools.wraps(task)
    def run(cfg: DictConfig) -> T | None:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            return task(cfg)
        place = Path(HydraConfig.get().runtime.output_dir).resolve()
        sweep, job = SweepFolder(place.parent), Job(int(place.name), tuple(HydraConfig.get().overrides.task), place)
        OmegaConf.update(cfg, "sweep.group", sweep.plan["sweep"])
        OmegaConf.update(cfg, "sweep.job", sweep.label(job))
        try:
            return job.run(lambda: task(cfg))
        except Exception:
            if job.state not in ENDED:
                raise  # another process is at it
            log.exception("job %d failed", job.number)
            return None

    return run
