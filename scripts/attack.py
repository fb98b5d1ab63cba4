"""Attack gainkt and count what it does not stand: `python scripts/attack.py --minutes 60 --seed 0 --output attack.md`.

Each row of the table that is printed is one way to do harm. A trial ends in one of

    exact      the results are those of a run that nobody attacked, to the bit; or what was read is what was written
    accepted   the setting, name or input is one that gainkt takes, and the command ran to its end
    clean      one line that a user can act on (ConfigError, DataError, ReportError, an error of the system by its name)
    failed     anything else: a traceback, a process that hangs or dies
    silent     other results without a word
    executed   code or a path that a folder named was run, or written

Everything runs in forks of this process, in a temporary folder. POSIX only; what needs a mount is left out without
the right to one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import gainkt.training.train
from gainkt.advise import advise_config
from gainkt.align import align_config
from gainkt.config import build, conf_dir, one_line, register_resolvers
from gainkt.data.log import InteractionLog
from gainkt.data.readers import read_csv, read_log
from gainkt.diagnose import diagnose_config
from gainkt.errors import ConfigError, DataError, ReportError
from gainkt.evaluate import evaluate
from gainkt.files import write_whole
from gainkt.references.rasch import Rasch
from gainkt.simulation.simulate import simulate
from gainkt.sweeping.command import resumed_arguments
from gainkt.sweeping.summary.runs import read_runs
from gainkt.train import train
from gainkt.trajectory import read_student

CLEAN = (ConfigError, DataError, ReportError, OSError, HydraException, OmegaConfBaseException)
VERDICTS = ("exact", "accepted", "clean", "failed", "silent", "executed")
SIZE = {"num_students": 60, "num_skills": 6, "num_items": 18, "max_length": 40}
TINY = (
    *(f"dataset.read.{key}={value}" for key, value in SIZE.items()),
    *("dataset.tokens_per_batch=400", "model.size.d_model=16", "model.size.num_heads=2", "model.size.num_blocks=1"),
    *("model.size.d_ff=16", "trainer.max_epochs=4", "trainer.accelerator=cpu", "gradient_every=0"),
)
PATIENCE = 400
"""Seconds after which a trial is said to hang."""
MEMORY = 16 << 30
"""Bytes of address space of a trial: what grows beyond fails."""
HOSTILE = (
    "$x$",
    "[/x]",
    "\x1b[31m",
    "../../x",
    "a\nb",
    "",
    " ",
    "|",
    "<b>",
    "é\u202ex",
    "x" * 300,
    "'",
    '"',
    "{}",
    "~",
)
VALUES = (
    *HOSTILE,
    "-1",
    "0",
    "1.0e+9",
    ".nan",
    ".inf",
    "null",
    "true",
    "[]",
    "{a: 1}",
    "1.5",
    "???",
    "maybe",
    "${seed}",
    "999999999999",
)


@dataclass(frozen=True)
class End:
    """How a forked piece of work ended."""

    verdict: str
    """accepted, clean or failed; killed where it was."""
    said: str = ""
    value: Any = None


def forked(work: Callable[[], Any], place: Path, meanwhile: Callable[[int], None] = lambda process: None) -> End:
    """Do work in a fork of this process; its value comes back as JSON."""
    answer = place / f"answer-{time.monotonic_ns()}.json"
    process = os.fork()
    if not process:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        with open(place / "output.txt", "a") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        try:
            end = {"verdict": "accepted", "value": work()}
        except CLEAN as error:
            text = one_line(error)
            end = {"verdict": "clean" if text and "\n" not in text else "failed", "said": text}
        except BaseException:
            end = {"verdict": "failed", "said": traceback.format_exc()}
        with suppress(OSError):
            write_whole(answer, lambda building: building.write_text(json.dumps(end, default=lambda other: None)))
        os._exit(0)
    meanwhile(process)
    until = time.monotonic() + PATIENCE
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > until:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return End("failed", f"hangs: nothing after {PATIENCE} s")
        time.sleep(0.01)
    if answer.is_file():
        end = json.loads(answer.read_text())
        answer.unlink()
        return End(**end)
    if os.WIFSIGNALED(ended[1]) and os.WTERMSIG(ended[1]) == signal.SIGKILL:
        return End("killed")
    return End("failed", f"the process died ({ended[1]})")


def composed(door: str, *overrides: str) -> DictConfig:
    """The config of a command."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose(door, list(overrides))


def prints(run: Path) -> dict[str, Any]:
    """What a run came to: every number of its results, metrics and scorecard, and its best weights."""
    found: dict[str, Any] = {
        name: (run / name).read_text() for name in ("results.json", "metrics.csv", "scorecard.json")
    }
    for path in sorted((run / "checkpoints").glob("best-*.ckpt")):
        weights = torch.load(path, weights_only=True)["state_dict"]
        found[path.name] = str([float(value.double().sum()) for value in weights.values()])
    return found


class Attack:
    """One row of the table: `trial` does harm once and returns a verdict and what was said."""

    def __init__(self, stage: Stage) -> None:
        """Take what all attacks share."""
        self.stage, self.draw, self.place = stage, stage.draw, stage.place

    def trial(self) -> tuple[str, str]:
        """Do harm once."""
        raise NotImplementedError

    def fresh(self) -> Path:
        """A new folder for a trial."""
        return Path(tempfile.mkdtemp(dir=self.place))


class Stage:
    """What attacks start from: a seed, a folder, runs that nobody attacked, made when they are first asked for."""

    def __init__(self, seed: int, place: Path) -> None:
        """Start in an empty folder."""
        self.draw, self.place = random.Random(seed), place
        self.known: dict[str, tuple[Path, dict[str, Any], float]] = {}
        self.told: dict[str, str] = {}
        self.configs: dict[str, DictConfig] = {}
        register_resolvers()
        names = sorted(path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml"))
        self.experiments = [name for name in names if not name.startswith(("sweep_", "seeds_"))]

    @cached_property
    def phased(self) -> list[str]:
        """Experiments that train in phases."""

        def has_phases(experiment: str) -> bool:
            cfg = composed("train", f"experiment={experiment}", *TINY)
            return len(build(cfg.schedule).phases(cfg.trainer.max_epochs)) > 1

        own = {name: Path(conf_dir(), "experiment", f"{name}.yaml").read_text() for name in self.experiments}
        return [name for name in self.experiments if "schedule" in own[name] and has_phases(name)]

    def config(self, experiment: str, run: Path) -> DictConfig:
        """The config of a small run of an experiment."""
        return composed("train", f"experiment={experiment}", *TINY, f"run.dir={run}", f"run.root={self.place}")

    def composed_once(self, experiment: str) -> DictConfig:
        """The config of a run of one epoch, which forks may change."""
        if experiment not in self.configs:
            own = (*TINY, "trainer.max_epochs=1", f"run.root={self.place}", f"run.dir={self.place}")
            self.configs[experiment] = composed("train", f"experiment={experiment}", *own)
        return self.configs[experiment]

    def start(self, experiment: str, run: Path) -> Callable[[], Any]:
        """What trains it."""
        cfg = self.config(experiment, run)
        return lambda: train(cfg)

    def resume(self, experiment: str, run: Path) -> Callable[[], Any]:
        """What takes it up again, as the message of an interruption says."""
        if not (run / "config.yaml").is_file():
            return self.start(experiment, run)
        cfg = composed("train", f"run.resume={run}")
        return lambda: train(cfg)

    def baseline(self, experiment: str) -> tuple[Path, dict[str, Any], float]:
        """A run that nobody attacks, what it came to, and how long it took."""
        if experiment not in self.known:
            run, begun = self.place / f"baseline-{experiment}", time.monotonic()
            end = forked(self.start(experiment, run), self.place)
            if end.verdict != "accepted":
                raise SystemExit(f"attack: {experiment} does not run unharmed: {end.said}")
            self.known[experiment] = run, prints(run), time.monotonic() - begun
        return self.known[experiment]

    def judge(self, experiment: str, run: Path) -> tuple[str, str]:
        """Take a run up again until it ends, and compare it with the one that nobody attacked."""
        end = forked(self.resume(experiment, run), self.place)
        if end.verdict != "accepted":
            return "failed", f"cannot be resumed: {end.said}"
        found, known = prints(run), self.baseline(experiment)[1]
        other = [name for name in known if found.get(name) != known[name]]
        return ("silent", f"{experiment}: {', '.join(other)} differ") if other else ("exact", "")


class Kill(Attack):
    """SIGKILL at a random moment of a run of any experiment, up to three times, then resumed."""

    def trial(self) -> tuple[str, str]:
        """Kill and resume."""
        experiment = self.draw.choice(self.stage.experiments)
        seconds, run = self.stage.baseline(experiment)[2], self.fresh() / "run"
        for _ in range(self.draw.randint(1, 3)):
            wait = self.draw.uniform(0, seconds)

            def kill(process: int, wait: float = wait) -> None:
                time.sleep(wait)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

            end = forked(self.stage.resume(experiment, run), self.place, kill)
            if end.verdict not in ("killed", "accepted"):
                return "failed", end.said
        return self.stage.judge(experiment, run)


class KillAtOperation(Attack):
    """SIGKILL just before the n-th file that a run opens, renames, makes or removes."""

    events = ("open", "os.rename", "os.remove", "os.mkdir")

    def trial(self) -> tuple[str, str]:
        """Kill and resume."""
        experiment = self.draw.choice(self.stage.phased)
        self.stage.baseline(experiment)
        run, left = self.fresh() / "run", [self.draw.randint(1, 90)]

        def hook(event: str, given: tuple[Any, ...]) -> None:
            if event in self.events and str(run) in str(given[0]):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

        work = self.stage.resume(experiment, run)

        def watched() -> None:
            sys.addaudithook(hook)
            work()

        end = forked(watched, self.place)
        if end.verdict not in ("killed", "accepted"):
            return "failed", end.said
        return self.stage.judge(experiment, run)


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class FullDisk(Attack):
    """A disk that is full after some hundred kilobytes, then has room again."""

    def options(self) -> str:
        """Of the small file system."""
        return f"size={self.draw.randint(8, 400) * 1024}"

    def trial(self) -> tuple[str, str]:
        """Fill it, free it, resume."""
        experiment = "v3_inverse_warmup"
        self.stage.baseline(experiment)
        with mounted(self.fresh() / "small", self.options()) as small:
            end = forked(self.stage.start(experiment, small / "run"), self.place)
            if end.verdict not in ("clean", "accepted"):
                return "failed", end.said
            again = "remount,size=64m,nr_inodes=10000"
            subprocess.run(["mount", "-o", again, str(small)], check=True)
            return self.stage.judge(experiment, small / "run")


class NoInodes(FullDisk):
    """A disk that takes no more files after a few, then does again."""

    def options(self) -> str:
        """Of the small file system."""
        return f"size=64m,nr_inodes={self.draw.randint(2, 24)}"


class Race(Attack):
    """Two commands start the same run, or one starts while the other is resumed."""

    def trial(self) -> tuple[str, str]:
        """Start both."""
        experiment, run = "v3_inverse_warmup", self.fresh() / "run"
        seconds, second = self.stage.baseline(experiment)[2], self.fresh()
        pause = self.draw.uniform(0, seconds)
        other: list[End] = []

        def meanwhile(process: int) -> None:
            time.sleep(pause)
            other.append(forked(self.stage.resume(experiment, run), second))

        first = forked(self.stage.start(experiment, run), self.place, meanwhile)
        for end in (first, *other):
            if end.verdict == "failed":
                return "failed", end.said
        if "accepted" not in (first.verdict, other[0].verdict):
            return "failed", f"neither ran: {first.said}; {other[0].said}"
        return self.stage.judge(experiment, run)


def harm(path: Path, draw: random.Random) -> str:
    """Damage a file in one of several ways; return which."""
    content = path.read_bytes()
    way = draw.choice(["empty", "cut", "bit", "bits", "digit", "line", "zeros", "missing"])
    if way == "missing":
        path.unlink()
        return way
    changed = bytearray(content)
    if way == "empty":
        changed = bytearray()
    elif way == "cut":
        changed = changed[: draw.randrange(max(len(changed), 1))]
    elif way in ("bit", "bits") and changed:
        for _ in range(1 if way == "bit" else 20):
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    elif way == "digit" and (digits := [i for i, c in enumerate(content) if 48 <= c < 58]):
        changed[draw.choice(digits)] = draw.randrange(48, 58)
    elif way == "line":
        lines = content.splitlines(keepends=True)
        del lines[draw.randrange(len(lines))]
        changed = bytearray(b"".join(lines))
    elif way == "zeros":
        start = draw.randrange(max(len(changed), 1))
        changed[start : start + 64] = bytes(len(changed[start : start + 64]))
    path.write_bytes(bytes(changed))
    return way


class DamagedRun(Attack):
    """A file of a finished run is emptied, cut, flipped, edited, removed; then a command opens the run."""

    files = (
        *("config.yaml", "sizes.json", "provenance.json", "results.json", "metrics.csv", "scorecard.json"),
        *("diagnosis.json", "predictions.parquet", "trajectories.parquet", "skills.parquet", "digests.json"),
        *("checkpoints/last.ckpt", "checkpoints/best-both.ckpt"),
    )
    experiment = "v3_inverse_warmup"

    def doors(self, run: Path) -> dict[str, Callable[[], Any]]:
        """Commands, each with what it came to."""
        given = (f"run={run}", "device=cpu")

        def resumed() -> Any:
            self.stage.resume(self.experiment, run)()
            return prints(run)

        return {
            "evaluate": lambda: evaluate(composed("evaluate", *given, "trajectories.students=5")).results,
            "diagnose": lambda: diagnose_config(composed("diagnose", *given, "figures=false")).content,
            "align": lambda: align_config(composed("align", *given, "reference=rasch")).content,
            "advise": lambda: [
                entry["overrides"] for entry in advise_config(composed("advise", *given)).content["advice"]
            ],
            "resume": resumed,
            "trajectory": lambda: read_student(run / "trajectories.parquet", None)[1].sum(numeric_only=True).to_dict(),
            "summarise": lambda: read_runs(run.parent).table.to_json(),
        }

    def trial(self) -> tuple[str, str]:
        """Damage and open."""
        source = self.stage.baseline(self.experiment)[0]
        if not (source / "diagnosis.json").is_file():
            forked(self.doors(source)["diagnose"], self.place)
        door = self.draw.choice(sorted(self.doors(source)))
        run, twin = (shutil.copytree(source, self.fresh() / "run") for _ in range(2))
        name = self.draw.choice(self.files)
        way = harm(run / name, self.draw) if (run / name).is_file() else "absent"
        if door not in self.stage.told:
            self.stage.told[door] = str(forked(self.doors(twin)[door], self.place).value).replace(str(twin), "")
        end, about = forked(self.doors(run)[door], self.place), f"{door} after {name}: {way}"
        if end.verdict != "accepted":
            return end.verdict, f"{about}: {end.said}"
        same = str(end.value).replace(str(run), "") == self.stage.told[door]
        return ("exact", "") if same else ("silent", about)


class HostileRun(Attack):
    """A received run, or sweep, that names code or a folder of its own choice."""

    def trial(self) -> tuple[str, str]:
        """Plant and open."""
        source = self.stage.baseline(DamagedRun.experiment)[0]
        place = self.fresh()
        run, mark, precious = place / "root" / "run", place / "ran", place / "root" / "precious"
        shutil.copytree(source, run)
        precious.mkdir()
        (precious / "thesis.txt").touch()
        (run / "digests.json").unlink()
        (run / "payload.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Part: ...\n")
        config = yaml.safe_load((run / "config.yaml").read_text())
        target = self.draw.choice(["torch.utils.collect_env.run", "os.system", "payload.Part", "pandas.read_pickle"])
        node = {"_target_": target, "command": f"touch {mark}"}
        way = self.draw.choice(["target", "interpolation", "sweep", "writer"])
        if way == "target":
            parent = config
            while (keys := [k for k, v in parent.items() if isinstance(v, dict)]) and self.draw.random() < 0.7:
                parent = parent[self.draw.choice(keys)]
            parent[self.draw.choice([*parent, "new"])] = node
        elif way == "interpolation":
            config["name"] = "${oc.env:HOME}"
        elif way == "writer":
            away = self.draw.choice([str(precious), "../../precious", f"../..{precious}"])
            plain = {"save_dir": str(run), "name": "", "version": "x"}
            logger = plain | {self.draw.choice([*plain, "sub_dir"]): away}
            profiler = {"dirpath": str(precious), "filename": self.draw.choice(["x", f"/../..{precious}/x"])}
            config["logger"] = {"mine": {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", **logger}}
            config["trainer"]["profiler"] = {"_target_": "lightning.pytorch.profilers.SimpleProfiler", **profiler}
            if self.draw.random() < 0.3:
                table = "gainkt.training.callbacks.metrics_table.MetricsTable"
                config["callbacks"]["mine"] = {"_target_": table, "path": str(precious / "thesis.txt")}
            config["trainer"]["max_epochs"] += 1
            config["run"]["root"] = str(precious)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        door = self.draw.choice([*DamagedRun(self.stage).doors(run)]) if way != "writer" else "resume"
        work = DamagedRun(self.stage).doors(run)[door]
        if way == "sweep":
            ways = {
                "seed=0": "../precious",
                f"+callbacks.x._target_={target}": "../precious",
                f"+hydra.callbacks.x={{_target_:{target}}}": "0",
                f"++hydra.job_logging.handlers.x.()={target}": "0",
                f"run.resume={precious}": "0",
            }
            own = self.draw.choice(list(ways))
            hydra = [f"hydra.searchpath=[file://{run}]"] if self.draw.random() < 0.3 else []
            jobs = [{"number": 0, "overrides": [own], "folder": ways[own]}]
            plan = {"sweep": "x", "overrides": [own], "hydra": hydra, "jobs": jobs}
            (run / "sweep.json").write_text(json.dumps(plan))

            def work() -> None:
                resumed_arguments(["-m", f"sweep.resume={run}"])
                mark.touch()  # nothing of these may as much as reach Hydra

        end = forked(work, self.place)
        left = {path.name: path.stat().st_size for path in precious.iterdir()}
        if mark.exists() or left != {"thesis.txt": 0}:
            return "executed", f"{way} {target} by {door}"
        return end.verdict, end.said


class DamagedLog(Attack):
    """A saved log with a damaged file is opened and read through."""

    def trial(self) -> tuple[str, str]:
        """Damage and open."""
        folder = simulate(**SIZE, seed=self.draw.randrange(100)).save(self.fresh() / "log")
        before, name = content(read_log(folder)), self.draw.choice([path.name for path in folder.iterdir()])
        way = harm(folder / name, self.draw)
        end = forked(lambda: content(read_log(folder)), self.place)
        if end.verdict == "accepted":
            return ("exact", "") if end.value == before else ("silent", f"{name}: {way}")
        return end.verdict, f"{name}: {way}: {end.said}"


def content(log: InteractionLog) -> str:
    """All that a log says, read from its arrays."""
    return f"{log.name} {log.max_slots} {replace(log).digest}"


class DamagedReference(Attack):
    """A fitted reference model with damage is read back."""

    def trial(self) -> tuple[str, str]:
        """Damage and load."""
        log = simulate(**SIZE, seed=0)
        path = Rasch.fit(log, np.arange(log.num_students)).save(self.fresh() / "rasch.json")
        before, way = Rasch.load(path).table().to_json(), harm(path, self.draw)
        end = forked(lambda: Rasch.load(path).table().to_json(), self.place)
        if end.verdict == "accepted":
            return ("exact", "") if end.value == before else ("silent", way)
        return end.verdict, f"{way}: {end.said}"


class MutatedInput(Attack):
    """A table of responses with damage is read."""

    def trial(self) -> tuple[str, str]:
        """Damage and read."""
        path, rows = self.fresh() / "data.csv", self.draw.randint(30, 200)
        table = pd.DataFrame(
            {"student": [f"s{i // 10}" for i in range(rows)], "skill": [f"k{i % 5}" for i in range(rows)]}
        )
        table.assign(correct=[self.draw.randrange(2) for _ in range(rows)]).to_csv(path, index=False)
        way = harm(path, self.draw)
        end = forked(lambda: read_csv(path).digest, self.place)
        return end.verdict, f"{way}: {end.said}"


def settings_of(node: Any, path: str = "") -> Iterator[str]:
    """Every key of a config, dotted, those of its groups too."""
    for key in map(str, node if isinstance(node, DictConfig) else ()):
        yield (name := f"{path}{key}")
        yield from settings_of(node._get_node(key), f"{name}.")


class Settings(Attack):
    """A setting of any experiment, or a whole group, gets a value that it was not made for."""

    left_alone = ("run.", "trainer.max_epochs", "trainer.min_epochs", "dataset.read.")
    """Where a run goes, and what makes it long."""

    def trial(self) -> tuple[str, str]:
        """Set and train."""
        run, experiment = self.fresh() / "run", self.draw.choice(self.stage.experiments)
        cfg = self.stage.composed_once(experiment)
        keys = [key for key in settings_of(cfg) if not key.startswith(self.left_alone)]
        key, text = self.draw.choice(keys), self.draw.choice(VALUES)
        value = text
        with suppress(yaml.YAMLError):  # what is no YAML stays text
            value = text if "$" in text else yaml.safe_load(text)

        def work() -> None:
            cfg.run.dir = str(run)  # of this process's copy
            OmegaConf.update(cfg, key, value)
            train(cfg)

        end = forked(work, self.place)
        return end.verdict, f"{experiment} {key}={text!r}: {end.said}"


class Names(Attack):
    """Runs, students and skills with hostile names are trained, and reports made of them."""

    def trial(self) -> tuple[str, str]:
        """Name and train."""
        place = self.fresh()
        log = simulate(**SIZE, seed=0)
        names = [f"{self.draw.choice(HOSTILE)}{i}" for i in range(log.num_students + log.num_skills)]
        named = replace(log, students=np.array(names[log.num_skills :]), skill_names=np.array(names[: log.num_skills]))
        named.save(place / "log")
        own = [setting for setting in TINY if not setting.startswith("dataset.read")]

        def work() -> None:
            cfg = composed("train", "experiment=v4_belief", "dataset=log", f"dataset.path={place / 'log'}", *own)
            cfg.name, cfg.run.dir, cfg.diagnose = self.draw.choice(HOSTILE), str(place / "run"), True
            train(cfg)

        before = set(self.place.parent.iterdir())
        end = forked(work, self.place)
        if set(self.place.parent.iterdir()) != before and (self.place.parent / "x").exists():
            return "executed", "a name became a path"
        return end.verdict, end.said


ATTACKS: tuple[type[Attack], ...] = (
    *(Kill, KillAtOperation, FullDisk, NoInodes, Race, DamagedRun, DamagedLog, DamagedReference, MutatedInput),
    *(HostileRun, Settings, Names),
)


def attack(minutes: float, seed: int, chosen: Sequence[type[Attack]]) -> tuple[pd.DataFrame, list[str]]:
    """Attack for a time, each row the same share of it; return the table and what was said of the worst."""
    counts: dict[str, Counter[str]] = {}
    worst: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gainkt-attack-") as folder:
        (place := Path(folder, "place")).mkdir()
        stage = Stage(seed, place)
        stage.baseline(DamagedRun.experiment)
        for kind in chosen:
            row, until = counts.setdefault(kind.__name__, Counter()), time.monotonic() + minutes * 60 / len(chosen)
            while not row or time.monotonic() < until:
                try:
                    verdict, said = kind(stage).trial()
                except subprocess.CalledProcessError:
                    row["not possible here"] += 1
                    break
                row[verdict] += 1
                if verdict not in ("exact", "accepted", "clean"):
                    worst.append(f"{kind.__name__}: {verdict}: {said.strip()[:200]} ... {said.strip()[-1000:]}")
                    print(worst[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(counts).T.reindex(columns=VERDICTS).fillna(0).astype(int)
    table.insert(0, "trials", table.sum(axis=1))
    table.loc["all"] = table.sum()
    return table.reset_index(names="attack"), worst


def main() -> int:
    """Run the command; 1 where something failed, was silent or executed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60, help="how long to attack (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of every choice (default 0)")
    parser.add_argument("--only", nargs="*", default=[], help=f"of {', '.join(kind.__name__ for kind in ATTACKS)}")
    parser.add_argument("--output", type=Path, help="file for the table, in Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    # Pictures take longer than these runs, and are drawn when all that is compared stands.
    gainkt.training.train._draw = lambda *given, **more: None
    chosen = [kind for kind in ATTACKS if not options.only or kind.__name__ in options.only]
    table, worst = attack(options.minutes, options.seed, chosen)
    lines = [
        "| " + " | ".join(map(str, row)) + " |" for row in (table.columns, ["---"] * table.shape[1], *table.to_numpy())
    ]
    print("\n".join(lines))
    if options.output:
        write_whole(options.output, lambda building: building.write_text("\n".join(lines) + "\n"))
    return int(bool(worst))


if __name__ == "__main__":
    sys.exit(main())
