"""Look at one student: `python -m gainkt.trajectory run=<dir> student=<id>`."""

from __future__ import annotations

from pathlib import Path

import hydra
import pandas as pd
import pyarrow.parquet as pq
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError, nearest
from gainkt.reporting.student import mastery_plot, student_table


def read_student(path: Path, student: str | None) -> tuple[str, pd.DataFrame]:
    """Return a student's name and rows of trajectories.parquet.

    Raises:
        ConfigError: there is no such table or student.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such table; run `python -m gainkt.evaluate run={path.parent}`, which writes one, and give the "
            "folder that it prints"
        )
    names = pq.read_table(path, columns=["student"]).column("student")
    counts = sorted((entry["counts"], entry["values"]) for entry in names.value_counts().to_pylist())
    known = [name for _, name in counts]
    if not known:
        raise ConfigError(f"{path}: the table holds no student")
    chosen = known[len(known) // 2] if student is None else student
    if chosen not in known:
        raise ConfigError(f"student={chosen}: not among the {len(known)} students of {path}{nearest(chosen, known)}")
    return chosen, pq.read_table(path, filters=[("student", "==", chosen)]).to_pandas()


@hydra.main(config_path=conf_dir(), config_name="trajectory", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Print a student's table and plot."""
    path = Path(hydra.utils.to_absolute_path(cfg.run)) / "trajectories.parquet"
    name, rows = read_student(path, None if cfg.student is None else str(cfg.student))
    console = make_console()
    console.print(student_table(name, rows, cfg.steps))
    console.print(mastery_plot(rows, cfg.skills, console.width))


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
