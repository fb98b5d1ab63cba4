"""Write the page of a run: `python -m gainkt.report run=<dir>`, one HTML file with its report and its students."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main, run_of, said
from gainkt.console import make_console
from gainkt.errors import ConfigError, DataError
from gainkt.names import visible
from gainkt.reporting.page import PAGE, require_pages
from gainkt.runs.folder import load_run, place_data
from gainkt.sweeping.summary.report import finished_runs, summarize, write_sweep_page
from gainkt.training.page import run_page, write_page

__all__ = ["main", "report_config", "run_page", "write_page"]


def report_config(cfg: DictConfig) -> Path:
    """Write the page that a config composed from conf/report.yaml asks for, and return where it is.

    Raises:
        ConfigError: the folder is not that of a finished run or of a sweep, a file in it is damaged, or what draws
            pages is not installed.
    """
    folder = Path(run_of(cfg))
    output = None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output))
    if folder.is_dir() and not (folder / "config.yaml").is_file():
        require_pages()
        summarize(folder)
        if cfg.runs:
            _write_pages(finished_runs(folder), cfg)
        return write_sweep_page(folder, output)
    run = load_run(folder, cfg.trust or ())
    if cfg.path is not None:
        place_data(run.config.dataset, cfg.path)
    teach = None if cfg.teach is None else Path(hydra.utils.to_absolute_path(cfg.teach))
    return write_page(run, path=output, rows=cfg.rows, seed=cfg.seed, teach=teach)


def _write_pages(folders: Sequence[Path], cfg: DictConfig) -> None:
    """Write the pages of runs that have none; one that cannot be written does not keep the others from theirs."""
    console = make_console()
    for folder in folders:
        if not (folder / PAGE).is_file():
            try:
                console.print(f"report: {write_page(load_run(folder, cfg.trust or ()), rows=cfg.rows, seed=cfg.seed)}")
            except (ConfigError, DataError) as error:
                console.print(f"report: no page of {visible(folder, 200)} ({said(error)})", markup=False)


@hydra.main(config_path=conf_dir(), config_name="report", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Write the page, and say where it is."""
    make_console().print(f"report: {report_config(cfg)}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
