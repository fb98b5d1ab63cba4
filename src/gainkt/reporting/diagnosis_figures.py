"""Figures of a diagnosis, drawn from diagnosis.json alone; told apart by line and hatch, so that grey print will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gainkt.files import write_whole

Measured = Mapping[str, Any]
STYLES = (("black", "-", "o"), ("0.35", "--", "s"), ("0.55", ":", "^"), ("0.2", "-.", "D"), ("0.65", "-", "v"))
FORMATS = ("png", "pdf")
COLUMNS = 3


def save_figures(diagnosis: Mapping[str, Any], folder: str | Path) -> list[Path]:
    """Save every figure whose finding was measured, as PNG and PDF, and return the paths."""
    measured = {found["name"]: found["measured"] for found in diagnosis["findings"]}
    paths = []
    for name, (finding, draw) in FIGURES.items():
        if not measured[finding]:
            continue
        figure = draw(measured[finding])
        for kind in FORMATS:
            path = Path(folder) / f"{name}.{kind}"
            write_whole(path, _save(figure, kind))
            paths.append(path)
    return paths


def _save(figure: Figure, kind: str) -> Callable[[Path], None]:
    return lambda building: figure.savefig(building, format=kind, dpi=150)


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
        ax.set_title(name, loc="left", fontsize=10)
        ax.ticklabel_format(axis="y", useOffset=False)
        _epochs(ax)
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
        for number, (term, shares) in enumerate(measured["by_epoch"][place].items()):
            colour, line, marker = STYLES[number % len(STYLES)]
            ax.plot(measured["epochs"], shares, line, color=colour, marker=marker, markersize=4, label=term)
        ax.set_title(f"Share of the gradient {title}", loc="left", fontsize=10)
        ax.set_ylim(-0.03, 1.03)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel("epoch")
        _epochs(ax)
    ax.legend(frameon=False, fontsize=9)
    return figure


def saturated_share(measured: Measured) -> Figure:
    """Share of saturated (step, skill) cells by step number, of practised and of other skills."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    bins = measured["by_step"]
    for number, which in enumerate(("practised", "other")):
        colour, line, marker = STYLES[number]
        shares = [np.nan if x[which] is None else x[which] for x in bins]
        ax.plot(range(len(bins)), shares, line, color=colour, marker=marker, markersize=5, label=f"{which} skills")
    ax.set_xticks(range(len(bins)), [x["steps"] for x in bins])
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("step of the student")
    ax.set_title("Cells where practice no longer moves mastery (slope under .01)", loc="left", fontsize=10)
    ax.legend(frameon=False)
    _plain(ax)
    return figure


def left_over_and_gain(measured: Measured) -> Figure:
    """Histogram of the left-over tensor, which was reported as the gain, over that of the real gain."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    ax = figure.subplots()
    histogram = measured["histogram"]
    edges = np.array(histogram["edges"])
    looks: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("left_over", "left-over, reported as the gain", {"color": "0.2"}),
        ("gain", "gain that practice sums", {"facecolor": "0.85", "edgecolor": "black", "hatch": "///"}),
    )
    for name, title, look in looks:
        counts = np.array(histogram[name], dtype=float)
        figures = measured[name]
        label = f"{title}: mean {figures['mean']:.3f}, std {figures['std']:.4f}"
        share = counts / max(counts.sum(), 1)
        ax.bar(edges[:-1], share, np.diff(edges), align="edge", alpha=0.8, linewidth=0.4, label=label, **look)
    ax.set_xlim(0, 1)
    ax.set_ylim(top=1.3)  # room for the legend above a single bar of 100 %
    ax.set_yticks(np.linspace(0, 1, 5))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("value at the practised skill")
    ax.set_title("Share of steps", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    _plain(ax)
    return figure


def _epochs(ax: Axes) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(ax)


def _plain(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)


FIGURES: dict[str, tuple[str, Callable[[Measured], Figure]]] = {
    "parameter_evolution": ("parameters", parameter_evolution),
    "gradient_share": ("gradients", gradient_share),
    "saturated_share": ("saturation", saturated_share),
    "left_over_and_gain": ("left_over", left_over_and_gain),
}
