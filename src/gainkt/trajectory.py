"""Look at one student: `python -m gainkt.trajectory run=<dir> student=<id>`."""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main, run_of
from gainkt.console import make_console
from gainkt.digests import read_table
from gainkt.errors import ConfigError, nearest
from gainkt.evaluation.schema import TRAJECTORIES
from gainkt.reporting.student import mastery_plot, student_table
from gainkt.runs.course import course
from gainkt.runs.reports import open_run


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


def course_of(cfg: DictConfig) -> tuple[str, pd.DataFrame]:
    """Return a student's name, and gain, practice and mastery of every skill at every step, from a run's model.

    Raises:
        ConfigError: there is no such run, checkpoint, part or student.
        DataError: the run's data cannot be read.
    """
    with open_run(cfg) as (run, data, asked):
        run.require_same_data(data)
        students = data.students(cfg.split)
        by_length = students[np.argsort(data.log_.lengths[students], kind="stable")]
        name = str(data.log_.students[by_length[len(students) // 2]]) if cfg.student is None else str(cfg.student)
        return name, course(run.model(cfg.phase), data, name, device=asked["device"])


@hydra.main(config_path=conf_dir(), config_name="trajectory", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Print a student's table and plot: from the model, or from the tables of a folder that has none."""
    folder = Path(run_of(cfg))
    if (folder / "config.yaml").is_file():
        name, rows = course_of(cfg)
    else:
        name, rows = read_student(folder / "trajectories.parquet", None if cfg.student is None else str(cfg.student))
    console = make_console()
    console.print(student_table(name, rows, cfg.steps))
    console.print(mastery_plot(rows, cfg.skills, console.width))


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
