"""report.md of a sweep: what was run, what was best, what mattered, in tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from gainkt.sweeping.summary.runs import REPEATS, Runs
from gainkt.sweeping.summary.statistics import E1, E2, score_name, score_title

LONGEST = 20
"""Rows of a table in the report; runs.csv and runs.json hold all of them."""


def write_report(
    title: str, runs: Runs, found: Mapping[str, Any], alphas: Sequence[float], figures: Sequence[str]
) -> str:
    """Return the report as Markdown.

    Args:
        title: name of the sweep.
        runs: with scores added.
        found: tables by name: ranking (by alpha), statistics, correlations, sensitivity, importance, settings,
            comparisons, pareto.
        alphas: of the scores.
        figures: names of the pictures in `figures/`, without their endings.
    """
    parts = [f"# {title}", _state(runs)]
    if not len(runs.done):
        return "\n\n".join([*parts, "No run has finished: nothing to compare yet."]) + "\n"
    varied = ", ".join(f"`{key}` ({runs.levels(key).nunique()} values)" for key in runs.parameters) or "nothing"
    follows = [f"`{later}` follows from `{first}` and is left aside." for later, first in runs.moving_together.items()]
    parts.append(" ".join([f"Varied: {varied}.", *follows]))
    parts.append("Runs are selected on validation; test figures are shown and decide nothing.")
    for alpha in alphas:
        table = found["ranking"][f"{alpha:g}"].rename(columns=SHORT).rename(columns=_score_titles(alpha))
        parts += [f"## Ranking by {score_title(alpha)} on validation", _table(table)]
    parts += ["## Trade-off", "Runs that no other run beats in both AUCs on validation:"]
    parts.append(_table(found["pareto"].rename(columns=SHORT)))
    parts += _pictures(figures, "pareto", "Both AUCs of every run, and the Pareto front")
    for kind, text in (("tradeoff_", "Both AUCs over"), ("heatmap_", "Validation over")):
        parts += _pictures(figures, kind, text)
    parts += ["## Mean, spread and range", _table(_main(found["statistics"], alphas), longest=60)]
    parts += _parameters(found, alphas, figures)
    parts += _repeats(runs, found)
    return "\n\n".join(parts) + "\n"


SHORT: dict[Any, str] = {
    E1: "E1 val",
    E2: "E2 val",
    "test/encoder1_auc": "E1 test",
    "test/encoder2_auc": "E2 test",
    "number": "run",
}


def _score_titles(alpha: float) -> dict[str, str]:
    return {score_name(alpha, part): f"{score_title(alpha)} {part}" for part in ("val", "test")}


def _state(runs: Runs) -> str:
    """Say how many jobs are done, and list those that are not."""
    counts = runs.table.state.value_counts()
    text = f"{len(runs.table)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items()) + "."
    seconds = pd.to_numeric(runs.done.seconds, errors="coerce")
    if seconds.notna().any():
        text += f" Finished runs took {seconds.mean():.0f} s each, {seconds.sum() / 60:.1f} min together."
    rest = runs.table[runs.table.state != "done"]
    if not len(rest):
        return text
    keys = [key for key in runs.settings if key not in REPEATS]
    listed = pd.DataFrame(
        {
            "run": rest.number,
            "state": rest.state,
            "settings": [" ".join(f"{k}={row[k]}" for k in keys if row[k] is not None) for _, row in rest.iterrows()],
            "error": [str(e or "").strip().splitlines()[-1][:160] if e else "" for e in rest.error],
        }
    )
    return f"{text}\n\nNot finished:\n\n{_table(listed)}"


def _main(statistics: pd.DataFrame, alphas: Sequence[float]) -> pd.DataFrame:
    """The rows of the figures that runs are judged by, and of the scorecard."""
    names = [*SHORT, *(score_name(alpha, part) for alpha in alphas for part in ("val", "test"))]
    chosen = statistics.metric.isin(names) | statistics.metric.str.startswith(("scorecard/", "carries/"))
    return statistics[chosen]


def _parameters(found: Mapping[str, Any], alphas: Sequence[float], figures: Sequence[str]) -> list[str]:
    parts = []
    shares, related, spread = found["importance"], found["correlations"], found["sensitivity"]
    if len(shares):
        wide = shares.pivot(index="parameter", columns="metric", values="share")
        wide["by chance"] = shares.groupby("parameter").by_chance.first()
        parts += [
            "## Importance of the parameters",
            "Share of the variance between runs that the means of a parameter's levels explain: main effects of a "
            "functional ANOVA. What the shares leave over is interaction and noise. `by chance` is what a parameter "
            "without any effect reaches on average. A parameter of many values is cut into 4 intervals of equal count.",
            _table(wide.sort_values(wide.columns[0], ascending=False).reset_index()),
            *_pictures(figures, "importance", "Importance"),
        ]
    if len(related):
        shown = related[related.metric.isin([E1, E2, *(score_name(a) for a in alphas)])]
        parts += ["## Correlation of parameters with figures", _table(shown)]
    if len(spread):
        parts += [
            "## Sensitivity",
            f"Values among the best tenth of the runs ({spread.best.iloc[0]}) by {score_title(alphas[0])} on "
            "validation; narrow where the choice matters.",
            _table(spread.drop(columns="best")),
        ]
    return parts


def _repeats(runs: Runs, found: Mapping[str, Any]) -> list[str]:
    settings, compared = found["settings"], found["comparisons"]
    if not (settings.n > 1).any():
        return []
    keys = " and ".join(f"`{key}`" for key in runs.parameters if key in REPEATS) or "repeated runs"
    names = {label: f"S{place}" for place, label in enumerate(settings.setting.unique(), start=1)}
    cells = settings.assign(cell=[_with_interval(row) for row in settings.itertuples()])
    wide = cells.pivot(index="setting", columns="metric", values="cell")[list(settings.metric.unique())]
    wide = wide.reindex(list(names)).rename(columns=SHORT).reset_index()
    wide.insert(0, "", list(names.values()))
    wide.insert(2, "runs", settings.groupby("setting").n.max().reindex(list(names)).to_numpy())
    parts = [
        f"## Over {keys}",
        "Mean and 95 % t-interval. Folds share training students, so that the interval is rather too narrow.",
        _table(wide),
    ]
    if len(compared):
        compared = compared.replace({"first": names, "second": names})
        parts += [
            "### Paired differences",
            "Runs of the same seed and fold; p-values of the paired t-test and of Wilcoxon's test, `holm`: corrected "
            f"for all comparisons of a metric. With n pairs Wilcoxon's p cannot fall under 2 / 2^n "
            f"({2 / 2 ** compared.n.max():.3g} here).",
            _table(compared),
        ]
    return parts


def _with_interval(row: Any) -> str:
    return _cell(row.mean) + ("" if row.n < 2 else f" [{_cell(row.low)}, {_cell(row.high)}]")


def _pictures(figures: Sequence[str], kind: str, text: str) -> list[str]:
    chosen = [name for name in figures if name.startswith(kind)]
    return [f"![{f'{text} {name.removeprefix(kind)}'.strip()}](figures/{name}.png)" for name in chosen]


def _table(table: pd.DataFrame, longest: int = LONGEST) -> str:
    """A Markdown table of at most `longest` rows."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|---" * len(table.columns) + "|"]
    rows = table.head(longest).itertuples(index=False)
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    if len(table) > longest:
        lines.append(f"\n{len(table) - longest} more rows are in runs.json.")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.3g}"
    return str(value).replace("|", "\\|")
