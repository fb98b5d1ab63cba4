"""One student's trajectory as a table and a small plot for the terminal."""

from __future__ import annotations

import pandas as pd
import plotext
from rich.table import Table
from rich.text import Text

from gainkt.names import visible
from gainkt.reporting.palette import FAILED, PASSED
from gainkt.reporting.terminal import right, table

PLOT_HEIGHT = 16
LONGEST_LABEL = 30
NUMBERS = ("p1", "p2", "gain", "practice", "mastery")


def student_table(name: str, rows: pd.DataFrame, steps: int) -> Table:
    """Return the student's first steps: what was practised, answered and predicted, and what it changed.

    Args:
        name: of the student.
        rows: the student's rows of trajectories.parquet, or its course (gainkt.runs.course).
        steps: how many steps to show.
    """
    own = rows[rows.relevant].astype({"skill": str}).sort_values(["step", "skill"])
    total = own.step.nunique()
    caption = "p1, p2: probability of a right response before the step. Gain, practice and mastery: after it."
    if total > steps:
        caption += f" {total - steps} later steps are not shown (steps={total} shows all)."
    shown = own[own.step.isin(sorted(own.step.unique())[:steps])]
    return table(
        f"student {visible(name)}: {total} steps, {own.skill.nunique()} skills",
        [right("step"), "skill", "response", *map(right, NUMBERS)],
        (
            [
                str(row["step"]),
                visible(row["skill"]),
                Text("right", PASSED) if row["response"] else Text("wrong", FAILED),
                *(f"{row[column]:.2f}" for column in NUMBERS),
            ]
            for row in shown.to_dict("records")
        ),
        caption,
    )


def mastery_plot(rows: pd.DataFrame, skills: int, width: int) -> Text:
    """Return mastery over steps of the skills that the student practises most, drawn with characters."""
    practised = rows[rows.relevant].skill.astype(str).value_counts()
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(width, 110), PLOT_HEIGHT)
    for marker, skill in zip("ox+*#%@", practised.index[:skills], strict=False):
        curve = rows[rows.skill == skill].sort_values("step")
        plotext.plot(curve.step.tolist(), curve.mastery.tolist(), marker=marker, label=visible(skill, LONGEST_LABEL))
    plotext.ylim(0, 1)
    plotext.title("mastery after each step")
    return Text.from_ansi(plotext.build())
