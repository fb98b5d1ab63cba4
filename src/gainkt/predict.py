"""Predict with a trained model: `python -m gainkt.predict run=<dir or bundle> dataset.path=<file> output=<file>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig

from gainkt.config import check_keys, conf_dir, listed, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.data.readers.download import DownloadReader
from gainkt.data.readers.table import TableReader
from gainkt.runs.classroom import require_ending, write_table
from gainkt.runs.folder import build_datamodule
from gainkt.runs.trained import load


def predict(cfg: DictConfig, stated: frozenset[str] = frozenset()) -> pd.DataFrame:
    """Predict a table's answers, or say where its students stand; `stated` are the keys that were given."""
    places = [hydra.utils.to_absolute_path(one) for one in listed(cfg.run)]
    model = load(places if isinstance(cfg.run, ListConfig) else places[0], phase=cfg.phase, trust=cfg.trust)
    check_keys(cfg.dataset)
    data = build_datamodule(cfg.dataset)
    source: Any = data.path
    settings: dict[str, Any] = {"unknown_skills": data.unknown_skills}
    if isinstance(data.read, DownloadReader) and data.path is not None:
        source = data.read.table_of(data.path)
    if isinstance(data.read, TableReader) and source is not None:  # what is not stated is as it was in training
        usual, here = vars(TableReader()), vars(data.read)
        changed = {key for key in usual if here[key] != usual[key] or f"dataset.read.{key}" in stated}
        settings |= {key: here[key] for key in changed - {"published"}}
    else:
        source = data.read() if data.path is None else data.read(data.path)
    if not cfg.mastery:
        return model.predict_beside(source, **settings)
    return model.mastery(source, **{key: cfg[key] for key in ("threshold", "look_ahead", "every_skill")}, **settings)


@hydra.main(config_path=conf_dir(), config_name="predict", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Write the table, or show its first rows."""
    output = None if cfg.output is None else require_ending(Path(hydra.utils.to_absolute_path(cfg.output)))
    table = predict(cfg, frozenset(o.partition("=")[0].lstrip("+") for o in HydraConfig.get().overrides.task))
    if output is None:
        make_console().print(table.head(20).to_string(), markup=False)
    else:
        write_table(table, output)
        make_console().print(f"{output}: {len(table):,} rows", soft_wrap=True, markup=False)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
