"""The page of a sweep or a search: ranking, trade-off, heat maps, Pareto front, importance, and a link to every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bokeh.models import ColumnDataSource, HoverTool

from gainkt.names import visible
from gainkt.overrides import command_line
from gainkt.reporting.comparison_view import p_value
from gainkt.reporting.page import PAGE
from gainkt.reporting.page.charts import Chart, Look, canvas, encoder_looks, item, lines
from gainkt.reporting.page.compare_page import link
from gainkt.reporting.page.render import rendered
from gainkt.reporting.palette import GREY, RED
from gainkt.reporting.terminal import number

E1, E2 = "val/encoder1_auc", "val/encoder2_auc"
SHORT = {E1: "E1 val", E2: "E2 val", "test/encoder1_auc": "E1 test", "test/encoder2_auc": "E2 test", "number": "run"}
REPEATS = ("seed", "dataset.fold")
MOST_LEVELS = 12
"""Values of a setting that a heat map has room for; more numbers are cut into intervals of equal count."""
INTERVALS = 4
MOST_MAPS = 6


def sweep_page(content: Mapping[str, Any], title: str, folder: Path) -> str:
    """Return the page of a sweep or search as HTML.

    Args:
        content: of its runs.json.
        title: of the sweep.
        folder: of the sweep, where the page will stand.
    """
    runs = content["runs"]
    links = {run["number"]: link(folder / run["folder"] / PAGE, folder) for run in runs}
    alpha = next(iter(content.get("ranking", {})), None)
    metrics = (E1, E2, score := f"val/score_{alpha}")
    table = pd.DataFrame(
        [
            {"number": run["number"], **run["overrides"], **{name: run["metrics"].get(name) for name in metrics}}
            for run in runs
            if run["state"] == "done"
        ]
    )
    swept = [key for key in content["parameters"] if key not in REPEATS]
    return rendered(
        "sweep.html",
        title=visible(title),
        states=", ".join(f"{count} {state}" for state, count in content["states"].items()),
        parameters=[(visible(key), table[key].astype(str).nunique()) for key in content["parameters"]],
        rankings=[(_score(name), _ranking(rows, links)) for name, rows in content.get("ranking", {}).items()],
        pareto=_front(content, table) if len(table) > 1 else None,
        tradeoffs=[chart for key in swept if (chart := _tradeoff(table, key)) is not None],
        words=[found for key in swept if (found := _by_words(table, key)) is not None],
        maps=[made for pair in combinations(swept, 2) if (made := _map(table, *pair, score))][:MOST_MAPS],
        score=_score(alpha) if alpha else "",
        importance=_importance(content.get("importance", [])),
        compared=_compared(content.get("comparisons", [])),
        rest=[_unfinished(run) for run in runs if run["state"] != "done"],
        lacking=sum(run["state"] == "done" and links[run["number"]] is None for run in runs),
        way=command_line("report", [f"run={folder}", "runs=true"]),
    )


def _unfinished(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run that is not done, with the last line of its error."""
    settings = " ".join(f"{key}={value}" for key, value in run["overrides"].items() if value is not None)
    error = (run["error"] or "").strip().rpartition("\n")[2]
    said = {"settings": visible(settings, 300), "error": visible(error, 300) if error else ""}
    return {"number": run["number"], "state": run["state"], **said}


def _score(alpha: str) -> str:
    return "E1 + E2" if alpha == "1" else f"E1 + {alpha} E2"


def _ranking(rows: Sequence[Mapping[str, Any]], links: Mapping[int, str | None]) -> dict[str, Any]:
    """Columns and rows of a ranking, each with the way to the run's page."""
    names = list(rows[0]) if rows else []
    scores = {name: f"score {name.partition('/')[0]}" for name in names if "/score_" in name}
    return {
        "titles": [(SHORT | scores).get(name) or visible(name) for name in names],
        "rows": [(row["number"], links.get(row["number"]), [_cell(row[name]) for name in names[1:]]) for row in rows],
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if 0.001 <= abs(value) < 1000 else f"{value:.3g}"
    return "-" if value is None else visible(value, 60)


def _front(content: Mapping[str, Any], table: pd.DataFrame) -> Chart:
    """Both AUCs of every run on validation, and the runs that no other beats in both."""
    front = {row["number"] for row in content["pareto"]}
    keys = content["parameters"]
    said = [visible(", ".join(f"{k}={row[k]}" for k in keys), 200) for row in table.to_dict("records")]
    made = canvas(340, "Encoder 1 AUC, validation", "Encoder 2 AUC, validation")
    on = table["number"].isin(front).to_numpy()
    looks = (Look(GREY, "none", "circle"), Look(RED, "solid", "square"))
    renderers, rows = [], []
    for word, look, chosen in zip(("no", "yes"), looks, (~on, on), strict=True):
        own = table[chosen].sort_values(E1)
        source = ColumnDataSource({"x": own[E1], "y": own[E2], "run": own["number"].astype(str)})
        source.add([said[i] for i in own.index], "settings")
        if word == "yes":
            made.step("x", "y", source=source, color=look.colour, mode="before", line_width=1.5)
        style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "size": 9, "fill_alpha": 0.6}
        renderers.append(made.scatter("x", "y", source=source, **style))
        rows += [[str(r["number"]), number(r[E1]), number(r[E2]), word] for r in own.to_dict("records")]
    tips = [("run", "@run"), ("settings", "@settings"), ("Encoder 1", "@x{0.0000}"), ("Encoder 2", "@y{0.0000}")]
    made.add_tools(HoverTool(renderers=renderers, tooltips=tips))
    listed = ", ".join(map(str, sorted(front)))
    says = f"{len(table)} runs; on the front, which no other run beats in both AUCs: {listed}."
    legend = list(zip(("run", "Pareto front"), looks, strict=True))
    return Chart("Pareto front", says, item(made), 340, legend, ["run", "E1 val", "E2 val", "on the front"], rows)


def _tradeoff(table: pd.DataFrame, key: str) -> Chart | None:
    """Mean AUC of both encoders by the values of a setting; None where they are no numbers."""
    if not _is_numeric(table[key]) or table[key].nunique() < 2:
        return None
    x, of = pd.to_numeric(table[key]), "runs"
    if x.nunique() > MOST_LEVELS:  # values of a search: the mean of each interval stands for it
        x, of = x.groupby(_levels(x)[0]).transform("mean"), f"runs in {INTERVALS} intervals of the values"
    means = table.groupby(x.to_numpy())[[E1, E2]].mean()
    best = [f"{name} at {means[column].idxmax():.3g}" for name, column in (("Encoder 1", E1), ("Encoder 2", E2))]
    says = f"Mean of {of}, on validation. Highest: {', '.join(best)}."
    series = {"Encoder 1": means[E1].to_numpy(), "Encoder 2": means[E2].to_numpy()}
    return lines(
        visible(key), says, ("value", means.index.to_numpy(dtype=float)), "AUC", series, encoder_looks(), height=230
    )


def _by_words(table: pd.DataFrame, key: str) -> dict[str, Any] | None:
    """The same of a setting whose values are no numbers, as rows; None of one whose values are."""
    if _is_numeric(table[key]) or not table[key].astype(str).nunique() >= 2:
        return None
    words, order = _levels(table[key])
    groups = table.groupby(words)
    means, counts = groups[[E1, E2]].mean(), groups.size()
    rows = [(visible(one), int(counts[one]), number(means[E1][one]), number(means[E2][one])) for one in order]
    return {"name": visible(key), "rows": rows}


def _map(table: pd.DataFrame, first: str, second: str, score: str) -> dict[str, Any] | None:
    """Mean score over two settings; None where one has too many values that are no numbers."""
    (downs, down), (acrosses, across) = (_levels(table[key]) for key in (first, second))
    if not all(2 <= len(order) <= MOST_LEVELS for order in (down, across)):
        return None
    means = table.groupby([downs, acrosses])[score].mean()
    low, high = float(means.min()), float(means.max())

    def cell(one: str, two: str) -> tuple[float, float]:
        value = float(means.get((one, two), np.nan))
        return value, (value - low) / (high - low) if np.isfinite(value) and high > low else 0.0

    return {
        "first": visible(first),
        "second": visible(second),
        "columns": [visible(two) for two in across],
        "rows": [(visible(one), [cell(one, two) for two in across]) for one in down],
        "best": high,
    }


def _levels(values: pd.Series) -> tuple[pd.Series, list[str]]:
    """The level of each run's value, in words, and all levels in order; many numbers are cut into intervals."""
    if not _is_numeric(values) or values.nunique() <= MOST_LEVELS:
        return values.astype(str), [str(value) for value in sorted(values.unique(), key=_order)]
    numbers = pd.to_numeric(values)
    groups = numbers.groupby(pd.qcut(numbers, INTERVALS, labels=False, duplicates="drop"))
    names = (groups.transform(end).map("{:.3g}".format) for end in ("min", "max"))
    words = next(names) + " to " + next(names)
    return words, list(words[numbers.sort_values().index].unique())


def _is_numeric(values: pd.Series) -> bool:
    return not any(_order(value)[0] for value in values)


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers before words and switches."""
    return (False, value) if isinstance(value, int | float) and not isinstance(value, bool) else (True, str(value))


def _importance(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Share of the variance of each metric that each setting explains, with what chance alone gives."""
    if not rows:
        return None
    table = pd.DataFrame(rows)
    wide = table.pivot(index="parameter", columns="metric", values="share")
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False).index]
    chance = table.groupby("parameter")["by_chance"].first()
    metrics = [str(metric) for metric in wide.columns]
    return {
        "metrics": [SHORT.get(name) or _score(name.removeprefix("val/score_")) for name in metrics],
        "rows": [(visible(key), [float(x) for x in wide.loc[key]], float(chance[key])) for key in wide.index],
    }


def _compared(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Paired differences between settings over seeds and folds, both AUCs on validation."""
    return [
        [
            visible(row["first"]),
            visible(row["second"]),
            SHORT[row["metric"]],
            str(row["n"]),
            f"{row['difference']:+.4f}",
            "-" if row["low"] is None else f"[{row['low']:.4f}, {row['high']:.4f}]",
            p_value(row["t_p_holm"]),
            p_value(row["wilcoxon_p_holm"]),
        ]
        for row in rows
        if row["metric"] in (E1, E2)
    ]
