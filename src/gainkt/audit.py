"""Look for leaks in anybody's model or predictions: `python -m gainkt.audit predictions=<file>`; or `audit_model`."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
import pandas as pd
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.files import write_json
from gainkt.reporting.audit_view import audit_view
from gainkt.runs.audit import Audit, audit_model, audit_predictions, from_module
from gainkt.runs.audit_input import histories_of, model_of, predictions_of

__all__ = ["audit_config", "audit_model", "audit_predictions", "from_module", "main"]


def audit_config(cfg: DictConfig) -> Audit:
    """Audit as a config composed from conf/audit.yaml says; write `output` where it is set.

    Raises:
        ConfigError: neither a model nor predictions are named, or both are.
        DataError: the file or the data cannot be read.
    """
    if (cfg.callable is None) == (cfg.predictions is None):
        raise ConfigError("audit: give callable=<package.module:name> (with a dataset), or predictions=<file>")
    if cfg.predictions is not None:
        path = Path(hydra.utils.to_absolute_path(cfg.predictions))
        done = audit_predictions(predictions_of(path, cfg.columns), subject=path.name)
    else:
        histories: pd.DataFrame = histories_of(cfg.dataset, cfg.students, cfg.seed)
        done = audit_model(model_of(cfg.callable), histories, subject=cfg.callable, seed=cfg.seed)
    if cfg.output is not None:
        write_json(Path(hydra.utils.to_absolute_path(cfg.output)), done.content)
    return done


@hydra.main(config_path=conf_dir(), config_name="audit", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Audit as the command line says, print what was found, and end with status 1 where a guard failed."""
    done = audit_config(cfg)
    make_console().print(audit_view(done.content))
    if not done.passed:
        sys.exit(1)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
