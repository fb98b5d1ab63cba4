"""Fingerprint seeded runs of every experiment, to see what a change moves: `python scripts/golden.py --against main`.

Every experiment (grids excepted) trains for three epochs on a few simulated students, some also on a slice of
ASSISTments 2015 where it lies in ../shared/data (GAINKT_SHARED names another place for `shared`). Each run is
diagnosed, some are advised, aligned or evaluated again, and one is killed and resumed. The fingerprint holds weights,
metrics, tables and reports. `--against` takes that of a revision too, on this machine, and says what differs; exit
status 1 if anything does. A revision is checked out into a temporary folder; its fingerprint is kept by commit.
`--override` trains the working tree's runs with a value that a default had then, so that only the rest is compared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from golden_prints import MISSING, Difference, Prints, differences, excerpt
from golden_worker import DONE, SLICE, Case, cases, write_slice

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("golden_worker.py")
SHARED = "GAINKT_SHARED"
FORMAT = 1
"""Of the files that hold fingerprints."""
PACKAGES = ("torch", "lightning", "hydra-core", "torchmetrics", "numpy", "pandas", "pyarrow", "scipy")
LINES = 4
"""Differences shown of a file unless all are asked for."""


class GoldenError(Exception):
    """Something that stops the command, in one line."""


@dataclass(frozen=True)
class Taker:
    """Takes fingerprints, and keeps whole ones."""

    folder: Path
    """Where they are kept."""
    data: Path | None
    """ASSISTments 2015, where it is there."""
    only: Sequence[str]
    """Experiments or runs wanted; all of them where empty."""
    console: Console
    overrides: Sequence[str] = ()
    """That the working tree's runs get besides."""

    def is_whole(self, root: Path) -> bool:
        """Whether what is taken of a source tree is its whole fingerprint, worth keeping."""
        return not self.only and not (self.overrides and root == ROOT)

    def cases(self, root: Path) -> list[Case]:
        """Return the cases wanted of a source tree, and those that they are compared with."""
        found = cases(root, self.data is not None)
        if root == ROOT:
            found = [replace(case, overrides=[*case.overrides, *self.overrides]) for case in found]
        if not self.only:
            return found
        chosen = [case for case in found if {case.name, case.experiment} & set(self.only)]
        return [case for case in found if case in chosen or case.name in {c.resumes for c in chosen}]

    def of_tree(self, root: Path, label: str, *keep: str) -> dict[str, Prints]:
        """Take the fingerprint of a source tree.

        Args:
            root: top of the tree.
            label: what to call it.
            keep: names to keep it under, if it is whole.

        Raises:
            GoldenError: the worker failed, which no failing run makes it do.
        """
        begun, told = time.perf_counter(), about(self.data)
        runs = self._run(root, label)
        seconds, parts = round(time.perf_counter() - begun), sum(len(p) for run in runs.values() for p in run.values())
        self.console.print(f"{label}: {len(runs)} runs, {parts:,} parts, {seconds} s", highlight=False)
        for name, prints in runs.items():
            for what, how in prints["ended"].items():
                if how != DONE:
                    self.say(f"  {name}: {what}: {how}")
        for name in keep if self.is_whole(root) else ():
            self.folder.mkdir(parents=True, exist_ok=True)
            content = {"about": told, "seconds": seconds, "runs": runs}
            (self.folder / f"{name}.json").write_text(json.dumps(content, indent=0) + "\n")
        return runs

    def of_commit(self, commit: str, label: str) -> dict[str, Prints]:
        """Read the fingerprint of a commit, or take it where none is kept that can be believed."""
        path = self.folder / f"{commit}.json"
        kept = json.loads(path.read_text()) if path.is_file() else None
        if kept and kept["about"] == about(self.data):
            names = {case.name for case in self.cases(ROOT)}
            return {name: run for name, run in kept["runs"].items() if not self.only or name in names}
        if kept:
            self.console.print(f"{path.name}: taken in another way or place, so taken again")
        with checkout(commit) as tree:
            return self.of_tree(tree, label, commit)

    def say(self, line: str) -> None:
        """Print a line as it stands."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _run(self, root: Path, label: str) -> dict[str, Prints]:
        """Run the cases of a source tree in a process of their own."""
        chosen, runs = self.cases(root), {}
        environment = {k: v for k, v in os.environ.items() if k != "GAINKT_DEBUG"}
        environment |= {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        progress = Progress(console=self.console, transient=True)
        with tempfile.TemporaryDirectory(prefix="golden-") as temporary, progress:
            out = Path(temporary).resolve()
            (out / "cases.json").write_text(json.dumps([asdict(case) for case in chosen]))
            if self.data is not None:
                write_slice(self.data, out / SLICE)
            command = [sys.executable, str(WORKER), str(root / "src"), str(out)]
            task = progress.add_task(label, total=len(chosen))
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as worker:
                try:
                    for line in worker.stdout or ():
                        said = json.loads(line)
                        runs[said["name"]] = said["prints"]
                        progress.update(task, advance=1, description=f"{label}: {said['name']}")
                except BaseException:
                    worker.kill()
                    raise
            if worker.returncode:
                last = (out / "worker.log").read_text().strip().splitlines()[-1:]
                raise GoldenError(f"{label}: the worker stopped after {len(runs)} runs: {''.join(last)}")
        return runs


def git(*arguments: str) -> str:
    """Return what git says of this checkout.

    Raises:
        GoldenError: git fails.
    """
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
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


def clean_commit() -> str | None:
    """Return the commit whose sources the working tree holds unchanged; None where they were changed."""
    with suppress(GoldenError):
        if not git("status", "--porcelain", "--", "src", "conf"):
            return git("rev-parse", "HEAD")
    return None


def shared_data() -> Path | None:
    """Return the folder of ASSISTments 2015, beside this checkout or the one that it is a worktree of; None without."""
    beside = [Path(os.environ[SHARED])] if SHARED in os.environ else [ROOT.parent / "shared"]
    with suppress(GoldenError):  # an unpacked archive has no git
        beside.append(Path(git("rev-parse", "--path-format=absolute", "--git-common-dir")).parents[1] / "shared")
    found = [folder / "data" / "assist2015_pykt" for folder in beside]
    return next((folder for folder in found if (folder / "train_valid.csv").is_file()), None)


def about(data: Path | None) -> dict[str, Any]:
    """Return what a fingerprint depends on besides the revision: where it differs, an old one is not believed."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    processors = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "format": FORMAT,
        "scripts": [
            hashlib.sha256(script.read_bytes()).hexdigest()[:16]
            for script in (WORKER, WORKER.with_name("golden_prints.py"))
        ],
        "slice": data is not None,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "processor": processors[0] if processors else platform.processor(),  # kernels round in their own way
    }


def compare(old: Mapping[str, Prints], new: Mapping[str, Prints], label: str, taker: Taker, most: int | None) -> bool:
    """Print what differs, once for the runs in which it is the same parts; tell whether nothing does.

    Args:
        old: fingerprints by run.
        new: likewise, of the working tree.
        label: what to call the old ones.
        taker: prints.
        most: differences to print of a file; all where None.
    """
    both = [name for name in new if name in old]
    found = {name: differences(old[name], new[name]) for name in both}
    alike = defaultdict(list)
    for name, lines in found.items():
        if lines:
            alike[tuple((f, part, o == MISSING, n == MISSING) for f, part, o, n in lines)].append(name)
    for names in alike.values():
        alike_too = " (values of the first)" if names[1:] else ""
        taker.console.print(f"\n[bold]{', '.join(names)}[/bold]{alike_too}", soft_wrap=True)
        show(found[names[0]], taker, most)
    same = [name for name in both if not found[name]]
    if alike and same:
        taker.say(f"\nidentical: {', '.join(same)}")
    for where, left in ((label, old.keys() - new.keys()), ("the working tree", new.keys() - old.keys())):
        if left:
            taker.say(f"only in {where}: {', '.join(sorted(left))}")
    taker.say(f"{len(same)} of {len(both)} runs identical to {label}")
    return len(same) == len(both) and old.keys() == new.keys()


def show(lines: Sequence[Difference], taker: Taker, most: int | None) -> None:
    """Print the differences of a run, file by file."""
    files = defaultdict(list)
    for file, *line in lines:
        files[file].append(line)
    for file, parts in files.items():
        added, removed = sum(old == MISSING for _, old, _ in parts), sum(new == MISSING for *_, new in parts)
        counts = {"changed": len(parts) - added - removed, "added": added, "removed": removed}
        taker.say(f"  {file}: {', '.join(f'{count} {what}' for what, count in counts.items() if count)}")
        for part, before, after in parts[:most]:
            taker.say(f"    {part or 'the file'}: {excerpt(before, after)} -> {excerpt(after, before)}")
        if most is not None and len(parts) > most:
            taker.say(f"    ... and {len(parts) - most} more (--all)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 1 where something differs, 2 where that cannot be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="REVISION", help="compare the working tree with it")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="these experiments or runs; nothing is kept")
    parser.add_argument(
        "--override", action="append", default=[], metavar="KEY=VALUE", help="train the working tree's runs with it"
    )
    parser.add_argument("--list", action="store_true", help="name the runs and end")
    parser.add_argument("--all", action="store_true", help=f"show every difference, not {LINES} of a file")
    parser.add_argument("--folder", type=Path, default=ROOT / "outputs" / "golden", help="where fingerprints are kept")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # so that worker and checkout go, as at Ctrl-C
    only = [name for name in options.only.split(",") if name]
    taker = Taker(options.folder, shared_data(), only, Console(), options.override)
    try:
        mine = taker.cases(ROOT)
        unknown = set(only) - {name for case in mine for name in (case.name, case.experiment)}
        if unknown:
            raise GoldenError(f"--only {','.join(sorted(unknown))}: no such experiment or run; --list names them")
        if options.list:
            print("\n".join(case.name for case in mine))
            return 0
        if taker.data is None:
            taker.say("no ASSISTments 2015 in ../shared/data: simulated students only")
        commit = None
        if options.against:
            commit = git("rev-parse", "--verify", "--end-of-options", f"{options.against}^{{commit}}")
        before = clean_commit()
        new = taker.of_tree(ROOT, "working tree", "worktree")
        # Not where the comparison is with this very commit: it would be with itself.
        if before and taker.is_whole(ROOT) and commit != before == clean_commit():
            (options.folder / f"{before}.json").write_bytes((options.folder / "worktree.json").read_bytes())
        if commit is None:
            return 0
        label = options.against if commit.startswith(options.against) else f"{options.against} ({commit[:7]})"
        return 0 if compare(taker.of_commit(commit, label), new, label, taker, None if options.all else LINES) else 1
    except GoldenError as error:
        print(f"golden: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
