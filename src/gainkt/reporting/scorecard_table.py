"""The scorecard for the terminal: readable without colour, and in 120 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from gainkt.console import plain_table
from gainkt.evaluation.check import LEVELS

VERDICTS = {
    "pass": ("pass", "green"),
    "fail": ("FAIL", "bold red"),
    "out_of_reach": ("out of reach", "yellow"),
}
PARTS = {
    "gains": "gains permuted over a student's steps",
    "gain_sizes": "each gain at its mean: opportunities counted",
    "velocity": "velocity at its mean",
    "readiness": "readiness at its mean",
    "right_skill": "the skill practised last read instead",
}
ATTEMPTS = {"first": "first attempts at a skill", "later": "later attempts"}
NUM_IMMEDIATE = 5
READING_WIDTH = 105
"""Columns from which the readings fit into the table."""


def scorecard_view(card: Mapping[str, Any]) -> RenderableType:
    """Return the whole scorecard: checks, level, what carries the prediction, and further figures."""
    return Group(
        Checks(card),
        _ceilings(card),
        level_line(card),
        Text(),
        carries_table(card),
        Text(),
        further_table(card),
    )


class Checks:
    """The table of checks; where it is too narrow for the readings, they stand below it."""

    def __init__(self, card: Mapping[str, Any]) -> None:
        """Keep the scorecard."""
        self.card = card

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out for the width at hand."""
        wide = options.max_width >= READING_WIDTH
        yield checks_table(self.card, readings=wide)
        if not wide:
            for check in self.card["checks"]:
                yield Text(f"{check['title']}: ", style="bold").append(check["reading"], style="not bold")


def checks_table(card: Mapping[str, Any], *, readings: bool = True) -> Table:
    """Return the eleven checks: value with its interval, thresholds, ceiling, verdict and, if wanted, reading."""
    protocol = card["protocol"]
    title = f"Scorecard: {protocol['students']} students, {protocol['scored_steps']} scored steps"
    cut = protocol["students_in_trajectories"]
    caption = f"intervals: {protocol['intervals']}; a threshold in (parentheses) lies above the ceiling"
    if not protocol["trajectories_complete"]:
        caption += f"; T4 and T5 are computed from {cut} students only: the trajectories were cut"
    table = plain_table(title, caption)
    table.add_column("check", width=20)
    table.add_column("value\n[interval]", justify="right", no_wrap=True)
    table.add_column("minimum,\ntarget,\noptimal", min_width=10, no_wrap=True)
    table.add_column("ceiling", justify="right")
    table.add_column("verdict,\nlevel", width=8)
    if readings:
        table.add_column("reading")
    for number, check in enumerate(card["checks"], start=1):
        table.add_row(
            check["title"],
            f"{_number(check['value'])}\n{_interval(check['interval'])}".rstrip(),
            _thresholds(check),
            _number(check["ceiling"]),
            _verdict(check),
            *([check["reading"]] if readings else []),
            end_section=number == NUM_IMMEDIATE,
        )
    return table


def level_line(card: Mapping[str, Any]) -> Text:
    """Return the level reached and what stands in the way of the next one."""
    titles = {check["name"]: check["title"] for check in card["checks"]}
    line = Text("Level reached: ", style="bold").append(
        card["level"], style="red" if card["level"] == "none" else "green"
    )
    for level, names in list(card["missing"].items())[:1]:
        line.append(f"; not at {level}: {', '.join(titles[name] for name in names)}", style="not bold")
    return line


def carries_table(card: Mapping[str, Any]) -> Table:
    """Return what each part of the mastery path carries."""
    table = plain_table("What carries Encoder 2's prediction")
    table.add_column("put out of action")
    for name in ("AUC without it", "fall [interval]", "share of the logit"):
        table.add_column(name, justify="right")
    for part, found in card["carries"].items():
        if "reason" in found:
            table.add_row(PARTS[part], "-", found["reason"], "-")
            continue
        fall = f"{_number(found['fall'])} {_interval(found['interval'])}"
        table.add_row(PARTS[part], _number(found["auc_without"]), fall, _share(found["share_of_logit"]))
    return table


def further_table(card: Mapping[str, Any]) -> Table:
    """Return both encoders side by side, and the criteria of earlier phases."""
    more = card["further"]
    table = plain_table("Further")
    table.add_column("figure")
    table.add_column("Encoder 1", justify="right")
    table.add_column("Encoder 2", justify="right")
    both = [more["views"]["encoder1"], more["views"]["encoder2"]]
    pooled = [more["encoder1_auc"], more["encoder2_auc"]]
    table.add_row("AUC", *(f"{_number(e['value'])} {_interval(e.get('interval'))}" for e in pooled))
    for name in ("within_student", "within_skill"):
        table.add_row(f"AUC {name.replace('_', ' ')}", *(_number(view[name].get("auc")) for view in both))
    for name, title in ATTEMPTS.items():
        table.add_row(f"AUC at {title}", *(_number(view["attempts"][name]["auc"]) for view in both))
    within = [_number(view["within_student_correlation"]["value"]) for view in both]
    table.add_row("correlation with the response within students", *within)
    table.add_row("calibration error", *(_number(view["calibration"].get("error")) for view in both))
    table.add_row(
        "phase-2 criteria",
        *(_criterion(more["phase2"].get(name)) for name in ("encoder1", "encoder2")),
        end_section=True,
    )
    agreement, combined = more["agreement"], more["combined_score"]
    table.add_row(
        "agreement (Pearson, Spearman)", _number(agreement.get("pearson")), _number(agreement.get("spearman"))
    )
    table.add_row("E1 + alpha E2 (alpha .5, 1)", *(_number(combined.get(f"alpha_{alpha}")) for alpha in ("0.5", "1")))
    logic = more["threshold_logic"]
    table.add_row(
        "r of least, of mean mastery (multi-skill steps)",
        _number(logic.get("least")),
        _number(logic.get("mean")),
    )
    table.add_row("beta spread", "", _criterion(more["beta_spread"]))
    return table


def _ceilings(card: Mapping[str, Any]) -> Text:
    """Explain every threshold that is out of reach, with its arithmetic."""
    lines = Text()
    for check in card["checks"]:
        if check["out_of_reach"]:
            # What rules out the lowest of these levels rules out the higher ones.
            reason = next(iter(check["out_of_reach"].values()))
            lines.append(f"{check['title']}: {' and '.join(check['out_of_reach'])} out of reach: ", style="yellow")
            lines.append(f"{reason}.\n", style="default")
    return lines


def _thresholds(check: Mapping[str, Any]) -> str:
    """Return the thresholds of all levels, once where they are the same."""
    texts = [_needs(check["thresholds"][level]) for level in LEVELS]
    marked = [
        f"({text})" if level in check["out_of_reach"] else text for level, text in zip(LEVELS, texts, strict=True)
    ]
    return "\n".join(dict.fromkeys(marked))


def _needs(needs: Sequence[Mapping[str, Any]]) -> str:
    if [need["relation"] for need in needs] == [">=", "<="]:
        return f"{needs[0]['bound']:g} to {needs[1]['bound']:g}"
    return "\n".join(_need(need) for need in needs)


def _need(need: Mapping[str, Any]) -> str:
    if need["bound"] is True:
        return "yes"
    return f"{'' if need['of'] == 'value' else need['of'] + ' '}{need['relation']} {need['bound']:g}"


def _verdict(check: Mapping[str, Any]) -> Text:
    word, style = VERDICTS[check["verdict"]]
    text = Text(word, style=style)
    return text.append(f"\n{check['level']}", style="dim") if check["level"] != "none" else text


def _criterion(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{_number(found['value'])} {'holds' if found['holds'] else 'FAILS'} ({found['threshold']:g})"


def _number(value: float | bool | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:z.3f}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"[{_number(interval[0])}, {_number(interval[1])}]"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
