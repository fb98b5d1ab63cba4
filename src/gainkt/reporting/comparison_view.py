"""Runs side by side, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from gainkt.names import visible
from gainkt.reporting.terminal import interval, number, right, spaced, table, verdict


def comparison_view(content: Mapping[str, Any]) -> RenderableType:
    """Return the whole comparison, of what `gainkt.runs.compare.compare_runs` returns."""
    labels = [visible(run["label"], 40) for run in content["runs"]]
    over = f"{content['students']:,} students, {content['steps']:,} scored steps of test"
    metrics = table(
        f"Metrics: {over}",
        ["metric", *map(right, labels)],
        (
            [row["title"], *(f"{number(v['value'])} {interval(v['interval'])}" for v in row["values"])]
            for row in content["metrics"]
        ),
        f"[95 % interval, students resampled]. {visible(content['protocol'], 300)}",
    )
    return spaced(metrics, differences_table(content, labels), _checks(content, labels), _settings(content, labels))


def differences_table(content: Mapping[str, Any], labels: list[str]) -> RenderableType:
    """Return a row a metric and run: how it differs from the first run on the same students."""
    rows: list[list[RenderableType] | None] = []
    for row in content["metrics"]:
        for label, found in zip(labels[1:], row["differences"][1:], strict=True):
            numbers = f"{found['value']:+z.4f} {interval(found['interval'])}"
            rows.append(
                [row["title"], label, numbers, p_value(found["p"]), p_value(found["holm"]), reading(row, found)]
            )
        rows.append(None)
    columns = ["metric", "run", right("difference [95 %]"), right("p"), right("p (Holm)"), "reading"]
    caption = (
        "Paired: both runs on the same resampled students. p: two-sided, the difference over its bootstrap standard "
        "error; Holm: corrected for the runs compared. Test decides nothing: it was not selected on."
    )
    return table(f"Differences from {labels[0]}", columns, rows, caption)


def reading(row: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Say a difference in words."""
    ends = found["interval"]
    if ends is None or ends[0] <= 0 <= ends[1]:
        return "no difference shown"
    return "better" if (found["value"] > 0) == (row["better"] == "higher") else "worse"


def p_value(p: float | None) -> str:
    """Return a p-value."""
    return "-" if p is None else "< .001" if p < 0.001 else f"{p:.3f}"


def _checks(content: Mapping[str, Any], labels: list[str]) -> RenderableType:
    def cell(found: Mapping[str, Any] | None) -> RenderableType:
        if found is None:
            return "-"
        return Text(f"{number(found['value'], whole=True)} ").append_text(verdict(found["verdict"]))

    rows = [[row["title"], *map(cell, row["cells"])] for row in content["checks"]]
    levels = ["level reached", *(run["level"] or "-" for run in content["runs"])]
    return table("Scorecards", ["check", *map(right, labels)], [*rows, None, levels])


def _settings(content: Mapping[str, Any], labels: list[str]) -> RenderableType:
    rows = ([visible(row["key"]), *(visible(value, 60) for value in row["values"])] for row in content["settings"])
    if not content["settings"]:
        return Text("The runs' settings are the same.", style="bold")
    return table("Settings that differ", ["setting", *labels], rows)
