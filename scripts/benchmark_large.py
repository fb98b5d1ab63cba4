"""A whole run by size of the log: `python scripts/benchmark_large.py --interactions 1_000_000 10_000_000 131_000_000`.

For each size a log in the shape of EdNet is written, and then, in a fresh process, opened from disk and split; a model
trains on some batches, as many at each size; 1 % of the students validate, 1 % are scored and judged, as at the end of
every run; the model is saved as a bundle; and the batches of training are gathered once more, alone. What each phase
costs is told: seconds, interactions a second, and the peak of memory while it lasts, all (with pages of the log's file,
which the system may drop at will) and own. In the end a model of each log trains on a batch in turn: the speed by size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table

from ednet import INTERACTIONS, STUDENTS, write_log
from gainkt.data.datamodule import PARTS
from gainkt.overrides import compose_train
from gainkt.runs import trained
from gainkt.runs.folder import build_datamodule
from gainkt.training import train as room
from trainee import Trainee

PHASES = {
    "_prepare": "open, split, build",
    "_fit": "plan the epoch",
    "score_phases": "score",
    "tabulate": "tables",
    "judge": "scorecard",
    "_draw": "pictures",
    "load": "export",
}
"""Functions with which phases of a run begin; training itself begins with its first batch."""
SPLIT = ("dataset/split=ratio", "dataset.split.train=0.98", "dataset.split.valid=0.01", "dataset.split.test=0.01")


def memory() -> dict[str, float]:
    """Memory of this process, MiB: its highest since `forget`, and what it holds of its own (Linux)."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(found[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")}


class Meter(Callback):
    """What phases cost, one after another."""

    def __init__(self) -> None:
        """Start with none."""
        self.phases: dict[str, dict[str, float]] = {}
        self._end: Callable[[], None] = lambda: None

    def begin(self, name: str) -> None:
        """End a phase, and begin the next."""
        self._end()
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
        own, done = [memory()["RssAnon"]], threading.Event()

        def watch() -> None:
            while not done.wait(0.005):
                own.append(max(own.pop(), memory()["RssAnon"]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        wall, cpu = time.perf_counter(), time.process_time()

        def end() -> None:
            seconds = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
            done.set()
            watcher.join()
            self.phases[name] = {**seconds, "peak_mib": memory()["VmHWM"], "own_mib": own[0]}

        self._end = end

    def end(self) -> dict[str, dict[str, float]]:
        """End the last phase, and tell of all."""
        self._end()
        return self.phases

    def at(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function that a phase begins with; that which trains gets this callback."""

        def beginning(*arguments: Any, **settings: Any) -> Any:
            self.begin(name)
            if function.__name__ == "_fit":
                arguments[0].callbacks.append(self)
            return function(*arguments, **settings)

        return beginning

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Begin to train."""
        if batch_idx == 0:
            self.begin("train")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to validate."""
        self.begin("validate, save")


def write(folder: Path, interactions: int) -> dict[str, dict[str, float]]:
    """Write the log."""
    meter = Meter()
    meter.begin("write the log")
    write_log(folder / "log", max(round(interactions * STUDENTS / INTERACTIONS), 100), interactions)
    meter.end()["write the log"]["interactions"] = interactions
    return meter.phases


def settings_of(folder: Path, more: Sequence[str]) -> list[str]:
    """Settings of a run on the log in a folder."""
    return ["experiment=v4_belief", "dataset=log", f"dataset.path={folder / 'log'}", *SPLIT, *more]


def run(folder: Path, batches: int, more: Sequence[str]) -> dict[str, dict[str, float]]:
    """Train, score, judge and save, from the log in the folder."""
    meter, settings = Meter(), settings_of(folder, more)
    settings += ["trainer.accelerator=cpu", "trainer.max_epochs=1", f"+trainer.limit_train_batches={batches}"]
    settings += ["+trainer.limit_val_batches=10", f"run.dir={folder / 'run'}"]
    with ExitStack() as watched:
        for function, name in PHASES.items():
            place = trained if function == "load" else room
            watched.enter_context(patch.object(place, function, meter.at(name, getattr(place, function))))
        done = room.train(compose_train(settings), settings)
        trained.load(folder / "run").save(folder / "model.gainkt")
    data = done.datamodule
    loader = iter(data.train_dataloader())
    seen = int(next(loader).valid_BT.sum())
    meter.begin("gather batches")
    gathered = sum(int(batch.valid_BT.sum()) for batch in itertools.islice(loader, batches - 1))
    phases = meter.end()
    steps = {part: int(data.log_.lengths[data.students(part)].sum()) for part in PARTS}
    phases["open, split, build"]["interactions"] = data.log_.num_steps
    phases["plan the epoch"]["interactions"] = steps["train"]
    phases["train"]["interactions"] = seen + gathered
    phases["gather batches"]["interactions"] = gathered
    phases["score"]["interactions"] = steps["valid"] + steps["test"]
    for name in {"tables", "scorecard", "pictures"} & phases.keys():
        phases[name]["interactions"] = steps["test"]
    return phases


def turns(folders: dict[int, Path], batches: int, more: Sequence[str]) -> dict[int, float]:
    """Training interactions a CPU second by size of log, a batch of each in turn, so that all meet the same machine."""
    trainees, loaders, seconds, steps = {}, {}, dict.fromkeys(folders, 0.0), dict.fromkeys(folders, 0)
    for size, folder in folders.items():
        cfg = compose_train(settings_of(folder, more))
        data = build_datamodule(cfg.dataset)
        data.setup()
        trainees[size], loaders[size] = Trainee(cfg, data), iter(data.train_dataloader())
        trainees[size].step(next(loaders[size]))
    for _, size in itertools.product(range(batches), folders):
        begun = time.process_time()
        batch = next(loaders[size])
        trainees[size].step(batch)
        seconds[size] += time.process_time() - begun
        steps[size] += int(batch.valid_BT.sum())
    return {size: round(steps[size] / seconds[size]) for size in folders}


def show(records: dict[int, dict[str, dict[str, float]]]) -> None:
    """Print a table."""
    table = Table(title="a log in the shape of EdNet, by number of interactions")
    for name in ("log", "phase", "interactions", "CPU s", "wall s", "a CPU second", "peak MiB", "own MiB"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for size, phases in records.items():
        for name, x in phases.items():
            steps = x.get("interactions")
            rate = f"{steps / x['cpu_s']:,.0f}" if steps else ""
            memory = (f"{x['peak_mib']:,.0f}", f"{x['own_mib']:,.0f}")
            seconds = (f"{x['cpu_s']:.1f}", f"{x['wall_s']:.1f}")
            table.add_row(f"{size:,}", name, f"{steps:,}" if steps else "", *seconds, rate, *memory)
        table.add_section()
    Console(width=130).print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, nargs="+", default=[1_000_000, 10_000_000, INTERACTIONS])
    parser.add_argument("--batches", type=int, default=200, help="batches of training")
    parser.add_argument("--json", type=Path, help="where the figures go, too")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the runs")
    parser.add_argument("--here", choices=("write", "run", "turns"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.here:
        folders = {size: options.folder / str(size) for size in options.interactions}
        size, folder = next(iter(folders.items()))
        more = (options.batches, options.set)
        done = {"write": lambda: write(folder, size), "run": lambda: run(folder, *more)}
        print(json.dumps(done.get(options.here, lambda: turns(folders, *more))()))
        return 0
    with tempfile.TemporaryDirectory() as folder:

        def ask(part: str, *sizes: int) -> Any:
            """What a process of its own has measured."""
            command = [sys.executable, __file__, f"--here={part}", f"--folder={folder}", f"--batches={options.batches}"]
            command += ["--interactions", *map(str, sizes), "--set", *options.set]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(done.stdout.splitlines()[-1])

        records = {size: ask("write", size) | ask("run", size) for size in options.interactions}
        rates = ask("turns", *options.interactions)
    show(records)
    print("training, a batch of each log in turn, interactions a CPU second:", rates)
    if options.json:
        options.json.write_text(json.dumps({"phases": records, "in turn": rates}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
