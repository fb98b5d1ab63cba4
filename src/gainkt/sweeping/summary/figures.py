"""Figures of a sweep, drawn from its table of runs; marker, line and hatch tell things apart in grey print."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gainkt.files import write_whole
from gainkt.names import file_name, pictured
from gainkt.sweeping.summary.runs import Runs
from gainkt.sweeping.summary.statistics import E1, E2, TEST, pareto_front, score_name, score_title

FORMATS = ("png", "pdf")
ENCODERS = (("Encoder 1", E1, TEST[0]), ("Encoder 2", E2, TEST[1]))
GREYS = LinearSegmentedColormap.from_list("greys", ["white", "0.55"])
BEST_MARKS = ("*", "P", "X", "p")
HOLLOW: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": "black"}
MOST_LEVELS = 12
"""Levels of a parameter that a heat map or a list of names has room for."""
MOST_PAIRS = 15
MOST_LETTERS = 40
"""Of a level."""


def save_sweep_figures(runs: Runs, folder: Path, alphas: Sequence[float], shares: pd.DataFrame) -> list[str]:
    """Draw what the runs allow, as PNG and PDF, and return the names of the figures without their endings.

    Args:
        runs: with scores added, at least one finished.
        folder: to write into.
        alphas: of the scores E1 + alpha E2 whose best runs are marked.
        shares: from `importance`.
    """
    num_levels = {key: runs.levels(key).nunique() for key in runs.swept}
    drawn = {
        f"tradeoff_{_file(key)}": tradeoff_figure(runs, key, alphas)
        for key, number in num_levels.items()
        if runs.is_numeric(key) or number <= MOST_LEVELS
    }
    small = [key for key, number in num_levels.items() if 2 <= number <= MOST_LEVELS]
    for first, second in list(combinations(small, 2))[:MOST_PAIRS]:
        drawn[f"heatmap_{_file(first)}_{_file(second)}"] = heatmap_figure(runs, first, second, alphas[0])
    if len(runs.done) > 1:
        drawn["pareto"] = pareto_figure(runs.done, alphas)
    if len(shares):
        drawn["importance"] = importance_figure(shares)
    for name, figure in drawn.items():
        save_both(figure, folder / name)
    for path in (p for kind in FORMATS for p in folder.glob(f"*.{kind}")):
        if path.stem not in drawn and path.stem.startswith(("tradeoff_", "heatmap_")):
            path.unlink(missing_ok=True)  # of a summary made when other parameters were varied
    return list(drawn)


def save_both(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and PDF, each whole or not at all; `path` has no ending."""
    for kind in FORMATS:
        target = path.with_name(f"{path.name}.{kind}")
        write_whole(target, partial(figure.savefig, format=kind, dpi=130))


def tradeoff_figure(runs: Runs, key: str, alphas: Sequence[float]) -> Figure:
    """Both AUCs and the scores over one parameter: mean over runs, bars from minimum to maximum, the best marked.

    Args:
        runs: with scores added.
        key: the parameter; what else differs is averaged over.
        alphas: of the scores.
    """
    numeric, levels = runs.is_numeric(key), runs.levels(key)
    groups = runs.done.groupby(levels)
    order = sorted(levels.unique())
    places = order if numeric else list(range(len(order)))
    line = numeric and len(order) <= MOST_LEVELS  # many runs, each with a value of its own, are points
    figure = Figure(figsize=(6.5, 7.2), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    for ax, (title, val, test) in zip(axes, ENCODERS, strict=False):
        ax.set_ylabel(f"{title} AUC")
        for column, label, style, colour in ((val, "validation", "-o", "black"), (test, "test", "--s", "0.5")):
            if column in runs.done:
                mean, low, high = groups[column].agg(["mean", "min", "max"]).loc[order].to_numpy(dtype=float).T
                bars = np.maximum([mean - low, high - mean], 0)
                look: dict[str, Any] = {"fmt": style if line else style[-1], "color": colour, "label": label}
                ax.errorbar(places, mean, bars if bars.any() else None, markersize=4, capsize=2, **look)
    for number, alpha in enumerate(alphas):
        # Scores of different alpha lie far apart: each is drawn from its own best.
        means = groups[score_name(alpha)].mean()[order]
        best = int(np.nanargmax(means))
        style, colour = (("-o", "black"), ("--s", "0.5"))[number % 2]
        look = {"color": colour, "markersize": 4, "label": score_title(alpha)}
        axes[2].plot(places, means - means.max(), style if line else style[-1], **look)
        mark = {"marker": BEST_MARKS[number % 4], "markersize": 20 - 6 * (number % 2), "linestyle": "none", "zorder": 5}
        label = f"best at {pictured(order[best], MOST_LETTERS)}: {means.iloc[best]:.4f}"
        axes[2].plot(places[best], 0, label=label, **mark, **HOLLOW)
        for ax, column in zip(axes, (E1, E2), strict=False):
            ax.plot(places[best], groups[column].mean()[order[best]], **mark, **HOLLOW)
        for ax in axes:
            ax.axvline(places[best], color="0.7", linewidth=1, linestyle=(":", "-.")[number % 2], zorder=0)
    axes[2].set(xlabel=pictured(key), ylabel="validation score,\ndifference from the best")
    for ax in axes:
        ax.margins(y=0.12)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    if not numeric:
        axes[2].set_xticks(
            places, [pictured(level, MOST_LETTERS) for level in order], rotation=30, ha="right", fontsize=8
        )
    elif order[0] > 0 and order[-1] / order[0] >= 30:
        axes[2].set_xscale("log")
    figure.suptitle(_over(runs, f"{pictured(key)}: mean of runs, bars from minimum to maximum", [key]), fontsize=9)
    return figure


def heatmap_figure(runs: Runs, first: str, second: str, alpha: float) -> Figure:
    """Both AUCs and the score on validation over two parameters, mean over the rest; the best cell is framed."""
    panels = (("Encoder 1 AUC", E1), ("Encoder 2 AUC", E2), (score_title(alpha), score_name(alpha)))
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    for ax, (title, column) in zip(figure.subplots(1, 3), panels, strict=True):
        cells = runs.done[column].groupby([runs.levels(second), runs.levels(first)]).mean().unstack()
        figure.colorbar(_draw_cells(ax, cells), ax=ax)
        ax.set(xlabel=pictured(first), ylabel=pictured(second))
        ax.set_title(title, loc="left", fontsize=10)
    figure.suptitle(_over(runs, "Validation: mean of runs", [first, second]), fontsize=10)
    return figure


def pareto_figure(done: pd.DataFrame, alphas: Sequence[float]) -> Figure:
    """Every finished run by its two AUCs on validation; the Pareto front joined and numbered, the best runs marked."""
    figure = Figure(figsize=(6.5, 5), layout="constrained")
    ax = figure.subplots()
    front = pareto_front(done[[E1, E2]])
    ax.plot(done.loc[~front, E1], done.loc[~front, E2], "o", color="0.6", markersize=4, label="run")
    on = done[front].sort_values(E1)
    ax.step(on[E1], on[E2], "-", where="pre", color="black", linewidth=1)
    ax.plot(on[E1], on[E2], "s", color="black", markersize=6, label="Pareto front, with the run's number")
    for _, run in on.iterrows():
        ax.annotate(str(run.number), (run[E1], run[E2]), xytext=(5, 5), textcoords="offset points", fontsize=8)
    for mark, alpha in zip(BEST_MARKS, alphas, strict=False):
        best = done.iloc[int((done[E1] + alpha * done[E2]).to_numpy().argmax())]
        label = f"best {score_title(alpha)} (run {best.number})"
        ax.plot(best[E1], best[E2], mark, label=label, markersize=15 + 3 * (mark == "*"), **HOLLOW)
    ax.set(xlabel="Encoder 1 AUC, validation", ylabel="Encoder 2 AUC, validation")
    ax.margins(0.08)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower left")
    return figure


def importance_figure(shares: pd.DataFrame) -> Figure:
    """Share of the variance of each metric that each parameter explains; a tick shows what chance alone would give."""
    wide = shares.pivot(index="parameter", columns="metric", values="share")
    wide = wide.loc[wide.mean(axis=1).sort_values().index]
    chance = shares.groupby("parameter").by_chance.first()[wide.index]
    looks = (("0.25", ""), ("0.75", "///"), ("white", "xxx"), ("0.5", "..."))
    figure = Figure(figsize=(7, 1.2 + 0.6 * len(wide)), layout="constrained")
    ax = figure.subplots()
    height = 0.8 / len(wide.columns)
    for number, metric in enumerate(wide.columns):
        at = np.arange(len(wide)) + 0.4 - height * (number + 0.5)
        colour, hatch = looks[number % 4]
        ax.barh(at, wide[metric], height, label=metric, color=colour, hatch=hatch, edgecolor="black", linewidth=0.6)
    rows = np.arange(len(wide))
    ax.vlines(chance, rows - 0.45, rows + 0.45, linestyles=":", color="black", label="by chance")
    ax.set_yticks(rows, [pictured(key) for key in wide.index])
    ax.set(xlim=(0, 1.02), xlabel="share of the variance between runs that its level means explain")
    ax.legend(fontsize=8)
    return figure


def _draw_cells(ax: Axes, cells: pd.DataFrame) -> Any:
    """A heat map with the figure in each cell; the greys end early, so that black print stays readable on them."""
    values = cells.to_numpy(dtype=float)
    low, high = np.nanmin(values), np.nanmax(values)
    image = ax.imshow(values, cmap=GREYS, aspect="auto", origin="lower", vmin=low, vmax=max(high, low + 1e-9))
    best = np.unravel_index(np.nanargmax(values), values.shape)
    for place, value in np.ndenumerate(values):
        if np.isfinite(value):
            look: dict[str, Any] = {"fontsize": 9 if values.size <= 36 else 6}
            look["weight"] = "bold" if place == best else "normal"
            ax.text(place[1], place[0], f"{value:.4f}", ha="center", va="center", **look)
    ax.add_patch(Rectangle((best[1] - 0.46, best[0] - 0.46), 0.92, 0.92, fill=False, edgecolor="black", linewidth=2))
    ax.set_xticks(range(len(cells.columns)), [pictured(v, MOST_LETTERS) for v in cells.columns])
    ax.set_yticks(range(len(cells.index)), [pictured(v, MOST_LETTERS) for v in cells.index])
    return image


def _over(runs: Runs, text: str, shown: Sequence[str]) -> str:
    """Add what else differs between the runs that a mean is taken over."""
    others = [key for key in runs.parameters if key not in shown and key not in runs.moving_together]
    follows = [later for later, earlier in runs.moving_together.items() if earlier in shown]
    text += f", over {', '.join(others)}" if others else ""
    text += f" ({', '.join(follows)} moving along)" if follows else ""
    return "\n".join(wrap(text, 90))


def _file(key: str) -> str:
    return file_name(key.replace("/", "-"))
