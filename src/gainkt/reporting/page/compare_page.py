"""The page of a comparison: runs side by side, and how they differ on the same students."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gainkt.names import visible
from gainkt.reporting.comparison_view import p_value, reading
from gainkt.reporting.page import PAGE
from gainkt.reporting.page.judgement import pill
from gainkt.reporting.page.render import rendered
from gainkt.reporting.page.run_page import METRICS, PARTS
from gainkt.reporting.terminal import interval, number

READINGS = {
    "better": ("pass", "better"),
    "worse": ("fail", "worse"),
    "no difference shown": ("not_measurable", "none shown"),
}


def compare_page(content: Mapping[str, Any], folder: Path) -> str:
    """Return the page of a comparison as HTML.

    Args:
        content: as `gainkt.runs.compare.compare_runs` returns it.
        folder: where the page will stand: it links to the runs' own pages from there.
    """
    labels = [visible(run["label"], 60) for run in content["runs"]]
    return rendered(
        "compare.html",
        charts=False,
        title=" and ".join(labels) if len(labels) < 3 else f"{len(labels)} runs compared",
        content=content,
        labels=labels,
        links=[link(Path(run["folder"]) / PAGE, folder) for run in content["runs"]],
        metrics=_metrics(content["runs"]),
        intervals=[
            (row["title"], [(number(v["value"]), interval(v["interval"])) for v in row["values"]])
            for row in content["metrics"]
        ],
        differences=_differences(content, labels),
        checks=[
            (
                row["title"],
                [
                    None if c is None else {**pill(c["verdict"]), "value": number(c["value"], whole=True)}
                    for c in row["cells"]
                ],
            )
            for row in content["checks"]
        ],
        settings=[(visible(row["key"]), [visible(v, 60) for v in row["values"]]) for row in content["settings"]],
        visible=visible,
    )


def link(page: Path, folder: Path) -> str | None:
    """Return the way from a folder to a page that stands, as a URL; None where there is no page."""
    return quote(Path(os.path.relpath(page, folder)).as_posix()) if page.is_file() else None


def _metrics(runs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a part and metric, with both encoders of every run."""
    return [
        {
            "part": PARTS.get(part, part),
            "metric": title,
            "cells": [
                [number(run["metrics"].get(part, {}).get(f"encoder{n}_{metric}")) for n in (1, 2)] for run in runs
            ],
        }
        for part in runs[0]["metrics"]
        for metric, (title, _) in METRICS.items()
    ]


def _differences(content: Mapping[str, Any], labels: list[str]) -> list[dict[str, Any]]:
    """A row a metric and run, drawn on a line that all runs share."""
    rows = []
    for row in content["metrics"]:
        found = row["differences"][1:]
        ends = [0.0, *(x for d in found for x in (d["value"], *(d["interval"] or ())))]
        reach = max(map(abs, ends)) or 1.0

        def at(x: float, reach: float = reach) -> float:
            return round(50 + 46 * x / reach, 2)

        for place, (label, difference) in enumerate(zip(labels[1:], found, strict=True), start=1):
            kind, words = READINGS[reading(row, difference)]
            students = row.get("students") or [None] * len(labels)
            rows.append(
                {
                    **pill(kind),
                    "words": words,
                    "title": row["title"] if place == 1 else "",
                    "label": label,
                    "value": f"{difference['value']:+z.4f}",
                    "interval": interval(difference["interval"]),
                    "p": p_value(difference["p"]),
                    "holm": p_value(difference["holm"]),
                    "students": students[place] and {**students[place], "p": p_value(students[place]["p"])},
                    "picture": {
                        "value": at(difference["value"]),
                        "interval": [at(x) for x in difference["interval"] or ()],
                    },
                }
            )
    return rows
