"""What `scripts/recovery.py` found, as Markdown and as a picture that is readable in greyscale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.names import markdown, pictured
from gainkt.recovery.agreement import PARAMETERS, Source
from gainkt.reporting.figures import MARKERS, STYLES

Row = Mapping[str, Any]

_AGREEMENT = {
    "source": "source",
    "spearman": "Spearman",
    "spearman_interval": "95 %",
    "spearman_share": "share",
    "spearman_within_skill": "within skill",
    "spearman_within_skill_share": "share",
    "rmse": "RMSE",
    "rmse_share": "share",
}
_PARAMETERS = (
    "Spearman over skills; over students for velocity and ability. Not identified: responses do not settle it alone, "
    "so that a low correlation is no failure, and a high one no merit."
)
SECTIONS: dict[str, tuple[str, str, dict[str, str]]] = {
    "predictions": (
        "Predictions",
        "AUC over the scored steps; share is (AUC - .5) of the Bayes filter's.",
        {"source": "source", "auc": "AUC", "auc_interval": "95 %", "auc_share": "share"},
    ),
    "mastery_before": (
        "Mastery of the practised skill before the step",
        "What predicts the response. Within skill: mean over skills of the correlation within one.",
        _AGREEMENT,
    ),
    "mastery_after": ("Mastery of the practised skill after the step", "The response being known.", _AGREEMENT),
    "gains": (
        "Gain of the practised skill",
        "A gain's unit is not identified (see parameters), so read the correlations; RMSE is in the truth's unit.",
        _AGREEMENT,
    ),
    "logits": (
        "Logits that the step adds to the practised skill's curve",
        "At the average velocity: steepness x gain, where practice does not wear off. What responses tell of a gain.",
        _AGREEMENT,
    ),
    "transfer": (
        "Transfer graph",
        "Precision among as many highest scores as there are edges, beside random scores; in order: of forward pairs.",
        {
            "source": "source",
            "score": "score",
            "edges": "edges",
            "precision": "precision",
            "chance": "chance",
            "chance_in_order": "chance in order",
            "auc": "AUC",
            "auc_in_order": "AUC in order",
        },
    ),
    "controls": (
        "Negative controls",
        "Trained and scored on corrupted data; beside it the same metric on the true data.",
        {
            "control": "control",
            "source": "source",
            "figure": "metric",
            "value": "corrupted data",
            "true_data": "true data",
            "expected": "expected",
        },
    ),
}


def recovery_markdown(content: Mapping[str, Any]) -> str:
    """Return the report of recovery.json as Markdown; sections without rows are left out."""
    about = content["about"]
    lines = [
        "# Recovery of simulated students",
        "",
        f"{about['students']} students, {about['skills']} skills, seed {about['seed']}; metrics over "
        f"{about['test_students']} test students, {about['steps']} scored steps, {about['cells']} (step, skill) cells. "
        "Share: of what the Bayes filter attains, which knows all parameters; 1 is as good.",
    ]
    for key, (title, caption, columns) in SECTIONS.items():
        rows = content.get(key, [])
        if rows:
            lines += ["", f"## {title}", "", caption, "", *_table(rows, columns)]
        if key == "logits":
            lines += ["", "## Parameters", "", _PARAMETERS, "", *_parameter_table(content.get("parameters", []))]
    return "\n".join(lines) + "\n"


def _parameter_table(rows: Sequence[Row]) -> list[str]:
    """Parameters down, sources across."""
    found = {(row["parameter"], row["source"]): row for row in rows}
    sources, parameters = (list(dict.fromkeys(row[key] for row in rows)) for key in ("source", "parameter"))
    wide = []
    for parameter in sorted(parameters, key=list(PARAMETERS).index):
        identified, note = PARAMETERS[parameter]
        by_source = {source: found.get((parameter, source), {}).get("spearman") for source in sources}
        wide.append({"parameter": parameter, "identified": identified, **by_source, "note": note})
    names = {source: source for source in sources}
    return _table(wide, {"parameter": "parameter", "identified": "identified", **names, "note": "note"})


def _table(rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    shown = {key: title for key, title in columns.items() if any(row.get(key) is not None for row in rows)}
    head = ["| " + " | ".join(map(markdown, shown.values())) + " |", "|" + "---|" * len(shown)]
    return head + ["| " + " | ".join(_cell(row.get(key)) for key in shown) + " |" for row in rows]


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(map(_cell, value))
    return f"{value:.3f}" if isinstance(value, float) else markdown(value)


def recovery_figure(
    sources: Sequence[Source], truth: Source, step_L: Array, curves: Sequence[tuple[str, Array]]
) -> Figure:
    """Estimated against true mastery by source, above the course of some skills of some students.

    Args:
        sources: with mastery before the step.
        truth: the same of the truth.
        step_L: number of each slot's step in its student's history.
        curves: title and slots of each course.
    """
    true = np.asarray(truth.mastery_before_L)
    said = {source.name: np.asarray(source.mastery_before_L) for source in sources}
    across = max(len(said), len(curves), 1)
    figure = Figure(figsize=(2.9 * across, 6.2), layout="constrained")
    upper, lower = figure.subplots(2, across, squeeze=False)
    for axes in (*upper[len(said) :], *lower[len(curves) :]):
        axes.set_axis_off()
    for axes, (name, mastery) in zip(upper, said.items(), strict=False):
        _draw_agreement(axes, true[np.isfinite(mastery)], mastery[np.isfinite(mastery)])
        axes.set_title(pictured(name), fontsize=9)
    upper[0].set_ylabel("estimated")
    for axes, (title, slots) in zip(lower, curves, strict=False):
        axes.plot(step_L[slots], true[slots], color="black", linewidth=2.2, label="truth")
        for number, (name, mastery) in enumerate(said.items()):
            look = {"linestyle": STYLES[number % len(STYLES)], "marker": MARKERS[number % len(MARKERS)]}
            shade = str(0.15 + 0.5 * number / len(said))
            axes.plot(
                step_L[slots], mastery[slots], **look, markersize=3, color=shade, linewidth=1, label=pictured(name)
            )
        axes.set(ylim=(0, 1), xlabel="step")
        axes.set_title(pictured(title), fontsize=9)
        axes.grid(alpha=0.3)
    lower[0].set_ylabel("mastery of the skill before the step")
    handles, labels = lower[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6), fontsize=8)
    return figure


def _draw_agreement(axes: Axes, x: Array, y: Array) -> None:
    """Density of estimates y over truth x, and their mean in tenths of x that hold 10 cells or more."""
    axes.hexbin(x, y, gridsize=28, extent=(0, 1, 0, 1), cmap="Greys", bins="log", linewidths=0.1)
    tenth = np.clip(np.digitize(x, np.linspace(0, 1, 11)) - 1, 0, 9)
    means = [(0.1 * b + 0.05, y[tenth == b].mean()) for b in range(10) if (tenth == b).sum() >= 10]
    axes.plot(*np.reshape(means, (-1, 2)).T, "o-", color="black", markerfacecolor="white", linewidth=1.2)
    axes.plot([0, 1], [0, 1], "--", color="black", linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="true mastery before the step")
