"""Search for settings: `python -m gainkt.search experiment=v4_belief search=v4_belief study.trials=40`.

Start the command as often as there are processors, on one machine or several that see the same storage: all share the
study. The same command again goes on where it was stopped.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from gainkt.config import conf_dir, one_line, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError, nearest
from gainkt.files import write_json
from gainkt.sweeping.search.pruning import ReportToTrial, objective_values, reporting
from gainkt.sweeping.search.space import Space, as_override, read_space
from gainkt.sweeping.summary.statistics import E1, E2
from gainkt.train import train

log = logging.getLogger(__name__)
TEST = ("test/encoder1_auc", "test/encoder2_auc")
REPORT = f"{ReportToTrial.__module__}.{ReportToTrial.__qualname__}"


@dataclass(frozen=True)
class SearchResult:
    """What a search has found so far, by all its processes."""

    trials: pd.DataFrame
    """One row a trial, as in trials.csv."""
    front: pd.DataFrame
    """Trials that no other beats in both AUCs on validation, as in pareto.csv."""
    best: int | None
    """Number of the best trial; of a pair, the best E1 + alpha E2. None where no trial is complete."""
    command: str | None
    """Command that trains with the best trial's settings."""
    folder: Path
    """Where trials.csv, pareto.csv, pareto.png and pareto.pdf and the trials' folders are."""


def search(cfg: DictConfig, overrides: Sequence[str] = ()) -> SearchResult:
    """Run trials until the study has as many as asked for, and write what was found.

    Each trial is composed from conf/train.yaml with `study.overrides`, `overrides` and its own settings, trained by
    train() in a folder of its own, and judged by AUCs on validation. A trial that fails is recorded and counts.

    Args:
        cfg: composed from conf/search.yaml.
        overrides: the command line's, in Hydra's form; those of `study`, `search` and `hydra` are left out of trials.

    Raises:
        ConfigError: the study or the space cannot be used, Optuna is missing, or every trial failed.
        OSError: the study's folder cannot be written.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("search: Optuna is not installed; pip install 'gainkt[search]'")
    from optuna import TrialPruned
    from optuna.trial import TrialState

    from gainkt.sweeping.search.outcome import best_first, draw_front, train_command, trials_table, write_outcome
    from gainkt.sweeping.search.study import Settings, next_trial, open_study

    content: Any = OmegaConf.to_container(cfg.search, resolve=True)
    space = read_space(content)
    settings = Settings(**{str(k): v for k, v in cfg.study.items()} | {"overrides": tuple(cfg.study.overrides)})
    own = [o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] not in ("study", "search", "hydra")]
    _check_space(space, [*settings.overrides, *own])
    definition = {"objective": settings.objective, "alpha": settings.alpha, "space": content, "overrides": sorted(own)}
    study = open_study(settings, definition)
    if settings.objective == "pair" and settings.pruner != "none":
        log.info("pruning is off: Optuna has none for pairs; study.objective=score has it")
    folder = Path(settings.dir).expanduser().resolve()
    while (trial := next_trial(study, settings)) is not None:
        chosen = space.suggest(trial)
        trial.set_user_attr("settings", chosen)
        place = folder / str(trial.number)
        job = Job(trial.number, [*own, *(as_override(*item) for item in chosen.items())], place)
        try:
            cfg_trial = _compose("train", [*settings.overrides, *job.content["overrides"]])
            with reporting(trial, settings.objective, settings.alpha), job:
                figures = _train(cfg_trial, place)
        except TrialPruned as given_up:
            study.tell(trial, state=TrialState.PRUNED)
            log.info("trial %d of %d: %s", trial.number, settings.trials, given_up)
        except Exception as error:  # whatever it was, the next trial may do better
            trial.set_user_attr("error", one_line(error)[:500])
            study.tell(trial, state=TrialState.FAIL)
            log.warning("trial %d of %d failed: %s", trial.number, settings.trials, one_line(error))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        except BaseException:
            _give_back(trial, study)
            raise
        else:
            for name, value in figures.items():
                trial.set_user_attr(name, value)
            study.tell(trial, objective_values(settings.objective, settings.alpha, figures[E1], figures[E2]))
            log.info("trial %d of %d: E1 %.4f, E2 %.4f", trial.number, settings.trials, figures[E1], figures[E2])
        write_outcome(trials_table(study, settings, space), folder)
    table = trials_table(study, settings, space)
    front, ranked = write_outcome(table, folder), best_first(table, settings)
    draw_front(table, settings, folder)
    if len(table) and (table.state == "failed").all():
        raise ConfigError(f"search: all {len(table)} trials failed; the last said: {table.error.iloc[-1]}")
    if not len(ranked):
        return SearchResult(table, front, None, None, folder)
    best = ranked.iloc[0].to_dict()
    return SearchResult(table, front, int(best["number"]), train_command(own, best, space), folder)


class Job:
    """Keeps job.json of a trial's folder, as a sweep's jobs have it, so that both are summarised alike."""

    def __init__(self, number: int, overrides: list[str], folder: Path) -> None:
        """Keep the trial's number, its overrides and its folder."""
        self.path = folder / "job.json"
        self.content: dict[str, Any] = {"number": number, "overrides": overrides, "state": "running", "error": None}

    def __enter__(self) -> None:
        """Write that the trial runs."""
        self.begun = time.monotonic()
        self._write(started=_now(), threads=torch.get_num_threads())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Write how it ended."""
        state = "done"
        if error is not None:
            state = "pruned" if type(error).__name__ == "TrialPruned" else "failed"
            self.content["error"] = one_line(error)
        self._write(state=state, ended=_now(), seconds=round(time.monotonic() - self.begun, 3))

    def _write(self, **values: Any) -> None:
        self.content |= values
        write_json(self.path, self.content)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _give_back(trial: Any, study: Any) -> None:
    """Leave an interrupted trial's values to be tried again; it does not count."""
    from optuna.trial import TrialState

    from gainkt.sweeping.search.study import LOST

    trial.set_user_attr(LOST, True)
    study.tell(trial, state=TrialState.FAIL)
    study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _train(cfg: DictConfig, folder: Path) -> dict[str, float]:
    """Train one trial and return both AUCs on validation, and on test for the record."""
    OmegaConf.update(cfg, "run.dir", str(folder))
    OmegaConf.update(cfg, "sweep.group", folder.parent.name)
    OmegaConf.update(cfg, "sweep.job", f"trial {folder.name}")
    with open_dict(cfg.callbacks):
        cfg.callbacks.report = {"_target_": REPORT}
    metrics = train(cfg).metrics
    return {name: float(metrics[name]) for name in (E1, E2, *TEST)}


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose a config within a Hydra command, or on its own from conf/."""
    with (
        nullcontext()
        if GlobalHydra.instance().is_initialized()
        else initialize_config_dir(conf_dir(), version_base="1.3")
    ):
        return compose(name, list(overrides))


def _check_space(space: Space, overrides: Sequence[str]) -> None:
    """Raise ConfigError for a setting that no config has: before the first trial rather than in each."""
    cfg = _compose("train", overrides)
    known = _keys(cfg)
    for dimension in space.dimensions:
        if "/" not in dimension.key and dimension.key not in known:
            raise ConfigError(f"search.{dimension.key}: no such key in the config{nearest(dimension.key, known)}")


def _keys(node: Mapping[Any, Any], path: str = "") -> list[str]:
    found = []
    for key in node:
        name = f"{path}.{key}".lstrip(".")
        value = node._get_node(key) if isinstance(node, DictConfig) else None
        found += [name, *(_keys(value, name) if isinstance(value, DictConfig) and not value._is_none() else [])]
    return found


@hydra.main(config_path=conf_dir(), config_name="search", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Search as the command line says; print the best trials, the front and the command of the best."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigError("search: a search is no sweep; leave out -m and start the command once a processor")
    from gainkt.sweeping.search.outcome import best_first, outcome_view
    from gainkt.sweeping.search.study import Settings

    result = search(cfg, list(HydraConfig.get().overrides.task))
    settings = Settings(**{str(k): v for k, v in cfg.study.items()} | {"overrides": tuple(cfg.study.overrides)})
    space = read_space(OmegaConf.to_container(cfg.search, resolve=True))  # type: ignore[arg-type]
    console = make_console()
    counts = ", ".join(f"{n} {state}" for state, n in result.trials.state.value_counts().items())
    console.print(f"{settings.name}: {counts}")
    if result.command is None:
        return
    if settings.objective != "pair":
        console.print(outcome_view(best_first(result.trials, settings), settings, space, "Best trials"))
    console.print(outcome_view(result.front, settings, space, "Pareto front of both AUCs"))
    console.print(f"search: {result.folder}", soft_wrap=True)
    console.print(f"best (trial {result.best}): {result.command}", soft_wrap=True, highlight=False)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
