"""Have a tutor decide by estimates of mastery: `python -m gainkt.teach run=<dir>`, on simulated students or a log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.reporting.figures import save_figure
from gainkt.reporting.teaching_view import teaching_figure, teaching_view
from gainkt.tutoring.command import teach_config

__all__ = ["main", "teach"]


def teach(cfg: DictConfig) -> tuple[dict[str, Any], Path | None]:
    """Do as a config composed from conf/teach.yaml says, as `teach_config`, and draw teach.png."""
    content, folder = teach_config(cfg)
    if folder is not None:
        save_figure(teaching_figure(content), folder / "teach.png")
    return content, folder


@hydra.main(config_path=conf_dir(), config_name="teach", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Teach as the command line says, and print the tables."""
    console = make_console()
    content, folder = teach(cfg)
    console.print(teaching_view(content))
    if folder is not None:
        console.print(f"results: {folder}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
