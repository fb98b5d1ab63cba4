"""Run one revision's experiments through its commands, all in this process, and fingerprint what each run leaves.

`scripts/golden.py` starts it: `python golden_worker.py <source folder> <folder for runs>`, cases.json in the latter. It
knows a revision by its commands and files only, so that modules may move. One JSON line a finished run goes to standard
output; whatever the commands print goes to worker.log.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml
from hydra.core.global_hydra import GlobalHydra
from matplotlib.figure import Figure

from golden_prints import Prints, fingerprint, plain

SMALL = (
    "model.size.d_model=16",
    "model.size.num_heads=2",
    "model.size.d_ff=16",
    "dataset.window_length=24",  # shorter than some histories, so that windows are cut
    "dataset.window_context=8",
    "dataset.tokens_per_batch=512",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "gradient_every=3",
)
SIMULATED = ("dataset.read.num_students=80", "dataset.read.num_items=60", "dataset.read.max_length=80")
SLICE = "assist2015"
SLICED = (f"dataset={SLICE}", f"dataset.path={SLICE}")
ON_SLICE = (
    "v0_scalar",
    "v1_per_skill",
    "v2_enhanced",
    "v4_belief",
    "v4_belief_skill",
    "v4_monotone",
    "v4_aligned",
    "l23_per_step",
)
"""Experiments that also run on real data, whose skills are five times as many: few skills hide mistakes in columns."""
DIAGNOSE, ADVISE = ["diagnose", "figures=false"], ["advise"]
EVALUATE, ALIGN = ["evaluate", "split=valid"], ["align", "reference=bkt"]
ALSO = {
    "l23_per_step": [ADVISE],
    "v0_scalar": [ADVISE],
    "v1_per_skill": [EVALUATE, ADVISE],
    "v2_enhanced": [ADVISE],
    "v3_inverse_warmup": [ADVISE],
    "v4_aligned": [ADVISE],
    "v4_belief": [EVALUATE, ALIGN, ADVISE],
    "v4_monotone": [ADVISE],
}
"""What some runs are asked besides the diagnosis that all get. Advice takes as long as training: a few have it."""
RESUMED = "v3_inverse_warmup"
"""Also killed after its first epoch and resumed."""
DONE = "done"


@dataclass(frozen=True)
class Case:
    """A run: what it is called, how it is trained, what is asked of it afterwards."""

    name: str
    experiment: str
    overrides: list[str]
    then: list[list[str]] = field(default_factory=list)
    resumes: str | None = None
    """The case that it must equal although it is killed and resumed."""


def cases(root: Path, sliced: bool) -> list[Case]:
    """Return the cases of a source tree: every experiment but grids, some on the slice too, and a resumed run.

    Args:
        root: top of the tree.
        sliced: there is a slice of real data.
    """
    found = []
    for path in sorted((root / "conf" / "experiment").glob("*.yaml")):
        name = path.stem
        if (yaml.safe_load(path.read_text()).get("hydra") or {}).get("sweeper"):
            continue  # a grid of runs of another experiment
        if "teachers: ???" in path.read_text():
            continue  # learns from runs that are given
        simulated, then = [*SMALL, *SIMULATED], ALSO.get(name, [])
        found.append(Case(name, name, simulated, [DIAGNOSE, *then]))
        if name == RESUMED:
            found.append(Case(f"{name}-resumed", name, simulated, resumes=name))
        if sliced and name in ON_SLICE:
            again = [command for command in then if command != ADVISE]
            found.append(Case(f"{name}-{SLICE}", name, [*SMALL, *SLICED], [DIAGNOSE, *again]))
    return found


def write_slice(source: Path, folder: Path, by_fold: int = 30, test: int = 60) -> None:
    """Write the first students of each fold of a data set in pyKT's files, and of its test set."""
    folder.mkdir()
    for name, most in (("train_valid.csv", by_fold), ("test.csv", test)):
        header, *rows = (source / name).read_text().splitlines()
        seen: dict[str, int] = {}
        with (folder / name).open("w") as file:
            file.write(header + "\n")
            for row in rows:
                fold = row.partition(",")[0]
                seen[fold] = seen.get(fold, 0) + 1
                if seen[fold] <= most:
                    file.write(row + "\n")


def call(command: str, *arguments: str) -> str:
    """Run a command of gainkt in this process as a shell would; return DONE, or how it failed in one line."""
    GlobalHydra.instance().clear()
    sys.argv = [command, *arguments]
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            importlib.import_module(f"gainkt.{command}").main()
    except SystemExit as end:
        if end.code:
            lines = said.getvalue().splitlines()
            return next((line for line in lines if "error:" in line), f"exit status {end.code}")
    except Exception as error:  # a mistake of the revision's belongs to its fingerprint
        return f"{type(error).__name__}: {error}"
    finally:
        print(said.getvalue(), file=sys.stderr)
    return DONE


def run(case: Case, earlier: Mapping[str, Prints]) -> Prints:
    """Run a case in the working folder; return the fingerprint of what it leaves there.

    Args:
        case: what to run.
        earlier: fingerprints of the cases before it.
    """
    folder = Path(case.name).resolve()
    train = [f"experiment={case.experiment}", *case.overrides, f"hydra.run.dir={case.name}"]
    if case.resumes:
        kill_after_an_epoch(train, folder)
        train = [f"run.resume={case.name}"]
    ended = {"train": call("train", *train)}
    for command, *arguments in case.then if ended["train"] == DONE else ():
        ended[command] = call(command, f"run={case.name}", "device=cpu", *arguments)
    prints = {"ended": {command: plain(how, folder) for command, how in ended.items()}, **fingerprint(folder)}
    if case.resumes:
        whole = earlier[case.resumes]
        unequal = [name for name, parts in prints.items() if name != "ended" and parts != whole.get(name)]
        prints["ended"]["as if uninterrupted"] = f"not in {', '.join(unequal)}" if unequal else DONE
    return prints


def kill_after_an_epoch(arguments: list[str], folder: Path) -> None:
    """Start training in a process of its own and kill it once a checkpoint is there."""
    command = [sys.executable, "-m", "gainkt.train", *arguments]
    victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    while victim.poll() is None and not (folder / "checkpoints" / "last.ckpt").exists():
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    if (folder / "results.json").exists():
        raise RuntimeError(f"{folder.name}: the run was over before it could be killed")


def main() -> int:
    """Run the cases of cases.json."""
    source, out = (Path(argument).resolve() for argument in sys.argv[1:])
    os.chdir(out)
    report, log = os.fdopen(os.dup(1), "w", buffering=1), os.open("worker.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, str(source))
    package = importlib.import_module("gainkt").__file__
    if not (package and Path(package).is_relative_to(source)):
        raise RuntimeError(f"gainkt is imported from {package}, not from {source}")
    torch.set_num_threads(1)
    # Pictures have no fingerprint, and drawing them would take a third of the time.
    Figure.savefig = lambda self, path, **settings: Path(path).touch()  # type: ignore[method-assign]
    done: dict[str, Prints] = {}
    for case in (Case(**entry) for entry in json.loads(Path("cases.json").read_text())):
        done[case.name] = run(case, done)
        report.write(json.dumps({"name": case.name, "prints": done[case.name]}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
