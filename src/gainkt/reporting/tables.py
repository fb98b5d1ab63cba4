"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

SHOWN = {"auc": "AUC", "accuracy": "acc", "calibration_error": "ECE"}


def results_table(results: Mapping[str, Any]) -> Table:
    """Return both encoders' figures, phase by phase, on each part of the data that was scored."""
    table = Table(
        title=f"{results['name']}: {results['protocol']}",
        caption="E1 predicts, E2 reads mastery. acc: accuracy at .5. ECE: calibration error over 10 bins.",
        title_justify="left",
        caption_justify="left",
    )
    for title in ("phase", "epoch", "split"):
        table.add_column(title, justify="right" if title == "epoch" else "left", no_wrap=True)
    for encoder in ("E1", "E2"):
        for title in SHOWN.values():
            table.add_column(f"{encoder} {title}", justify="right")
    for phase, entry in results["phases"].items():
        for row, (split, figures) in enumerate(entry["figures"].items()):
            label = (phase, str(entry["epoch"])) if row == 0 else ("", "")
            cells = [f"{figures[f'{encoder}_{name}']:.4f}" for encoder in ("encoder1", "encoder2") for name in SHOWN]
            table.add_row(*label, split, *cells, end_section=row == len(entry["figures"]) - 1)
    return table
