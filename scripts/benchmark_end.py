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
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir

from gainkt.config import conf_dir
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.data.splits import AllStudents
from gainkt.evaluation.schema import PREDICTIONS, SKILLS, TRAJECTORIES
from gainkt.files import replacing
from gainkt.runs.folder import build_model
from gainkt.runs.recorder import as_table, record
from gainkt.runs.sample import CELLS

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
SHOWN = ("p1", "p2", *(name for name in PREDICTIONS.names if name.startswith("p2_")))
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
            with replacing(config) as building:  # so that the digest of the changed file is noted
                building.write_text(config.read_text().replace("  write: false", "  write: true"))
        for source in options.source or [ROOT]:
            print(name, source.name, json.dumps(finish(source.resolve(), folder, options.threads)), flush=True)


JUDGE = """
import json, resource, sys, time
from pathlib import Path
from gainkt.digests import read_table
from gainkt.evaluation.schema import names_in
from gainkt.evaluation.scorecard.scorecard import COLUMNS, scorecard
from gainkt.runs.recorder import TABLES
begun, folder = time.perf_counter(), Path(sys.argv[1])
tables = [  # as gainkt.runs.scoring.judge reads them
    read_table(folder / f"{name}.parquet", "", COLUMNS.get(name, ()), names_in(TABLES[name]))
    for name in ("predictions", "trajectories", "skills")
]
steps, skills = len(tables[0]), len(tables[2])
card = scorecard(*tables, training=None, validation=None, num_skills=skills)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
said = {"steps": steps, "seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time(), "peak_mib": peak}
print(json.dumps({name: round(x) for name, x in said.items()}))
"""


def judge(options: argparse.Namespace) -> None:
    """Measure the scorecard of made-up tables: students of 100 steps on 10 of 200 skills, who learn."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_tables(folder, options.steps)
        done = subprocess.run([sys.executable, "-c", JUDGE, temporary], capture_output=True, text=True)
        print(done.stdout or f"exit status {done.returncode}: {done.stderr[-500:]}", end="")


def make_tables(folder: Path, num_steps: int, num_skills: int = 200, length: int = 100) -> None:
    """Write predictions, trajectories and skills of students who practise ten skills each, a piece at a time."""
    draw, names = np.random.default_rng(0), np.array([f"k{k}" for k in range(num_skills)], dtype=object)
    skills = pa.array(names)
    with (
        pq.ParquetWriter(folder / "predictions.parquet", PREDICTIONS, compression="zstd") as of_steps,
        pq.ParquetWriter(folder / "trajectories.parquet", TRAJECTORIES, compression="zstd") as of_cells,
    ):
        for first in range(0, num_steps // length, 1000):
            count = min(1000, num_steps // length - first)
            skill = (draw.integers(num_skills, size=(count, 1)) + draw.integers(10, size=(count, length))) % num_skills
            skill.sort(1)
            opens = np.diff(skill, axis=1, prepend=-1) != 0
            step = np.broadcast_to(np.arange(length), skill.shape)
            nth = step - np.maximum.accumulate(np.where(opens, step, 0), 1)
            ability = draw.normal(size=(count, 1))
            before, after = (1 / (1 + np.exp(1 - ability - 0.4 * n)) for n in (nth, nth + 1))
            right = draw.random(skill.shape) < before
            noisy = {name: np.clip(before + draw.normal(0, 0.05, skill.shape), 0.001, 0.999) for name in SHOWN}
            students = pa.DictionaryArray.from_arrays(
                pa.array(np.repeat(np.arange(count, dtype=np.int32), length)),
                pa.array([f"s{first + i}" for i in range(count)]),
            )
            values = {
                **dict.fromkeys(PREDICTIONS.names + TRAJECTORIES.names, np.zeros(skill.shape)),
                **noisy,
                **{"step": step, "response": right, "scored": step > 0, "relevant": step >= 0, "mastery": before},
                **{"gain": 0.3 + 0.2 * right, "gain_practised": 0.3 + 0.2 * right, "mastery_final": after},
                **{"practice": 0.4 * (nth + 1), "active_skills": 1 + right, "gain_std": noisy["p1"] / 10},
            }
            names_of = {"student": students, "skill": (taken := skills.take(pa.array(skill.ravel()))), "skills": taken}
            for writer, schema, extra in ((of_steps, PREDICTIONS, {}), (of_cells, TRAJECTORIES, {"mastery": after})):
                columns = {name: x.ravel() for name, x in {**values, **extra}.items()} | names_of | {"item": None}
                writer.write_table(as_table(columns, schema).cast(schema))
    table = {name: np.full(num_skills, 0.5) for name in SKILLS.names} | {"skill": names}
    pq.write_table(as_table(table, SKILLS), folder / "skills.parquet")


def skills(options: argparse.Namespace) -> None:
    """Measure the pass over a part, all tables included, by number of skills at equal interactions."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        for k in options.skills:
            chosen = [f"model/receivers={options.receivers}", f"model/gain_head={options.head}"]
            cfg = compose("train", ["experiment=v4_belief", *chosen])
            module = KTDataModule(read=lambda k=k: made_log(options.steps, k), split=AllStudents())
            module.setup()
            model = build_model(cfg.model, module.sizes)
            begun, used = time.perf_counter(), time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                record(model, module, "test", Path(folder), cells=options.cells or None)
                size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
            seconds, cpu = time.perf_counter() - begun, time.process_time() - used
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"K={k}: {seconds:.1f} s, {cpu:.1f} CPU s, peak {peak:.0f} MiB, tables {size:.1f} MB", flush=True)


def made_log(num_steps: int, num_skills: int, length: int = 100, num_items: int = 0) -> InteractionLog:
    """Students of 100 steps on 10 skills each, drawn from all, as each step's item is."""
    draw, students = np.random.default_rng(0), num_steps // length
    own = draw.integers(num_skills, size=(students, 10))
    return InteractionLog(
        name=f"{num_skills} skills",
        offsets=np.arange(students + 1) * length,
        responses=(draw.random(num_steps) < 0.7).astype(np.uint8),
        skill_offsets=np.arange(num_steps + 1),
        skills=np.take_along_axis(own, draw.integers(10, size=(students, length)), 1).ravel().astype(np.int32),
        items=(draw.integers(num_items, size=num_steps) if num_items else np.full(num_steps, -1)).astype(np.int32),
        students=np.arange(students).astype(np.str_),
        skill_names=np.arange(num_skills).astype(np.str_),
        item_names=np.arange(num_items).astype(np.str_),
        folds=np.full(students, -2, dtype=np.int16),
    )


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
    card = commands.add_parser("scorecard", help="the scorecard of many steps")
    card.add_argument("--steps", type=int, default=10_000_000)
    wide = commands.add_parser("skills", help="the pass over a part by number of skills")
    wide.add_argument("--skills", type=int, nargs="+", default=[200, 2_000, 20_000])
    wide.add_argument("--steps", type=int, default=20_000)
    wide.add_argument("--receivers", default="all")
    wide.add_argument("--head", default="own_topics")
    wide.add_argument("--cells", type=int, default=CELLS, help="trajectories.cells; 0: every step")
    options = parser.parse_args(argv)
    {"run": run, "scorecard": judge, "skills": skills}[options.command](options)


if __name__ == "__main__":
    main()
