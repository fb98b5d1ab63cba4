"""What torch.compile gives a training step: `python scripts/benchmark_compile.py`, the same batch again and again.

Compiled for its shape; by `--dynamic` for any, as batches of a log need it. Steps of either model are taken in turn.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time

import torch

from benchmark_skills import WARM, case, timed


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="v4_belief")
    parser.add_argument("--head", default="own_transfer")
    parser.add_argument("--skills", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--batches", type=int, default=25)
    parser.add_argument("--dynamic", action="store_true", help="compile for any shape")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    one = {
        "skills": [asked.skills],
        "heads": [asked.head],
        "items": [0],
        "fused": "auto",
        "experiment": asked.experiment,
    }
    steps = 100 * (asked.tokens * (WARM + asked.batches + 2) // 100)
    options = argparse.Namespace(**one, steps=steps, tokens=asked.tokens, batches=asked.batches)
    (eager, batches, _), (compiled, *_) = case(options), case(options)
    compiled.model.compile(dynamic=asked.dynamic)
    same = itertools.repeat(next(batches))
    begun = time.perf_counter()
    timed(compiled, same)
    print(f"first compiled step: {time.perf_counter() - begun:.1f} s", flush=True)
    taken = [(timed(eager, same)[1], timed(compiled, same)[1]) for _ in range(WARM + asked.batches)][WARM:]
    cpu = [statistics.median(x) for x in zip(*taken, strict=True)]
    ratio = statistics.median(a / b for a, b in taken)
    print(f"CPU s a step: {cpu[0]:.4f} as it is, {cpu[1]:.4f} compiled, {ratio:.2f} x as fast")


if __name__ == "__main__":
    main()
