"""Run what is left of a benchmark's jobs, each in a process of its own, and tabulate what all of them came to."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from gainkt.data.readers.cells import number_of
from gainkt.digests import read_json, read_table
from gainkt.errors import ConfigError, DataError
from gainkt.evaluation.leaderboard import KEYS, Entry, leaderboard
from gainkt.files import claimed, plain, write_json, write_whole
from gainkt.masking import masked_content
from gainkt.names import visible
from gainkt.reporting.leaderboard_view import leaderboard_csv, leaderboard_markdown
from gainkt.reporting.page import PAGE, require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.sweeping.benchmark.contenders import Task, require_asked
from gainkt.sweeping.benchmark.peer import Peer
from gainkt.sweeping.benchmark.plan import Planned, planned
from gainkt.sweeping.grids import LOST
from gainkt.sweeping.jobs import AGAIN, RECORD, Job, SweepFolder
from gainkt.sweeping.launchers import num_cores
from gainkt.sweeping.progress import SweepProgress

log = logging.getLogger(__name__)
SAID, SCORED = "scored.json", "scored.parquet"
"""What a job that is done leaves beside job.json."""
EVERY = 0.1
"""Seconds between looks at the processes of jobs."""


def benchmark(cfg: DictConfig, arguments: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Run the jobs of a config composed from conf/benchmark.yaml that are not done, and write the table.

    Args:
        cfg: the config.
        arguments: of the command line that composed it, with which each job's process is started; jobs run in this
            process, and their memory is not measured, where None or with `isolated=false`.

    Returns:
        As benchmark.json; None where `job` asks for one job alone.

    Raises:
        ConfigError: a setting that cannot be used, or a data set or model that was run with other settings.
        DataError: published figures that cannot be read.
        OSError: the folder cannot be written.
    """
    folder = SweepFolder(Path(cfg.run.dir).expanduser().resolve())
    earlier = {job.overrides[1].partition("=")[2] for job in folder.jobs} if folder.planned else ()
    jobs, left_out = planned(cfg, earlier)
    if cfg.report:
        require_pages()
    if cfg.job is not None:
        wanted = {tuple(masked_content(one.which)): one for one in jobs}
        job = next((job for job in folder.jobs if job.number == cfg.job), None)
        if job is None or job.overrides[:4] not in wanted:
            raise ConfigError(
                f"job={cfg.job}: not a job of this benchmark in {folder.path}; leave `job` to the benchmark"
            )
        _do(job, wanted[job.overrides[:4]], cfg, isolated=True)
        return None
    published = [] if cfg.published is None else read_published(Path(cfg.published).expanduser())
    with claimed(folder.path):
        mine = _agreed(folder, jobs, cfg.name)
        left = {job: one for job, one in mine.items() if not is_done(job)}
        print(f"benchmark: {folder.path} ({len(left)} of {len(mine)} jobs to run)", flush=True)
        for job in left:
            (job.folder / RECORD).unlink(missing_ok=True)  # of an earlier attempt, maybe with other settings
            job.write(state="waiting")
        with SweepProgress(folder, len(folder.jobs), label, "", lambda job: None):
            if cfg.isolated and arguments is not None:
                _in_processes(list(left), arguments, int(cfg.slots))
            else:
                for job, one in left.items():
                    _do(job, one, cfg, isolated=False)
        return _tabulated(folder, [job for job in folder.jobs if job in mine or job.record], cfg, left_out, published)


def is_done(job: Job) -> bool:
    """Tell whether a job's predictions stand."""
    return job.state == "done" and (job.folder / SAID).is_file()


def label(job: Job) -> str:
    """Return which job it is, in words."""
    return " ".join(visible(word) for word in job.overrides[:4])


def _masked(one: Planned) -> tuple[str, ...]:
    return tuple(masked_content(one.words))


def _agreed(folder: SweepFolder, jobs: Sequence[Planned], name: str) -> dict[Job, Planned]:
    """Add to the plan the jobs that are new, and return a folder for each that is asked for.

    A data set or a model is one thing in all of a benchmark: whatever folds and seeds this command asks for, it must
    be what it was in the jobs that are done.

    Raises:
        ConfigError: a data set or model was run with other settings.
    """
    known = {job.overrides[:4]: job for job in folder.jobs} if folder.planned else {}
    plan = {which: job.overrides for which, job in known.items()}
    done = {which for which, job in known.items() if is_done(job)}
    entries: dict[str, str] = {}
    for words in [*(plan[which] for which in sorted(done)), *map(_masked, jobs)]:
        for entry, now in _entries_of(words):
            if (before := entries.setdefault(entry, now)) != now:
                raise ConfigError(
                    f"{folder.path}: {entry} was run with other settings ({before} is now {now}); take them back, or "
                    "give name=... for another benchmark"
                )
        if words[:4] not in done:
            plan[words[:4]] = words
    folder.write_plan(name, [], [], list(plan.values()))
    folder.__dict__.pop("plan", None)  # as it stands now
    by_which = {job.overrides[:4]: job for job in folder.jobs}
    return {by_which[tuple(masked_content(one.which))]: one for one in jobs}


def _entries_of(words: Sequence[str]) -> list[tuple[str, str]]:
    """The data set and the model of a job, and the settings of each, but for the fold."""
    dataset, model, _, _, data, settings = words
    key, _, chosen = data.partition("=")
    return [(dataset, f"{key}={json.dumps(json.loads(chosen)[:-1])}"), (model, settings)]


def _do(job: Job, one: Planned, cfg: DictConfig, *, isolated: bool) -> None:
    """Do a job's work; how it ended stands in job.json, and a traceback in the log."""

    def work() -> None:
        told = one.model.run(Task(one.data, one.seed or 0, job.folder, int(cfg.audit)))
        require_asked(told)
        table = told.predictions.sort_values(["student", "step"], kind="stable", ignore_index=True)
        table = table.astype({"student": str, "step": "int32", "response": "int8"})
        said = {
            "seconds": told.seconds,
            "peak_mib": told.peak_mib if isolated or isinstance(one.model, Peer) else None,
            "speed": told.speed,
            "digest": _digest(table),
            "data": told.datamodule.log_.digest if one.model.reads_as_given else None,
            "protocol": told.datamodule.protocol,
            "audits": told.audits,
            "notes": list(told.notes),
        }
        write_whole(job.folder / SCORED, partial(table.to_parquet, index=False))
        write_json(job.folder / SAID, plain(said))

    try:
        job.run(work)
    except Exception:
        log.exception("job %d failed", job.number)


def _digest(table: pd.DataFrame) -> str:
    """16 hex digits of the scored steps and their responses."""
    text = table[list(KEYS)].to_csv(index=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _in_processes(jobs: list[Job], arguments: Sequence[str], slots: int) -> None:
    """Run jobs in processes of their own, some at a time; one that ends without a word has failed."""
    threads = str(max(num_cores() // max(slots, 1), 1))
    env = {"OMP_NUM_THREADS": threads, **os.environ}
    waiting = list(reversed(jobs))
    running: dict[Job, tuple[subprocess.Popen, TextIOWrapper]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < max(slots, 1):
                job = waiting.pop()
                command = [sys.executable, "-m", "gainkt.benchmark", *arguments, f"job={job.number}"]
                errors = (job.folder / "errors.txt").open("w")
                running[job] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=env), errors
            time.sleep(EVERY)
            for job, (process, errors) in list(running.items()):
                if process.poll() is not None:
                    errors.close()
                    said = Path(errors.name).read_text(errors="replace").strip().splitlines()
                    Path(errors.name).unlink()
                    job.fail(f"{LOST} ({said[-1]})" if said else LOST)
                    del running[job]
    except KeyboardInterrupt as interruption:
        interruption.add_note("the same command goes on")
        raise
    finally:
        for process, _ in running.values():
            process.terminate()
        for process, errors in running.values():
            process.wait()
            errors.close()


def _tabulated(
    folder: SweepFolder, jobs: list[Job], cfg: DictConfig, left_out: Sequence[str], published: Sequence[Mapping]
) -> dict[str, Any]:
    """Tabulate jobs, and write benchmark.json, .csv and .md, and the page where it is asked for."""
    entries = [_entry(job) for job in jobs]
    content = leaderboard(entries, str(cfg.baseline), int(cfg.resamples))
    protocols = {e.dataset: _said(job).get("protocol") for job, e in zip(jobs, entries, strict=True) if not e.error}
    for board in content["datasets"]:
        board["protocol"] = protocols.get(board["name"])
        board["published"] = [row for row in published if row["dataset"] == board["name"]]
    others = sorted({row["dataset"] for row in published} - {board["name"] for board in content["datasets"]})
    told = [f"published figures on {visible(', '.join(others), 200)}: not in the table"] if others else []
    content = plain({"name": cfg.name, **content, "left_out": [*left_out, *told]})
    write_json(folder.path / "benchmark.json", content)
    write_whole(folder.path / "benchmark.csv", lambda path: leaderboard_csv(content).to_csv(path, index=False))
    write_whole(folder.path / "benchmark.md", lambda path: path.write_text(leaderboard_markdown(content)))
    if cfg.report:
        from gainkt.reporting.page.leaderboard_page import leaderboard_page

        Page(leaderboard_page(content)).save(folder.path / PAGE)
    return content


def _said(job: Job) -> dict[str, Any]:
    kinds = {"digest": str, "protocol": str, "audits": dict, "notes": list}
    return read_json(job.folder / SAID, AGAIN, kinds)


def _entry(job: Job) -> Entry:
    dataset, model, fold, seed = (word.partition("=")[2] for word in job.overrides[:4])
    which: dict[str, Any] = {"dataset": dataset, "model": model}
    which |= {"fold": int(fold), "seed": None if seed == "None" else int(seed)}
    if not is_done(job):
        return Entry(**which, error=job.record.get("error") or job.state)
    said = _said(job)
    kept: dict[str, Any] = {
        key: said.get(key) for key in ("digest", "data", "seconds", "peak_mib", "speed", "audits", "notes")
    }
    return Entry(**which, **kept, read=partial(read_table, job.folder / SCORED, AGAIN, categories=["student"]))


def read_published(path: Path) -> list[Mapping[str, Any]]:
    """Read published figures: columns dataset, model, auc, source.

    Raises:
        DataError: the file cannot be read, lacks a column, or an AUC is no number from 0 to 1.
    """
    columns = ["dataset", "model", "auc", "source"]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows: list[dict[Any, Any]] = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"published={path}: cannot be read ({error})") from error
    if lacking := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise DataError(f"published={path}: no column {', '.join(lacking)}; give {', '.join(columns)}")
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise DataError(f"published={path}: row {number} has more or fewer cells than the header; quote its cells")
        auc = number_of(row["auc"])
        if auc is None or not 0 <= auc <= 1:
            raise DataError(f"published={path}: row {number}: auc is {row['auc']!r}, no number from 0 to 1")
        row["auc"] = auc
    return [{column: row[column] for column in columns} for row in rows]
