"""Summarise a sweep: one table of its runs, rankings, statistics, a report and pictures, written into its folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole
from gainkt.sweeping.summary import repeats, statistics
from gainkt.sweeping.summary.figures import save_sweep_figures
from gainkt.sweeping.summary.report import write_report
from gainkt.sweeping.summary.runs import Runs, read_runs
from gainkt.sweeping.summary.statistics import E1, E2, score_name

TEST = ("test/encoder1_auc", "test/encoder2_auc")


def summarize(folder: Path, alpha: float = 0.5) -> None:
    """Write runs.csv, runs.json, report.md and figures/ into a sweep's folder; a sweep half done will do.

    Runs are ranked by E1 + alpha E2 and by E1 + E2, both AUCs on validation; test figures are reported beside them.

    Args:
        folder: of a sweep (with sweep.json or without), a search, or any folder that holds runs.
        alpha: weight of Encoder 2's AUC in the score, >= 0.

    Raises:
        ConfigError: alpha is negative.
        DataError: the folder holds no run, or a file in it cannot be read.
        OSError: the summary cannot be written; an older one stays whole.
    """
    if not alpha >= 0:
        raise ConfigError(f"alpha={alpha}: the weight of Encoder 2's AUC is 0 or more")
    folder = Path(folder)
    alphas = list(dict.fromkeys([float(alpha), 1.0]))
    runs = statistics.add_scores(read_runs(folder), alphas)
    found = compute(runs, alphas) if len(runs.done) else {}
    figures = save_sweep_figures(runs, folder / "figures", alphas, found["importance"]) if found else []
    title = str(runs.table.name.dropna().iloc[0]) if runs.table.name.notna().any() else "sweep"
    report = write_report(f"{title}: {folder.resolve().name}", runs, found, alphas, figures)
    write_whole(folder / "runs.csv", lambda building: runs.table.to_csv(building, index=False))
    content = {
        "parameters": runs.parameters,
        "alphas": alphas,
        "states": {str(state): int(n) for state, n in runs.table.state.value_counts().items()},
        "runs": [_run(runs, row) for row in _rows(runs.table)],
        **{name: _plain(table) for name, table in found.items()},
    }
    write_json(folder / "runs.json", content)
    write_whole(folder / "report.md", lambda building: building.write_text(report))


def compute(runs: Runs, alphas: Sequence[float]) -> dict[str, Any]:
    """Return every table of the summary by name, as runs.json holds them.

    Args:
        runs: with scores added, at least one finished.
        alphas: of the scores; the first decides where one ranking is needed.
    """
    scores = [score_name(a) for a in alphas]
    main = [scores[0], E1, E2, score_name(alphas[0], "test"), *TEST]
    front = runs.done[statistics.pareto_front(runs.done[[E1, E2]])].sort_values(E1, ascending=False)
    return {
        "ranking": {f"{a:g}": statistics.rank(runs, a) for a in alphas},
        "pareto": front[["number", *runs.parameters, E1, E2, *TEST]],
        "statistics": statistics.describe(runs),
        "correlations": statistics.correlations(runs),
        "sensitivity": statistics.sensitivity(runs, alphas[0]),
        "importance": statistics.importance(runs, [E1, E2, scores[0]]),
        "settings": repeats.settings_table(runs, main, alphas[0]),
        "comparisons": repeats.comparisons(runs, main, alphas[0]),
    }


def _run(runs: Runs, row: dict[str, Any]) -> dict[str, Any]:
    """A run as runs.json holds it: overrides and metrics apart."""
    own = {k: v for k, v in row.items() if k not in runs.settings and k not in runs.metrics}
    overrides = {key: row[key] for key in runs.settings}
    return {**own, "overrides": overrides, "metrics": {name: row[name] for name in runs.metrics}}


def _plain(table: Any) -> Any:
    return {name: _rows(part) for name, part in table.items()} if isinstance(table, dict) else _rows(table)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON takes them: nothing where a number is missing."""
    return [{str(name): _json(value) for name, value in row.items()} for row in table.to_dict("records")]


def _json(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
