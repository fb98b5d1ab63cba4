"""The page of a run, from its folder and, where they can be read, its data: for `report=true` and `gainkt report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gainkt.data.datamodule import KTDataModule
from gainkt.digests import held_to
from gainkt.errors import ConfigError, DataError
from gainkt.reporting.page import PAGE, require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.runs.folder import Run, build_datamodule
from gainkt.runs.page import MOST_ROWS, gather, measure_transfer
from gainkt.simulation.simulate import simulate, simulate_with_truth


def run_page(
    run: Run,
    data: KTDataModule | None = None,
    *,
    rows: int = MOST_ROWS,
    seed: int = 0,
    parts: pd.DataFrame | None = None,
) -> Page:
    """Return the page of a finished run, which a notebook shows; it says what it lacks where data cannot be read.

    Args:
        run: read back.
        data: its own; read as its config says where None.
        rows: most practised (step, skill) cells of the explorer; of more, students are drawn at random.
        seed: of that draw.
        parts: of predictions, for the explorer: student, step, and a column of numbers a part.

    Raises:
        ConfigError: the run did not finish, a file in its folder is damaged, or what draws pages is not installed.
    """
    require_pages()
    from gainkt.reporting.page import run_page as page

    transfer: Any
    truth = None
    try:
        transfer = measure_transfer(run, data or build_datamodule(run.config.dataset))
        truth = true_mastery(run)
    except (ConfigError, DataError, OSError) as error:
        transfer = f"Not measured: {error}."
    content = gather(run, most_rows=rows, seed=seed, transfer=transfer, truth=truth, parts=parts)
    with held_to(run.directory.path, "have the reports in it made again", *page.FAULTS):
        return Page(page.run_page(content))


def true_mastery(run: Run) -> pd.DataFrame | None:
    """Return the true mastery after each step of simulated students: student, step, skill, true_mastery; or None."""
    read = dict(run.config.dataset.read)
    if read.pop("_target_") != f"{simulate.__module__}.{simulate.__name__}":
        return None
    read.pop("_partial_", None)
    return simulate_with_truth(**read).true_mastery()


def write_page(run: Run, data: KTDataModule | None = None, path: Path | None = None, **settings: Any) -> Path:
    """Write the page of a run, into its folder where no path is given; arguments and errors are those of `run_page`."""
    return run_page(run, data, **settings).save(path or run.directory.path / PAGE)
