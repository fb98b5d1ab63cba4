"""Pictures of a run, drawn from its files: readable in greyscale."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gainkt.files import write_whole
from gainkt.names import pictured
from gainkt.reporting.palette import ENCODERS, SERIES

STYLES = ("-", "--", ":", "-.")
MARKERS = "os^Dvx"
DRAWN = ("student", "step", "skill", "response", "relevant", "mastery")
"""Columns of trajectories.parquet that `students_figure` reads."""
LONGEST_LABEL = 30
"""Characters of a name in a legend of several."""


def save_figure(figure: Figure, path: Path, dpi: int = 110) -> Path:
    """Write a figure in the format of the path's ending, whole or not at all, and return the path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # an emoji in a name is drawn as a box
        write_whole(path, lambda building: figure.savefig(building, format=path.suffix[1:] or "png", dpi=dpi))
    return path


def training_figure(metrics: pd.DataFrame, title: str) -> Figure:
    """Both encoders' AUC on validation by epoch, phases marked, above the loss weights by epoch.

    Args:
        metrics: metrics.csv of a run.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for number, (style, colour) in enumerate((("-o", ENCODERS[0]), ("--s", ENCODERS[1])), start=1):
        for part, name, alpha in (("val", "validation", 1.0), ("train", "training", 0.35)):
            values, label = metrics[f"{part}/encoder{number}_auc"], f"Encoder {number}, {name}"
            upper.plot(metrics.epoch, values, style, color=colour, alpha=alpha, markersize=3, label=label)
    upper.set(ylabel="AUC")
    upper.legend(fontsize=8)
    upper.grid(alpha=0.3)
    figure.suptitle(pictured(title))
    weights = {str(c): metrics[c] for c in metrics if str(c).startswith("weight/") and metrics[c].any()}
    draw_terms(lower, metrics.epoch, {name.removeprefix("weight/"): values for name, values in weights.items()})
    lower.set(ylabel="loss weight", xlabel="epoch")
    _mark_phases(upper, metrics)
    return figure


def draw_terms(axes: Axes, epochs: Sequence[float] | pd.Series, values: Mapping[str, Any]) -> None:
    """Draw a number of each loss term by epoch."""
    for place, (name, by_epoch) in enumerate(values.items()):
        axes.plot(epochs, by_epoch, STYLES[place % 4], marker=MARKERS[place % 6], markersize=3, label=pictured(name))
    axes.grid(alpha=0.3)
    if values:
        axes.legend(fontsize=8)


def _mark_phases(axes: Axes, metrics: pd.DataFrame) -> None:
    """Name the phases and draw a line between them, where there are several."""
    starts = metrics.groupby("phase", sort=False).epoch.min()
    if len(starts) < 2:
        return
    for name, start in starts.items():
        axes.axvline(start - 0.5, color="grey", linewidth=0.8)
        axes.annotate(pictured(name), (start, 1), xycoords=("data", "axes fraction"), va="bottom", fontsize=8)


def students_figure(trajectories: pd.DataFrame, count: int = 6, skills: int = 4) -> Figure:
    """Mastery after practice of some students' most practised skills; dots mark right (filled) and wrong.

    Args:
        trajectories: trajectories.parquet of a run.
        count: students drawn, over the range of lengths from 8 steps up.
        skills: skills drawn for each.
    """
    steps = trajectories[["student", "step"]].drop_duplicates().student
    lengths = steps.groupby(steps, sort=False, observed=True).size().sort_values(kind="stable")
    candidates = lengths[lengths.between(8, 120)].index
    places = np.linspace(0, len(candidates) - 1, min(count, len(candidates))).astype(int)
    figure = Figure(figsize=(11, 6), layout="constrained")
    grid = figure.subplots(2, -(-count // 2), sharey=True, squeeze=False).flat
    for axes, student in zip(grid, candidates[places], strict=False):
        rows = trajectories[trajectories.relevant & (trajectories.student == student)].sort_values("step")
        rows = rows.astype({"skill": str})
        axes.set_prop_cycle(color=SERIES)
        for style, skill in zip(STYLES, rows.skill.value_counts().index[:skills], strict=False):
            curve = rows[rows.skill == skill]
            line = axes.plot(curve.step, curve.mastery, style, linewidth=1.2, label=pictured(skill, LONGEST_LABEL))[0]
            for right in (0, 1):
                at = curve[curve.response == right]
                face = line.get_color() if right else "white"
                axes.scatter(at.step, at.mastery, s=16, facecolor=face, edgecolor=line.get_color(), zorder=3)
        axes.set(title=f"student {pictured(student, LONGEST_LABEL)}", ylim=(0, 1), xlabel="step")
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.supylabel("mastery")
    figure.suptitle("Mastery after each practice of a skill; filled: answered right, hollow: wrong")
    return figure
