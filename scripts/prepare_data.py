"""Read a data set once and save it as a memory-mapped log, which opens in no time whatever its size.

    python scripts/prepare_data.py <dataset> <source> <target> [--setting value ...]

<dataset> is an option of conf/dataset (csv, pykt, akt, assist2012, ...), the settings are those of its reader. The log
keeps the source's folds and test set, and the account of what was left out and folded.

Examples:
    python scripts/prepare_data.py pykt ../shared/data/assist2015_pykt data/assist2015
    python scripts/prepare_data.py akt ../shared/data/assist2009_akt data/assist2009
    python scripts/prepare_data.py csv answers.csv data/mine --student uid --skill kc --item problem --missing drop
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from gainkt.config import build, check_keys, conf_dir
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.overrides import compose_train


def read(dataset: str, source: Path, settings: Sequence[str]) -> InteractionLog:
    """Return the log of a source.

    Args:
        dataset: an option of conf/dataset.
        source: file or folder.
        settings: `--setting value` or `--setting=value`, the values as in YAML.

    Raises:
        ConfigError: no such dataset or setting.
        DataError: the source cannot be used.
    """
    known = sorted(file.stem for file in Path(conf_dir(), "dataset").glob("*.yaml"))
    if dataset not in known:
        raise ConfigError(f"{dataset}: no such dataset{nearest(dataset, known)}")
    node = compose_train([f"dataset={dataset}"]).dataset.read
    OmegaConf.set_struct(node, False)
    words = iter(settings)
    for word in words:
        key, _, value = word.removeprefix("--").partition("=")
        value = value if "=" in word else next(words, "")
        key = key.replace("-", "_")
        plain = value[:1] not in "[{" and value not in ("null", "true", "false") and key != "threshold"
        node[key] = value if plain else yaml.safe_load(value)
    check_keys(OmegaConf.create({"dataset": {"read": node}}))
    return build(node)(source)


def summary(log: InteractionLog) -> Table:
    """Return a table of what the log holds, and of what became of the rows."""
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
        ("rows read", f"{log.account.get('rows', 0):,}"),
        *((f"rows left out: {reason}", f"{count:,}") for reason, count in log.account.get("left_out", {}).items()),
        *((f"rows with {what}", f"{count:,}") for what, count in log.account.get("converted", {}).items()),
        ("rows folded into another's step", f"{log.account.get('folded', 0):,}"),
        ("digest", log.digest),
    ):
        table.add_row(what, value)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, save and describe a data set; return 0, or 1 with one line on stderr if it cannot be used."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("dataset", help="an option of conf/dataset")
    command.add_argument("source", type=Path, help="file or folder to read")
    command.add_argument("target", type=Path, help="folder to write; must not exist")
    given, settings = command.parse_known_args(arguments)
    try:
        if given.target.exists():
            raise DataError(f"{given.target}: exists already; remove it or choose another folder for the log")
        log = read(given.dataset, given.source, settings)
        log.save(given.target)
    except (DataError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    Console().print(summary(log))
    return 0


if __name__ == "__main__":
    sys.exit(main())
