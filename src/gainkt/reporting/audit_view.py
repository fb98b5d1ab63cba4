"""An audit for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from gainkt.names import visible
from gainkt.reporting.terminal import spaced, table, verdict, wide

SHOWN = ("step", "skill", "item", "response", "p")
MOST_ROWS = 12


def audit_view(content: Mapping[str, Any]) -> RenderableType:
    """Return a row a guard, and the smallest counterexample of each that failed."""
    guards = content["guards"]
    failed = sum(found["passed"] is False for found in guards)
    title = f"Audit of {visible(content['subject'])}: " + (
        f"{failed} of {len(guards)} guards fail" if failed else "no leak found"
    )
    rows = ([found["name"], verdict(found["verdict"]), found["reading"]] for found in guards)
    examples = (
        _example(f["name"], f["measured"]["counterexample"]) for f in guards if f["measured"].get("counterexample")
    )
    return spaced(table(title, [wide("guard", 18), wide("", 14), "found"], rows), *examples)


def _example(name: str, example: Mapping[str, Any]) -> RenderableType:
    history = example["history"]
    names = [column for column in SHOWN if column in history[0]]
    flipped = set(example.get("flipped", ()))
    rows = []
    for number, row in enumerate(history[:MOST_ROWS]):
        mark = "flipped" * (number in flipped)
        if number == example.get("row"):
            mark += f" {example['before']:.4f} -> {example['after']:.4f}"
        rows.append([str(number), *(visible(row[column], 24) for column in names), mark.strip()])
    more = f"the first {MOST_ROWS} of {len(history)} rows" if len(history) > MOST_ROWS else None
    return table(f"{name}: smallest counterexample found", ["row", *names, ""], rows, more)
