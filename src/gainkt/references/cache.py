"""Fitted reference models on disk, so that runs on the same data and fold share one fit."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.references.base import Reference, Students

logger = logging.getLogger(__name__)

FORMAT = "gainkt-fitted-1"
"""Of what tells fits apart; a change of one model's fit raises that model's `version`."""


def fitted(
    cfg: DictConfig | Mapping[str, Any], datamodule: KTDataModule, folder: str | Path | None = None
) -> tuple[Reference, Path | None]:
    """Fit the reference model of a config on the training students, or read it back where that was done before.

    It was done before where the data's digest, the training students, the model, its version and the value of every
    setting, given or default, are the same. A damaged file is fitted again, with a warning.

    Args:
        cfg: of conf/reference/: `_target_`, `_partial_: true` and settings.
        datamodule: the data and its split.
        folder: where fitted models are kept, one file each, made if need be; None keeps nothing.

    Returns:
        The model, and its file, None without a folder.

    Raises:
        ConfigError: no model is chosen, a setting cannot be used, or a setting or field of the model is no plain value.
        DataError: there is nothing to fit on.
        OSError: the folder cannot be written.
    """
    fit, log, students = fit_of(cfg), datamodule.log_, datamodule.split.train
    model, path = fit.func.__self__, None  # type: ignore[attr-defined]
    if folder is not None:
        path = Path(folder) / f"{model.__name__.lower()}-{_key(fit, log, students)}.json"
        try:
            reference = model.load(path)
            logger.info("%s: fitted before, read back", path)
            return reference, path
        except DataError as error:
            if path.is_file():
                logger.warning("%s; fitting it now", error)
    reference = fit(log, students)
    if not isinstance(reference, model):
        raise ConfigError(f"reference._target_: {model.__name__}.fit returns {type(reference).__name__}, not the model")
    if path is not None:
        reference.save(path)
    return reference, path


def fit_of(cfg: DictConfig | Mapping[str, Any]) -> partial[Reference]:
    """Return the fit that a config of conf/reference/ describes, its settings bound.

    Raises:
        ConfigError: no model is chosen, or it knows no such setting.
    """
    if not cfg.get("_target_"):
        raise ConfigError("reference=none: no model is chosen; take reference=rasch, or another of that config group")
    target = cfg["_target_"]
    fit = build(cfg if isinstance(cfg, DictConfig) else OmegaConf.create(dict(cfg)))
    model = getattr(getattr(fit, "func", None), "__self__", None)
    if not isinstance(model, type) or not issubclass(model, Reference):
        raise ConfigError(
            f"reference._target_={target}: not a fit; name the `fit` of a class that extends "
            "gainkt.references.Reference, as gainkt.references.rasch.Rasch.fit does, and set _partial_: true"
        )
    if model.__abstractmethods__:
        raise ConfigError(f"reference._target_={target}: {model.__name__} lacks {', '.join(model.__abstractmethods__)}")
    known = set(_defaults(fit))
    for name in fit.keywords:
        if name not in known:
            raise ConfigError(f"reference.{name}: {target} takes no such setting{nearest(name, known)}")
    return fit


def settings_of(fit: partial[Reference]) -> dict[str, Any]:
    """Return every setting of a fit by name, the defaults included."""
    return {**_defaults(fit), **fit.keywords}


def _defaults(fit: partial[Reference]) -> dict[str, Any]:
    parameters = inspect.signature(fit.func).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def _key(fit: partial[Reference], log: InteractionLog, students: Students) -> str:
    """16 hex digits that tell apart fits which may differ."""
    model = fit.func.__self__  # type: ignore[attr-defined]
    who = np.unique(np.asarray(students, dtype=np.int64))
    said = {
        "format": FORMAT,
        "data": log.digest,
        "students": hashlib.blake2b(who.tobytes(), digest_size=8).hexdigest(),
        "model": (model.__module__, model.__qualname__, model.file_format()),
        # As numbers, so that 5 and 5.0 are the same setting.
        "settings": {k: float(v) if type(v) is int else v for k, v in settings_of(fit).items()},
    }
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()
