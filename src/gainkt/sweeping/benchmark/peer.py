"""A peer: a model that its own code trains in an environment of its own, on plain files (gainkt.peers says which)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import gainkt.peers
from gainkt.data.datamodule import PARTS, KTDataModule
from gainkt.errors import ConfigError
from gainkt.evaluation.leakage import guard
from gainkt.files import write_json
from gainkt.overrides import compose_train
from gainkt.runs.audit import ALONE, Audit
from gainkt.sweeping.benchmark.contenders import EPOCHS, Task, Told, asked, audited_students, data_of, peak_mib

EVERY = 0.001, 0.02
"""Seconds between looks at a peer's memory: at first, and from when on they have doubled to that."""
ROUNDING = 1e-9
"""By how much a sum of a peer's may lie outside 0 to 1: its rounding, no other number."""
OWN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables of this process's Python that the peer's must not see."""


@dataclass(frozen=True)
class Peer:
    """Another project's model."""

    name: str
    driver: str
    """A script of gainkt.peers by name, or the path of one."""
    python: str | None = None
    """Of its environment."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """For the driver."""

    seeded: ClassVar[bool] = True
    reads_as_given: ClassVar[bool] = True

    @property
    def rows(self) -> list[str]:
        """Name of its row in the table."""
        return [self.name]

    def identity(self) -> list[str]:
        """What tells it from others."""
        script = self._script()
        digest = hashlib.blake2b(script.read_bytes(), digest_size=8).hexdigest() if script.is_file() else "missing"
        return [f"driver={self.driver} {digest}", f"settings={json.dumps(dict(self.settings), sort_keys=True)}"]

    def _script(self) -> Path:
        shipped = Path(gainkt.peers.__file__).parent / f"{self.driver}.py"
        return shipped if shipped.is_file() else Path(self.driver).expanduser()

    def run(self, task: Task) -> Told:
        """Hand out the data, start the driver, and read what it predicts.

        Raises:
            ConfigError: there is no such environment or driver, it failed, or it predicted something else.
        """
        if self.python is None:
            raise ConfigError(f"no environment: give peers.{self.name}.python=<its python>")
        python, script = shutil.which(os.path.expanduser(self.python)), self._script()
        if python is None or not script.is_file():
            raise ConfigError(f"peers.{self.name}: no such file: {self.python if python is None else script}")
        datamodule = data_of(compose_train(task.data))
        exchange = task.folder / "exchange"
        shutil.rmtree(exchange, ignore_errors=True)
        exchange.mkdir(parents=True)
        try:
            probes = Probes(datamodule, task.audited, task.seed)
            table, notes = _hand_out(datamodule, probes, {"settings": self.settings, "seed": task.seed}, exchange)
            seconds, peak = _start([python, str(script), str(exchange)])
            told = _read(exchange / "predictions.csv", table[table["scored"] == 1])
            epochs, written = _epochs(exchange / "epochs.csv"), exchange / "notes.txt"
            notes += tuple(written.read_text(errors="replace").splitlines()) if written.is_file() else ()
        finally:
            shutil.rmtree(exchange, ignore_errors=True)
        mine, _ = asked(datamodule.log_, datamodule.students("test"))
        audits = {self.name: probes.audit(told, self.name)} if len(probes.students) else {}
        table = mine.assign(**{self.name: told[: len(mine)]})
        return Told(table, datamodule, seconds, peak, audits, notes, epochs)


class Probes:
    """Copies of some test students whose later responses are flipped: no earlier prediction may know."""

    def __init__(self, datamodule: KTDataModule, count: int, seed: int) -> None:
        log = datamodule.log_
        self.students = audited_students(datamodule, count, seed) if count else np.empty(0, dtype=np.int64)
        draw = np.random.default_rng(seed)
        self.first = 1 + (draw.random(len(self.students)) * (log.lengths[self.students] - 1)).astype(np.int64)
        """Step from which on a copy's responses are flipped."""
        scored = log.lengths - 1
        test = datamodule.students("test")
        place = dict(zip(test.tolist(), np.cumsum(scored[test]) - scored[test], strict=True))
        self.pairs = [(place[s], scored[s], first) for s, first in zip(self.students.tolist(), self.first, strict=True)]
        self.num_asked = int(scored[test].sum())

    def audit(self, p: NDArray[np.float64], name: str) -> dict[str, Any]:
        """Compare predictions of the copies, which stand after all others, with those of the students."""
        ahead = later = 0.0
        copy = self.num_asked
        for own, length, first in self.pairs:
            moved = np.abs(p[own : own + length] - p[copy : copy + length])  # of steps 1, 2, ...
            ahead, later = max(ahead, moved[:first].max()), max(later, moved[first:].max(initial=0.0))
            copy += length
        measured = {"moved_at_or_before": float(ahead), "moved_after": float(later), "students": len(self.pairs)}
        guards = [
            guard(
                "later_responses", ahead <= ALONE, measured, f"flipped later responses move it by {ahead:.1e} at most"
            ),
            guard("history_is_read", later > ALONE, measured, f"earlier responses move it by up to {later:.1e}"),
        ]
        return Audit(name, guards).content


def _hand_out(
    datamodule: KTDataModule, probes: Probes, settings: Mapping[str, Any], folder: Path
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Write settings and the three parts; return the test part with the probes, and what is to be said of skills."""
    log, names = datamodule.log_, log_skills(datamodule)
    codes: dict[str, int] = {}
    tables = {}
    for part in PARTS:
        students = datamodule.students(part)
        flips = np.full(len(students), np.iinfo(np.int64).max)
        if part == "test":
            students, flips = np.r_[students, probes.students], np.r_[flips, probes.first]
        steps, lengths = log.steps_of(students), log.lengths[students]
        place = steps - np.repeat(log.offsets[:-1][students], lengths)
        response = np.asarray(log.responses[steps], dtype=np.int64)
        tables[part] = pd.DataFrame(
            {
                "student": np.repeat(np.arange(len(students)), lengths),
                "step": place,
                "skill": [codes.setdefault(names[m], len(codes)) for m in steps],
                "skills": [names[m] for m in steps],
                "item": log.items[steps] if log.num_items else 0,
                "response": np.where(place >= np.repeat(flips, lengths), 1 - response, response),
                "scored": (place > 0).astype(int),
            }
        )
        tables[part].to_csv(folder / f"{part}.csv", index=False)
    write_json(folder / "settings.json", {**settings, "num_skills": len(codes), "num_items": log.num_items})
    test, several = tables["test"], [name for name in codes if ";" in name]
    notes: tuple[str, ...] = ()
    if several:
        new = int((~test["skill"].isin(tables["train"]["skill"]) & (test["scored"] == 1)).sum())
        notes = (
            f"{len(several):,} sets of several skills count as skills of their own ({new:,} scored steps on new ones)",
        )
    return test, notes


def log_skills(datamodule: KTDataModule) -> list[str]:
    """Return the numbers of each step's skills, in order and joined by ";"."""
    log = datamodule.log_
    if len(log.skills) == log.num_steps:
        return [str(k) for k in log.skills.tolist()]
    skills, ends = log.skills.tolist(), log.skill_offsets.tolist()
    return [";".join(map(str, sorted(skills[a:b]))) for a, b in pairwise(ends)]


def _start(command: list[str]) -> tuple[float, float | None]:
    """Run a driver to its end; return its seconds, and its largest memory.

    Raises:
        ConfigError: it failed; with its last line.
    """
    env = {name: value for name, value in os.environ.items() if name not in OWN}
    start, peak, printed = time.perf_counter(), None, Path(command[-1]) / "printed.txt"
    pause, longest = EVERY
    with printed.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env) as process:
        try:
            while True:
                peak = peak_mib(process.pid) or peak  # of a process that has ended nothing is known
                try:
                    process.wait(pause)
                    break
                except subprocess.TimeoutExpired:
                    pause = min(2 * pause, longest)
        finally:
            if process.poll() is None:
                process.terminate()
    seconds, said = time.perf_counter() - start, printed.read_text(errors="replace")
    print(said)
    if process.returncode:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "it printed nothing")
        raise ConfigError(f"the driver ended with status {process.returncode}: {last.strip()}")
    return seconds, peak


def _read(path: Path, wanted: pd.DataFrame) -> NDArray[np.float64]:
    """Return a driver's predictions in the order of the steps that were asked for.

    Raises:
        ConfigError: there are none, or they are of other steps.
    """
    try:
        found = pd.read_csv(path)[["student", "step", "p"]]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"the driver left no predictions.csv of student, step, p ({error})") from None
    for column, cells in found.items():
        found[column] = pd.to_numeric(cells, errors="coerce")
        if (odd := found[column].isna() & cells.notna()).any():
            raise ConfigError(f"predictions.csv: {column} is {cells[odd].iloc[0]!r}, no number ({odd.sum():,} rows)")
    keys = ["student", "step"]
    twice = int(found.duplicated(keys).sum())
    joined = wanted[keys].merge(found.drop_duplicates(keys), on=keys, how="left")
    there = int(joined["p"].notna().sum())
    if twice or len(found) != len(wanted) or there < len(wanted):
        raise ConfigError(
            f"predictions.csv has {len(found):,} rows, with a probability for {there:,} of the {len(wanted):,} steps "
            f"asked for{f', {twice:,} of them a second time' if twice else ''}"
        )
    p = joined["p"].to_numpy(dtype=np.float64)
    return np.where((p >= -ROUNDING) & (p <= 1 + ROUNDING), p.clip(0, 1), p)


def _epochs(path: Path) -> pd.DataFrame | None:
    """Read what a driver says of its epochs; None where it says nothing.

    Raises:
        ConfigError: it says something else.
    """
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)[EPOCHS].astype({"train_seconds": float, "seconds": float, "best": bool})
    except (ValueError, KeyError) as error:
        raise ConfigError(f"the driver left an epochs.csv that is not one of {', '.join(EPOCHS)} ({error})") from None
