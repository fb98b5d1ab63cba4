"""What a training run came to, for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gainkt.console import make_console
from gainkt.reporting.alignment_report import alignment_view
from gainkt.reporting.diagnosis_table import diagnosis_view
from gainkt.reporting.page import PAGE
from gainkt.reporting.scorecard_table import scorecard_view
from gainkt.reporting.tables import results_table


def show_run(
    results: dict[str, Any],
    scorecard: dict[str, Any] | None,
    diagnosis: dict[str, Any] | None,
    alignment: dict[str, Any] | None,
    folder: Path,
) -> None:
    """Print results.json and, where they were asked for, scorecard.json, diagnosis.json and alignment.json."""
    console = make_console()
    console.print(results_table(results))
    for content, view in ((scorecard, scorecard_view), (diagnosis, diagnosis_view), (alignment, alignment_view)):
        if content is not None:
            console.print(view(content))
    console.print(f"run: {folder}", soft_wrap=True)
    if (folder / PAGE).is_file():
        console.print(f"report: {folder / PAGE}", soft_wrap=True)
