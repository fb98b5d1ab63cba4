"""Open and stream a very large log: `python scripts/benchmark_log.py --interactions 100_000_000`.

Writes a log of made-up single-skill interactions to a temporary folder (17 bytes each), then measures in a fresh
process how long it takes to open, to split and to stream an epoch's batches, and how much memory that holds of its own
(mapped pages of the file, which the system may drop at will, do not count).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog, offsets_of
from gainkt.data.readers import read_log
from gainkt.data.splits import SeededFolds

STEPS = 50
PIECE = 1 << 22


def write(folder: Path, interactions: int, num_skills: int = 500) -> None:
    """Write a log of `interactions` steps, a piece at a time."""
    students = interactions // STEPS
    small = InteractionLog(
        name="large",
        offsets=offsets_of(np.full(students, STEPS)),
        responses=np.zeros(students * STEPS, dtype=np.uint8),
        skill_offsets=np.arange(students * STEPS + 1, dtype=np.int64),
        skills=np.zeros(students * STEPS, dtype=np.int32),
        items=np.full(students * STEPS, -1, dtype=np.int32),
        students=np.arange(students).astype(np.str_),
        skill_names=np.arange(num_skills).astype(np.str_),
        item_names=np.empty(0, dtype=np.str_),
        folds=np.full(students, -2, dtype=np.int16),
    )
    small.save(folder)
    draw = np.random.default_rng(0)
    responses, skills = (open_memmap(folder / f"{name}.npy", mode="r+") for name in ("responses", "skills"))
    for start in range(0, len(responses), PIECE):
        part = slice(start, start + PIECE)
        size = len(responses[part])
        responses[part] = draw.random(size) < 0.7
        skills[part] = np.sort(draw.integers(0, num_skills, size).reshape(-1, 2), axis=1).ravel()[:size]


def own_memory() -> float:
    """Memory that this process holds of its own, MiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure(folder: Path, num_batches: int) -> None:
    """Open, split and stream; print each with its time and memory."""
    base, start = own_memory(), time.perf_counter()
    log = InteractionLog.open(folder)
    print(f"open    {time.perf_counter() - start:8.3f} s   {own_memory() - base:8.0f} MiB   {log.num_steps:,} steps")
    start = time.perf_counter()
    module = KTDataModule(read=read_log, path=str(folder), split=SeededFolds())
    loader = module.train_dataloader()
    print(f"split   {time.perf_counter() - start:8.3f} s   {own_memory() - base:8.0f} MiB   {len(loader):,} batches")
    start, steps = time.perf_counter(), 0
    for number, batch in enumerate(loader):
        steps += int(batch.valid_BT.sum())
        if number in (num_batches // 4, num_batches):
            rate = steps / (time.perf_counter() - start)
            print(f"stream  {rate:8.0f} steps/s   {own_memory() - base:8.0f} MiB   after {number:,} batches")
        if number == num_batches:
            break


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=100_000_000)
    parser.add_argument("--batches", type=int, default=2000, help="batches to stream")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        measure(options.folder, options.batches)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "log"
        write(folder, options.interactions)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        print(f"a log of {options.interactions:,} interactions: {size:,.0f} MiB on disk")
        command = [sys.executable, __file__, "--folder", str(folder), "--batches", str(options.batches)]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
