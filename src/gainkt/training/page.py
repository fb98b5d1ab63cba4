"""The page of a run, from its folder and, where they can be read, its data: for `report=true` and `gainkt report`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from gainkt.data.datamodule import KTDataModule
from gainkt.digests import exists, held_to, read_json
from gainkt.errors import ConfigError, DataError
from gainkt.overrides import command_line
from gainkt.reporting.page import PAGE, require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.runs.folder import Run, build_datamodule
from gainkt.runs.page import MOST_ROWS, gather, measure_transfer

TEACH = "teach.json"
"""Name of what `gainkt teach` finds, in the folder that it writes to."""


def run_page(
    run: Run,
    data: KTDataModule | None = None,
    *,
    rows: int = MOST_ROWS,
    seed: int = 0,
    parts: pd.DataFrame | None = None,
    teach: Path | None = None,
) -> Page:
    """Return the page of a finished run, which a notebook shows; it says what it lacks where data cannot be read.

    Args:
        run: read back.
        data: its own; read as its config says where None.
        rows: most practised (step, skill) cells of the explorer; of more, students are drawn at random.
        seed: of that draw.
        parts: of predictions, for the explorer: student, step, and a column of numbers a part.
        teach: folder with the teach.json of `gainkt teach`; the run's own where None, if it has one.

    Raises:
        ConfigError: the run did not finish, a file in its folder is damaged, or what draws pages is not installed.
    """
    require_pages()
    from gainkt.reporting.page import run_page as page

    transfer: Any
    truth = None
    try:
        data = data or build_datamodule(run.config.dataset)
        transfer, truth = measure_transfer(run, data), data.true_mastery()
    except (ConfigError, DataError, OSError) as error:
        transfer = f"Not measured: {error}."
    taught = _taught(run, teach)
    content = gather(run, most_rows=rows, seed=seed, transfer=transfer, truth=truth, parts=parts, teaching=taught)
    with held_to(run.directory.path, "have the reports in it made again", *page.FAULTS):
        return Page(page.run_page(content))


def _taught(run: Run, teach: Path | None) -> dict[str, Any] | None:
    """What teach.json of a folder says, as the page shows it; None where nobody gave one and the run has none.

    Raises:
        ConfigError: it is missing in the folder given, or is no such file.
    """
    from gainkt.reporting.page import teaching
    from gainkt.reporting.page.run_page import FAULTS

    path = (teach or run.directory.path) / TEACH
    overrides = [f"{key}={shlex.quote(str(at))}" for key, at in (("run", run.directory.path), ("output", path.parent))]
    way = f"`{command_line('teach', overrides)}` writes it again"
    if teach is None and not exists(path, way):
        return None
    content = read_json(path, way, {"mode": str, "estimators": list, "curves": list, "notes": list})
    with held_to(path, way, *FAULTS):
        return teaching.teaching_section(content)


def write_page(run: Run, data: KTDataModule | None = None, path: Path | None = None, **settings: Any) -> Path:
    """Write the page of a run, into its folder where no path is given; arguments and errors are those of `run_page`."""
    return run_page(run, data, **settings).save(path or run.directory.path / PAGE)
