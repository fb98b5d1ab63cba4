"""What follows training, in time, memory and size: `python scripts/benchmark_end.py run --on assist2015 statics`.

`run` trains a few batches (or takes a run that `--folder` holds already), then resumes it, which trains no more: what
is measured is predictions, metrics, tables, scorecard and pictures, in a process of their own. `--source` names the
tops of source trees to measure, so that two revisions finish the same run. `scorecard` judges made-up tables of many
steps; `skills` measures the pass over a part by number of skills.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHORT = ("experiment=v4_belief", "trainer.accelerator=cpu", "gradient_every=0", "trainer.max_epochs=1")
STATICS = (
    *("dataset=simulated", "dataset.read.num_skills=1223", "dataset.read.num_items=1223", "dataset.read.policy=mixed"),
    *("dataset.read.num_students=333", "dataset.read.median_length=540", "dataset.read.length_spread=0.3"),
    *("dataset.read.max_length=1100", "+trainer.limit_train_batches=4"),
)
SETS = {
    "assist2015": ("dataset=assist2015", "dataset.path={data}", "+trainer.limit_train_batches=150"),
    "statics": STATICS,
    "simulated": ("dataset=simulated", "+trainer.limit_train_batches=20"),
}
FINISH = """
import json, resource, sys, time
from pathlib import Path
import torch
torch.set_num_threads(int(sys.argv[2]))
import gainkt.train
from gainkt.training import train as room
fit, begun = room._fit, []
def fitted(*arguments):
    fit(*arguments)
    begun.extend((time.perf_counter(), time.process_time()))
room._fit = fitted
folder, sys.argv = Path(sys.argv[1]), ["gainkt", f"run.resume={sys.argv[1]}"]
gainkt.train.main()
wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
size = {path.stem: round(path.stat().st_size / 1e6, 2) for path in sorted(folder.glob("*.parquet"))}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": round(wall, 1), "cpu_seconds": round(cpu, 1), "peak_mib": round(peak), "mb": size}))
"""


def finish(source: Path, folder: Path, threads: int) -> dict[str, object]:
    """Score, record, judge and draw a trained run with a source tree's code."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", FINISH, str(folder), str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def run(options: argparse.Namespace) -> None:
    """Measure the end of a run on each set, by source tree."""
    folders = options.folder or Path(tempfile.mkdtemp())
    for name in options.on:
        folder = (folders / name).resolve()
        if not (folder / "results.json").exists():
            chosen = [part.format(data=options.data) for part in (*SHORT, *SETS[name])]
            command = [
                sys.executable,
                "-m",
                "gainkt.train",
                *chosen,
                "trajectories.write=false",
                f"hydra.run.dir={folder}",
            ]
            environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            config = folder / "config.yaml"
            config.write_text(config.read_text().replace("  write: false", "  write: true"))
        for source in options.source or [ROOT]:
            print(name, source.name, json.dumps(finish(source.resolve(), folder, options.threads)), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    whole = commands.add_parser("run", help="the end of a training run")
    whole.add_argument("--on", nargs="+", choices=SETS, default=list(SETS)[:2])
    whole.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "assist2015_pykt")
    whole.add_argument("--source", type=Path, nargs="*", help="tops of source trees; this one")
    whole.add_argument("--folder", type=Path, help="where the trained runs are kept")
    whole.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(argv)
    run(options)


if __name__ == "__main__":
    main()
