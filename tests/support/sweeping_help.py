"""Run the sweep command in this process or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sweep_app

from gainkt.sweeping.jobs import SweepFolder
from gainkt.sweeping.summary import report

Sweep = Callable[..., tuple[int, str, str, SweepFolder]]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(name="sweep")
def sweep_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sweep:
    """Run a sweep into tmp_path/sweep: exit status, output, errors and its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.setattr(report, "summarize_or_say_why", lambda folder: (folder / "summarised").touch())

    def run(*arguments: str) -> tuple[int, str, str, SweepFolder]:
        place = [] if any(a.startswith("sweep.resume=") for a in arguments) else ["hydra.sweep.dir=sweep"]
        monkeypatch.setattr(sys, "argv", ["gainkt", "-m", *arguments, *place])
        status = 0
        try:
            sweep_app.main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err, SweepFolder(tmp_path / "sweep")

    return run


@pytest.fixture(name="start")
def start_elsewhere(tmp_path: Path) -> Start:
    """Start a sweep into tmp_path/sweep in a process of its own."""

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, sweep_app.__file__, "-m", *arguments, "hydra.sweep.dir=sweep"]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def calls(folder: SweepFolder) -> list[int]:
    """Numbers of the jobs that were run, in the order of their starts."""
    return [int(line) for line in (folder.path / "calls.txt").read_text().split()]


def states(folder: SweepFolder) -> list[str]:
    """State of each job."""
    return [job.state for job in folder.jobs]
