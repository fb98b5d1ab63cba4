"""Hold runs against each other on the same students: `python -m gainkt.compare runs=[a,b]`, or a sweep's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, ListConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.reporting.comparison_view import comparison_view
from gainkt.reporting.page import require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.runs.compare import compare_runs, load_runs

__all__ = ["compare_config", "compare_runs", "main"]


def compare_config(cfg: DictConfig) -> tuple[dict[str, Any], Path | None]:
    """Compare as a config composed from conf/compare.yaml says; return the comparison, and where its page is.

    Raises:
        ConfigError: a run cannot be compared with the first.
        DataError: a file of a run cannot be read.
    """
    given = list(cfg.runs) if isinstance(cfg.runs, ListConfig) else [cfg.runs]
    content = compare_runs(load_runs([hydra.utils.to_absolute_path(str(one)) for one in given], cfg.trust or ()))
    if cfg.output is None:
        return content, None
    require_pages()
    from gainkt.reporting.page.compare_page import compare_page

    path = Path(hydra.utils.to_absolute_path(cfg.output))
    return content, Page(compare_page(content, path.parent)).save(path)


@hydra.main(config_path=conf_dir(), config_name="compare", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Compare as the command line says, and print the tables."""
    console, (content, path) = make_console(), compare_config(cfg)
    console.print(comparison_view(content))
    if path is not None:
        console.print(f"comparison: {path}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
