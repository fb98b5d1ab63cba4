"""Look at one student: `python -m gainkt.trajectory run=<dir> student=<id>`."""

from __future__ import annotations

from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.digests import read_table
from gainkt.errors import ConfigError, nearest
from gainkt.evaluation.schema import TRAJECTORIES
from gainkt.reporting.student import mastery_plot, student_table


def read_student(path: Path, student: str | None) -> tuple[str, pd.DataFrame]:
    """Return a student's name and rows of trajectories.parquet.

    Raises:
        ConfigError: there is no such table or student.
    """
    way = f"`python -m gainkt.evaluate run={path.parent}` writes one; give the folder that it prints"
    counts = read_table(path, way, columns=["student"])["student"].value_counts()
    known = [name for _, name in sorted(zip(counts, counts.index, strict=True))]
    chosen = known[len(known) // 2] if student is None else student
    if chosen not in known:
        raise ConfigError(f"student={chosen}: not among the {len(known)} students of {path}{nearest(chosen, known)}")
    return chosen, read_table(path, way, TRAJECTORIES.names, filters=[("student", "==", chosen)])


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
