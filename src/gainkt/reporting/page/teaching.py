"""What tutors decided by a run's estimates, as the page of the run shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gainkt.reporting.page.charts import Chart, paths
from gainkt.reporting.teaching_view import SHOWN, mean_curves, meaning, teaching_notes, teaching_sheets, title_of
from gainkt.reporting.terminal import Sheet, share


def teaching_section(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the section shows: a sentence, its tables and chart, and what is to be known of them.

    Args:
        content: as teach.json holds it (`gainkt.tutoring.command.teach_config`).
    """
    main, *others = map(_shown, teaching_sheets(content))
    return {
        "says": meaning(content),
        "main": main,
        "others": others,
        "chart": _curves(content),
        "notes": teaching_notes(content),
    }


def _shown(sheet: Sheet) -> dict[str, Any]:
    """A table whose columns are names or, where they stand at the right, numbers."""
    columns = [(column, False) if isinstance(column, str) else (column[0], True) for column in sheet.columns]
    return {**sheet._asdict(), "columns": columns}


def _curves(content: Mapping[str, Any]) -> Chart:
    if content["mode"] == "simulated":
        target, several = float(content["target"]), len(content["schools"])
        marks = "A mark is a level of the policy of stopping" if several == 1 else f"Means of {several} simulations"
        return paths(
            "False mastery against exercises",
            f"{marks}: the lower and the further left, the better. Upright: {share(target)} false mastery.",
            *("false mastery", "opportunities a course"),
            [(title_of(name), false, opportunities) for name, false, opportunities in mean_curves(content)],
            ranges=((0.0, SHOWN), (0.0, float(content["limit"]))),
            upright=target,
        )
    average = float(content["right"])
    return paths(
        "Share right of what is left out",
        f"A mark is a level: the higher, the fewer students are let go too early. Line across: {average:.3f} of all "
        "answers are right.",
        *("share of opportunities left out", "share right of those left out"),
        [(title_of(curve["name"]), curve["left_out"], curve["right"]) for curve in content["curves"]],
        ranges=((0.0, 1.0), (0.0, 1.0)),
        level=average,
    )
