"""Read and save large tables, each in a fresh process: `python scripts/benchmark_reading.py --rows 10_000_000`.

Made-up answers with students, skills, items and times; the rows of a student stand together, or (`--mixed`) all rows
stand in the order of time. `--beside <src>` reads the CSV by another revision's package too.
"""

from __future__ import annotations

import argparse
import gzip
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

PIECE, HISTORY = 1_000_000, 100
SCHEMA = pa.schema(
    {"student": pa.int64(), "skill": pa.int64(), "correct": pa.int8(), "item": pa.int64(), "time": pa.int64()}
)


def write(path: Path, rows: int, mixed: bool) -> None:
    """Write `rows` answers as .csv, .csv.gz or .parquet."""
    draw = np.random.default_rng(0)
    with gzip.open(path, "wb", compresslevel=1) if path.suffix == ".gz" else path.open("wb") as file:
        parquet = path.suffix == ".parquet"
        writer = pa.parquet.ParquetWriter(file, SCHEMA) if parquet else pa.csv.CSVWriter(file, SCHEMA)
        with writer:
            for start in range(0, rows, PIECE):
                number = np.arange(start, min(start + PIECE, rows))
                item = draw.integers(0, 20_000, len(number))
                student = draw.integers(0, rows // HISTORY, len(number)) if mixed else number // HISTORY
                correct = (draw.random(len(number)) < 0.7).astype(np.int8)
                columns = [student, item % 500, correct, item, 10**12 + number * 1000]
                writer.write_table(pa.table(columns, schema=SCHEMA))


def measure(path: Path, target: Path) -> None:
    """Read and save; print processor seconds, seconds, peak memory in GiB, and the digest."""
    from gainkt.data.readers import read_csv

    used, start = time.process_time(), time.perf_counter()
    log = read_csv(path, item="item", order="time")
    log.save(target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{time.process_time() - used:.1f} | {time.perf_counter() - start:.1f} | {peak:.2f} | {log.digest}")


def main() -> int:
    """Run the command."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--rows", type=int, default=10_000_000)
    command.add_argument("--formats", nargs="*", default=["csv", "csv.gz", "parquet"])
    command.add_argument("--mixed", action="store_true", help="all rows in the order of time")
    command.add_argument("--beside", type=Path, help="folder src of another revision")
    command.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = command.parse_args()
    if options.file:
        measure(options.file, options.file.parent / "log")
        return 0
    print("| rows | format | package | processor, s | time, s | peak, GiB | digest |\n|---|---|---|---|---|---|---|")
    own = Path(__file__).resolve().parents[1] / "src"
    for ending in options.formats:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / f"answers.{ending}"
            write(path, options.rows, options.mixed)
            for package in [own, *([options.beside] if options.beside and ending == "csv" else [])]:
                subprocess.run(["rm", "-rf", str(path.parent / "log")], check=True)
                code = f"import sys, runpy; sys.path.insert(0, {str(package)!r}); "
                code += f"runpy.run_path({__file__!r}, run_name='__main__')"
                ran = [sys.executable, "-c", code, "--file", str(path)]
                done = subprocess.run(ran, capture_output=True, text=True, check=True, env={"OMP_NUM_THREADS": "1"})
                name = "this" if package == own else "other"
                print(f"| {options.rows:,} | .{ending} | {name} | {done.stdout.strip()} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
