"""A benchmark's table: for the terminal, as Markdown, and flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.names import markdown, visible
from gainkt.reporting.comparison_view import p_value
from gainkt.reporting.terminal import number, right, spaced, table

COLUMNS = (
    "model",
    "runs",
    "AUC [95 %]",
    "less the baseline [95 %]",
    "p (Holm)",
    "log loss",
    "accuracy",
    "steps",
    "seconds",
    "steps a second",
    "s to best",
    "MiB",
    "audit",
    "notes",
)
CAPTION = (
    "AUC on the test part, mean over runs, one a fold and seed (their standard deviation after +-), [95 % interval, "
    "students resampled]; differences on the same students and folds, p two-sided and corrected by Holm's method; log "
    "loss with probabilities held to 1e-7 and 1 - 1e-7. seconds: training and "
    "predicting, mean of a job; steps a second: training interactions, median over epochs; s to best: from the start "
    "of training to the end of the epoch that is kept; MiB: largest resident memory. Test decides nothing: no model is "
    "selected on it."
)


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row, by `COLUMNS`."""
    found, audit = row["difference"], row["audit"]
    apart = found is not None and found["runs"] < row["runs"]
    notes = [
        *row["notes"],
        *([f"{row['runs']} of {row['of']} runs"] if row["runs"] < row["of"] else []),
        *([f"difference on {found['runs']} of its {row['runs']} runs"] if apart else []),
        row["error"] or "",
    ]
    spread = "" if row["auc_sd"] is None else f" +- {row['auc_sd']:.4f}"
    steps = sorted(set(row["steps"]))
    return [
        visible(row["model"]),
        str(row["runs"]),
        "-" if row["auc"] is None else f"{row['auc']:.4f}{spread} {_ends(row['auc_interval'])}".strip(),
        "-" if found is None else f"{found['value']:+z.4f} {_ends(found['interval'])}".strip(),
        "-" if found is None else p_value(found["holm"]),
        _four(row["log_loss"]),
        _four(row["accuracy"]),
        "-" if not steps else f"{steps[0]:,}" + (f" to {steps[-1]:,}" if steps[1:] else ""),
        _whole(row["seconds"]),
        _whole(row.get("interactions_a_second")),
        _whole(row.get("seconds_to_best")),
        _whole(row["peak_mib"]),
        "-" if audit is None else "no leak found" if audit["passed"] else f"FAILS {', '.join(audit['failed'])}",
        visible("; ".join(filter(None, notes)), 300) if any(notes) else "",
    ]


COST = ("steps", "seconds", "steps a second", "s to best", "MiB")
"""Columns that have a table of their own in the terminal, which is narrow."""


def leaderboard_view(content: Mapping[str, Any]) -> RenderableType:
    """Return a table a data set, of what `gainkt.sweeping.benchmark.run.benchmark` returns."""
    parts: list[RenderableType] = []
    for board in content["datasets"]:
        rows = [dict(zip(COLUMNS, cells(row), strict=True)) for row in board["rows"]]
        shown = [name for name in COLUMNS if name not in (*COST, "accuracy", "notes")]
        parts.append(_part(title(board), shown, rows, CAPTION))
        parts.append(_part("Cost", ["model", *COST], rows))
        parts += [Text(f"{row['model']}: {row['notes']}") for row in rows if row["notes"]]
        if board["published"]:
            parts.append(table("Published, not run here", ["model", right("AUC"), "source"], published(board)))
    return spaced(*parts, *(Text(f"left out: {line}") for line in content["left_out"]))


def _part(heading: str, names: Sequence[str], rows: Sequence[Mapping[str, str]], caption: str | None = None) -> Table:
    """Some columns, whose cells stay in one line."""
    fixed = {"no_wrap": True}
    columns = [(name, fixed) if name in ("model", "audit") else right(name, **fixed) for name in names]
    return table(heading, columns, [[row[name] for name in names] for row in rows], caption)


def leaderboard_markdown(content: Mapping[str, Any]) -> str:
    """Return the same as Markdown."""
    parts = [f"# {markdown(content['name'])}", CAPTION]
    for board in content["datasets"]:
        parts += [f"## {markdown(title(board))}", markdown(board["protocol"] or "")]
        parts.append(_table(COLUMNS, [cells(row) for row in board["rows"]]))
        if board["published"]:
            parts += ["Published, not run here:", _table(("model", "AUC", "source"), published(board))]
    return "\n\n".join([*parts, *(f"Left out: {markdown(line)}" for line in content["left_out"])]) + "\n"


def leaderboard_csv(content: Mapping[str, Any]) -> pd.DataFrame:
    """Return the same as one flat table, names as they stand; figures that were published have a source."""
    rows: list[dict[str, Any]] = []
    for board in content["datasets"]:
        for row in board["rows"]:
            flat = {key: value for key, value in row.items() if key not in ("difference", "auc_interval", "audit")}
            found, ends = row["difference"] or {}, row["auc_interval"] or (None, None)
            flat |= {"auc_low": ends[0], "auc_high": ends[1], "baseline": board["baseline"]}
            low, high = found.get("interval") or (None, None)
            flat |= {"difference": found.get("value"), "difference_low": low, "difference_high": high}
            flat |= {"difference_runs": found.get("runs")}
            flat |= {"p": found.get("p"), "p_holm": found.get("holm"), "steps": max(row["steps"], default=None)}
            flat |= {"audit_passed": (row["audit"] or {}).get("passed"), "notes": "; ".join(row["notes"])}
            rows.append({"dataset": board["name"], **flat})
        rows += board["published"]
    return pd.DataFrame(rows).astype({"steps": "Int64"})


def title(board: Mapping[str, Any]) -> str:
    """Return the heading of a data set."""
    baseline = f"baseline {visible(board['baseline'])}" if board["baseline"] else "the baseline did not run"
    return f"{visible(board['name'])}: {board['students']:,} test student{'s' * (board['students'] != 1)}, {baseline}"


def published(board: Mapping[str, Any]) -> list[list[str]]:
    """Return figures that others report."""
    return [[visible(row["model"]), f"{row['auc']:.4f}", visible(row["source"], 300)] for row in board["published"]]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _whole(value: float | None) -> str:
    return f"{value:,.0f}" if value is not None and value >= 10 else number(value)


def _four(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ends(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"[{ends[0]:.4f}, {ends[1]:.4f}]"
