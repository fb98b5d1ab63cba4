"""Agreement with a reference model, for the terminal and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.table import Table

from gainkt.names import pictured, visible
from gainkt.reporting.figures import draw_terms, save_figure
from gainkt.reporting.palette import RED
from gainkt.reporting.terminal import number, right, spaced, table, verdict, wide

COLUMNS = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "pearson_per_student": "Pearson\na student",
    "spearman_per_student": "Spearman\na student",
}
SCALES = ("mean", "std", "min", "max")


def alignment_view(content: Mapping[str, Any]) -> RenderableType:
    """Return the whole report: agreement, scales, thresholds, and the terms over training."""
    training = content["training"]
    return spaced(
        agreement_table(content),
        scales_table(content),
        thresholds_table(content),
        training_table(training) if training else None,
    )


def agreement_table(content: Mapping[str, Any]) -> Table:
    """Return a row a quantity: its correlations with the reference's."""
    protocol = content["protocol"]
    aucs = ", ".join(f"{name} {value:.4f}" for name, value in content["auc"].items())
    return table(
        f"{visible(protocol['name'])} and {protocol['reference']}, {protocol['split']}: {content['steps']} steps of "
        f"{content['students']} students",
        [wide("correlation of", 28), *map(right, COLUMNS.values())],
        ([name, *(number(found.get(key)) for key in COLUMNS)] for name, found in content["agreement"].items()),
        f"AUC: {aucs}. A student's own correlations: mean over students.",
    )


def scales_table(content: Mapping[str, Any]) -> Table:
    """Return a row a quantity: its mean, spread and range, in logits."""
    rows = ([name, *(number(found[key]) for key in SCALES)] for name, found in content["scales"].items())
    return table("Scales, logits", [wide("", 28), *map(right, SCALES)], rows)


def thresholds_table(content: Mapping[str, Any]) -> Table:
    """Return the research line's thresholds, with what can be attained."""
    rows = (
        [
            row["name"],
            number(row["value"]),
            f"{row['relation']} {row['bound']:.2f}",
            number(row["attainable"]),
            verdict(row["verdict"]),
        ]
        for row in content["thresholds"]
    )
    columns = ["", right("measured"), right("asked"), right("attainable"), ""]
    return table("Thresholds of the research line", columns, rows)


def training_table(training: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row a term: its weight and its share of the gradient in the first, a middle and the last epoch."""
    shown = [training[at] for at in sorted({0, len(training) // 2, len(training) - 1})]

    def cell(name: str, entry: Mapping[str, Any]) -> str:
        shares = (entry[f"gradient_share_at_{place}"].get(name) for place in ("gain_head", "curve"))
        return " / ".join(number(x) for x in (entry["weight"].get(name, 0.0), *shares))

    return table(
        "Terms by epoch: weight / share of the gradient at what Encoder 2 reads / at the curves",
        ["term", *(right(f"epoch {entry['epoch']}") for entry in shown)],
        ([name, *(cell(name, entry) for entry in shown)] for name in _terms(training)),
        "Shares are of the sum of the terms' gradient norms; '-' where they were not measured.",
    )


def _terms(training: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({name for entry in training for name in entry["weight"]})


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
    figure.suptitle(f"{pictured(protocol['name'])} against {protocol['reference']} ({protocol['split']})")
    _cloud(axes[0, 0], rows["ability"], rows["readiness"], "ability before the step, logits")
    met = skills["practised_steps"] > 0
    beta, asked = skills["offset"][met], difficulty.reindex(skills["skill"][met]).to_numpy()
    axes[0, 1].plot(asked, beta, "o", color="black", markersize=4, fillstyle="none")
    _diagonal(axes[0, 1], "difficulty of a skill, logits")
    _cloud(axes[1, 0], rows["probability"], rows["p2"], "probability of a right response")
    training, course = content["training"], axes[1, 1]
    weights = {name: [entry["weight"].get(name, 0.0) for entry in training] for name in _terms(training)}
    draw_terms(course, [entry["epoch"] for entry in training], weights)
    course.set(xlabel="epoch", ylabel="weight", title="weights of the terms")
    return figure


def save_alignment_figure(
    content: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    reference: pd.DataFrame,
    difficulty: pd.Series,
    folder: Path,
) -> Path:
    """Draw alignment.png into a folder."""
    figure = alignment_figure(content, tables["predictions"], tables["skills"], reference, difficulty)
    return save_figure(figure, folder / "alignment.png")


def _cloud(axes: Axes, reference: pd.Series, own: pd.Series, what: str) -> None:
    axes.hexbin(reference, own, gridsize=50, bins="log", cmap="Greys", mincnt=1)
    _diagonal(axes, what)


def _diagonal(axes: Axes, what: str) -> None:
    ends = np.array([axes.get_xlim(), axes.get_ylim()])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    axes.plot([low, high], [low, high], "--", color=RED, linewidth=1, label="equal")
    axes.set(xlabel="reference", ylabel="Encoder 2", title=what)
    axes.legend(fontsize=8)
