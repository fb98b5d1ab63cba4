"""Look at one student: `python -m gainkt.trajectory run=<dir> student=<id>`."""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError, nearest
from gainkt.reporting.student import mastery_plot, student_table
from gainkt.runs.course import course
from gainkt.runs.reports import open_run


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


def course_of(cfg: DictConfig) -> tuple[str, pd.DataFrame]:
    """Return a student's name, and gain, practice and mastery of every skill at every step, from a run's model.

    Raises:
        ConfigError: there is no such run, checkpoint, part or student.
        DataError: the run's data cannot be read.
    """
    run, data, asked = open_run(cfg)
    run.require_same_data(data)
    students = data.students(cfg.split)
    by_length = students[np.argsort(data.log_.lengths[students], kind="stable")]
    name = str(data.log_.students[by_length[len(students) // 2]]) if cfg.student is None else str(cfg.student)
    return name, course(run.model(cfg.phase), data, name, device=asked["device"])


@hydra.main(config_path=conf_dir(), config_name="trajectory", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Print a student's table and plot: from the model, or from the tables of a folder that has none."""
    folder = Path(hydra.utils.to_absolute_path(cfg.run))
    if (folder / "config.yaml").is_file():
        name, rows = course_of(cfg)
    else:
        name, rows = read_student(folder / "trajectories.parquet", None if cfg.student is None else str(cfg.student))
    console = make_console()
    console.print(student_table(name, rows, cfg.steps))
    console.print(mastery_plot(rows, cfg.skills, console.width))


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
