"""How far a sweep or a search is, read from its jobs' files, so that it is the same for every launcher."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gainkt.console import FILE_WIDTH, SafeConsole
from gainkt.digests import read_json
from gainkt.errors import ConfigError
from gainkt.sweeping.jobs import ENDED, Job, SweepFolder

EVERY = 1.0
"""Seconds between looks at the jobs' files."""


class SweepProgress:
    """Watch jobs in a thread: a bar on a terminal, a line for each job that ends elsewhere; failures in either.

    Shown are jobs done, failed and running, time left, and the best so far.
    """

    def __init__(
        self,
        folder: SweepFolder,
        total: int,
        label: Callable[[Job], str],
        monitor: str,
        metric: Callable[[Job], float | None],
    ) -> None:
        """Watch a folder.

        Args:
            folder: of a sweep, planned, or of a search.
            total: jobs that will run.
            label: what sets a job apart from the others.
            monitor: name of the metric that the best job is shown by.
            metric: of a finished job, higher is better; None where it has none.
        """
        self.folder, self.total, self.label, self.monitor, self.metric = folder, total, label, monitor, metric
        self.records: dict[int, dict[str, Any]] = {}
        self.best: tuple[float, Job] | None = None
        self.seconds: list[float] = []
        # A job that runs in this process prints elsewhere; this console keeps the terminal.
        self.console = SafeConsole(file=sys.stdout, width=None if sys.stdout.isatty() else FILE_WIDTH)
        columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
        self.bar = Progress(
            *columns,
            console=self.console,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep progress", daemon=True)

    def __enter__(self) -> SweepProgress:
        """Note what is done already, and start to watch."""
        for job in self.folder.jobs:
            if (record := job.record).get("state") == "done":
                self._note(job, record)
        self.bar.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look once more, and stop."""
        self._stop.set()
        self._thread.join()
        self.look()
        self.bar.stop()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Read the files of jobs that have not ended, and show what changed."""
        for job in self.folder.jobs:
            if self.records.get(job.number, {}).get("state") in ENDED or not (record := job.record):
                continue
            self._note(job, record)
            if record["state"] in ENDED:
                if record["seconds"] is not None and record["state"] == "done":
                    self.seconds.append(record["seconds"])
                self._say(job, record)
        ended = sum(self.count(state) for state in ENDED)
        self.bar.update(self.task, completed=ended, description=self.status())

    def _note(self, job: Job, record: dict[str, Any]) -> None:
        self.records[job.number] = record
        metric = self.metric(job) if record["state"] == "done" else None
        if metric is not None and (self.best is None or metric > self.best[0]):
            self.best = metric, job

    def _say(self, job: Job, record: dict[str, Any]) -> None:
        """Print how a job ended; on a terminal the bar says so unless it failed."""
        label, on_terminal = self.label(job), self.console.is_terminal
        lines = []
        if record["error"]:
            lines = [f"job {job.number} {record['state']} ({label}): {record['error']}"]
        elif not on_terminal:
            lines = [f"job {job.number} {record['state']} in {record['seconds']:.0f} s ({label})"]
        for line in lines + ([] if on_terminal else [f"  {self.status()}"]):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def count(self, state: str) -> int:
        """Return how many jobs are in a state."""
        return sum(record.get("state") == state for record in self.records.values())

    def status(self) -> str:
        """Return one line: done, failed, running, time left, best so far."""
        parts = [f"{self.count('done')} of {self.total} done", f"{self.count('failed')} failed"]
        parts += [f"{self.count('pruned')} pruned"] if self.count("pruned") else []
        parts.append(f"{self.count('running')} running")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {_spoken(left)} left")
        if self.best is not None:
            parts.append(f"best {self.monitor} {self.best[0]:.4f} ({self.label(self.best[1])})")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the time left from the mean of the jobs done, over those that run side by side; None at first."""
        if not self.seconds:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        running = [r for r in self.records.values() if r.get("state") == "running"]
        gone = [(datetime.now(UTC) - datetime.fromisoformat(r["started"])).total_seconds() for r in running]
        rest = (self.total - len(self.records)) * mean + sum(max(mean - seconds, 0.0) for seconds in gone)
        return max(rest, 0.0) / max(len(running), 1)


def metric_of(job: Job, name: str) -> float | None:
    """Return a job's metric, `val/combined_score` say, from a whole results.json; None where there is none."""
    part, _, metric = name.partition("/")
    try:
        results = read_json(job.folder / "results.json", "", {"selected": str, "phases": dict})
        value = float(results["phases"][results["selected"]]["figures"][part][metric])
    except (ConfigError, OSError, ValueError, KeyError, TypeError):
        return None
    return value if math.isfinite(value) else None


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
