"""A sweep on disk: sweep.json says what was planned, each job's job.json how it stands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gainkt.errors import ConfigError
from gainkt.files import write_json

PLAN = "sweep.json"
RECORD = "job.json"
LOCK = ".lock"


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    number: int
    """From 0, in the order of the grid; also the name of its folder."""
    overrides: tuple[str, ...]
    """Settings it was started with, as on a command line: `loss.bce1=0.3`."""
    folder: Path
    """Where its job.json, results.json, scorecard.json and config.yaml lie."""

    @property
    def record(self) -> dict[str, Any]:
        """What job.json says; empty where the job has not started."""
        try:
            return json.loads((self.folder / RECORD).read_text())
        except FileNotFoundError:
            return {}

    @property
    def state(self) -> str:
        """`waiting`, `running`, `done` or `failed`."""
        return self.record.get("state", "waiting")

    def fail(self, error: str) -> None:
        """Record from the outside that the job ended without a result, unless it said so itself."""
        record = self.record
        if record.get("state") in ("done", "failed"):
            return
        blank = dict.fromkeys(("started", "ended", "seconds", "gpu", "threads"))
        said = {"number": self.number, "overrides": list(self.overrides), **blank, **record}
        write_json(self.folder / RECORD, {**said, "state": "failed", "error": error})


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep, whose jobs lie in sub-folders named by their numbers."""

    path: Path

    @property
    def planned(self) -> bool:
        """Whether a sweep was started here before."""
        return (self.path / PLAN).is_file()

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What sweep.json says.

        Raises:
            ConfigError: there is none, or it is of another making.
        """
        try:
            plan = json.loads((self.path / PLAN).read_text())
            assert {"sweep", "overrides", "hydra", "jobs"} <= set(plan)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{self.path}: not the folder of a sweep ({PLAN} is missing); a sweep's folder lies under "
                "outputs/<name>/ and is printed when the sweep starts"
            ) from None
        except (ValueError, AssertionError):
            raise ConfigError(f"{self.path / PLAN}: not the plan of a sweep; restore it, or start a new one") from None
        return plan

    @property
    def jobs(self) -> list[Job]:
        """Every planned job, in order."""
        return [
            Job(entry["number"], tuple(entry["overrides"]), self.path / entry["folder"]) for entry in self.plan["jobs"]
        ]

    def write_plan(self, name: str, typed: Sequence[str], hydra: Sequence[str], jobs: Sequence[Sequence[str]]) -> None:
        """Write sweep.json.

        Args:
            name: of the sweep, for people and for W&B.
            typed: settings as given on the command line.
            hydra: Hydra's own settings as given there, the launcher among them.
            jobs: settings of each job.
        """
        entries = [{"number": n, "overrides": list(job), "folder": str(n)} for n, job in enumerate(jobs)]
        write_json(self.path / PLAN, {"sweep": name, "overrides": list(typed), "hydra": list(hydra), "jobs": entries})

    def label(self, overrides: Sequence[str]) -> str:
        """Return what sets a job apart from the others: its settings of the keys that differ between jobs."""
        chosen: dict[str, set[str]] = {}
        for job in self.jobs:
            for override in job.overrides:
                chosen.setdefault(override.partition("=")[0], set()).add(override)
        swept = [o for o in overrides if len(chosen.get(o.partition("=")[0], ())) > 1]
        return " ".join(o.lstrip("+") for o in swept or overrides)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder as long as this process lives; the system lets go of it however the process ends.

    Raises:
        ConfigError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        if not _lock(lock.fileno()):
            raise ConfigError(f"{folder}: another process is at work here; wait for it to end, or end it")
        yield


def is_claimed(folder: Path) -> bool:
    """Tell whether a process holds a folder."""
    if not (folder / LOCK).exists():
        return False
    with (folder / LOCK).open("a") as lock:
        return not _lock(lock.fileno())


def _lock(file: int) -> bool:
    """Lock an open file; True too where the file system knows no locks."""
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
