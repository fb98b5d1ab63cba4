"""The metrics of a run for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from gainkt.names import visible
from gainkt.reporting.terminal import right, table

SHOWN = {"auc": "AUC", "accuracy": "acc", "calibration_error": "ECE"}


def results_table(results: Mapping[str, Any]) -> Table:
    """Return both encoders' metrics, phase by phase or member by member, on each part of the data that was scored."""
    rows: list[Sequence[RenderableType] | None] = []
    kind, spread = ("member", results["spread"]) if "members" in results else ("phase", None)
    entries = results[f"{kind}s"].items()
    for name, entry in entries:
        label = (visible(name), "" if entry["epoch"] is None else str(entry["epoch"]))
        for part, metrics in entry["figures"].items():
            cells = [f"{metrics[f'{encoder}_{name}']:.4f}" for encoder in ("encoder1", "encoder2") for name in SHOWN]
            rows.append([*label, part, *cells])
            label = ("", "")
        rows.append(None)
    untrained = (
        f" E{encoder} of {visible(name)} was not trained."
        for name, one in entries
        for encoder in one.get("untrained", ())
    )
    fixed = {"no_wrap": True}
    return table(
        f"{visible(results['name'])}: {results['protocol']}",
        [
            (kind, fixed),
            right("epoch", **fixed),
            ("part", fixed),
            *(right(f"{encoder} {title}") for encoder in ("E1", "E2") for title in SHOWN.values()),
        ],
        rows,
        "E1 predicts, E2 reads mastery. acc: accuracy at .5. ECE: calibration error over 10 bins."
        + (" Members are apart by {encoder1:.3f} (E1) and {encoder2:.3f} (E2).".format(**spread) if spread else "")
        + "".join(untrained),
    )
