"""Measure how fast gainkt trains, against the research line's way of training in the same run.

Examples:
    python scripts/benchmark_training.py speed --data ../shared/data/assist2015_pykt
    python scripts/benchmark_training.py scaling
    python scripts/benchmark_training.py gpu --data ../shared/data/assist2015_pykt

Idle threads of torch spin while they wait, which costs dearly where other work shares the cores:
OMP_WAIT_POLICY=passive in the environment makes them sleep.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmark_parts import ENDS, Case, Speed, compare, peak_memory
from benchmark_scaling import Cell, measure_cell
from gainkt.errors import ConfigError, DataError

SIZES, EXPERIMENTS = ("small", "reference"), ("v1_per_skill", "v0_scalar")
LENGTHS, SKILLS = (50, 200, 500, 1000, 2000), (100, 500, 2000)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--json", type=Path, metavar="FILE", help="save the figures here, too")
    command.add_argument("--threads", type=int, help="threads of torch on the CPU (default: torch's own choice)")
    what = command.add_subparsers(dest="what", required=True)
    for name, text in (
        ("speed", "training interactions a second, and peak memory, on the CPU"),
        ("gpu", "the same on a GPU, in fp32 and bf16-mixed"),
    ):
        one = what.add_parser(name, help=text)
        one.add_argument("--data", required=True, help="folder of ASSISTments 2015 as pyKT preprocesses it")
        one.add_argument("--experiment", nargs="+", default=list(EXPERIMENTS), choices=EXPERIMENTS)
        one.add_argument("--size", nargs="+", default=list(SIZES), choices=SIZES)
        one.add_argument("--batches", type=int, default=24, help="gainkt's batches in a round (default: 24)")
        one.add_argument("--padded", type=int, default=3, help="the baseline's batches in a round (default: 3)")
        one.add_argument("--rounds", type=int, default=3, help="rounds, interleaved (default: 3)")
        one.add_argument("--tokens", type=int, help="tokens_per_batch of gainkt (default: the config's)")
    scaling = what.add_parser("scaling", help="cost of the mastery path by length and skills, two ways")
    scaling.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), help="steps of a window")
    scaling.add_argument("--skills", nargs="+", type=int, default=list(SKILLS), help="skills of the data")
    scaling.add_argument("--tokens", type=int, default=4000, help="steps in a batch (default: 4000)")
    scaling.add_argument("--width", type=int, default=64, help="width D of the value stream (default: 64)")
    return command


def machine(device: str) -> str:
    """Describe what the figures were measured on."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    cores = f"{os.cpu_count()}-core {platform.machine()} CPU"
    return f"{cores}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def run_speed(arguments: argparse.Namespace, console: Console, device: str) -> list[dict[str, Any]]:
    """Measure every experiment, size and precision; return one record a way of training."""
    precisions = ("32-true",) if device == "cpu" else ("32-true", "bf16-mixed")
    cases = [
        Case(experiment, size, arguments.data, precision, device, arguments.tokens)
        for experiment in arguments.experiment
        for size in arguments.size
        for precision in precisions
    ]
    records: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            progress.update(task, description=f"{case.experiment} {case.size} {case.precision}")
            speeds = compare(case, batches=arguments.batches, padded_batches=arguments.padded, rounds=arguments.rounds)
            for way, speed in speeds.items():
                where = {"experiment": case.experiment, "size": case.size, "precision": case.precision}
                memory = peak_memory(case, way) if way in ENDS else None
                records.append({**where, "way": way, **dataclasses.asdict(speed), "peak_mib": memory})
            progress.advance(task)
    return records


def speed_table(records: Sequence[Mapping[str, Any]], device: str) -> Table:
    """Tabulate the records; the ratio is to the baseline of the same case."""
    table = Table(title="Training step: forward, loss, backward, clip, Adam", caption=machine(device))
    for name in ("variant", "size", "precision", "way"):
        table.add_column(name, no_wrap=True)
    for name in ("real steps/s", "rounds", "x baseline", "real cells", "epoch s", "peak MiB"):
        table.add_column(name, justify="right")
    baseline = 1.0
    for r in records:
        speed = Speed(**{f.name: r[f.name] for f in dataclasses.fields(Speed)})
        if r["way"] == "baseline":
            baseline = speed.best
        table.add_row(
            *(r["experiment"], r["size"], r["precision"], r["way"], f"{speed.best:,.0f}"),
            f"{min(speed.rounds):,.0f}-{max(speed.rounds):,.0f}",
            f"{speed.best / baseline:.1f}",
            f"{speed.real_share:.0%}",
            f"{speed.epoch_steps / speed.best:.1f}",
            "" if r["peak_mib"] is None else f"{r['peak_mib']:,.0f}",
            end_section=r["way"] == "gainkt",
        )
    return table


def run_scaling(arguments: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Measure every length and number of skills both ways."""
    cases = [(t, k) for k in arguments.skills for t in arguments.lengths]
    records: list[dict[str, Any]] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(cases))
        for length, num_skills in cases:
            progress.update(task, description=f"{length} steps, {num_skills} skills")
            records.append(measure_cell(Cell(length, num_skills, arguments.tokens, arguments.width)))
            progress.advance(task)
    return records


def scaling_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Tabulate the records."""
    table = Table(title="Mastery path, one training step: forward, loss, backward", caption=machine("cpu"))
    heads = (
        "skills K",
        "steps T",
        "windows B",
        "columns C",
        "met ms",
        "all ms",
        "x",
        "met MiB",
        "all MiB",
        "max |dp2|",
    )
    for name in heads:
        table.add_column(name, justify="right")
    for r in records:
        met, every = r["met"], r["every"]
        table.add_row(
            *(f"{r[key]:,}" for key in ("num_skills", "length", "windows", "columns")),
            *(f"{met['ms']:.1f}", f"{every['ms']:.1f}", f"{every['ms'] / met['ms']:.1f}"),
            *(f"{met['peak_mib']:.1f}", f"{every['peak_mib']:.1f}", f"{r['difference']:.0e}"),
            end_section=r["length"] == records[-1]["length"],
        )
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print a table, and save the figures if asked; 1 where that is not possible."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    arguments = parser().parse_args(argv)
    console = Console()
    console.width = max(console.width, 150)
    errors = Console(stderr=True, soft_wrap=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = "cuda" if arguments.what == "gpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        errors.print("benchmark gpu: torch finds no GPU on this machine; run it where there is one")
        return 1
    try:
        if arguments.what == "scaling":
            records = run_scaling(arguments, console)
            table = scaling_table(records)
        else:
            records = run_speed(arguments, console, device)
            table = speed_table(records, device)
    except (ConfigError, DataError, OSError) as error:
        errors.print(f"benchmark {arguments.what}: {error}", markup=False)
        return 1
    console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(device), "records": records}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
