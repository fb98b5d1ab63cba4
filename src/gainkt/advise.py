"""Ask which experiment comes next: `python -m gainkt.advise run=<dir>`; or `advise_run(...)` from Python."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main, run_of
from gainkt.console import make_console
from gainkt.reporting.advice_view import advice_view
from gainkt.runs.advice import Advised, advise_run
from gainkt.runs.folder import load_run
from gainkt.runs.predict import pick_device

__all__ = ["Advised", "advise_config", "advise_run"]


def advise_config(cfg: DictConfig) -> Advised:
    """Advise as a config composed from conf/advise.yaml says.

    Raises:
        ConfigError: the folder is not that of a finished run, or there is no scorecard and none can be made.
    """
    trust = tuple(cfg.get("trust") or ())
    run = load_run(Path(run_of(cfg)), trust)
    path = run.config.dataset.get("path") if cfg.path is None else cfg.path
    if path is not None and (found := Path(hydra.utils.to_absolute_path(path)).resolve()).exists():
        run.config.dataset.path = str(found)  # so that the commands work from any folder
    with run.directory.writing():
        return advise_run(run, make=cfg.make, device=pick_device(cfg.device), trust=trust)


@hydra.main(config_path=conf_dir(), config_name="advise", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Advise as the command line says, and print it."""
    console, done = make_console(), advise_config(cfg)
    console.print(advice_view(done.content, console.width))
    console.print(f"advice: {done.path}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
