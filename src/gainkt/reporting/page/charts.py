"""Charts of a page, drawn by Bokeh in the reader's browser: no name is ever one of their labels.

BokehJS reads `$$` in a label as a formula, for which it would fetch a library: names stand in legends and captions of
HTML, and in the columns that a tooltip shows as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from bokeh.embed import json_item
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool, LayoutDOM
from bokeh.models.annotations import Band, Span
from bokeh.plotting import figure

from gainkt.names import visible
from gainkt.reporting.palette import ENCODERS, GREY, SERIES
from gainkt.reporting.terminal import number

Numbers = Sequence[float] | np.ndarray
DASHES = ("solid", "dashed", "dotted", "dotdash")
MARKERS = ("circle", "square", "triangle", "diamond", "inverted_triangle", "x")


@dataclass(frozen=True)
class Look:
    """How one of several things is drawn."""

    colour: str
    dash: str
    marker: str
    faint: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart with what says the same in words: a sentence, a legend and a table."""

    title: str
    says: str
    """Text alternative."""
    item: Any
    """For Bokeh.embed.embed_item."""
    height: int
    legend: list[tuple[str, Look]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def looks(count: int) -> list[Look]:
    """Return a look for each of several things."""
    return [Look(SERIES[i % len(SERIES)], DASHES[i % 4], MARKERS[i % 6]) for i in range(count)]


def encoder_looks(*, faint: bool = False) -> list[Look]:
    """Return the looks of Encoder 1 and Encoder 2."""
    return [
        Look(colour, dash, marker, faint)
        for colour, dash, marker in zip(ENCODERS, ("solid", "dashed"), ("circle", "square"), strict=True)
    ]


def canvas(height: int, x: str, y: str, **more: Any) -> Any:
    """Return an empty figure in the page's look; page.js gives it the colours of the page."""
    made = figure(
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        x_axis_label=x,
        y_axis_label=y,
        output_backend="canvas",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=12,
        **more,
    )
    made.xaxis.minor_tick_line_color = made.yaxis.minor_tick_line_color = None
    made.xgrid.grid_line_color = None
    for axis in (*made.xaxis, *made.yaxis):
        axis.axis_label_text_font_style = "normal"
    return made


def item(model: LayoutDOM) -> Any:
    """Return a model as JSON takes it, arrays in binary."""
    return json_item(model)


def lines(
    title: str,
    says: str,
    x: tuple[str, Numbers],
    y: str,
    series: Mapping[str, Numbers],
    styles: Sequence[Look] | None = None,
    *,
    height: int = 240,
    marks: Numbers = (),
    unit: bool = False,
    band: Mapping[str, Numbers] | None = None,
) -> Chart:
    """Draw numbers over x, a line each; what is missing is a gap.

    Args:
        title: of the chart.
        says: what it shows, in words.
        x: label and values.
        y: label.
        series: by name.
        styles: a look each.
        height: in pixels.
        marks: where a vertical line stands.
        unit: y goes from 0 to 1.
        band: half the width of a band about a line, by name.
    """
    styles = styles or looks(len(series))
    widths = band or {}
    spread = [
        np.asarray(values, dtype=float) + side * np.asarray(widths.get(name, 0.0), dtype=float)
        for name, values in series.items()
        for side in (-1, 1)
    ]
    made = canvas(height, x[0], y, y_range=(-0.02, 1.02) if unit else _room(np.concatenate(spread)))
    places = np.asarray(x[1], dtype=float)
    for place in marks:
        made.add_layout(Span(location=place, dimension="height", line_color=GREY, line_dash="dotted"))
    drawn = []
    for (name, values), look in zip(series.items(), styles, strict=True):
        numbers = np.asarray(values, dtype=float)
        source = ColumnDataSource({"x": places, "y": numbers, "name": [visible(name)] * len(places)})
        if band is not None:
            half = np.asarray(band[name], dtype=float)
            source.add(numbers - half, "low")
            source.add(numbers + half, "high")
            made.add_layout(
                Band(base="x", lower="low", upper="high", source=source, fill_color=look.colour, fill_alpha=0.18)
            )
        alpha = 0.4 if look.faint else 1.0
        tags = {"tags": ["ink"]} if look.colour == ENCODERS[0] else {}
        made.line("x", "y", source=source, color=look.colour, line_dash=look.dash, alpha=alpha, width=2).glyph.update(
            **tags
        )
        dots = made.scatter("x", "y", source=source, color=look.colour, marker=look.marker, alpha=alpha, size=6)
        dots.glyph.update(**tags)
        drawn.append(dots)
    made.add_tools(HoverTool(renderers=drawn, tooltips=[("", "@name"), (x[0], "@x"), (y, "@y{0.0000}")]))
    rows = [
        [f"{place:g}", *(number(float(values[i])) for values in map(list, series.values()))]
        for i, place in enumerate(places)
    ]
    legend = list(zip(map(visible, series), styles, strict=True))
    return Chart(title, says, item(made), height, legend, [x[0], *map(visible, series)], rows)


def paths(
    title: str,
    says: str,
    x: str,
    y: str,
    series: Sequence[tuple[str, Numbers, Numbers]],
    *,
    ranges: tuple[tuple[float, float], tuple[float, float]],
    upright: float | None = None,
    level: float | None = None,
    height: int = 360,
) -> Chart:
    """Draw y over x of several things, each with values of x of its own; those of one name look alike.

    Args:
        title: of the chart.
        says: what it shows, in words.
        x: label.
        y: label.
        series: name, x and y of each.
        ranges: of x and of y that are shown.
        upright: value of x where a line stands.
        level: value of y where a line lies.
        height: in pixels.
    """
    made = canvas(height, x, y, x_range=ranges[0], y_range=ranges[1])
    if upright is not None:
        made.add_layout(Span(dimension="height", location=upright, line_color=GREY, line_dash="dotted"))
    if level is not None:
        made.add_layout(Span(dimension="width", location=level, line_color=GREY, line_dash="dotted"))
    names = list(dict.fromkeys(name for name, _, _ in series))
    styles, drawn, rows = dict(zip(names, looks(len(names)), strict=True)), [], []
    for name, across, up in series:
        look, called = styles[name], visible(name)
        rows += [[called, number(float(a)), number(float(b))] for a, b in zip(across, up, strict=True)]
        source = ColumnDataSource(
            {"x": np.asarray(across, float), "y": np.asarray(up, float), "name": [called] * len(up)}
        )
        made.line("x", "y", source=source, color=look.colour, line_dash=look.dash, width=2)
        drawn.append(made.scatter("x", "y", source=source, color=look.colour, marker=look.marker, size=6))
    made.add_tools(HoverTool(renderers=drawn, tooltips=[("", "@name"), (x, "@x{0.000}"), (y, "@y{0.000}")]))
    legend = [(visible(name), look) for name, look in styles.items()]
    return Chart(title, says, item(made), height, legend, ["", x, y], rows)


def _room(values: np.ndarray) -> tuple[float, float]:
    """Return a range with room about the values; about a constant one as much as from it to 0."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    margin = 0.08 * (high - low) if high - low > 1e-9 * max(abs(high), 1e-300) else abs(high) or 1.0
    return low - margin, high + margin


def calibration(tables: Mapping[str, Sequence[Mapping[str, float]]], says: str) -> Chart:
    """Draw the share of right responses over the probability, in bins, of each encoder.

    Args:
        tables: by encoder: a bin each with low, high, count, probability, right.
        says: what it shows, in words.
    """
    made = canvas(320, "probability that the encoder gave (mean of a bin)", "share of right responses")
    made.x_range.update(start=0, end=1)
    made.y_range.update(start=0, end=1)
    made.line([0, 1], [0, 1], color=GREY, line_dash="dotted")
    rows, drawn = [], []
    for (name, bins), look in zip(tables.items(), encoder_looks(), strict=True):
        table = pd.DataFrame(list(bins), columns=["low", "high", "count", "probability", "right"])
        share = table["count"] / max(table["count"].sum(), 1)
        source = ColumnDataSource(table.assign(name=name, size=6 + 18 * np.sqrt(share)))
        tags = {"tags": ["ink"]} if look.colour == ENCODERS[0] else {}
        made.line("probability", "right", source=source, color=look.colour, line_dash=look.dash, width=2).glyph.update(
            **tags
        )
        dots = made.scatter(
            *("probability", "right"),
            source=source,
            size="size",
            marker=look.marker,
            line_color=look.colour,
            fill_color=look.colour,
            fill_alpha=0.25,
        )
        dots.glyph.update(**tags)
        drawn.append(dots)
        rows += [
            [name, f"{b.low:.1f} to {b.high:.1f}", f"{int(b['count']):,}", number(b.probability), number(b.right)]
            for _, b in table.iterrows()
        ]
    tips = [("", "@name"), ("bin", "@low{0.0} to @high{0.0}"), ("steps", "@count"), ("said", "@probability{0.000}")]
    made.add_tools(HoverTool(renderers=drawn, tooltips=[*tips, ("right", "@right{0.000}")]))
    columns = ["encoder", "bin", "steps", "mean probability", "share right"]
    return Chart("Calibration", says, item(made), 320, list(zip(tables, encoder_looks(), strict=True)), columns, rows)


def skill_curve() -> Chart:
    """Return the empty chart of a skill's curve, which page.js fills."""
    made = canvas(
        300,
        "opportunity of the student on this skill",
        "mastery after it",
        y_range=(-0.02, 1.04),
        x_range=(-0.5, 10),
        name="skill",
    )
    source = ColumnDataSource({name: [] for name in ("x", "low", "middle", "high", "right", "n")}, name="curve")
    made.varea("x", "low", "high", source=source, fill_color=SERIES[0], fill_alpha=0.2)
    line = made.line("x", "middle", source=source, color=SERIES[0], width=2.5)
    made.scatter("x", "right", source=source, marker="diamond", size=8, color=SERIES[1], fill_alpha=0.6)
    tips = [("opportunity", "@x"), ("students", "@n"), ("middle", "@middle{0.000}"), ("10 %", "@low{0.000}")]
    made.add_tools(
        HoverTool(
            renderers=[line], mode="vline", tooltips=[*tips, ("90 %", "@high{0.000}"), ("right", "@right{0.000}")]
        )
    )
    legend = [
        ("mastery: median, and the range of 80 % of the students", Look(SERIES[0], "solid", "line")),
        ("share of right responses at the opportunity", Look(SERIES[1], "none", "diamond")),
    ]
    says = (
        "Mastery over opportunities of the skill that is chosen in the table; the numbers are in the table beside it."
    )
    return Chart("", says, item(made), 300, legend)


def student_charts() -> Chart:
    """Return the empty charts of a student, one above the other, which page.js fills."""
    upper = canvas(330, "", "mastery after the step", y_range=(-0.03, 1.03), name="upper", x_range=(-0.7, 1))
    lower = canvas(190, "step", "probability of right", x_range=upper.x_range, y_range=(-0.08, 1.08), name="lower")
    curves = ColumnDataSource({name: [] for name in ("xs", "ys", "colour", "dash", "alpha", "width")}, name="curves")
    upper.multi_line(
        *("xs", "ys"), source=curves, line_color="colour", line_dash="dash", line_alpha="alpha", line_width="width"
    )
    true = ColumnDataSource({"xs": [], "ys": [], "colour": []}, name="true")
    upper.multi_line("xs", "ys", source=true, line_color="colour", line_dash="dotted", line_width=1.5, line_alpha=0.9)
    names = ("x", "y", "step", "skill", "item", "answer", "gain", "p1", "p2", "colour", "fill", "alpha")
    marks = ColumnDataSource({name: [] for name in names}, name="marks")
    dots = upper.scatter(
        *("x", "y"),
        source=marks,
        size=8,
        line_color="colour",
        fill_color="fill",
        alpha="alpha",
        line_width=1.5,
    )
    tips = [(title, f"@{name}") for title, name in (("step", "step"), ("skill", "skill"), ("item", "item"))]
    tips += [("answered", "@answer"), ("gain", "@gain"), ("p1", "@p1"), ("p2", "@p2")]
    upper.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    said = ColumnDataSource({name: [] for name in ("x", "p1", "p2", "response", "fill")}, name="said")
    for name, look in zip(("p1", "p2"), encoder_looks(), strict=True):
        tags = {"tags": ["ink"]} if name == "p1" else {}
        lower.line("x", name, source=said, color=look.colour, line_dash=look.dash, width=1.8).glyph.update(**tags)
    lower.scatter("x", "response", source=said, size=6, line_color=GREY, fill_color="fill")
    for name, made in (("pointer1", upper), ("pointer2", lower)):
        line: dict[str, Any] = {"line_color": GREY, "line_width": 1.5, "visible": False, "name": name}
        made.add_layout(Span(location=0, dimension="height", **line))
    says = (
        "Mastery of the practised skills after each step, and both encoders' predictions; all numbers are in the table."
    )
    return Chart("", says, item(column(upper, lower, sizing_mode="stretch_width")), 525)
