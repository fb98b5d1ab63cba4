"""What a study has found: its trials and Pareto front as tables, a picture, and the command of the best."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import TrialState
from rich.table import Table

from gainkt.console import plain_table
from gainkt.files import write_whole
from gainkt.sweeping.search.space import Space, as_override
from gainkt.sweeping.search.study import LOST, SURPLUS, Settings
from gainkt.sweeping.summary.figures import pareto_figure, save_both
from gainkt.sweeping.summary.statistics import E1, E2, pareto_front, score_name, score_title

TEST = ("test/encoder1_auc", "test/encoder2_auc")
SHOWN = 10


def trials_table(study: optuna.Study, settings: Settings, space: Space) -> pd.DataFrame:
    """Every trial that counts: number, state, settings, both AUCs and the score on validation, test AUCs, error."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        seen = trial.user_attrs
        if trial.state == TrialState.WAITING or seen.get(LOST) or seen.get(SURPLUS):
            continue
        figures = {name: float(seen.get(name, nan)) for name in (E1, E2, *TEST)}
        chosen = {d.key: seen.get("settings", trial.params).get(d.key) for d in space.dimensions}
        rows.append(
            {
                "number": trial.number,
                "state": "failed" if trial.state == TrialState.FAIL else trial.state.name.lower(),
                **chosen,
                score_name(settings.alpha): figures[E1] + settings.alpha * figures[E2],
                **figures,
                "epochs": seen.get("epochs"),
                "seconds": trial.duration.total_seconds() if trial.duration else None,
                "error": seen.get("error"),
            }
        )
    names = [score_name(settings.alpha), E1, E2, *TEST]
    keys = [d.key for d in space.dimensions]
    table = pd.DataFrame(rows, columns=["number", "state", *keys, *names, "epochs", "seconds", "error"])
    return table.astype(dict.fromkeys(names, float))


def best_first(table: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Complete trials by what the study makes large, on validation; by E1 + alpha E2 where that is the pair."""
    column = {"e1": E1, "e2": E2}.get(settings.objective, score_name(settings.alpha))
    return table[table.state == "complete"].sort_values(column, ascending=False, kind="stable")


def write_outcome(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write trials.csv and pareto.csv, each whole, and return the front, highest E1 first."""
    done = table[table.state == "complete"]
    front = done[pareto_front(done[[E1, E2]])].sort_values(E1, ascending=False)
    write_whole(folder / "trials.csv", lambda building: table.to_csv(building, index=False))
    write_whole(folder / "pareto.csv", lambda building: front.to_csv(building, index=False))
    return front


def draw_front(table: pd.DataFrame, settings: Settings, folder: Path) -> None:
    """Draw pareto.png and pareto.pdf, once a trial is complete."""
    done = table[table.state == "complete"]
    if len(done):
        save_both(pareto_figure(done, [settings.alpha]), folder / "pareto")


def train_command(overrides: Sequence[str], row: Any, space: Space) -> str:
    """Return the command that trains with a trial's settings, with everything else as the search had it."""
    chosen = [as_override(d.key, row[d.key]) for d in space.dimensions]
    return " ".join(["python -m gainkt.train", *map(shlex.quote, [*overrides, *chosen])])


def outcome_view(shown: pd.DataFrame, settings: Settings, space: Space, title: str) -> Table:
    """Return a table of trials for the terminal."""
    view = plain_table(title, "Selected on validation; test decides nothing.")
    columns = {"number": "trial", **{d.key: d.key for d in space.dimensions}}
    columns |= {score_name(settings.alpha): score_title(settings.alpha), E1: "E1 val", E2: "E2 val"}
    columns |= dict(zip(TEST, ("E1 test", "E2 test"), strict=True))
    for name in columns.values():
        view.add_column(name, justify="right", overflow="fold")
    for row in shown.head(SHOWN).to_dict("records"):
        view.add_row(*(_cell(row[name]) for name in columns))
    return view


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) and (abs(value) < 0.1 or abs(value) >= 10) else _short(value)


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
