"""Hold a run against a reference model: `python -m gainkt.align run=<dir>`; or `align_run(...)` from Python."""

from __future__ import annotations

import hydra
from omegaconf import DictConfig

from gainkt.arguments import with_place
from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.references.cache import fitted
from gainkt.references.tables import reference_tables
from gainkt.reporting.alignment_report import alignment_view, save_alignment_figure
from gainkt.runs.folder import references_of
from gainkt.runs.reports import Report, align_run, open_run

__all__ = ["align_config", "align_run", "main"]


def align_config(cfg: DictConfig) -> Report:
    """Compare as a config composed from conf/align.yaml says, and draw alignment.png beside alignment.json.

    Raises:
        ConfigError: the run, checkpoint, part or reference does not exist.
        DataError: the run's data cannot be read.
    """
    with open_run(cfg) as (run, datamodule, asked):
        settings = cfg.reference or run.config.get("reference")
        if not settings:
            raise ConfigError(
                "reference: the run was trained without one; choose what to hold it against: reference=bkt"
            )
        datamodule.setup()
        reference, _ = fitted(settings, datamodule, references_of(run.config, run.directory.path))
        said = reference_tables(reference, datamodule.log_, datamodule.students(cfg.split))
        done = align_run(run, datamodule, said, **asked)
        save_alignment_figure(done.content, done.tables, said.rows, said.difficulty, done.folder)
        return done


@hydra.main(config_path=conf_dir(), config_name="align", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Compare as the command line says, and print the report."""
    console, done = make_console(), align_config(cfg)
    console.print(alignment_view(done.content))
    console.print(f"alignment: {done.folder / 'alignment.json'}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_place)


if __name__ == "__main__":
    main()
