"""Score a run again: `python -m gainkt.evaluate run=<dir>`, on any part of its data or on other data."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.reporting.scorecard_table import scorecard_view
from gainkt.reporting.tables import results_table
from gainkt.runs.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate", "main"]


@hydra.main(config_path=conf_dir(), config_name="evaluate", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Score as the command line says, and print the table."""
    console, done = make_console(), evaluate(cfg)
    console.print(results_table(done.results))
    if done.scorecard is not None:
        console.print(scorecard_view(done.scorecard))
        console.print(f"tables: {done.folder}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
