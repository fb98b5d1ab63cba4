"""Loggers beside metrics.csv: built only when asked for, closed when the run ends."""

from __future__ import annotations

import sys
from typing import Any

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build


def build_loggers(cfg: DictConfig) -> list[Logger]:
    """Build the loggers of a run's config; each gets the resolved config, W&B an explicit epoch axis."""
    loggers: list[Logger] = []
    for entry in (cfg.logger or {}).values():
        logger: Any = build(entry)
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        logger.log_hyperparams(config)
        if _is_wandb(logger):
            logger.experiment.define_metric("epoch")
            logger.experiment.define_metric("*", step_metric="epoch")
        loggers.append(logger)
    return loggers


def close_loggers(loggers: list[Any], status: str) -> None:
    """Flush and close: W&B keeps one run open in a process until finish() is called."""
    for logger in loggers:
        logger.finalize(status)
        if _is_wandb(logger):
            logger.experiment.finish(exit_code=0 if status == "success" else 1)


def _is_wandb(logger: Logger) -> bool:
    """Tell a W&B logger without importing wandb for runs that do not use it."""
    return "wandb" in sys.modules and type(logger).__name__ == "WandbLogger"
