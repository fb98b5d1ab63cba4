"""Training by number of skills at equal interactions: `python scripts/benchmark_skills.py --skills 200 20000`.

Each number of skills has a process of its own. Students of 100 steps practise 10 skills each, drawn from all K. A few
batches after the first ten are timed; an epoch is extrapolated from them. Memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence

import torch
from hydra import compose, initialize_config_dir

from benchmark_end import made_log
from gainkt.config import conf_dir
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import AllStudents
from trainee import Trainee

WARM = 10


def measure(num_skills: int, head: str, steps: int, tokens: int, batches: int, fused: bool) -> dict[str, float | str]:
    """Train on some batches of a log; seconds a batch and for an epoch, and the peak of memory."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("train", ["experiment=v4_belief", f"model/gain_head={head}", f"optimizer.fused={fused}"])
    module = KTDataModule(read=lambda: made_log(steps, num_skills), split=AllStudents(), tokens_per_batch=tokens)
    module.setup()
    trainee = Trainee(cfg, module)
    loader = module.loader("test", shuffle=True)
    if len(loader) < WARM + batches:
        raise SystemExit(f"--steps {steps}: {len(loader)} batches, {WARM} to warm up and {batches} to time are asked")
    begun = (0.0, 0.0)
    for number, batch in enumerate(loader):
        if number == WARM:
            begun = time.perf_counter(), time.process_time()
        if number == WARM + batches:
            break
        trainee.step(batch)
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    return {
        "head": head,
        "skills": num_skills,
        "seconds_a_batch": round(wall / batches, 4),
        "cpu_seconds_a_batch": round(cpu / batches, 4),
        "cpu_seconds_an_epoch": round(cpu / batches * len(loader)),
        "parameters": sum(p.numel() for p in trainee.model.parameters()),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--skills", type=int, nargs="+", default=[200, 2_000, 20_000])
    parser.add_argument("--heads", nargs="+", default=["own_topics", "own_transfer"])
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--batches", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fused", action="store_true", help="Adam that looks at each parameter once")
    parser.add_argument("--here", action="store_true", help="in this process, of one head and number of skills")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    if options.here:
        given = (options.skills[0], options.heads[0], options.steps, options.tokens, options.batches, options.fused)
        print(json.dumps(measure(*given)), flush=True)
        return
    shared = [f"--{name}={getattr(options, name)}" for name in ("steps", "tokens", "batches", "threads")]
    shared += ["--fused"] * options.fused
    for head in options.heads:
        for k in options.skills:
            subprocess.run([sys.executable, __file__, "--here", f"--skills={k}", f"--heads={head}", *shared])


if __name__ == "__main__":
    main()
