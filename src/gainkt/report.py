"""Write the page of a run: `python -m gainkt.report run=<dir>`, one HTML file with its report and its students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError, DataError
from gainkt.reporting.page.render import write_page
from gainkt.reporting.page.run_page import run_page
from gainkt.runs.folder import Run, build_datamodule, load_run
from gainkt.runs.page import MOST_ROWS, gather, measure_transfer
from gainkt.simulation.simulate import simulate_with_truth

PAGE = "report.html"


def report_run(run: Run, data: KTDataModule | None = None, *, rows: int = MOST_ROWS, seed: int = 0) -> str:
    """Return the page of a finished run as HTML; what needs data that cannot be read is left out, and the page says so.

    Args as in conf/report.yaml; `data` is the run's own, read where None. Errors are those of `gainkt.runs.page.gather`.
    """
    found: Any
    truth, read = None, dict(run.config.dataset.read)
    try:
        found = measure_transfer(run, data or build_datamodule(run.config.dataset))
        if read.pop("_target_") == f"{simulate_with_truth.__module__}.simulate":
            read.pop("_partial_", None)
            truth = simulate_with_truth(**read).true_mastery()
    except (ConfigError, DataError, OSError) as error:
        found = f"Not measured: {error}."
    return run_page(gather(run, most_rows=rows, seed=seed, transfer=found, truth=truth))


@hydra.main(config_path=conf_dir(), config_name="report", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    run = load_run(Path(hydra.utils.to_absolute_path(cfg.run)), cfg.trust or ())
    if cfg.path is not None:
        run.config.dataset.path = hydra.utils.to_absolute_path(cfg.path)
    path = run.directory.path / PAGE if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output))
    console = make_console()
    console.print(f"report: {write_page(report_run(run, rows=cfg.rows, seed=cfg.seed), path)}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
