"""How far a sweep is, read from its jobs' files, so that it is the same for every launcher."""

from __future__ import annotations

import json
import math
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from gainkt.console import FILE_WIDTH
from gainkt.sweeping.folder import Job, SweepFolder

EVERY = 1.0
"""Seconds between looks at the jobs' files."""


class SweepProgress:
    """Watch a sweep in a thread: a bar on a terminal, a line for each job that ends elsewhere.

    A failure is printed when it is seen. Shown are jobs done, failed and running, time left, and the best so far.
    """

    def __init__(self, folder: SweepFolder, monitor: str) -> None:
        """Keep what to watch.

        Args:
            folder: of the sweep, planned.
            monitor: figure of results.json that names the best job, higher is better: `val/combined_score`.
        """
        self.folder, self.monitor = folder, monitor
        self.jobs = folder.jobs
        self.records: dict[int, dict[str, Any]] = {}
        self.best: tuple[float, Job] | None = None
        self.seconds: list[float] = []
        # A job that runs in this process prints elsewhere; this console keeps the terminal.
        out = sys.stdout
        self.console = Console(file=out, width=None if out.isatty() else FILE_WIDTH)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep progress", daemon=True)

    def __enter__(self) -> SweepProgress:
        """Note what is done already, and start to watch."""
        for job in self.jobs:
            if (record := job.record).get("state") == "done":
                self._ended(job, record)
        if self.console.is_terminal:
            columns = (BarColumn(20), MofNCompleteColumn(), TextColumn("{task.description}"))
            self.bar = Progress(*columns, console=self.console, redirect_stdout=False, redirect_stderr=False)
            self.task = self.bar.add_task("", total=len(self.jobs))
            self.bar.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look once more, and stop."""
        self._stop.set()
        self._thread.join()
        self.look()
        if self.bar is not None:
            self.bar.stop()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY):
            self.look()

    def look(self) -> None:
        """Read the files of jobs that have not ended, and show what changed."""
        for job in self.jobs:
            if self.records.get(job.number, {}).get("state") in ("done", "failed"):
                continue
            record = job.record
            if record.get("state") in ("done", "failed"):
                if record["seconds"] is not None and record["state"] == "done":
                    self.seconds.append(record["seconds"])
                self._ended(job, record)
                self._say(job, record)
            elif record:
                self.records[job.number] = record
        if self.bar is not None:
            self.bar.update(self.task, completed=self._count("done") + self._count("failed"), description=self.status())

    def _ended(self, job: Job, record: dict[str, Any]) -> None:
        self.records[job.number] = record
        figure = figure_of(job, self.monitor) if record["state"] == "done" else None
        if figure is not None and (self.best is None or figure > self.best[0]):
            self.best = figure, job

    def _say(self, job: Job, record: dict[str, Any]) -> None:
        label = self.folder.label(job.overrides)
        if record["state"] == "failed":
            self._print(f"job {job.number} failed ({label}): {record['error']}")
        elif self.bar is None:
            self._print(f"job {job.number} done in {record['seconds']:.0f} s ({label})")
        if self.bar is None:
            self._print(f"  {self.status()}")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _count(self, state: str) -> int:
        return sum(record.get("state") == state for record in self.records.values())

    def status(self) -> str:
        """Return one line: done, failed, running, time left, best so far."""
        parts = [f"{self._count('done')} of {len(self.jobs)} done", f"{self._count('failed')} failed"]
        parts.append(f"{self._count('running')} running")
        left = self.seconds_left()
        if left is not None:
            parts.append(f"about {_spoken(left)} left")
        if self.best is not None:
            parts.append(f"best {self.monitor} {self.best[0]:.4f} ({self.folder.label(self.best[1].overrides)})")
        return ", ".join(parts)

    def seconds_left(self) -> float | None:
        """Return the time left from the mean of the jobs done, over those that run side by side; None at first."""
        if not self.seconds:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        running = [r for r in self.records.values() if r.get("state") == "running"]
        gone = [(datetime.now(UTC) - datetime.fromisoformat(r["started"])).total_seconds() for r in running]
        waiting = len(self.jobs) - len(self.records)
        rest = waiting * mean + sum(max(mean - seconds, 0.0) for seconds in gone)
        return rest / max(len(running), 1)


def figure_of(job: Job, monitor: str) -> float | None:
    """Return a job's figure, `val/combined_score` say, from its results.json; None where it has none."""
    part, _, name = monitor.partition("/")
    try:
        results = json.loads((job.folder / "results.json").read_text())
        figure = float(results["phases"][results["selected"]]["figures"][part][name])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return figure if math.isfinite(figure) else None


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
