"""A fitted reference model for the terminal and as a picture: its figures, calibration and parameters."""

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

SHOWN = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "calibration_error": "ECE",
    "response_correlation": "r",
}
"""Figures shown, by their name in figures.json."""
PARTS = {"val": "validation", "test": "test"}
NOT_FITTED = ("skill", "steps", "share_right")
"""Columns of parameters.csv that tell of the training data."""
SUMMARY: dict[str, Callable[..., np.floating]] = {
    "mean": np.nanmean,
    "std": np.nanstd,
    "least": np.nanmin,
    "most": np.nanmax,
}
NUM_BINS = 20


def reference_view(content: Mapping[str, Any], parameters: pd.DataFrame, skills: int) -> RenderableType:
    """Return the figures, and the parameters of the skills practised most.

    Args:
        content: of figures.json.
        parameters: of parameters.csv.
        skills: how many skills to show.
    """
    return Group(_figures(content), Text(), _parameters(parameters, skills))


def _figures(content: Mapping[str, Any]) -> Table:
    table = plain_table(
        f"{content['model']}: {content['protocol']}",
        "log loss: nats. ECE: calibration error over 10 bins. r: Pearson's, of probability and response.",
    )
    table.add_column("split")
    table.add_column("steps", justify="right")
    for title in SHOWN.values():
        table.add_column(title, justify="right")
    for part, figures in content["figures"].items():
        table.add_row(PARTS[part], f"{figures['steps']:,}", *(f"{figures[name]:.4f}" for name in SHOWN))
    return table


def _parameters(parameters: pd.DataFrame, skills: int) -> Table:
    practised = parameters.sort_values("steps", ascending=False, kind="stable").head(skills)
    title = f"Parameters of {len(practised)} of {len(parameters)} skills, those practised most, and over all of them"
    table = plain_table(title, "steps, share right: of training students. difficulty: logits.")
    table.add_column("skill", max_width=40)
    columns = ["steps", "share_right", *_fitted(parameters)]
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for row in practised.to_dict("records"):
        table.add_row(Text(str(row["skill"])), f"{row['steps']:,}", *(f"{row[name]:.3f}" for name in columns[1:]))
    table.add_section()
    for name, summarise in SUMMARY.items():
        cells = (f"{float(summarise(parameters[column])):.3f}" for column in columns[1:])
        table.add_row(name, f"{float(summarise(parameters.steps)):,.0f}", *cells)
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
    for part, style in (("val", "--s"), ("test", "-o")):
        bins = pd.DataFrame(content["calibration"][part])
        error = content["figures"][part]["calibration_error"]
        label = f"{PARTS[part]}, calibration error {error:.3f}"
        colour = "black" if part == "test" else "tab:orange"
        axes.plot(bins.probability, bins.right, style, color=colour, markersize=4, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="mean probability of a bin", ylabel="share right", aspect="equal")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    grid = halves[1].subplots(num_rows, 2 if len(names) > 1 else 1, squeeze=False).ravel()
    for panel, name in zip(grid, names, strict=False):
        panel.hist(parameters[name].dropna(), bins=NUM_BINS, color="0.6", edgecolor="black", linewidth=0.5)
        panel.set(title=name, ylabel="skills")
        panel.title.set_fontsize(9)
    for panel in grid[len(names) :]:
        panel.set_visible(False)
    figure.suptitle(f"{content['model']}: {content['protocol']}", fontsize=9)
    return figure


def _fitted(parameters: pd.DataFrame) -> list[str]:
    return [str(column) for column in parameters if column not in NOT_FITTED]
