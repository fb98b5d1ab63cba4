"""Pictures of a run, drawn from its files: readable in greyscale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gainkt.files import write_whole

STYLES = ("-", "--", ":", "-.")
MARKERS = "os^Dvx"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_whole(path, lambda building: figure.savefig(building, format="png", dpi=110))


def training_figure(metrics: pd.DataFrame, title: str) -> Figure:
    """Both encoders' AUC on validation by epoch, phases marked, above the loss weights by epoch.

    Args:
        metrics: metrics.csv of a run.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for number, (style, colour) in enumerate((("-o", "black"), ("--s", "tab:orange")), start=1):
        for split, alpha in (("val", 1.0), ("train", 0.35)):
            values = metrics[f"{split}/encoder{number}_auc"]
            name = f"Encoder {number}, {'validation' if split == 'val' else 'training'}"
            upper.plot(metrics.epoch, values, style, color=colour, alpha=alpha, markersize=3, label=name)
    upper.set(ylabel="AUC")
    figure.suptitle(title)
    for place, column in enumerate(c for c in metrics if str(c).startswith("weight/") and metrics[c].any()):
        lower.plot(
            metrics.epoch,
            metrics[column],
            STYLES[place % 4],
            marker=MARKERS[place % 6],
            markersize=3,
            label=str(column).removeprefix("weight/"),
        )
    lower.set(ylabel="loss weight", xlabel="epoch")
    _mark_phases(upper, metrics)
    for axes in (upper, lower):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    return figure


def students_figure(trajectories: pd.DataFrame, count: int = 6, skills: int = 4) -> Figure:
    """Mastery after each step of some students, their most practised skills; dots mark right (filled) and wrong.

    Args:
        trajectories: trajectories.parquet of a run.
        count: students drawn, over the range of lengths from 8 steps up.
        skills: skills drawn for each.
    """
    lengths = trajectories.groupby("student", sort=False).step.nunique().sort_values(kind="stable")
    candidates = lengths[lengths.between(8, 120)].index
    places = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(int)
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(2, -(-count // 2), sharey=True, squeeze=False).flat
    for axes, student in zip(grid, candidates[places], strict=False):
        rows = trajectories[trajectories.student == student].sort_values("step")
        for style, skill in zip(STYLES, rows[rows.relevant].skill.value_counts().index[:skills], strict=False):
            curve = rows[rows.skill == skill]
            line = axes.plot(curve.step, curve.mastery, style, linewidth=1.2, label=str(skill))[0]
            for right in (0, 1):
                at = curve[curve.relevant & (curve.response == right)]
                face = line.get_color() if right else "white"
                axes.scatter(at.step, at.mastery, s=16, facecolor=face, edgecolor=line.get_color(), zorder=3)
        axes.set(title=f"student {student}", ylim=(0, 1), xlabel="step")
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.supylabel("mastery")
    figure.suptitle("Mastery after each step; filled: answered right, hollow: wrong")
    return figure


def _mark_phases(axes: Axes, metrics: pd.DataFrame) -> None:
    """Name the phases and draw a line between them, where there are several."""
    starts = metrics.groupby("phase", sort=False).epoch.min()
    if len(starts) < 2:
        return
    for name, start in starts.items():
        axes.axvline(start - 0.5, color="grey", linewidth=0.8)
        axes.annotate(str(name), (start, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=8)
