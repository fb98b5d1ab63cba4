"""A fitted reference model for the terminal and as a picture: its metrics, calibration and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.console import plain_table
from gainkt.names import pictured, visible
from gainkt.reporting.palette import RED

SHOWN = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "calibration_error": "ECE",
    "response_correlation": "r",
}
"""Metrics shown, by their name in figures.json."""
PARTS = {"val": ("validation", "--s", RED), "test": ("test", "-o", "black")}
NOT_FITTED = ("skill", "steps", "share_right")
"""Columns of parameters.csv that tell of the training data."""
SUMMARY: dict[str, Callable[..., np.floating]] = {
    "mean": np.nanmean,
    "std": np.nanstd,
    "minimum": np.nanmin,
    "maximum": np.nanmax,
}


def reference_view(content: Mapping[str, Any], parameters: pd.DataFrame, skills: int) -> RenderableType:
    """Return the metrics, and the parameters of the skills practised most.

    Args:
        content: of figures.json.
        parameters: of parameters.csv.
        skills: how many skills to show.
    """
    return Group(_metrics(content), Text(), _parameters(parameters, skills))


def _metrics(content: Mapping[str, Any]) -> Table:
    table = plain_table(
        f"{content['model']}: {content['protocol']}",
        "log loss: nats. ECE: calibration error over 10 bins. r: Pearson's, of probability and response.",
    )
    table.add_column("part")
    for title in ("steps", *SHOWN.values()):
        table.add_column(title, justify="right")
    for part, metrics in content["figures"].items():
        table.add_row(PARTS[part][0], f"{metrics['steps']:,}", *(f"{metrics[name]:.4f}" for name in SHOWN))
    return table


def _parameters(parameters: pd.DataFrame, skills: int) -> Table:
    practised = parameters.sort_values("steps", ascending=False, kind="stable").head(skills)
    title = f"Parameters of {len(practised)} of {len(parameters)} skills, those practised most, and over all of them"
    table = plain_table(title, "steps, share right: of training students. difficulty: logits.")
    table.add_column("skill", max_width=40)
    columns = ["share_right", *_fitted(parameters)]
    for column in ("steps", *columns):
        table.add_column(column.replace("_", " "), justify="right")
    for row in practised.to_dict("records"):
        table.add_row(Text(visible(row["skill"])), f"{row['steps']:,}", *(f"{row[name]:.3f}" for name in columns))
    table.add_section()
    for name, summary in SUMMARY.items():
        values = (f"{summary(parameters[column]):.3f}" for column in columns)
        table.add_row(name, f"{summary(parameters['steps']):,.0f}", *values)
    return table


def reference_figure(content: Mapping[str, Any], parameters: pd.DataFrame) -> Figure:
    """Share right against probability, beside the distribution of each parameter over skills.

    Args:
        content: of figures.json.
        parameters: of parameters.csv.
    """
    names = _fitted(parameters)
    num_rows = -(-len(names) // 2)
    figure = Figure(figsize=(11, max(4.5, 1.6 * num_rows)), layout="constrained")
    halves = figure.subfigures(1, 2, squeeze=False, width_ratios=[1, 1.2])[0]
    axes = halves[0].subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for part, (title, style, colour) in PARTS.items():
        bins, error = pd.DataFrame(content["calibration"][part]), content["figures"][part]["calibration_error"]
        label = f"{title}, calibration error {error:.3f}"
        axes.plot(bins.probability, bins.right, style, color=colour, markersize=4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability of a bin", ylabel="share right", aspect="equal")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    panels = halves[1].subplots(num_rows, 2 if len(names) > 1 else 1, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        panel.hist(parameters[name].dropna(), bins=20, color="0.6", edgecolor="black", linewidth=0.5)
        panel.set_title(name, fontsize=9)
        panel.set_ylabel("skills")
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    figure.suptitle(pictured(f"{content['model']}: {content['protocol']}", 200), fontsize=9)
    return figure


def _fitted(parameters: pd.DataFrame) -> list[str]:
    return [str(column) for column in parameters if column not in NOT_FITTED]
