"""Which jobs a benchmark has, and what each is: the combinations of a config's data sets, models, folds and seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gainkt.arguments import quoted
from gainkt.errors import ConfigError, nearest
from gainkt.evaluation.leaderboard import KEYS
from gainkt.names import visible
from gainkt.sweeping.benchmark.contenders import Experiment, ReferenceModel
from gainkt.sweeping.benchmark.peer import Peer

LEAST_RESAMPLES = 20
"""Under which the ends of a 95 % interval are the extremes."""
Contender = Experiment | ReferenceModel | Peer
KINDS: dict[str, type[Contender]] = {"experiments": Experiment, "references": ReferenceModel, "peers": Peer}
"""What the entries of a section of the config are."""


@dataclass(frozen=True)
class DataSet:
    """A data set by its name in the table."""

    name: str
    option: str | None = None
    """Of the config group `dataset`; of its own name where None."""
    path: str | None = None
    overrides: tuple[str, ...] = ()

    def data(self) -> list[str]:
        """Overrides that choose it."""
        path = [] if self.path is None else [f"dataset.path={quoted(str(Path(self.path).expanduser().resolve()))}"]
        return [f"dataset={self.option or self.name}", *path, *self.overrides]


@dataclass(frozen=True)
class Planned:
    """A job."""

    dataset: str
    data: tuple[str, ...]
    model: Contender
    fold: int
    seed: int | None

    @property
    def which(self) -> list[str]:
        """Which it is, among the jobs of sweep.json."""
        return [f"dataset={self.dataset}", f"model={self.model.name}", f"fold={self.fold}", f"seed={self.seed}"]

    @property
    def words(self) -> list[str]:
        """What sweep.json says of it: which it is, and then what decides what comes out."""
        return [*self.which, f"data={json.dumps(self.data)}", f"settings={json.dumps(self.model.identity())}"]


def planned(cfg: DictConfig, earlier: Collection[str] = ()) -> tuple[list[Planned], list[str]]:
    """Return the jobs that a config asks for, and what it leaves out, each in a line.

    Args:
        cfg: composed from conf/benchmark.yaml.
        earlier: models that ran before, one of which may be the baseline.

    Raises:
        ConfigError: an entry has an unknown key, a name is unknown, used twice or none of a row, a fold or seed is no
            whole number, or nothing is left to run.
    """
    models = [model for section, kind in KINDS.items() for model in _entries(cfg, section, kind)]
    names = [name for model in models for name in dict.fromkeys((model.name, *model.rows))]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"{visible(twice)}: names two models; give each a name of its own")
    if taken := next((name for name in names if name in KEYS), None):
        raise ConfigError(f"{taken}: names a column of the predictions; give the model another name")
    if str(cfg.baseline) not in names and re.sub(r" E[12]$", "", str(cfg.baseline)) not in earlier:
        raise ConfigError(f"baseline={visible(cfg.baseline)}: no such model{nearest(str(cfg.baseline), names)}")
    if type(cfg.resamples) is not int or cfg.resamples < LEAST_RESAMPLES:
        raise ConfigError(f"resamples={visible(cfg.resamples)}: an interval needs {LEAST_RESAMPLES} or more")
    if clash := next((name for name in earlier if name in names and name not in [m.name for m in models]), None):
        raise ConfigError(f"{visible(clash)}: names a row here and was a model before; give name=... another benchmark")
    folds, seeds = _whole(cfg.folds, "folds"), _whole(cfg.seeds, "seeds")
    models = _chosen(models, cfg.only.models, "only.models")
    chosen = _chosen(_entries(cfg, "datasets", DataSet), cfg.only.datasets, "only.datasets")
    lacking = [d.name for d in chosen if d.path is None and "path" in cfg.datasets[d.name]]
    left_out = [f"{visible(name)}: no data; give datasets.{visible(name)}.path=..." for name in lacking]
    jobs = [
        Planned(data.name, (*data.data(), f"dataset.fold={fold}"), model, fold, seed)
        for data in chosen
        if data.name not in lacking
        for fold in folds
        for model in models
        for seed in (seeds if model.seeded else [None])
    ]
    if not jobs:
        raise ConfigError(
            f"benchmark: nothing to run; {'; '.join(left_out) or 'give data sets, models, folds and seeds'}"
        )
    return jobs, left_out


def _entries(cfg: DictConfig, section: str, kind: type[Any]) -> list[Any]:
    """Build the entries of a section; one that is null is left out."""
    content: Any = OmegaConf.to_container(cfg[section], resolve=True)
    known = {entry.name: entry for entry in fields(kind) if entry.name != "name"}
    made = []
    for name, given in content.items():
        if given is None:
            continue
        key = f"{section}.{name}"
        if not isinstance(given, Mapping):
            raise ConfigError(f"{key}={given}: give {{{', '.join(known)}}}")
        for setting in given:
            if setting not in known:
                raise ConfigError(f"{key}.{setting}: no such setting{nearest(str(setting), known)}")
        for setting, entry in known.items():
            required = entry.default is MISSING and entry.default_factory is MISSING
            if required and given.get(setting) is None:
                raise ConfigError(f"{key}.{setting}: a value is missing")
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
        made.append(kind(str(name), **values))
    return made


def _chosen(entries: list[Any], only: Any, key: str) -> list[Any]:
    """Return the entries that are asked for by name; all of them where there is no such list."""
    if only is None:
        return entries
    _require_list(only, key)
    by_name, wanted = {entry.name: entry for entry in entries}, dict.fromkeys(map(str, only))
    for name in wanted:
        if name not in by_name:
            raise ConfigError(f"{key}: {visible(name)}: no such name{nearest(name, by_name)}")
    return [by_name[name] for name in wanted]


def _require_list(values: Any, key: str) -> None:
    if not isinstance(values, ListConfig):
        given = "" if values is None else visible(values)
        raise ConfigError(f"{key}={visible(values)}: is no list; give {key}=[{given}]")


def _whole(values: Any, key: str) -> list[int]:
    """Return folds or seeds, each once.

    Raises:
        ConfigError: one is no whole number, or negative.
    """
    _require_list(values, key)
    for value in values:
        if type(value) is not int or value < 0:
            raise ConfigError(f"{key}: {visible(value)} is no whole number from 0; give {key}=[0,1,2]")
    return list(dict.fromkeys(values))
