"""Run one revision's experiments through its commands, all in this process, and fingerprint what each run leaves.

`scripts/golden.py` starts it: `python golden_worker.py <source folder> <folder for runs>`, cases.json in the latter. It
knows a revision by its commands and files only, so that modules may move. One JSON line a finished run goes to standard
output; whatever the commands print goes to worker.log.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import torch
import yaml
from hydra.core.global_hydra import GlobalHydra

Prints = dict[str, str]
"""A run's fingerprint: `file/part` and what is there, a number as it stands or a digest."""

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
MANY = 8
"""Longer lists are told by a digest."""


@dataclass(frozen=True)
class Case:
    """A run: what it is called, how it is trained, what is asked of it afterwards."""

    name: str
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
        if (yaml.safe_load(path.read_text()).get("hydra") or {}).get("sweeper"):
            continue  # a grid of runs of another experiment
        name, small = path.stem, [f"experiment={path.stem}", *SMALL]
        found.append(Case(name, [*small, *SIMULATED], [DIAGNOSE, *ALSO.get(name, ())]))
        if name == RESUMED:
            found.append(Case(f"{name}-resumed", [*small, *SIMULATED], resumes=name))
        if sliced and name in ON_SLICE:
            also = [command for command in ALSO.get(name, ()) if command != ADVISE]
            found.append(Case(f"{name}-{SLICE}", [*small, *SLICED], [DIAGNOSE, *also]))
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
    """Run a command of gainkt in this process as a shell would; return `done`, or how it failed in one line."""
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
    return "done"


def run(case: Case, earlier: Mapping[str, Prints]) -> Prints:
    """Run a case in the working folder; return the fingerprint of what it leaves there.

    Args:
        case: what to run.
        earlier: fingerprints of the cases before it.
    """
    folder = Path(case.name).resolve()
    train = [*case.overrides, f"hydra.run.dir={case.name}"]
    if case.resumes:
        kill_after_an_epoch(train, folder)
        train = [f"run.resume={case.name}"]
    ended = {"train": call("train", *train)}
    for command, *arguments in case.then if ended["train"] == "done" else ():
        ended[command] = call(command, f"run={case.name}", "device=cpu", *arguments)
    prints = {f"ended/{command}": plain(how, folder) for command, how in ended.items()} | fingerprint(folder)
    if case.resumes:
        whole = earlier[case.resumes]
        same = all(whole.get(key) == value for key, value in prints.items())
        prints["equals the uninterrupted run"] = str(same)
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


def fingerprint(folder: Path) -> Prints:
    """Fingerprint the files of a run.

    Left out: config.yaml (modules may move) and provenance.json (commit, time, command), logs and pictures, and in a
    checkpoint what is not weights or optimizer.
    """
    readers = {".ckpt": of_checkpoint, ".csv": of_csv, ".parquet": of_parquet, ".json": of_json}
    prints: Prints = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in readers and path.name != "provenance.json":
            name = path.relative_to(folder).as_posix()
            try:
                parts = list(readers[path.suffix](path))
            except Exception as error:  # so is a file that cannot be read
                parts = [("unreadable", f"{type(error).__name__}: {error}")]
            prints |= {f"{name}/{part}": plain(value, folder) for part, value in parts}
    return prints


def of_checkpoint(path: Path) -> Iterator[tuple[str, str]]:
    """Every weight by name; the optimizer's numbers in order, as one."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("epoch", "global_step"):
        yield name, repr(content[name])
    for name, value in content["state_dict"].items():
        yield name, of_tensor(value)
    numbers = [of_tensor(leaf) if isinstance(leaf, torch.Tensor) else repr(leaf) for leaf in leaves(content)]
    yield "optimizer", f"{len(numbers)} numbers and tensors {digest(' '.join(numbers).encode())}"


def leaves(content: Mapping[str, Any]) -> Iterator[Any]:
    """Leaves of the optimizers' states, in order."""

    def walk(node: Any) -> Iterator[Any]:
        inner = node.values() if isinstance(node, Mapping) else node if isinstance(node, list | tuple) else None
        if inner is None:
            yield node
        else:
            for entry in inner:
                yield from walk(entry)

    return walk(content["optimizer_states"])


def of_tensor(value: torch.Tensor) -> str:
    """Type, shape, size and digest of a tensor."""
    array = value.detach().contiguous().numpy()
    kind = f"{array.dtype}[{','.join(map(str, array.shape))}]"
    return f"{kind} norm {float(value.double().norm()):.6g} {digest(kind.encode() + array.tobytes())}"


def of_csv(path: Path) -> Iterator[tuple[str, str]]:
    """The text of every column."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    for name, *column in zip(header, *rows, strict=True):
        yield name, " ".join(value or "-" for value in column)


def of_parquet(path: Path) -> Iterator[tuple[str, str]]:
    """Type, rows, mean and digest of every column."""
    table = pq.read_table(path)
    for name, kind in zip(table.schema.names, table.schema.types, strict=True):
        column = table[name].to_pandas()
        numbers = pd.api.types.is_numeric_dtype(column)
        content = column.to_numpy().tobytes() if numbers else repr(column.tolist()).encode()
        mean = f" mean {column.mean():.9g}" if numbers else ""
        yield name, f"{kind}[{len(column)}]{mean} {digest(str(kind).encode() + content)}"


def of_json(path: Path) -> Iterator[tuple[str, str]]:
    """Every number and text of a JSON file; long lists by a digest."""

    def walk(node: Any, at: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict) and node:
            inner = node
        elif isinstance(node, list) and node and all(isinstance(e, dict) and "name" in e for e in node):
            inner = {entry["name"]: entry for entry in node}
        elif isinstance(node, list) and 0 < len(node) <= MANY:
            inner = dict(enumerate(node))
        elif isinstance(node, list) and node:
            yield at, f"list of {len(node)} {digest(json.dumps(node).encode())}"
            return
        else:
            yield at, json.dumps(node, ensure_ascii=False)
            return
        for key, entry in inner.items():
            yield from walk(entry, f"{at}/{key}".lstrip("/"))

    return walk(json.loads(path.read_text()), "")


def digest(content: bytes) -> str:
    """Return 16 hex digits."""
    return hashlib.sha256(content).hexdigest()[:16]


def plain(text: str, folder: Path) -> str:
    """Return the text without the places of this run."""
    return text.replace(str(folder), "<run>").replace(str(folder.parent), "<runs>")


def main() -> int:
    """Run the cases of cases.json."""
    source, out = (Path(argument).resolve() for argument in sys.argv[1:])
    os.chdir(out)
    report, log = os.fdopen(os.dup(1), "w", buffering=1), os.open("worker.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, str(source))
    torch.set_num_threads(1)
    done: dict[str, Prints] = {}
    for case in (Case(**entry) for entry in json.loads(Path("cases.json").read_text())):
        begun = time.perf_counter()
        done[case.name] = run(case, done)
        said = {"name": case.name, "seconds": round(time.perf_counter() - begun, 2), "prints": done[case.name]}
        report.write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
