"""A job of a sweep from the inside: it records how it stands, and its failure is its own."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gainkt.config import one_line, user_errors
from gainkt.files import write_json
from gainkt.sweeping.folder import RECORD, Job, SweepFolder, claimed

T = TypeVar("T")
log = logging.getLogger(__name__)

INTERRUPTED = "interrupted"


def sweep_job(task: Callable[[DictConfig], T]) -> Callable[[DictConfig], T | None]:
    """Wrap a Hydra task: under --multirun it writes job.json, prints into output.txt, and its failure stops no other.

    A job that is done already is not run again. Outside a sweep the task is as it was.
    """

    @functools.wraps(task)
    def run(cfg: DictConfig) -> T | None:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            return task(cfg)
        job, sweep = _job()
        OmegaConf.update(cfg, "sweep.group", sweep.plan["sweep"])
        OmegaConf.update(cfg, "sweep.job", sweep.label(job.overrides))
        with claimed(job.folder):
            return None if job.state == "done" else _run(task, cfg, job)

    return run


def _job() -> tuple[Job, SweepFolder]:
    """This process's job, from the folder that Hydra gave it, and the sweep that it belongs to."""
    folder = Path(HydraConfig.get().runtime.output_dir).resolve()
    return Job(int(folder.name), tuple(HydraConfig.get().overrides.task), folder), SweepFolder(folder.parent)


def _run(task: Callable[[DictConfig], T], cfg: DictConfig, job: Job) -> T | None:
    """Run the task and write job.json before and after."""
    import torch

    record: dict[str, Any] = {
        "number": job.number,
        "overrides": list(job.overrides),
        "state": "running",
        "error": None,
        "started": _now(),
        "ended": None,
        "seconds": None,
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES") or None,
        "threads": torch.get_num_threads(),
    }
    write_json(job.folder / RECORD, record)
    start = time.monotonic()

    def end(state: str, error: str | None = None) -> None:
        seconds = round(time.monotonic() - start, 3)
        write_json(job.folder / RECORD, {**record, "state": state, "error": error, "ended": _now(), "seconds": seconds})

    try:
        with _printing_into(job.folder / "output.txt"):
            value = task(cfg)
    except Exception as error:
        log.exception("job %d failed", job.number)
        end("failed", _said(error))
        return None
    except BaseException:
        end("failed", INTERRUPTED)
        raise
    end("done")
    return value


def _said(error: Exception) -> str:
    """One line about an error; its kind too where it is none that a user causes."""
    text = one_line(error)
    return text if isinstance(error, user_errors()) else f"{type(error).__name__}: {text}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextmanager
def _printing_into(path: Path) -> Iterator[None]:
    """Send what a job prints to a file, so that jobs side by side do not write over each other on the terminal."""
    with path.open("w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        yield
