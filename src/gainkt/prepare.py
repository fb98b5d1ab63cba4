"""Read data once, open it at once: `python -m gainkt.prepare dataset=csv dataset.path=<file> output=<folder>`.

The folder is a memory-mapped log, which `dataset=log dataset.path=<folder>` trains on whatever its size. It keeps the
source's folds and test set, and the account of what was left out and folded.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import hydra
import numpy as np
from omegaconf import DictConfig
from rich.table import Table

from gainkt.config import check_keys, conf_dir, one_line_errors, run_main
from gainkt.console import make_console, plain_table
from gainkt.data.log import InteractionLog
from gainkt.errors import DataError
from gainkt.runs.folder import build_datamodule

__all__ = ["main", "prepare", "summary"]


def prepare(cfg: DictConfig) -> InteractionLog:
    """Read and save what a config composed from conf/prepare.yaml names.

    Raises:
        ConfigError: a setting cannot be used.
        DataError: the source cannot be used, or the folder exists.
    """
    target = Path(hydra.utils.to_absolute_path(cfg.output))
    if target.exists():
        raise DataError(f"{target}: exists already; remove it or choose another folder for the log")
    check_keys(cfg.dataset)
    data = build_datamodule(cfg.dataset)
    log = data.read() if data.path is None else data.read(data.path)
    log.save(target)
    return log


def summary(log: InteractionLog) -> Table:
    """Return a table of what a log holds, and of what became of the rows."""
    several = np.count_nonzero(np.diff(log.skill_offsets) > 1) / log.num_steps
    table = plain_table(log.name)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.show_header = False
    account = log.account
    for what, value in (
        ("students", f"{log.num_students:,}"),
        ("steps", f"{log.num_steps:,}"),
        ("skills", f"{log.num_skills:,}"),
        ("items", f"{log.num_items:,}" if log.num_items else "none"),
        ("correct", f"{log.responses.mean():.1%}"),
        ("steps of a student, median", f"{np.median(log.lengths):g}"),
        ("steps of a student, most", f"{log.lengths.max():,}"),
        ("steps with several skills", f"{several:.1%}"),
        ("rows read", f"{account.get('rows', 0):,}"),
        *((f"rows left out: {reason}", f"{count:,}") for reason, count in account.get("left_out", {}).items()),
        *((f"rows with {what}", f"{count:,}") for what, count in account.get("converted", {}).items()),
        ("rows folded into another's step", f"{account.get('folded', 0):,}"),
        ("digest", log.digest),
    ):
        table.add_row(what, value)
    return table


@hydra.main(config_path=conf_dir(), config_name="prepare", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Read, save and describe a data set."""
    console = make_console()
    with console.status(f"reading {cfg.dataset.path}"):
        log = prepare(cfg)
    console.print(summary(log))
    said = shlex.quote(f"dataset.path={hydra.utils.to_absolute_path(cfg.output)}")
    console.print(f"train on it: python -m gainkt.train dataset=log {said}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
