"""The look of what is printed: tables of columns and rows, verdicts, and numbers; readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.console import plain_table
from gainkt.names import printed
from gainkt.reporting.palette import BEYOND, FAILED, PASSED

VERDICTS = {
    "pass": ("pass", PASSED),
    "fail": ("FAIL", f"bold {FAILED}"),
    "out_of_reach": ("out of reach", BEYOND),
    "not_measurable": ("not measurable", "dim"),
    "cause": ("CAUSE", f"bold {FAILED}"),
    "fine": ("fine", PASSED),
    "unmeasured": ("-", "dim"),
}
"""Word and style of each verdict (gainkt.evaluation.check) and of each finding of the diagnosis."""
Column = str | tuple[str, dict[str, Any]]


class Sheet(NamedTuple):
    """A table as rows of text, for `table` and for pages."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    caption: str | None = None


def right(header: str, **options: Any) -> Column:
    """Return a column of numbers."""
    return header, {"justify": "right", **options}


def wide(header: str, width: int) -> Column:
    """Return a column of text that is `width` characters wide."""
    return header, {"width": width}


def table(
    title: str, columns: Sequence[Column], rows: Iterable[Sequence[RenderableType] | None], caption: str | None = None
) -> Table:
    """Return a table; a row that is None ends a section. Strings are text, without markup."""
    made = plain_table(title, caption)
    for column in columns:
        header, options = (column, {}) if isinstance(column, str) else column
        made.add_column(_cell(header), **options)
    for row in rows:
        if row is None:
            made.add_section()
        else:
            made.add_row(*map(_cell, row))
    return made


def _cell(content: RenderableType) -> RenderableType:
    return Text(printed(content)) if isinstance(content, str) else content


def spaced(*parts: RenderableType | None) -> Group:
    """Stack parts with an empty line between them; None is left out."""
    pieces = [piece for part in parts if part is not None for piece in (Text(), part)]
    return Group(*pieces[1:])


def verdict(name: str) -> Text:
    """Return a verdict in words."""
    word, style = VERDICTS[name]
    return Text(word, style=style)


def number(value: float | bool | None, *, whole: bool = False) -> str:
    """Return a number with three decimals (`whole`: none where it has none), "yes" or "no", or "-" of nothing."""
    if value is None or np.isnan(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if whole and float(value).is_integer() else f"{value:z.3f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign."""
    return "-" if value is None else f"{value:+z.3f}"


def share(value: float | None) -> str:
    """Return a share in percent."""
    return "-" if value is None else f"{value:.0%}"


def interval(ends: Sequence[float] | None) -> str:
    """Return an interval; nothing where there is none."""
    return "" if ends is None else f"[{number(ends[0], whole=True)}, {number(ends[1], whole=True)}]"
