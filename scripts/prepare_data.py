"""Read a data set once and save it as a memory-mapped log, which opens in no time whatever its size.

Examples:
    python scripts/prepare_data.py pykt ../shared/data/assist2015_pykt data/assist2015
    python scripts/prepare_data.py akt ../shared/data/assist2009_akt data/assist2009
    python scripts/prepare_data.py csv answers.csv data/mine --student uid --skill kc --item problem
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gainkt.data.log import InteractionLog
from gainkt.data.readers import read_akt, read_csv, read_pykt
from gainkt.errors import ConfigError, DataError


def parser() -> argparse.ArgumentParser:
    """Return the command line: a format, a source, a target, and for CSV the names of the columns."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    formats = command.add_subparsers(dest="format", required=True)
    for name, what in (("csv", "CSV, one interaction a row"), ("pykt", "pyKT's CSV"), ("akt", "AKT's text")):
        one = formats.add_parser(name, help=what)
        one.add_argument("source", type=Path, help="file or folder to read")
        one.add_argument("target", type=Path, help="folder to write; must not exist")
        one.add_argument("--name", help="name of the data set (default: the source's)")
    table = formats.choices["csv"]
    table.add_argument("--student", default="student", help="column of the student (default: %(default)s)")
    table.add_argument("--skill", default="skill", help="column of the skill or skills (default: %(default)s)")
    table.add_argument("--correct", default="correct", help="column of the response (default: %(default)s)")
    table.add_argument("--item", help="column of the item")
    table.add_argument("--order", help="column of a number or timestamp to order by (default: order of the file)")
    table.add_argument("--fold", help="column of the student's fold (-1: test)")
    table.add_argument("--separator", default=";", help="joins the skills of one cell (default: %(default)s)")
    return command


def read(arguments: argparse.Namespace) -> InteractionLog:
    """Return the log that the arguments name."""
    if arguments.format == "csv":
        roles = ("student", "skill", "correct", "item", "order", "fold", "separator", "name")
        return read_csv(arguments.source, **{role: getattr(arguments, role) for role in roles})
    reader = read_pykt if arguments.format == "pykt" else read_akt
    return reader(arguments.source, name=arguments.name)


def summary(log: InteractionLog) -> Table:
    """Return a table of what the log holds."""
    several = np.count_nonzero(np.diff(log.skill_offsets) > 1) / log.num_steps
    table = Table(title=log.name, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for what, value in (
        ("students", f"{log.num_students:,}"),
        ("steps", f"{log.num_steps:,}"),
        ("skills", f"{log.num_skills:,}"),
        ("items", f"{log.num_items:,}" if log.num_items else "none"),
        ("correct", f"{log.responses.mean():.1%}"),
        ("steps of a student, median", f"{np.median(log.lengths):g}"),
        ("steps of a student, most", f"{log.lengths.max():,}"),
        ("steps with several skills", f"{several:.1%}"),
        ("digest", log.digest),
    ):
        table.add_row(what, value)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, save and describe a data set; return 0, or 1 with one line on stderr if it cannot be used."""
    given = parser().parse_args(arguments)
    try:
        if given.target.exists():
            raise DataError(f"{given.target}: exists already; remove it or choose another folder for the log")
        log = read(given)
        log.save(given.target)
    except (DataError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    Console().print(summary(log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
