"""A study that several processes share: storage, sampler, pruner, how trials are counted and taken over."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from gainkt.errors import ConfigError
from gainkt.sweeping.search.pruning import objective_values

SAMPLERS = ("tpe", "nsga2", "random")
PRUNERS = ("none", "median", "halving")
LOST, SURPLUS = "lost", "surplus"
"""Marks of trials that do not count: their process died, or others had started the last ones before."""


@dataclass(frozen=True)
class Settings:
    """The `study` node of conf/search.yaml, where each is described."""

    name: str
    dir: str
    storage: str | None
    objective: str
    alpha: float
    trials: int
    sampler: str
    startup: int
    population: int
    seed: int
    pruner: str
    prune_after: int
    lost_after: float
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        objective_values(self.objective, self.alpha, 0, 0)
        for key, value, known in (("sampler", self.sampler, SAMPLERS), ("pruner", self.pruner, PRUNERS)):
            if value not in known:
                raise ConfigError(f"study.{key}={value}: choose one of {', '.join(known)}")
        limits = {"trials": 1, "startup": 1, "population": 2, "alpha": 0, "seed": 0, "prune_after": 0, "lost_after": 1}
        for key, least in limits.items():
            if not getattr(self, key) >= least:
                raise ConfigError(f"study.{key}={getattr(self, key)}: must be {least} or more")

    @property
    def directions(self) -> list[StudyDirection]:
        """Every objective is made large."""
        return [StudyDirection.MAXIMIZE] * len(objective_values(self.objective, self.alpha, 0, 0))

    @property
    def prunes(self) -> bool:
        """Pruning is for single objectives only."""
        return self.pruner != "none" and self.objective != "pair"


def open_study(settings: Settings, definition: Mapping[str, Any]) -> optuna.Study:
    """Open the study, or start it.

    Args:
        settings: of the study.
        definition: objective, space and settings of every trial; a study keeps those that it was started with.

    Raises:
        ConfigError: the storage cannot be opened, or holds a study of this name with another definition.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=settings.name,
        storage=_storage(settings),
        directions=settings.directions,
        load_if_exists=True,
        pruner=_pruner(settings),
    )
    known = study.user_attrs.get("definition")
    if known is None:
        study.set_user_attr("definition", dict(definition))
        return study
    for part, value in definition.items():
        if known.get(part) != value:
            raise ConfigError(
                f"study.name={settings.name}: was started with {part} {known.get(part)}, not {value}; go on with "
                "that, or give this search a name of its own"
            )
    return study


def next_trial(study: optuna.Study, settings: Settings) -> Trial | None:
    """Take the next trial; None where as many as asked for have been started by all processes together.

    Trials of processes that died are tried again with the same values; they do not count, failed ones do.
    """
    release_lost(study, settings)
    if len(_counted(study)) >= settings.trials:
        return None
    others = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]
    study.sampler = _sampler(settings, (settings.seed, len(study.trials), os.getpid() if others else 0))
    trial = study.ask()
    trial.set_user_attr("host", platform.node())
    trial.set_user_attr("pid", os.getpid())
    trial.set_user_attr("seen", time.time())
    # What it draws itself depends on its number alone, however many processes there are.
    study.sampler = _sampler(settings, (settings.seed, trial.number))
    if sum(number < trial.number for number in _counted(study)) >= settings.trials:
        trial.set_user_attr(SURPLUS, True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def release_lost(study: optuna.Study, settings: Settings) -> list[int]:
    """Mark running trials whose process is gone, queue their values again, and return their numbers."""
    lost = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _is_lost(trial, settings.lost_after):
            continue
        try:
            study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
            study.tell(trial.number, state=TrialState.FAIL)
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
            continue  # another process was first
        lost.append(trial.number)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    return lost


def _is_lost(trial: FrozenTrial, lost_after: float) -> bool:
    seen = trial.user_attrs.get("seen")
    if seen is None:
        seen = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    if trial.user_attrs.get("host") == platform.node() and "pid" in trial.user_attrs:
        return not _is_alive(trial.user_attrs["pid"])
    return time.time() - seen > lost_after


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _counted(study: optuna.Study) -> list[int]:
    """Numbers of the trials that count towards the total: all started ones but lost and surplus ones."""
    return [
        t.number
        for t in study.get_trials(deepcopy=False)
        if t.state != TrialState.WAITING and not t.user_attrs.get(LOST) and not t.user_attrs.get(SURPLUS)
    ]


def _storage(settings: Settings) -> BaseStorage:
    where = settings.storage
    try:
        if where is not None and "://" in where:
            return RDBStorage(where)
        path = Path(where) if where is not None else Path(settings.dir) / "study.journal"
        path.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError:
        raise
    except Exception as error:  # each database has errors of its own
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"study.storage={where}: cannot be opened ({first}); give a file or a database URL"
        ) from error


def _sampler(settings: Settings, seeds: tuple[int, ...]) -> optuna.samplers.BaseSampler:
    seed = hash(seeds) % 2**32
    if settings.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=settings.population, seed=seed)
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(n_startup_trials=settings.startup, constant_liar=True, seed=seed)


def _pruner(settings: Settings) -> optuna.pruners.BasePruner:
    if not settings.prunes:
        return optuna.pruners.NopPruner()
    if settings.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(settings.prune_after, 1))
    return optuna.pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=settings.prune_after)
