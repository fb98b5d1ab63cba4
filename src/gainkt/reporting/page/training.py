"""Training by epoch, as charts: AUC, loss terms, their weights and gradients, and the learnt parameters."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from gainkt.names import visible
from gainkt.reporting.page.charts import Chart, encoder_looks, lines

PLACES = {"gain_head": "at the gain head", "encoder2": "in Encoder 2"}


def training_charts(metrics: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the charts of a run by group: heading, what it says, and charts.

    Args:
        metrics: metrics.csv of the run.
    """
    table = metrics.sort_values("epoch")
    groups = [
        ("AUC", phases(table), [_auc(table)]),
        ("Loss terms", "Before weighting, mean of an epoch.", _by_term(table, "loss")),
        ("Weights", "What each term is multiplied with, by epoch and phase.", _by_term(table, "weight")),
        ("Gradients", "Share of each term in the sum of the terms' gradient norms.", _gradients(table)),
        ("Learnt parameters", "Mean over skills (or students), and a standard deviation either side.", _learnt(table)),
    ]
    return [{"heading": heading, "says": says, "charts": charts} for heading, says, charts in groups if charts]


def phases(table: pd.DataFrame) -> str:
    """Say which phases there were."""
    spans = table.groupby("phase", sort=False).epoch.agg(["min", "max"])
    said = [f"{visible(name)} (epochs {row['min']} to {row['max']})" for name, row in spans.iterrows()]
    return f"{len(table)} epochs. " + (f"Phases: {', '.join(said)}." if len(said) > 1 else "One phase.")


def _starts(table: pd.DataFrame) -> list[float]:
    """Where a phase begins after another."""
    return [float(epoch) - 0.5 for epoch in table.groupby("phase", sort=False).epoch.min()[1:]]


def _auc(table: pd.DataFrame) -> Chart:
    series, styles = {}, []
    for part, name, faint in (("val", "validation", False), ("train", "training", True)):
        for number, look in enumerate(encoder_looks(faint=faint), start=1):
            column = f"{part}/encoder{number}_auc"
            if column in table:
                series[f"Encoder {number}, {name}"] = table[column].to_numpy()
                styles.append(look)
    best = [
        f"Encoder {n} {table[f'val/encoder{n}_auc'].max():.3f}"
        for n in (1, 2)
        if f"val/encoder{n}_auc" in table.columns
    ]
    says = f"Highest AUC on validation: {', '.join(best)}."
    x = ("epoch", table.epoch.tolist())
    return lines("AUC by epoch", says, x, "AUC", series, styles, height=280, marks=_starts(table))


def _by_term(table: pd.DataFrame, kind: str) -> list[Chart]:
    """Terms that are in use, apart where their sizes are: the larger would flatten the smaller."""
    names = [str(c).removeprefix(f"{kind}/") for c in table if str(c).startswith(f"{kind}/") and table[c].any()]
    sizes = {name: float(np.nanmax(np.abs(table[f"{kind}/{name}"]))) for name in names}
    groups: list[list[str]] = []
    for name in sorted(names, key=lambda one: -sizes[one]):
        if groups and sizes[name] * 20 > sizes[groups[-1][0]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    last = {name: table[f"{kind}/{name}"].iloc[-1] for name in names}
    word = "weight" if kind == "weight" else "loss"
    return [
        lines(
            f"{word.capitalize()} by epoch" if len(groups) == 1 else f"{word.capitalize()}: {_listed(group)}",
            f"Last epoch: {', '.join(f'{visible(n)} {last[n]:.4g}' for n in group)}.",
            ("epoch", table.epoch.tolist()),
            word,
            {name: table[f"{kind}/{name}"].to_numpy() for name in group},
            height=210,
            marks=_starts(table),
        )
        for group in groups
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(map(visible, names))


def _gradients(table: pd.DataFrame) -> list[Chart]:
    charts = []
    for place, title in PLACES.items():
        end = f"_at_{place}"
        columns = [c for c in table if re.fullmatch(rf"gradient/.+{end}", str(c))]
        norms = table[columns].fillna(0).to_numpy(dtype=float)
        total = norms.sum(axis=1)
        measured = total > 0
        if not measured.any():
            continue
        shares = norms[measured] / total[measured][:, None]
        names = [str(c).removeprefix("gradient/").removesuffix(end) for c in columns]
        kept = [i for i in range(len(names)) if shares[:, i].any()]
        last = ", ".join(f"{visible(names[i])} {shares[-1, i]:.0%}" for i in kept)
        x = ("epoch", table.epoch[measured].tolist())
        series = {names[i]: shares[:, i] for i in kept}
        says = f"Last epoch: {last}."
        charts.append(lines(f"Share of the gradient {title}", says, x, "share", series, height=210, unit=True))
    return charts


def _learnt(table: pd.DataFrame) -> list[Chart]:
    charts = []
    for mean in (str(c) for c in table if re.fullmatch(r"parameter/.+_mean", str(c))):
        name, spread = mean.removeprefix("parameter/").removesuffix("_mean"), mean.removesuffix("_mean") + "_std"
        values = table[mean].to_numpy(dtype=float)
        std = table[spread].fillna(0).to_numpy(dtype=float) if spread in table else np.zeros(len(table))
        says = f"From {values[0]:.3g} to {values[-1]:.3g}; standard deviation {std[-1]:.3g} in the last epoch."
        x = ("epoch", table.epoch.tolist())
        charts.append(lines(name, says, x, "value", {name: values}, height=170, band={name: std}))
    return charts
