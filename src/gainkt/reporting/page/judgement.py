"""The scorecard as a page shows it: each check with a picture of its value among its thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gainkt.evaluation.check import LEVELS
from gainkt.reporting.scorecard_table import PARTS, level_line, thresholds
from gainkt.reporting.terminal import interval, number, share

SIGNS = {"pass": "✓", "fail": "✗", "out_of_reach": "△", "not_measurable": "○", "cause": "✗", "fine": "✓"}
WORDS = {
    **{"pass": "pass", "fail": "fail", "out_of_reach": "out of reach", "not_measurable": "not measurable"},
    **{"cause": "cause", "fine": "fine", "unmeasured": "not measured"},
}
"""Verdicts as signs and as words: colour only repeats them."""
GROUPS = {
    "immediate": "Does Encoder 2 predict, and does its mastery mean something?",
    "trajectory": "Do gains and curves look like learning?",
}


def judged(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the checks for the table, with a heading where a group begins."""
    rows, group = [], None
    for check in card["checks"]:
        rows.append(
            {
                **pill(check["verdict"], None if check["level"] == "none" else check["level"]),
                "heading": GROUPS.get(check["group"], check["group"]) if check["group"] != group else None,
                "title": check["title"],
                "reading": check["reading"],
                "value": number(check["value"], whole=True),
                "interval": interval(check["interval"]),
                "thresholds": thresholds(check),
                "ceiling": None if check["ceiling"] is None else number(check["ceiling"], whole=True),
                "ceiling_is_bound": check["ceiling_is_bound"],
                "beyond": next(iter(check["out_of_reach"].values()), None),
                "picture": bullet(check),
            }
        )
        group = check["group"]
    return rows


def pill(verdict: str, level: str | None = None) -> dict[str, str]:
    """Return a verdict as a page shows it: kind, sign and words."""
    words = WORDS.get(verdict, verdict)
    return {
        "verdict": verdict,
        "sign": SIGNS.get(verdict, "○"),
        "words": words if level is None else f"{words}: {level}",
    }


def bullet(check: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return where a check's numbers lie on a line from 0 to 100; None where it has no number to draw."""
    value = check["value"]
    if value is None or isinstance(value, bool):
        return None
    needs = [
        (level, need)
        for level in LEVELS
        for need in check["thresholds"].get(level, [])
        if need["of"] == "value" and need["relation"] != "is" and not isinstance(need["bound"], bool)
    ]
    ends, ceiling = check["interval"] or (value, value), check["ceiling"]
    points = [value, *ends, *(need["bound"] for _, need in needs), *([] if ceiling is None else [ceiling])]
    low, high = min(points), max(points)
    if low > 0 and low < 0.6 * high:
        low = 0.0
    if low == high:
        return None
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin

    def at(x: float) -> float:
        return round(100 * (x - low) / (high - low), 2)

    first: dict[float, str] = {}
    for level, need in needs:
        first.setdefault(need["bound"], level)
    return {
        "value": at(value),
        "interval": (at(ends[0]), at(ends[1])),
        "ceiling": None if ceiling is None else at(ceiling),
        "marks": [(at(bound), LEVELS.index(level)) for bound, level in first.items()],
    }


def level_words(card: Mapping[str, Any]) -> str:
    """Say which level was reached, and what stands in the way of the next."""
    return level_line(card).plain


def carried(carries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each part carries, its fall of AUC drawn on a line that all share."""
    known = [found for found in carries.values() if "reason" not in found]
    ends = [x for found in known for x in (found["fall"], *(found["interval"] or ()))]
    low, high = min([0.0, *ends]), max([0.01, *ends])

    def at(x: float) -> float:
        return round(100 * (x - low) / (high - low), 2)

    rows = []
    for part, found in carries.items():
        row: dict[str, Any] = {"title": PARTS.get(part, part), "reason": found.get("reason")}
        if row["reason"] is None:
            row |= {
                "auc": number(found["auc_without"]),
                "fall": number(found["fall"]),
                "interval": interval(found["interval"]),
                "share": share(found["share_of_logit"]),
                "picture": {
                    "zero": at(0),
                    "value": at(found["fall"]),
                    "interval": [at(x) for x in found["interval"] or ()],
                },
            }
        rows.append(row)
    return rows
