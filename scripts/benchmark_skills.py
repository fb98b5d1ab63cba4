"""Training by number of skills, and of items, at equal interactions: `python scripts/benchmark_skills.py --skills 200`.

Each number has a process of its own. Students of 100 steps practise 10 skills each, drawn from all K, on items drawn
from all. A few batches after the first ten are timed; the median stands for an epoch's. Memory is the process's peak.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from benchmark_end import made_log
from gainkt.config import conf_dir
from gainkt.data.batch import Batch
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import AllStudents
from trainee import Trainee

WARM = 10


def case(options: argparse.Namespace) -> tuple[Trainee, Iterator[Batch], int]:
    """A model of some skills and items, its batches, and how many make an epoch."""
    (num_skills,), (head,), (num_items,) = options.skills, options.heads, options.items
    chosen = [f"experiment={options.experiment}", f"model/gain_head={head}", f"optimizer.fused={options.fused}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("train", chosen)
    log = made_log(options.steps, num_skills, num_items=num_items)
    module = KTDataModule(read=lambda: log, split=AllStudents(), tokens_per_batch=options.tokens)
    module.setup()
    module.trained_item = np.arange(num_items)
    loader = module.loader("test", shuffle=True)
    if len(loader) < WARM + options.batches:
        asked = f"{WARM} to warm up and {options.batches} to time"
        raise SystemExit(f"--steps {options.steps}: {len(loader)} batches, {asked} are asked")
    return Trainee(cfg, module), iter(loader), len(loader)


def timed(trainee: Trainee, batches: Iterator[Batch]) -> tuple[float, float]:
    """Seconds of a step, and CPU seconds."""
    batch = next(batches)
    begun = time.perf_counter(), time.process_time()
    trainee.step(batch)
    return time.perf_counter() - begun[0], time.process_time() - begun[1]


def measure(options: argparse.Namespace) -> dict[str, float | str]:
    """Train on some batches of a log; seconds a batch and for an epoch, and the peak of memory."""
    trainee, batches, epoch = case(options)
    taken = [timed(trainee, batches) for _ in range(WARM + options.batches)]
    wall, cpu = (statistics.median(times) for times in zip(*taken[WARM:], strict=True))
    return {
        "head": options.heads[0],
        "skills": options.skills[0],
        "items": options.items[0],
        "seconds_a_batch": round(wall, 4),
        "cpu_seconds_a_batch": round(cpu, 4),
        "cpu_seconds_an_epoch": round(cpu * epoch),
        "parameters": sum(p.numel() for p in trainee.model.parameters()),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def compare(every: list[argparse.Namespace]) -> None:
    """Train all in this process, a step of each in turn: what the machine does else falls on all alike."""
    cases = [case(one) for one in every]
    rounds = [[timed(*one[:2])[1] for one in cases] for _ in range(WARM + every[0].batches)][WARM:]
    for place, one in enumerate(every):
        ratio = statistics.median(x[place] / x[0] for x in rounds)
        said = {"head": one.heads[0], "skills": one.skills[0], "items": one.items[0]}
        cpu = statistics.median(x[place] for x in rounds)
        print(json.dumps({**said, "cpu_seconds_a_batch": round(cpu, 4), "of_the_first": round(ratio, 3)}), flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--items", type=int, nargs="+", default=[0])
    parser.add_argument("--experiment", default="v4_belief")
    parser.add_argument("--heads", nargs="+", default=["own_topics", "own_transfer"])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fused", default="auto", choices=["auto", "true", "false"], help="optimizer.fused")
    parser.add_argument("--in-turn", action="store_true", help="in one process, a step of each in turn; no memory")
    parser.add_argument("--here", action="store_true", help="in this process, of one head and number")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    if options.here:
        print(json.dumps(measure(options)), flush=True)
        return
    every = [
        argparse.Namespace(**{**vars(options), "heads": [head], "skills": [k], "items": [items]})
        for head, k, items in itertools.product(options.heads, options.skills, options.items)
    ]
    if options.in_turn:
        compare(every)
        return
    names = ("steps", "tokens", "batches", "threads", "experiment", "fused")
    shared = [f"--{name}={getattr(options, name)}" for name in names]
    for each in every:
        one = [f"--{name}={getattr(each, name)[0]}" for name in ("skills", "heads", "items")]
        subprocess.run([sys.executable, __file__, "--here", *one, *shared])


if __name__ == "__main__":
    main()
