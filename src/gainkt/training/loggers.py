"""Loggers beside metrics.csv: built only when asked for, closed when the run ends."""

from __future__ import annotations

import sys
import uuid
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build
from gainkt.errors import ConfigError
from gainkt.masking import masked_content


def build_loggers(cfg: DictConfig) -> list[Logger]:
    """Build the loggers of a run's config; each gets the resolved config, W&B an explicit epoch axis.

    Raises:
        ConfigError: W&B cannot be reached or refuses the key, or a folder cannot be written.
    """
    loggers: list[Logger] = []
    try:
        for name, entry in (cfg.logger or {}).items():
            logger: Any = build(entry)
            _open(logger, f"logger.{name}", entry)
            loggers.append(logger)
            config: Any = OmegaConf.to_container(cfg, resolve=True)
            logger.log_hyperparams(masked_content(config))
            if _is_wandb(logger):
                logger.experiment.define_metric("epoch")
                logger.experiment.define_metric("*", step_metric="epoch")
    except BaseException:
        close_loggers(loggers, "failed")
        raise
    return loggers


def number_runs(cfg: DictConfig) -> None:
    """Give each W&B run of a config an id, by which it goes on where the run is resumed."""
    for entry in (cfg.logger or {}).values():
        if entry is not None and "id" in entry and entry.id is None:
            entry.id = uuid.uuid4().hex[:8]


def close_loggers(loggers: list[Any], status: str) -> None:
    """Flush and close: W&B keeps one run open in a process until finish() is called."""
    for logger in loggers:
        logger.finalize(status)
        if _is_wandb(logger):
            logger.experiment.finish(exit_code=0 if status == "success" else 1)


def _open(logger: Any, key: str, entry: DictConfig) -> None:
    """Have a logger open what it writes to, so that its first record does not fail for another reason."""
    try:
        _ = logger.experiment
    except OSError as error:
        place = f"{key}.save_dir={entry.get('save_dir')}"
        raise ConfigError(f"{place}: cannot be written ({error.strerror or error}); choose another folder") from error
    except Exception as error:
        if not _is_wandb(logger) or not isinstance(error, sys.modules["wandb"].Error):
            raise
        said = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"{key}: W&B cannot be used ({said}); with {key}.offline=true it writes to the run's folder, "
            "and `wandb sync` sends that later"
        ) from error


def _is_wandb(logger: Logger) -> bool:
    """Tell a W&B logger without importing wandb for runs that do not use it."""
    return "wandb" in sys.modules and type(logger).__name__ == "WandbLogger"
