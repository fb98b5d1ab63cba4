"""Fingerprint seeded runs of every experiment, to see what a change moves: `python scripts/golden.py --against main`.

Every experiment (grids excepted) trains for three epochs on a few simulated students, some also on a slice of
ASSISTments 2015 where it lies in ../shared/data (GAINKT_SHARED names another place for `shared`). Each run is
diagnosed, some are advised, aligned or evaluated again, and one is killed and resumed. The fingerprint holds weights,
metrics, tables and reports. `--against` takes that of a revision too, on this machine, and says what differs; exit
status 1 if anything does. A revision is checked out into a temporary folder; its fingerprint is kept by commit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import golden_worker
from golden_worker import SLICE, Case, Prints, cases, write_slice

ROOT = Path(__file__).resolve().parents[1]
FORMAT = 1
"""Of the files that hold fingerprints."""
PACKAGES = ("torch", "lightning", "hydra-core", "torchmetrics", "numpy", "pandas", "pyarrow", "scipy")
LINES = 12
"""Differences shown of a run unless all are asked for."""
WIDTH = 60
"""Columns for a value in a line of differences."""


class GoldenError(Exception):
    """Something that stops the command, in one line."""


def git(*arguments: str, root: Path = ROOT) -> str:
    """Return what git says of a checkout.

    Raises:
        GoldenError: git fails.
    """
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise GoldenError(f"git {' '.join(arguments)}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Give a temporary checkout of a commit."""
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        tree = Path(temporary) / "tree"
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def shared_data() -> Path | None:
    """Return the folder of ASSISTments 2015, beside this checkout or the one that it is a worktree of; None without."""
    beside = [Path(os.environ["GAINKT_SHARED"])] if "GAINKT_SHARED" in os.environ else [ROOT.parent / "shared"]
    with suppress(GoldenError):  # an unpacked archive has no git
        beside.append(Path(git("rev-parse", "--path-format=absolute", "--git-common-dir")).parents[1] / "shared")
    found = [folder / "data" / "assist2015_pykt" for folder in beside]
    return next((folder for folder in found if (folder / "train_valid.csv").is_file()), None)


def about(data: Path | None) -> dict[str, Any]:
    """Return what a fingerprint depends on besides the revision: where it differs, an old one is not believed."""
    return {
        "format": FORMAT,
        "worker": hashlib.sha256(Path(golden_worker.__file__).read_bytes()).hexdigest()[:16],
        "slice": data is not None,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "processor": processor(),
    }


def processor() -> str:
    """Return the name of the processor, whose kernels round in their own way."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def take(root: Path, chosen: Sequence[Case], data: Path | None, label: str, console: Console) -> dict[str, Prints]:
    """Run the cases of a source tree in a process of their own; return their fingerprints.

    Raises:
        GoldenError: the process fails, which no failing run makes it do.
    """
    environment = {k: v for k, v in os.environ.items() if k != "GAINKT_DEBUG"}
    environment |= {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    runs: dict[str, Prints] = {}
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary, Progress(console=console, transient=True) as bar:
        out = Path(temporary).resolve()
        (out / "cases.json").write_text(json.dumps([asdict(case) for case in chosen]))
        if data is not None:
            write_slice(data, out / SLICE)
        command = [sys.executable, golden_worker.__file__, str(root / "src"), str(out)]
        task = bar.add_task(label, total=len(chosen))
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            for line in worker.stdout:
                said = json.loads(line)
                runs[said["name"]] = said["prints"]
                bar.update(task, advance=1, description=f"{label}: {said['name']}")
        if worker.returncode:
            last = (out / "worker.log").read_text().strip().splitlines()[-1:]
            raise GoldenError(f"{label}: the worker stopped after {len(runs)} runs: {''.join(last)}")
    return runs


def choose(found: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """Return the cases of the experiments or runs named, all of them where none is."""
    return [case for case in found if not only or case.name in only or case.overrides[0].split("=")[1] in only]


def fingerprint(root: Path, label: str, keep: Path, only: Sequence[str], console: Console) -> dict[str, Prints]:
    """Take the fingerprint of a source tree, and keep it if it is whole.

    Raises:
        GoldenError: nothing to run, or the worker fails.
    """
    data, begun = shared_data(), time.perf_counter()
    if data is None:
        console.print("no ASSISTments 2015 in shared/data: simulated students only")
    chosen = choose(cases(root, data is not None), only)
    if not chosen:
        raise GoldenError(f"--only {','.join(only)}: {label} has no such experiment; --list names them")
    runs = take(root, chosen, data, label, console)
    seconds, entries = time.perf_counter() - begun, sum(map(len, runs.values()))
    console.print(f"{label}: {len(runs)} runs, {entries:,} entries, {seconds:.0f} s", highlight=False)
    for name, prints in runs.items():
        for key, how in prints.items():
            if (key.startswith("ended/") and how != "done") or (key.startswith("equals ") and how != "True"):
                console.print(f"  {name}: {key}: {how}", markup=False, highlight=False, soft_wrap=True)
    if not only:
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_text(json.dumps({"about": about(data), "seconds": round(seconds), "runs": runs}, indent=0) + "\n")
    return runs


def of_revision(commit: str, label: str, folder: Path, only: Sequence[str], console: Console) -> dict[str, Prints]:
    """Read a commit's fingerprint, or take it where none is kept that can be believed."""
    keep = folder / f"{commit}.json"
    if keep.is_file():
        kept = json.loads(keep.read_text())
        if kept["about"] == about(shared_data()):
            return kept["runs"]
        console.print(f"{keep.name}: taken in another way or place, so taken again")
    with checkout(commit) as tree:
        return fingerprint(tree, label, keep, only, console)


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return what differs between two fingerprints of a run: name, old and new value, `missing` where there is none."""
    names = [*old, *(name for name in new if name not in old)]
    pairs = ((name, old.get(name, "missing"), new.get(name, "missing")) for name in names)
    return [(name, before, after) for name, before, after in pairs if before != after]


def compare(old: Mapping[str, Prints], new: Mapping[str, Prints], label: str, most: int | None, to: Console) -> bool:
    """Print what differs from run to run; tell whether nothing does."""
    both = [name for name in new if name in old]
    found = {name: differences(old[name], new[name]) for name in both}
    table = Table("run", "entries", "added", "removed", "changed", box=None, pad_edge=False)
    for name, lines in found.items():
        if lines:
            counts = [sum(old == "missing" for _, old, _ in lines), sum(new == "missing" for *_, new in lines)]
            table.add_row(name, *map(str, (len(new[name]), *counts, len(lines) - sum(counts))))
    if table.row_count:
        to.print(table)
    for name, lines in found.items():
        if lines:
            to.print(f"\n[bold]{name}[/bold]")
        for key, before, after in lines[:most]:
            line = f"  {key}: {excerpt(before, after)} -> {excerpt(after, before)}"
            to.print(line, markup=False, highlight=False, soft_wrap=True)
        if most is not None and len(lines) > most:
            to.print(f"  ... and {len(lines) - most} more (--all)", markup=False, highlight=False)
    for here, names in ((label, old.keys() - new.keys()), ("the working tree", new.keys() - old.keys())):
        if names:
            to.print(f"only in {here}: {', '.join(sorted(names))}", markup=False, highlight=False, soft_wrap=True)
    same = sum(not lines for lines in found.values())
    to.print(f"{same} of {len(both)} runs identical to {label}", highlight=False)
    return same == len(both) and old.keys() == new.keys()


def excerpt(text: str, other: str) -> str:
    """Return a value, or the part of a long one around the first place where it differs from the other."""
    if len(text) <= WIDTH:
        return text
    common = next((i for i, pair in enumerate(zip(text, other, strict=False)) if pair[0] != pair[1]), len(other))
    start = max(0, min(common - WIDTH // 3, len(text) - WIDTH))
    return ("..." if start else "") + text[start : start + WIDTH] + ("..." if start + WIDTH < len(text) else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 where something differs, 2 where it cannot be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="compare the working tree with it")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="these experiments or runs; nothing is kept")
    parser.add_argument("--list", action="store_true", help="name the runs and end")
    parser.add_argument("--all", action="store_true", help=f"show every difference, not {LINES} a run")
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "golden", help="where fingerprints are kept")
    options = parser.parse_args(argv)
    console, only = Console(), [name for name in options.only.split(",") if name]
    try:
        if options.list:
            print("\n".join(case.name for case in choose(cases(ROOT, shared_data() is not None), only)))
            return 0
        old = None
        if options.against:
            commit = git("rev-parse", "--verify", "--end-of-options", f"{options.against}^{{commit}}")
            label = options.against if commit.startswith(options.against) else f"{options.against} ({commit[:7]})"
            old = of_revision(commit, label, options.folder, only, console)
        new = fingerprint(ROOT, "working tree", options.folder / "worktree.json", only, console)
    except GoldenError as error:
        print(f"golden: error: {error}", file=sys.stderr)
        return 2
    if old is None:
        return 0
    wanted = {name: prints for name, prints in old.items() if not only or name in new}
    return 0 if compare(wanted, new, label, None if options.all else LINES, console) else 1


if __name__ == "__main__":
    sys.exit(main())
