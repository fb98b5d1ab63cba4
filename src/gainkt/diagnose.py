"""Ask why Encoder 2 is weak: `python -m gainkt.diagnose run=<dir>`; or `diagnose_run(...)` from Python."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.reporting.diagnosis_figures import save_figures
from gainkt.reporting.diagnosis_table import diagnosis_view
from gainkt.runs.reports import Report, diagnose_run, open_run

__all__ = ["diagnose_config", "diagnose_run", "main"]


def diagnose_config(cfg: DictConfig) -> Report:
    """Diagnose as a config composed from conf/diagnose.yaml says, and draw figures/ beside diagnosis.json.

    Raises:
        ConfigError: the run, checkpoint or part does not exist.
        DataError: the run's data cannot be read.
    """
    with open_run(cfg) as (run, datamodule, asked):
        done = diagnose_run(run, datamodule, leakage=cfg.leakage, **asked)
        if cfg.figures:
            save_figures(done.content, done.folder / "figures")
        return done


@hydra.main(config_path=conf_dir(), config_name="diagnose", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Diagnose as the command line says, and print the report."""
    console, done = make_console(), diagnose_config(cfg)
    console.print(diagnosis_view(done.content))
    console.print(f"diagnosis: {done.folder / 'diagnosis.json'}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
