"""Predict with a trained model: `python -m gainkt.predict run=<dir or bundle> dataset.path=<file> output=<file>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gainkt.config import check_keys, conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.data.readers.table import TableReader
from gainkt.errors import ConfigError
from gainkt.runs.classroom import write_table
from gainkt.runs.folder import build_datamodule
from gainkt.runs.trained import load


def predict(cfg: DictConfig, stated: tuple[str, ...] = ()) -> pd.DataFrame:
    """Predict a table's answers, or say where its students stand.

    Args:
        cfg: composed from conf/predict.yaml.
        stated: keys that were given; of a table's reader the others are those that the model was trained with.
    """
    model = load(hydra.utils.to_absolute_path(cfg.run), phase=cfg.phase, trust=cfg.trust)
    check_keys(cfg.dataset)
    data = build_datamodule(cfg.dataset)
    reading = {}
    if isinstance(data.read, TableReader):
        plain = vars(TableReader())
        given = {key: value for key, value in vars(data.read).items() if value != plain[key]}
        reading = given | {key: vars(data.read)[key] for key in plain if f"dataset.read.{key}" in stated}
    source: Any = data.path if isinstance(data.read, TableReader) else data.read(*([data.path] if data.path else []))
    settings = {"unknown_skills": data.unknown_skills, **reading}
    if not cfg.mastery:
        return model.predict_beside(source, **settings)
    ahead = {key: cfg[key] for key in ("threshold", "look_ahead", "every_skill")}
    return model.mastery(source, **ahead, **settings)


@hydra.main(config_path=conf_dir(), config_name="predict", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Write the table, or show its first rows."""
    output = None if cfg.output is None else Path(hydra.utils.to_absolute_path(cfg.output))
    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(f"output={cfg.output}: give a name that ends in .csv or .parquet")
    table = predict(cfg, tuple(o.partition("=")[0].lstrip("+") for o in HydraConfig.get().overrides.task))
    if output is None:
        make_console().print(table.head(20).to_string(), markup=False)
        return
    write_table(table, output)
    make_console().print(f"{output}: {len(table):,} rows", soft_wrap=True, markup=False)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
