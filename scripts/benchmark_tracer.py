"""What an answer costs a trained model: `python scripts/benchmark_tracer.py [experiment ...]`, on one core.

Of models of the shipped sizes with random weights and `--skills` skills: `observe` of one student (median and 95th
percentile, milliseconds; beside the wall clock the processor's time, which a busy machine stretches less), the
answers of `--students` students in one call (seconds), `outlook` on all skills and bytes of a state.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from gainkt.data.datamodule import Sizes
from gainkt.overrides import compose_train
from gainkt.runs.bundle import Content
from gainkt.runs.folder import build_model
from gainkt.runs.trained import TrainedModel

EXPERIMENTS = ("v4_belief", "v4_belief_skill", "v4_monotone", "v4_table", "v4_items", "v4_items_attention")
ITEMS = 500


def made_up(experiment: str, num_skills: int) -> TrainedModel:
    """Return a model with random weights."""
    torch.manual_seed(0)
    skills, items = (tuple(f"{kind}{i}" for i in range(n)) for kind, n in (("skill", num_skills), ("item", ITEMS)))
    items = items if experiment.startswith("v4_items") else ()
    cfg = compose_train([f"experiment={experiment}"])
    network = build_model(cfg.model, Sizes(num_skills, 1, len(items), skills, items))
    node = OmegaConf.to_container(cfg.model, resolve=True)
    assert isinstance(node, dict)
    plain = {str(key): x for key, x in node.items()}
    return TrainedModel(Content(experiment, plain, network.state_dict(), skills, items))


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long something takes, seconds."""
    begun = clock()
    work()
    return clock() - begun


def measure(experiment: str, num_skills: int, num_students: int, answers: int) -> list[str]:
    """Return a row of the table."""
    model, draw = made_up(experiment, num_skills), np.random.default_rng(0)
    trace, wall, processor, sizes = model.start(), [], [], {}
    for number in range(answers + 50):
        skill, correct = model.skills.names[draw.integers(num_skills)], bool(draw.integers(2))
        begun, own = time.perf_counter(), time.thread_time()
        trace = model.observe(trace, skill=skill, correct=correct)
        if number >= 50:  # after those that record the operations
            wall.append(1000 * (time.perf_counter() - begun))
            processor.append(1000 * (time.thread_time() - own))
        if number in (0, 199):
            sizes[number] = len(trace.to_bytes())
    # Attention keeps half a megabyte a student at this size: as many of them as fit into a gigabyte.
    num_students = min(num_students, (1 << 28) // sum(x.numel() for x in trace.state.tensors().values()))
    asked = [model.skills.names[i % num_skills] for i in range(num_students)]
    given: dict[str, Any] = {"skill": asked, "correct": [True] * num_students}
    many, apart = model.start(num_students), [model.start() for _ in range(num_students)]
    together = min(timed(lambda: model.observe(many, **given)) for _ in range(3))
    listed = min(timed(lambda: model.observe(apart, **given)) for _ in range(2))
    outlook = 1000 * min(timed(lambda: model.outlook(trace)) for _ in range(20))
    times = [f"{np.percentile(x, q):.2f}" for x in (wall, processor) for q in (50, 95)]
    counts = [f"{size:,}" for size in sizes.values()]
    return [experiment, *times, f"{num_students:,}", f"{together:.2f}", f"{listed:.2f}", f"{outlook:.1f}", *counts]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS)
    parser.add_argument("--skills", type=int, default=200)
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("--answers", type=int, default=2_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    head = [
        "experiment",
        "median ms",
        "95th ms",
        "median CPU ms",
        "95th CPU ms",
        "students",
        "an answer of each, s",
        "of a list of traces, s",
    ]
    head += ["outlook ms", "bytes after 1", "bytes after 200"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for experiment in given.experiments:
        print(f"| {' | '.join(measure(experiment, given.skills, given.students, given.answers))} |", flush=True)


if __name__ == "__main__":
    main()
