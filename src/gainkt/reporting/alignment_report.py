"""Agreement with a reference model, for the terminal and as a picture: readable without colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.console import plain_table
from gainkt.reporting.figures import MARKERS, STYLES

VERDICTS = {"pass": "green", "fail": "bold red", "out of reach": "yellow"}
COLUMNS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "pearson_per_student": "Pearson\na student",
    "spearman_per_student": "Spearman\na student",
}


def alignment_view(content: Mapping[str, Any]) -> RenderableType:
    """Return the whole report: agreement, scales, thresholds, and the terms over training."""
    parts: list[RenderableType] = [agreement_table(content), Text(), scales_table(content), Text()]
    parts.append(thresholds_table(content))
    if content["training"]:
        parts += [Text(), training_table(content["training"])]
    return Group(*parts)


def agreement_table(content: Mapping[str, Any]) -> Table:
    """Return a row a quantity: its correlations with the reference's."""
    protocol, aucs = content["protocol"], content["auc"]
    told = ", ".join(f"{name} {value:.4f}" for name, value in aucs.items())
    table = plain_table(
        f"{protocol['name']} and {protocol['reference']}, {protocol['split']}: {content['steps']} steps of "
        f"{content['students']} students",
        f"AUC: {told}. A student's own correlations: mean over students.",
    )
    table.add_column("correlation of", width=28)
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for name, figures in content["agreement"].items():
        table.add_row(name, *(_number(figures.get(column)) for column in COLUMNS))
    return table


def scales_table(content: Mapping[str, Any]) -> Table:
    """Return a row a quantity: its mean, spread and range, in logits."""
    table = plain_table("Scales, logits")
    table.add_column("", width=28)
    for name in ("mean", "std", "min", "max"):
        table.add_column(name, justify="right")
    for name, figures in content["scales"].items():
        table.add_row(name, *(_number(figures[column]) for column in ("mean", "std", "min", "max")))
    return table


def thresholds_table(content: Mapping[str, Any]) -> Table:
    """Return the research line's thresholds, with what can be attained."""
    table = plain_table("Thresholds of the research line")
    for name in ("", "measured", "asked", "attainable", ""):
        table.add_column(name, justify="left" if not name else "right")
    for entry in content["thresholds"]:
        asked = f"{entry['relation']} {entry['bound']:.2f}"
        verdict = Text(entry["verdict"], style=VERDICTS[entry["verdict"]])
        table.add_row(entry["name"], _number(entry["value"]), asked, _number(entry["attainable"]), verdict)
    return table


def training_table(training: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row a term: its weight and its share of the gradient in the first, a middle and the last epoch."""
    shown = [training[at] for at in sorted({0, len(training) // 2, len(training) - 1})]
    table = plain_table(
        "Terms by epoch: weight / share of the gradient at what Encoder 2 reads / at the curves",
        "Shares are of the sum of the terms' gradient norms; '-' where they were not measured.",
    )
    table.add_column("term")
    for entry in shown:
        table.add_column(f"epoch {entry['epoch']}", justify="right")
    for name in sorted({name for entry in training for name in entry["weight"]}):
        cells = []
        for entry in shown:
            shares = [_number(entry[f"gradient_share_at_{place}"].get(name)) for place in ("gain_head", "curve")]
            cells.append(" / ".join([_number(entry["weight"].get(name, 0.0)), *shares]))
        table.add_row(name, *cells)
    return table


def alignment_figure(
    content: Mapping[str, Any],
    predictions: pd.DataFrame,
    skills: pd.DataFrame,
    reference: pd.DataFrame,
    difficulty: pd.Series,
) -> Figure:
    """Ability, difficulty and prediction against the reference's, and the terms' weights by epoch."""
    rows = predictions[predictions["scored"]].merge(reference, on=["student", "step"])
    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    protocol = content["protocol"]
    figure.suptitle(f"{protocol['name']} against {protocol['reference']} ({protocol['split']})")
    _cloud(axes[0, 0], rows["ability"], rows["readiness"], "ability before the step, logits")
    met = skills["practised_steps"] > 0
    beta, asked = skills["offset"][met], difficulty.reindex(skills["skill"][met]).to_numpy()
    axes[0, 1].plot(asked, beta, "o", color="black", markersize=4, fillstyle="none")
    _diagonal(axes[0, 1], "difficulty of a skill, logits")
    _cloud(axes[1, 0], rows["probability"], rows["p2"], "probability of a right response")
    _course(axes[1, 1], content["training"])
    return figure


def _cloud(axes: Axes, reference: pd.Series, own: pd.Series, what: str) -> None:
    axes.hexbin(reference, own, gridsize=50, bins="log", cmap="Greys", mincnt=1)
    _diagonal(axes, what)


def _diagonal(axes: Axes, what: str) -> None:
    ends = np.array([axes.get_xlim(), axes.get_ylim()])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    axes.plot([low, high], [low, high], "--", color="tab:orange", linewidth=1, label="equal")
    axes.set(xlabel="reference", ylabel="Encoder 2", title=what)
    axes.legend(fontsize=8)


def _course(axes: Axes, training: list[dict[str, Any]]) -> None:
    names = sorted({name for entry in training for name in entry["weight"]})
    for place, name in enumerate(names):
        points = [(entry["epoch"], entry["weight"].get(name, 0.0)) for entry in training]
        axes.plot(*zip(*points, strict=True), STYLES[place % 4], marker=MARKERS[place % 6], markersize=3, label=name)
    axes.set(xlabel="epoch", ylabel="weight", title="weights of the terms")
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize=8)


def _number(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
