"""Trials of a study: each is a job like a sweep's; what came out as tables, a figure and the command of the best."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.trial import Trial, TrialState
from rich.table import Table

from gainkt.config import conf_dir, known_keys, said
from gainkt.console import make_console, plain_table
from gainkt.digests import read_json
from gainkt.errors import ConfigError, ReportError, nearest
from gainkt.files import write_whole
from gainkt.masking import masked
from gainkt.runs.folder import way_out
from gainkt.runs.scoring import metrics_in
from gainkt.sweeping.jobs import Job, SweepFolder
from gainkt.sweeping.progress import SweepProgress, metric_of
from gainkt.sweeping.search.space import Space, as_override, read_space
from gainkt.sweeping.search.study import Settings, counted, give_back, next_trial, open_study, release_lost
from gainkt.sweeping.summary.figures import pareto_figure, save_both
from gainkt.sweeping.summary.report import summarize_or_say_why
from gainkt.sweeping.summary.statistics import E1, E2, TEST, pareto_front, score_name, score_title
from gainkt.training.callbacks.report_to_trial import ReportToTrial, reporting
from gainkt.training.train import train

log = logging.getLogger(__name__)
REPORT = f"{ReportToTrial.__module__}.{ReportToTrial.__qualname__}"
SHOWN = 10
"""Trials in a table of the terminal."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found so far, by all its processes."""

    name: str
    """Of the study."""
    trials: pd.DataFrame
    """One row a trial, as in trials.csv."""
    front: pd.DataFrame
    """Trials that no other beats in both AUCs on validation, as in pareto.csv."""
    best: int | None
    """Number of the best trial; of a pair, the best E1 + alpha E2. None where no trial is complete."""
    command: str | None
    """Command that trains with the best trial's settings."""
    folder: Path
    """Where trials.csv, pareto.csv, pareto.png and pareto.pdf, the report and the trials' folders are."""
    views: tuple[Table, ...] = ()
    """The best trials and the front for the terminal."""

    def show(self) -> None:
        """Print how many trials there are, the best, the front, and the command of the best."""
        console = make_console()
        console.print(
            f"{self.name}: " + ", ".join(f"{n} {state}" for state, n in self.trials.state.value_counts().items())
        )
        for view in self.views:
            console.print(view)
        if self.command is not None:
            console.print(f"search: {self.folder}", soft_wrap=True)
            console.print(f"best (trial {self.best}): {self.command}", soft_wrap=True, highlight=False)


class Search:
    """Runs trials until the study has as many as asked for, and writes what was found.

    Each trial is composed from conf/train.yaml with `study.overrides`, the command line's and its own settings.
    Arguments and errors are those of gainkt.search.search().
    """

    def __init__(self, cfg: DictConfig, overrides: Sequence[str]) -> None:
        content: Any = OmegaConf.to_container(cfg.search, resolve=True)
        study = {str(key): value for key, value in cfg.study.items()}
        self.space: Space = read_space(content)
        self.settings = of = Settings(**study | {"overrides": tuple(cfg.study.overrides)})
        self.own = [
            o for o in overrides if o.lstrip("+~").split("=")[0].split(".")[0] not in ("study", "search", "hydra")
        ]
        self.folder = Path(of.dir).expanduser().resolve()
        _check_space(self.space, _compose([*of.overrides, *self.own]))
        definition = {
            "objective": of.objective,
            "alpha": of.alpha,
            "space": content,
            "overrides": sorted(map(masked, self.own)),
        }
        self.study = open_study(of, definition)
        self.score = score_name(of.alpha)
        self.column = {"e1": E1, "e2": E2}.get(of.objective, self.score)
        """What ranks trials on validation; of a pair, E1 + alpha E2."""

    def run(self) -> SearchResult:
        """Run what is missing."""
        if self.settings.objective == "pair" and self.settings.pruner != "none":
            log.info("pruning is off: Optuna has none for pairs; study.objective=score has it")
        title = self.column if self.column != self.score else score_title(self.settings.alpha)
        with SweepProgress(SweepFolder(self.folder), self.settings.trials, self._label, title, self._metric):
            while (trial := self._next()) is not None:
                self._run(trial)
                self.write()
        table, front = self.write()
        done = table[table.state == "complete"]
        if len(done):
            save_both(pareto_figure(done, [self.settings.alpha]), self.folder / "pareto")
        if len(table):
            summarize_or_say_why(self.folder, self.settings.alpha)
        if len(table) and (table.state == "failed").all():
            raise ConfigError(f"search: all {len(table)} trials failed; the last said: {table.error.iloc[-1]}")
        if not len(done):
            return SearchResult(self.settings.name, table, front, None, None, self.folder)
        ranked = done.sort_values(self.column, ascending=False, kind="stable")
        views = [] if self.settings.objective == "pair" else [self._view(ranked, "Best trials")]
        views.append(self._view(front, "Pareto front of both AUCs"))
        best = ranked.iloc[0].to_dict()
        words = [*self.own, *(as_override(key, best[key]) for key in self.space.entries)]
        command = " ".join(["python -m gainkt.train", *(shlex.quote(masked(word)) for word in words)])
        return SearchResult(self.settings.name, table, front, int(best["number"]), command, self.folder, tuple(views))

    def _next(self) -> Trial | None:
        for number in release_lost(self.study, self.settings):
            Job(number, (), self.folder / str(number)).fail("the trial's process ended without a result")
        return next_trial(self.study, self.settings)

    def _run(self, trial: Trial) -> None:
        """Train one trial, and tell the study both AUCs on validation; those on test are kept for the record."""
        chosen = self.space.suggest(trial)
        trial.set_user_attr("settings", chosen)
        own = (*self.own, *(as_override(*item) for item in chosen.items()))
        job = Job(trial.number, own, self.folder / str(trial.number))
        job.write(state="waiting")  # what an earlier study left here does not count
        name = f"trial {trial.number} of {self.settings.trials}"
        try:
            with reporting(trial, self.settings.values):
                metrics: Any = job.run(lambda: train(self._config(job), self._overrides(job)).metrics)
        except ReportError as error:  # it is trained: a report can be made again
            trial.set_user_attr("error", said(error)[:500])
            log.warning("%s: %s", name, said(error))
            path = job.folder / "results.json"
            self._tell(trial, metrics_in(read_json(path, way_out(path), {"selected": str, "phases": dict})))
        except optuna.TrialPruned as given_up:
            self.study.tell(trial, state=TrialState.PRUNED)
            log.info("%s: %s", name, given_up)
        except Exception as error:  # whatever it was, the next trial may do better
            trial.set_user_attr("error", said(error)[:500])
            self.study.tell(trial, state=TrialState.FAIL)
            log.warning("%s failed: %s", name, said(error))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        except BaseException as interruption:
            give_back(self.study, trial)
            interruption.add_note("the same command goes on with the study")
            raise
        else:
            self._tell(trial, metrics)
            log.info("%s: E1 %.4f, E2 %.4f", name, metrics[E1], metrics[E2])

    def _tell(self, trial: Trial, metrics: Mapping[str, float]) -> None:
        """Tell the study what a trial came to."""
        for column in (E1, E2, *TEST):
            trial.set_user_attr(column, float(metrics[column]))
        self.study.tell(trial, self.settings.values(metrics))

    def _overrides(self, job: Job) -> list[str]:
        """What the config of a trial is composed with."""
        return [*self.settings.overrides, *job.overrides]

    def _config(self, job: Job) -> DictConfig:
        """The training config of a trial."""
        cfg = _compose(self._overrides(job))
        OmegaConf.update(cfg, "run.dir", str(job.folder))
        OmegaConf.update(cfg, "run.overwrite", True)  # what an earlier study left here does not count
        OmegaConf.update(cfg, "sweep.group", self.folder.name)
        OmegaConf.update(cfg, "sweep.job", f"trial {job.number}")
        with open_dict(cfg.callbacks):
            cfg.callbacks.report = {"_target_": REPORT}
        return cfg

    def _label(self, job: Job) -> str:
        return " ".join(o for o in job.overrides if o.partition("=")[0] in self.space.entries)

    def _metric(self, job: Job) -> float | None:
        """What a finished trial is ranked by, from its folder."""
        e1, e2 = metric_of(job, E1), metric_of(job, E2)
        if e1 is None or e2 is None:
            return None
        return {E1: e1, E2: e2}.get(self.column, e1 + self.settings.alpha * e2)

    def write(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write trials.csv and pareto.csv, each whole, and return them: all trials, and the front, highest E1 first."""
        table = self.table()
        done = table[table.state == "complete"]
        front = done[pareto_front(done[[E1, E2]])].sort_values(E1, ascending=False)
        write_whole(self.folder / "trials.csv", partial(table.to_csv, index=False))
        write_whole(self.folder / "pareto.csv", partial(front.to_csv, index=False))
        return table, front

    def table(self) -> pd.DataFrame:
        """Every trial that counts: number, state, settings, both AUCs and the score on validation, test AUCs, error.

        It comes from the study, since trials may lie on the disks of other machines.
        """
        rows = []
        for trial in counted(self.study):
            seen = trial.user_attrs
            metrics = {name: float(seen.get(name, nan)) for name in (E1, E2, *TEST)}
            rows.append(
                {
                    "number": trial.number,
                    "state": "failed" if trial.state == TrialState.FAIL else trial.state.name.lower(),
                    **{key: seen.get("settings", trial.params).get(key) for key in self.space.entries},
                    self.score: metrics[E1] + self.settings.alpha * metrics[E2],
                    **metrics,
                    "epochs": seen.get("epochs"),
                    "seconds": trial.duration.total_seconds() if trial.duration else None,
                    "error": seen.get("error"),
                }
            )
        names = [self.score, E1, E2, *TEST]
        columns = ["number", "state", *self.space.entries, *names, "epochs", "seconds", "error"]
        return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(names, float))

    def _view(self, shown: pd.DataFrame, title: str) -> Table:
        """A table of trials for the terminal."""
        view = plain_table(title, "Selected on validation; test decides nothing.")
        columns = {"number": "trial", **{key: key for key in self.space.entries}}
        columns |= {self.score: score_title(self.settings.alpha), E1: "E1 val", E2: "E2 val"}
        columns |= dict(zip(TEST, ("E1 test", "E2 test"), strict=True))
        for name in columns.values():
            view.add_column(name, justify="right", overflow="fold")
        for row in shown.head(SHOWN).to_dict("records"):
            view.add_row(*(_cell(row[name]) for name in columns))
        return view


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if 0.1 <= abs(value) < 10 else f"{value:.4g}"


def _compose(overrides: Sequence[str]) -> DictConfig:
    """Compose a training config within a Hydra command, or on its own from conf/."""
    running = GlobalHydra.instance().is_initialized()
    with nullcontext() if running else initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", list(overrides))


def _check_space(space: Space, cfg: DictConfig) -> None:
    """Raise ConfigError for a setting that the config has not: before the first trial rather than in each."""
    for key in space.entries:
        parent, _, name = key.rpartition(".")
        node = OmegaConf.select(cfg, parent) if parent else cfg
        if "/" not in key and not (isinstance(node, DictConfig) and name in node):
            raise ConfigError(f"search.{key}: no such key in the config{nearest(key, known_keys())}")
