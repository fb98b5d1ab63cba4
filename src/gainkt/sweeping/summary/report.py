"""Summarise a sweep or a search: runs.csv, runs.json, report.md and figures/, written into its folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole
from gainkt.names import code, markdown
from gainkt.reporting.page import PAGE, require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.sweeping.summary import statistics
from gainkt.sweeping.summary.figures import save_sweep_figures
from gainkt.sweeping.summary.runs import REPEATS, Runs, read_runs
from gainkt.sweeping.summary.statistics import E1, E2, TEST, score_name, score_title

LONGEST = 20
"""Rows of a table in the report; runs.csv and runs.json hold all of them."""
SHORT: dict[Any, str] = {E1: "E1 val", E2: "E2 val", TEST[0]: "E1 test", TEST[1]: "E2 test", "number": "run"}


def summarize(folder: Path, alpha: float = 0.5) -> None:
    """Write runs.csv, runs.json, report.md and figures/ into a sweep's folder; a sweep half done will do.

    Runs are ranked by E1 + alpha E2 and by E1 + E2, both AUCs on validation; test metrics are reported beside them.

    Args:
        folder: of a sweep (with sweep.json or without), a search, or any folder that holds runs.
        alpha: weight of Encoder 2's AUC in the score, >= 0.

    Raises:
        ConfigError: alpha is negative, or sweep.json is not the plan of a sweep.
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
    name = next(iter(runs.table.name.dropna()), "sweep")
    report = write_report(f"{name}: {folder.resolve().name}", runs, found, alphas, figures)
    own = [column for column in runs.table if column not in {*runs.settings, *runs.metrics}]
    parts = (_rows(runs.table[columns]) for columns in (own, runs.settings, runs.metrics))
    content = {
        "parameters": runs.parameters,
        "alphas": alphas,
        "states": {str(state): int(n) for state, n in runs.table.state.value_counts().items()},
        "runs": [{**run, "overrides": s, "metrics": m} for run, s, m in zip(*parts, strict=True)],
        **{key: {a: _rows(t) for a, t in x.items()} if isinstance(x, dict) else _rows(x) for key, x in found.items()},
    }
    write_whole(folder / "runs.csv", lambda building: runs.table.to_csv(building, index=False))
    write_json(folder / "runs.json", content)
    write_whole(folder / "report.md", lambda building: building.write_text(report))


def summarize_or_say_why(folder: Path, alpha: float = 0.5) -> None:
    """Summarise at the end of a sweep or search, whose jobs are done even where that fails.

    Where runs have pages (report=true), it gets one too.
    """
    try:
        summarize(folder, alpha)
        if any((run / PAGE).is_file() for run in finished_runs(folder)):
            print(f"report: {write_sweep_page(folder)}", flush=True)
    except Exception as error:
        print(f"sweep: no summary of {folder} ({type(error).__name__}: {error})", file=sys.stderr, flush=True)


def finished_runs(folder: Path) -> list[Path]:
    """Return the folders of the finished runs of a sweep that is summarised."""
    runs = json.loads((folder / "runs.json").read_text())["runs"]
    return [folder / run["folder"] for run in runs if run["state"] == "done"]


def write_sweep_page(folder: Path, path: Path | None = None) -> Path:
    """Write the page of a sweep that is summarised, report.html in its folder where no path is given.

    Raises:
        ConfigError: what draws pages is not installed.
    """
    require_pages()
    from gainkt.reporting.page.sweep_page import sweep_page

    content = json.loads((folder / "runs.json").read_text())
    name = next((run["name"] for run in content["runs"] if run["name"]), "sweep")
    return Page(sweep_page(content, f"{name}: {folder.resolve().name}", folder)).save(path or folder / PAGE)


def compute(runs: Runs, alphas: Sequence[float]) -> dict[str, Any]:
    """Return every table of the summary by name, as runs.json holds them.

    Args:
        runs: with scores added, at least one finished.
        alphas: of the scores; the first decides where one ranking is needed.
    """
    first = alphas[0]
    main = [score_name(first), E1, E2, score_name(first, "test"), *TEST]
    front = runs.done[statistics.pareto_front(runs.done[[E1, E2]])].sort_values(E1, ascending=False)
    return {
        "ranking": {f"{a:g}": statistics.rank(runs, a) for a in alphas},
        "pareto": front[["number", *runs.parameters, E1, E2, *TEST]],
        "statistics": statistics.describe(runs),
        "correlations": statistics.correlations(runs),
        "sensitivity": statistics.sensitivity(runs, first),
        "importance": statistics.importance(runs, [E1, E2, score_name(first)]),
        "settings": statistics.settings_table(runs, main, first),
        "comparisons": statistics.comparisons(runs, main, first),
    }


def write_report(title: str, runs: Runs, found: dict[str, Any], alphas: Sequence[float], figures: Sequence[str]) -> str:
    """Return the report as Markdown.

    Args:
        title: name of the sweep.
        runs: with scores added.
        found: from `compute`; empty where no run has finished.
        alphas: of the scores.
        figures: names of the figures in `figures/`, without their endings.
    """
    parts = [f"# {markdown(title)}", *_state(runs)]
    if not found:
        return "\n\n".join([*parts, "No run has finished: nothing to compare yet."]) + "\n"
    varied = ", ".join(f"{code(key)} ({runs.levels(key).nunique()} values)" for key in runs.parameters) or "nothing"
    follows = [
        f"{code(later)} follows from {code(first)} and is left aside." for later, first in runs.moving_together.items()
    ]
    parts.append(" ".join([f"Varied: {varied}.", *follows]))
    parts.append("Runs are selected on validation; test metrics are shown and decide nothing.")
    for alpha in alphas:
        titles = SHORT | {score_name(alpha, part): f"{score_title(alpha)} {part}" for part in ("val", "test")}
        ranking = found["ranking"][f"{alpha:g}"].rename(columns=titles)
        parts += [f"## Ranking by {score_title(alpha)} on validation", _table(ranking)]
    parts += ["## Trade-off", "Runs that no other run beats in both AUCs on validation:"]
    parts.append(_table(found["pareto"].rename(columns=SHORT)))
    for kind, text in (("pareto", FRONT), ("tradeoff_", "Both AUCs over"), ("heatmap_", "Validation over")):
        parts += _images(figures, kind, text)
    names = [*SHORT, *(score_name(alpha, part) for alpha in alphas for part in ("val", "test"))]
    metric = found["statistics"].metric
    main = found["statistics"][metric.isin(names) | metric.str.startswith(("scorecard/", "carries/", "loss/"))]
    parts += ["## Mean, spread and range", _table(main, longest=60)]
    return "\n\n".join([*parts, *_parameters(found, alphas, figures), *_repeats(runs, found)]) + "\n"


FRONT = "Both AUCs of every run, and the Pareto front"


def _state(runs: Runs) -> list[str]:
    """Say how many jobs are done, and list those that are not."""
    counts = runs.table.state.value_counts()
    text = f"{len(runs.table)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items()) + "."
    seconds = pd.to_numeric(runs.done.seconds, errors="coerce")
    if seconds.notna().any():
        text += f" Finished runs took {seconds.mean():.0f} s each, {seconds.sum() / 60:.1f} min together."
    rest = runs.table[runs.table.state != "done"]
    if not len(rest):
        return [text]
    keys = [key for key in runs.settings if key not in REPEATS]
    listed = rest[["number", "state"]].rename(columns=SHORT)
    listed["settings"] = [" ".join(f"{k}={row[k]}" for k in keys if row[k] is not None) for _, row in rest.iterrows()]
    listed["error"] = [str(error).strip().splitlines()[-1][:160] if error else "" for error in rest.error]
    return [text, "Not finished:", _table(listed)]


def _parameters(found: dict[str, Any], alphas: Sequence[float], figures: Sequence[str]) -> list[str]:
    """Importance, correlation and sensitivity of what was varied."""
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
            *_images(figures, "importance", "Importance"),
        ]
    if len(related):
        shown = related[related.metric.isin([E1, E2, *(score_name(a) for a in alphas)])]
        parts += ["## Correlation of parameters with metrics", _table(shown)]
    if len(spread):
        parts += [
            "## Sensitivity",
            f"Values among the best tenth of the runs ({spread.best.iloc[0]}) by {score_title(alphas[0])} on "
            "validation; narrow where the choice matters.",
            _table(spread.drop(columns="best")),
        ]
    return parts


def _repeats(runs: Runs, found: dict[str, Any]) -> list[str]:
    """Means with their intervals over seeds and folds, and paired differences between settings."""
    settings, compared = found["settings"], found["comparisons"]
    if not (settings.n > 1).any():
        return []
    keys = " and ".join(code(key) for key in runs.parameters if key in REPEATS) or "repeated runs"
    names = {label: f"S{place}" for place, label in enumerate(settings.setting.unique(), start=1)}
    cells = settings.assign(cell=[_with_interval(row) for row in settings.itertuples()])
    wide = cells.pivot(index="setting", columns="metric", values="cell").loc[list(names), settings.metric.unique()]
    wide = wide.rename(columns=SHORT).reset_index()
    wide.insert(0, "", list(names.values()))
    wide.insert(2, "runs", settings.groupby("setting").n.max()[list(names)].to_numpy())
    parts = [
        f"## Over {keys}",
        "Mean and 95 % t-interval. Folds share training students, so that the interval is rather too narrow.",
        _table(wide),
    ]
    if len(compared):
        parts += [
            "### Paired differences",
            "Runs of the same seed and fold; p-values of the paired t-test and of Wilcoxon's test, `holm`: corrected "
            f"for all comparisons of a metric. With n pairs Wilcoxon's p cannot fall under 2 / 2^n "
            f"({2 / 2 ** compared.n.max():.3g} here).",
            _table(compared.replace({"first": names, "second": names})),
        ]
    return parts


def _with_interval(row: Any) -> str:
    return _cell(row.mean) + ("" if row.n < 2 else f" [{_cell(row.low)}, {_cell(row.high)}]")


def _images(figures: Sequence[str], kind: str, text: str) -> list[str]:
    chosen = [name for name in figures if name.startswith(kind)]
    return [f"![{markdown(f'{text} {name.removeprefix(kind)}'.strip())}](figures/{quote(name)}.png)" for name in chosen]


def _table(table: pd.DataFrame, longest: int = LONGEST) -> str:
    """A Markdown table of at most `longest` rows."""
    lines = ["| " + " | ".join(map(markdown, table.columns)) + " |", "|---" * len(table.columns) + "|"]
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
    return markdown(value)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON takes them: null where a number is missing or infinite."""
    return json.loads(table.replace([float("inf"), -float("inf")], None).to_json(orient="records", double_precision=15))
