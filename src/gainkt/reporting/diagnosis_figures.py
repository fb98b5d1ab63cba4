"""Pictures of a diagnosis, drawn from diagnosis.json alone; lines and hatches differ, so that grey print will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gainkt.names import pictured
from gainkt.reporting.figures import save_figure

Measured = Mapping[str, Any]
STYLES = (("black", "-", "o"), ("0.35", "--", "s"), ("0.55", ":", "^"), ("0.2", "-.", "D"), ("0.65", "-", "v"))
FORMATS = ("png", "pdf")
COLUMNS = 3


def save_figures(diagnosis: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Save every picture whose finding was measured, as PNG and PDF, and return the paths."""
    measured = {found["name"]: found["measured"] for found in diagnosis["findings"]}
    drawn = {name: draw(measured[finding]) for name, (finding, draw) in FIGURES.items() if measured[finding]}
    return [
        save_figure(figure, Path(folder) / f"{name}.{kind}", dpi=150)
        for name, figure in drawn.items()
        for kind in FORMATS
    ]


def parameter_evolution(measured: Measured) -> Figure:
    """Mean of each parameter by epoch, with a band of one standard deviation over skills (or students)."""
    series = measured["by_epoch"]
    rows = -(-len(series) // COLUMNS)
    figure = Figure(figsize=(9, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True)
    for ax, (name, values) in zip(axes.flat, series.items(), strict=False):
        mean, std = (np.array(values[which], dtype=float) for which in ("mean", "std"))
        ax.fill_between(measured["epochs"], mean - std, mean + std, color="0.8", linewidth=0)
        ax.plot(measured["epochs"], mean, color="black", marker=".")
        ax.ticklabel_format(axis="y", useOffset=False)
        _dress(ax, pictured(name), epochs=True)
    for ax in axes.flat[len(series) :]:
        ax.set_visible(False)
    figure.supxlabel("epoch", fontsize=10)
    figure.suptitle("Parameters: mean, and one standard deviation either side", fontsize=11)
    return figure


def gradient_share(measured: Measured) -> Figure:
    """Share of each loss term in the sum of gradient norms by epoch, at the gain head and in Encoder 2."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    places = {"gain_head": "at the gain head", "encoder2": "in Encoder 2"}
    for ax, (place, title) in zip(figure.subplots(1, 2, sharey=True), places.items(), strict=True):
        _lines(ax, measured["epochs"], measured["by_epoch"][place], markersize=4)
        ax.set_xlabel("epoch")
        _dress(ax, f"Share of the gradient {title}", epochs=True)
    ax.legend(frameon=False, fontsize=9)
    return figure


def saturated_share(measured: Measured) -> Figure:
    """Share of saturated (step, skill) cells by step number, of practised and of other skills."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    bins = measured["by_step"]
    shares = {f"{of} skills": [np.nan if x[of] is None else x[of] for x in bins] for of in ("practised", "other")}
    _lines(ax, range(len(bins)), shares, markersize=5)
    ax.set_xticks(range(len(bins)), [x["steps"] for x in bins])
    ax.set_xlabel("step of the student")
    ax.legend(frameon=False)
    _dress(ax, "Cells where practice no longer moves mastery (slope under .01)")
    return figure


def left_over_and_gain(measured: Measured) -> Figure:
    """Histogram of the artefact, the tensor that was reported as the gain, over that of the real gain."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    histogram = measured["histogram"]
    edges = np.array(histogram["edges"])
    looks: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("left_over", "artefact, reported as the gain", {"color": "0.2"}),
        ("gain", "gain that practice sums", {"facecolor": "0.85", "edgecolor": "black", "hatch": "///"}),
    )
    for name, title, look in looks:
        counts = np.array(histogram[name], dtype=float)
        label = f"{title}: mean {measured[name]['mean']:.3f}, std {measured[name]['std']:.4f}"
        share = counts / max(counts.sum(), 1)
        ax.bar(edges[:-1], share, np.diff(edges), align="edge", alpha=0.8, linewidth=0.4, label=label, **look)
    ax.set_xlim(0, 1)
    ax.set_ylim(top=1.3)  # room for the legend above a single bar of 100 %
    ax.set_yticks(np.linspace(0, 1, 5))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("value at the practised skill")
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    _dress(ax, "Share of steps")
    return figure


def _lines(ax: Axes, x: Sequence[float], shares: Mapping[str, Sequence[float]], markersize: int) -> None:
    """Draw shares over x, a line each."""
    for (name, values), (colour, line, marker) in zip(shares.items(), STYLES * len(shares), strict=False):
        ax.plot(x, values, line, color=colour, marker=marker, markersize=markersize, label=pictured(name))
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))


def _dress(ax: Axes, title: str, *, epochs: bool = False) -> None:
    ax.set_title(title, loc="left", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    if epochs:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))


FIGURES: dict[str, tuple[str, Callable[[Measured], Figure]]] = {
    "parameter_evolution": ("parameters", parameter_evolution),
    "gradient_share": ("gradients", gradient_share),
    "saturated_share": ("saturation", saturated_share),
    "left_over_and_gain": ("left_over", left_over_and_gain),
}
"""By name of the file: the finding that it shows, and the function that draws it."""
