"""Settings that can be judged by themselves: checked before anything is read or built, each by its full key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gainkt.config import require_flags
from gainkt.errors import ConfigError
from gainkt.names import require_folder

PARTS = ("encoder1", "encoder2", "response_head", "gain_head", "item_difficulty", "velocity", "readiness", "curve")
COMPLETED = ("optimizer", *(f"model.{part}" for part in (*PARTS, "readout")))
"""Nodes that gainkt completes with what it alone knows, so that they are `_partial_`."""
WHOLE = ("dataset", "dataset.split", "model", "loss", "schedule", "trainer")
"""Nodes that must not be; each callback and logger beside them."""
EMPTY = ("callbacks", "logger", "reference", "scorecard", "scorecard.checks", "distillation")
GROUPS = ("dataset", "model", "loss", "schedule", "optimizer", "trainer", "trajectories", "sweep", "run", *EMPTY)
"""Keys that hold settings or parts by name; some may hold none."""
PRECISIONS = ("32-true", "32", 32, "bf16-mixed")

Fits = Callable[[Any], bool]


def _whole(low: float, high: float = math.inf) -> Fits:
    return lambda value: type(value) is int and low <= value <= high


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


LIMITS: tuple[tuple[str, Fits, str], ...] = (
    ("name", lambda x: type(x) in (str, int, float), "a name"),
    ("seed", _whole(0, 2**32 - 1), f"a whole number from 0 to {2**32 - 1}"),
    ("gradient_every", _whole(0), "a whole number of training steps, 0 for never"),
    ("diagnose", _flag, "true or false"),
    ("report", _flag, "true or false"),
    ("trajectories.write", _flag, "true or false"),
    ("trajectories.students", lambda x: x is None or _whole(1)(x), "a whole number of students, 1 or more, or null"),
    ("trajectories.seed", _whole(0), "a whole number, 0 or more"),
    ("trajectories.cells", lambda x: x is None or _whole(1)(x), "a whole number of steps x skills, 1 or more, or null"),
    ("trainer.max_epochs", _whole(1), "a whole number of epochs, 1 or more"),
    ("trainer.num_nodes", _whole(1, 65_536), "a whole number of machines, 1 to 65536"),
    ("trainer.precision", lambda x: x in PRECISIONS, "32-true or bf16-mixed"),
    ("dataset.fold", _whole(0), "a fold's number, from 0"),
    ("dataset.seed", _whole(0), "a whole number, 0 or more"),
    ("dataset.tokens_per_batch", lambda x: x == "auto" or _whole(2)(x), "a whole number of steps, 2 or more, or auto"),
    ("dataset.window_length", _whole(2), "a whole number of steps, 2 or more"),
    ("dataset.window_context", _whole(0), "a whole number of steps, 0 or more"),
    ("dataset.carry_state", _flag, "true or false"),
    ("dataset.split.num_folds", lambda x: x is None or _whole(2)(x), "a whole number of folds, 2 or more, or null"),
)
"""Key, what its value must be, and that in words; a key that a config lacks is not asked for."""


def check_groups(cfg: DictConfig) -> None:
    """Check that what holds settings or parts by name does so.

    Raises:
        ConfigError: it is something else.
    """
    for key in GROUPS:
        value = OmegaConf.select(cfg, key, default={})  # a run of an earlier version lacks some
        if not (isinstance(value, DictConfig | dict) or (value is None and key in EMPTY)):
            raise ConfigError(f"{key}={value}: holds settings by name ({key}.<name>=...), found {type(value).__name__}")


def check_settings(cfg: DictConfig) -> None:
    """Check the settings of a training run that no constructor checks before it is too late.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    require_folder(str(cfg.name), "name")
    data_name = OmegaConf.select(cfg, "dataset.read.name")
    if data_name is not None:
        require_part(str(data_name), "dataset.read.name")
    require_flags(cfg, "_partial_")
    for key, fits, words in LIMITS:
        parent = OmegaConf.select(cfg, key.rpartition(".")[0]) if "." in key else cfg
        name = key.rpartition(".")[2]
        if not isinstance(parent, DictConfig) or name not in parent or OmegaConf.is_missing(parent, name):
            continue
        if not fits(parent[name]):
            kind = "int: " if words.startswith("a whole") else ""
            raise ConfigError(f"{key}={parent[name]}: must be {kind}{words}, found {type(parent[name]).__name__}")
    more = [f"{group}.{name}" for group in ("callbacks", "logger") for name in cfg.get(group) or {}]
    for key in (*WHOLE, *COMPLETED, "model.receivers", "dataset.read", "reference", *more):
        node = OmegaConf.select(cfg, key)
        may_lack = key == "reference" or key in COMPLETED
        if not ((isinstance(node, DictConfig) and "_target_" in node) or (may_lack and not node)):
            way = f"leave it out with ~{key}" if key in more else "choose an option of its group"
            raise ConfigError(f"{key}={node}: is no part, which has a _target_; {way}")
    if OmegaConf.select(cfg, "dataset.read._partial_") is False:  # a reader is a class, or a function to be completed
        raise ConfigError("dataset.read._partial_=false: must be true here")
    for keys, wanted in ((COMPLETED, True), ((*WHOLE, *more), False)):
        for key in keys:
            node = OmegaConf.select(cfg, key)
            if isinstance(node, DictConfig) and "_target_" in node and bool(node.get("_partial_")) is not wanted:
                raise ConfigError(f"{key}._partial_={str(not wanted).lower()}: must be {str(wanted).lower()} here")
    folds, fold = OmegaConf.select(cfg, "dataset.split.num_folds"), OmegaConf.select(cfg, "dataset.fold")
    if folds is not None and fold >= folds:
        raise ConfigError(f"dataset.fold={fold}: there are {folds} folds; choose one of 0 to {folds - 1}")
    _check_precision(cfg)


def require_part(name: str, key: str) -> None:
    """Check a name that becomes part of a folder's name.

    Raises:
        ConfigError: it names another folder.
    """
    if "/" in name:
        raise ConfigError(f"{key}={name}: becomes part of a folder's name; give one without '/'")
    require_folder(name, key)


def _check_precision(cfg: DictConfig) -> None:
    """An LSTM on a CPU has no mixed precision."""
    on_cpu = cfg.trainer.accelerator == "cpu" or (cfg.trainer.accelerator == "auto" and not torch.cuda.is_available())
    if cfg.trainer.get("precision") != "bf16-mixed" or not on_cpu:
        return
    for part in ("encoder1", "encoder2"):
        target = str(OmegaConf.select(cfg, f"model.{part}._target_"))
        if target.endswith(".LSTMStream"):
            raise ConfigError(
                f"trainer.precision=bf16-mixed: model.{part} is an LSTM, and a CPU has none for it; take 32-true"
            )
