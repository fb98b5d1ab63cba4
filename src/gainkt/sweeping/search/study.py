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
from gainkt.sweeping.summary.statistics import E1, E2

OBJECTIVES = ("e1", "e2", "score", "pair")
SAMPLERS = ("tpe", "nsga2", "random")
PRUNERS = ("none", "median", "halving")
MINIMUM = {"trials": 1, "startup": 1, "population": 2, "alpha": 0, "seed": 0, "prune_after": 0, "lost_after": 1}
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
        for key, known in (("objective", OBJECTIVES), ("sampler", SAMPLERS), ("pruner", PRUNERS)):
            if getattr(self, key) not in known:
                raise ConfigError(f"study.{key}={getattr(self, key)}: choose one of {', '.join(known)}")
        for key, minimum in MINIMUM.items():
            if not getattr(self, key) >= minimum:
                raise ConfigError(f"study.{key}={getattr(self, key)}: must be {minimum} or more")

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """Return what is maximised: (E1,), (E2,), (E1 + alpha E2,) or (E1, E2), AUCs on validation."""
        e1, e2 = metrics[E1], metrics[E2]
        return {"e1": (e1,), "e2": (e2,), "score": (e1 + self.alpha * e2,), "pair": (e1, e2)}[self.objective]


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
        directions=[StudyDirection.MAXIMIZE] * (2 if settings.objective == "pair" else 1),
        load_if_exists=True,
        pruner=_pruner(settings),
    )
    if "definition" not in study.user_attrs:
        study.set_user_attr("definition", dict(definition))
    known = study.user_attrs["definition"]
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
    if len(counted(study)) >= settings.trials:
        return None
    others = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.RUNNING]
    study.sampler = _sampler(settings, (settings.seed, len(study.trials), os.getpid() if others else 0))
    trial = study.ask()
    for name, value in {"host": platform.node(), "pid": os.getpid(), "seen": time.time()}.items():
        trial.set_user_attr(name, value)
    # What it draws itself depends on its number alone, however many processes there are.
    study.sampler = _sampler(settings, (settings.seed, trial.number))
    if sum(other.number < trial.number for other in counted(study)) >= settings.trials:
        trial.set_user_attr(SURPLUS, True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count towards the total: all started ones but lost and surplus ones."""
    return [
        t
        for t in study.get_trials(deepcopy=False)
        if t.state != TrialState.WAITING and not t.user_attrs.get(LOST) and not t.user_attrs.get(SURPLUS)
    ]


def release_lost(study: optuna.Study, settings: Settings) -> list[int]:
    """Give back running trials whose process is gone, and return their numbers."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [t.number for t in running if _is_lost(t, settings.lost_after) and give_back(study, t)]


def give_back(study: optuna.Study, trial: FrozenTrial | Trial) -> bool:
    """Leave a trial's values to be tried again; it does not count. False where another process was first."""
    try:
        study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
        study.tell(trial.number, state=TrialState.FAIL)
    except (optuna.exceptions.UpdateFinishedTrialError, ValueError):
        return False
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
    return True


def _is_lost(trial: FrozenTrial, lost_after: float) -> bool:
    """On this machine its process tells, on another one how long it has been silent."""
    if trial.user_attrs.get("host") == platform.node() and "pid" in trial.user_attrs:
        try:
            os.kill(trial.user_attrs["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False
    begun = trial.datetime_start.timestamp() if trial.datetime_start else time.time()
    return time.time() - trial.user_attrs.get("seen", begun) > lost_after


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
    if settings.pruner == "none" or settings.objective == "pair":
        return optuna.pruners.NopPruner()
    if settings.pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(settings.prune_after, 1))
    return optuna.pruners.MedianPruner(n_startup_trials=settings.startup, n_warmup_steps=settings.prune_after)
