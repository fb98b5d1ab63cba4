"""Training on a GPU, in at most 8 minutes: `python scripts/benchmark_gpu.py --json gpu.json --data <folder>`.

Four parts, each within what is left of `--seconds`: interactions a second by width, stream, precision and batch size;
how often a training step waits for the GPU;
v4_belief on ASSISTments 2015 (`--data`, as pyKT preprocesses it) to its best epoch; and a log in the shape of EdNet
(784,000 students, 131 million interactions, 188 skills, 13,169 items): written, opened, trained on for a minute, an
epoch extrapolated. What was not reached, or cannot be measured, is said in the table. `--tiny` takes small sizes, and
runs to its end on a CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from ednet import write_log
from gainkt.config import conf_dir
from gainkt.data.batch import Batch
from gainkt.data.datamodule import KTDataModule
from gainkt.data.readers import read_log
from gainkt.data.splits import SeededFolds
from gainkt.model import Carrier
from gainkt.train import train
from gainkt.training.module import GainKTModule
from trainee import Trainee

Record = dict[str, Any]
CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


@dataclass(frozen=True)
class Sizes:
    """What is measured."""

    widths: tuple[int, ...] = (128, 64, 256)
    tokens: tuple[int, ...] = (16_384, 131_072, 524_288)
    cell_seconds: float = 2.0
    warm_batches: int = 15
    speed_interactions: int = 8_000_000
    students: int = 784_000
    interactions: int = 131_000_000
    train_seconds: float = 60.0


TINY = Sizes((16,), (512,), 0.2, 3, 20_000, 200, 20_000, 1.0)
SMALL = ("model.size.num_blocks=1", "trainer.max_epochs=1", "dataset.read.num_students=60")


def opened(folder: Path, tokens: int) -> KTDataModule:
    """A saved log with its split."""
    split = SeededFolds(num_folds=5, test_share=0.1, seed=0)
    return KTDataModule(read=read_log, path=str(folder), split=split, tokens_per_batch=tokens)


def train_for(
    module: KTDataModule,
    seconds: float,
    *settings: str,
    precision: str = "fp32",
    kept_on: torch.device = DEVICE,
    warm: int,
) -> Record:
    """Train for some seconds after some batches: interactions a second, batches, peak of the device's memory."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("train", ["experiment=v4_belief", *settings])
    trainee = Trainee(cfg, module, DEVICE)
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    counted, batches, begun, end = torch.zeros((), dtype=torch.long, device=DEVICE), 0, 0.0, float("inf")
    loader = module.loader("train", shuffle=True, device=kept_on)
    while True:  # as many epochs as it takes
        trainee.carrier = Carrier()
        for batch in loader:
            if batches == warm:
                _wait()
                counted.zero_()
                begun = time.perf_counter()
                end = begun + seconds
            batches += 1
            batch = batch.to(DEVICE, non_blocking=True)
            trainee.step(batch, half=precision == "bf16")
            counted += batch.valid_BT.sum()
            if time.perf_counter() >= end:
                _wait()
                rate = int(counted) / (time.perf_counter() - begun)
                peak = torch.cuda.max_memory_allocated() / 2**20 if CUDA else None
                return {
                    "interactions_a_second": round(rate),
                    "batches": batches - warm,
                    "device_mib": peak and round(peak),
                }


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def cases(sizes: Sizes) -> list[Record]:
    """Every width, stream and batch size in float32, the largest in bfloat16; a log on the host, and fused Adam."""
    grid = itertools.product(sizes.widths, sizes.tokens, ("lstm", "attention"), ("fp32", "bf16"))
    found = [
        {"width": width, "stream": stream, "precision": precision, "tokens": tokens}
        for width, tokens, stream, precision in grid
        if precision == "fp32" or tokens == sizes.tokens[-1]
    ]
    other: list[Record] = [{"log": "on the host"}, {"adam": "fused"}]
    return [{**found[0], "tokens": tokens, **way} for way in other for tokens in sizes.tokens] + found


def speed(sizes: Sizes, folder: Path, left: Callable[[], float]) -> list[Record]:
    """Interactions a second in every case."""
    write_log(folder, max(sizes.speed_interactions // 167, 10), sizes.speed_interactions)
    records = []
    for case in cases(sizes):
        stream, width = case["stream"], case["width"]
        chosen = [f"model/encoder1={stream}", f"model/encoder2={stream}", f"model.size.d_model={width}"]
        chosen += ["optimizer.fused=true"] if "adam" in case else []
        chosen += ["model.size.num_heads=4", f"model.size.d_ff={width}"] if stream == "attention" else []
        if left() < 3 * sizes.cell_seconds:
            records.append({**case, "not measured": "no time left"})
            continue
        module = opened(folder, case["tokens"])
        kept: Record = {"precision": case["precision"], "kept_on": torch.device("cpu") if "log" in case else DEVICE}
        try:
            found = train_for(module, sizes.cell_seconds, *chosen, **kept, warm=sizes.warm_batches)
            records.append({**case, **found})
        except (RuntimeError, ValueError) as error:  # out of memory, or no bf16 LSTM on a CPU
            records.append({**case, "not measured": str(error).splitlines()[0][:80]})
    return records


def waits(folder: Path) -> Record:
    """How often the host waits for the GPU in the training steps of a run, and where; the first is left out."""
    if not CUDA:
        return {"not measured": "no GPU"}
    steps = 0

    def before(module: GainKTModule, batch: Batch, batch_idx: int) -> None:
        nonlocal steps
        steps += batch_idx > 0
        torch.cuda.set_sync_debug_mode("warn" if batch_idx else "default")

    watched = {
        "on_train_batch_start": before,
        "on_train_batch_end": lambda *_: torch.cuda.set_sync_debug_mode("default"),
    }
    for name, hook in watched.items():
        setattr(GainKTModule, name, hook)
    chosen = ["experiment=v4_belief", "dataset=simulated", "trainer.accelerator=gpu", "trainer.max_epochs=1"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("train", [*chosen, "trajectories.write=false", "gradient_every=0"])
    cfg.run.dir = str(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(cfg)
    for name in watched:
        delattr(GainKTModule, name)
    found = [f"{'/'.join(Path(w.filename).parts[-2:])}:{w.lineno}" for w in caught if "synchronizing" in str(w.message)]
    return {"steps": steps, "waits": len(found), "where": dict(Counter(found).most_common(6))}


def best_epoch(data: Path | None, folder: Path, tiny: bool) -> Record:
    """v4_belief to its best epoch: seconds and AUC."""
    chosen = ["dataset=simulated", *SMALL] if tiny else ["dataset=assist2015", f"dataset.path={data}"]
    if data is None and not tiny:
        return {"not measured": "no --data"}
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        accelerator = f"trainer.accelerator={'gpu' if CUDA else 'cpu'}"
        cfg = compose("train", ["experiment=v4_belief", accelerator, "trajectories.write=false", *chosen])
    cfg.run.dir = str(folder)
    begun = time.perf_counter()
    done = train(cfg)
    found = {name: round(done.metrics[f"test/{name}"], 4) for name in ("encoder1_auc", "encoder2_auc")}
    return {"seconds": round(time.perf_counter() - begun, 1), "data": done.results["protocol"], **found}


def large(sizes: Sizes, folder: Path, left: Callable[[], float]) -> Record:
    """A log in the shape of EdNet: seconds to write, open and train, an epoch extrapolated, and memory."""
    begun = time.perf_counter()
    write_log(folder, sizes.students, sizes.interactions)
    written = time.perf_counter()
    module = opened(folder, sizes.tokens[-1])
    module.setup()
    record: Record = {
        "write_seconds": round(written - begun, 1),
        "open_seconds": round(time.perf_counter() - written, 1),
    }
    seconds = min(sizes.train_seconds, left() - 5)
    if seconds < 1:
        return record | {"not measured": "no time left to train"}
    record |= train_for(module, seconds, "model.size.d_model=128", warm=sizes.warm_batches)
    steps = int(module.log_.lengths[module.students("train")].sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return record | {"epoch_seconds": round(steps / record["interactions_a_second"]), "host_mib": round(peak)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go; written after each part")
    parser.add_argument("--data", type=Path, help="folder of ASSISTments 2015 as pyKT preprocesses it")
    parser.add_argument("--seconds", type=float, default=450.0, help="for all of it")
    parser.add_argument("--tiny", action="store_true", help="small sizes, on a CPU too")
    options = parser.parse_args(argv)
    if not (CUDA or options.tiny):
        print("benchmark_gpu: torch finds no GPU on this machine; --tiny runs without one", file=sys.stderr)
        return 1
    begun, sizes = time.perf_counter(), TINY if options.tiny else Sizes()
    content: Record = {"device": torch.cuda.get_device_name() if CUDA else "CPU", "torch": torch.__version__}

    def left(share: float = 1.0) -> float:
        return begun + share * options.seconds - time.perf_counter()

    with tempfile.TemporaryDirectory() as temporary:
        parts: dict[str, Callable[[Path], Any]] = {
            "speed": lambda folder: speed(sizes, folder, lambda: left(0.45)),
            "waits": waits,
            "best_epoch": lambda folder: best_epoch(options.data, folder, options.tiny),
            "large": lambda folder: large(sizes, folder, left),
        }
        for name, part in parts.items():
            content[name] = part(Path(temporary, name))
            options.json.write_text(json.dumps(content, indent=2) + "\n")
    table = Table(title=f"{content['device']}, torch {content['torch']}, {time.perf_counter() - begun:.0f} s")
    table.add_column("part")
    table.add_column("figures")
    for name in parts:
        for record in content[name] if isinstance(content[name], list) else [content[name]]:
            table.add_row(name, ", ".join(f"{key} {value}" for key, value in record.items() if value is not None))
    Console(width=150).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
