"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from gainkt.evaluation.metrics import ENCODERS

SHOWN = {"auc": "AUC", "accuracy": "accuracy", "calibration_error": "calibration error", "log_loss": "log loss"}


def results_table(results: Mapping[str, Any]) -> Table:
    """Return both encoders' figures, phase by phase, on each part of the data that was scored."""
    table = Table(title=f"{results['name']}: {results['protocol']}", title_justify="left", caption_justify="left")
    table.add_column("phase")
    table.add_column("epoch", justify="right")
    table.add_column("scored on")
    table.add_column("encoder")
    for title in SHOWN.values():
        table.add_column(title, justify="right")
    for phase, entry in results["phases"].items():
        for part, figures in entry["figures"].items():
            for number, encoder in enumerate(ENCODERS):
                cells = [f"{figures[f'{encoder}_{name}']:.4f}" for name in SHOWN]
                first = (phase, str(entry["epoch"]), part) if number == 0 else ("", "", "")
                label = "1 performance" if encoder == "encoder1" else "2 mastery"
                table.add_row(*first, label, *cells, end_section=number == 1)
    return table
