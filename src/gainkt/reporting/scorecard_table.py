"""The scorecard for the terminal: in 120 columns, and in less with the readings below the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from gainkt.evaluation.check import LEVELS, NOT_MEASURABLE
from gainkt.evaluation.schema import DROP, MASTERED
from gainkt.reporting.palette import FAILED, PASSED
from gainkt.reporting.terminal import interval, number, right, share, spaced, table, verdict, wide

PARTS = {
    "gains": "gains permuted over a student's steps",
    "gain_sizes": "each gain at its mean: opportunities counted",
    "velocity": "velocity at its mean",
    "readiness": "readiness at its mean",
    "right_skill": "the skill practised last read instead",
}
MOVES = {"met": "met before, at steps on others", "unmet": "not met, at steps on others"}
ATTEMPTS = {"first": "first attempts at a skill", "later": "later attempts"}
READING_WIDTH = 105
"""Columns from which the readings fit into the table."""


def scorecard_view(card: Mapping[str, Any]) -> RenderableType:
    """Return the whole scorecard: checks, level, what carries the prediction, and both encoders side by side."""
    judged = Group(Checks(card), _out_of_reach(card), level_line(card))
    return spaced(judged, carries_table(card), encoders_table(card), mastery_table(card))


class Checks:
    """The table of checks; where it is too narrow for the readings, they stand below it."""

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.card = card

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay out for the width at hand."""
        in_table = options.max_width >= READING_WIDTH
        yield checks_table(self.card, readings=in_table)
        if not in_table:
            for check in self.card["checks"]:
                yield Text(f"{check['title']}: ", style="bold").append(check["reading"], style="not bold")


def checks_table(card: Mapping[str, Any], *, readings: bool = True) -> Table:
    """Return the checks by group: value with its interval, thresholds, ceiling, verdict and, if wanted, reading."""
    protocol = card["protocol"]
    caption = (
        f"intervals: {protocol['intervals']}; ~: an estimate, or a bound under a condition, which a model may exceed; "
        "a threshold in (parentheses) lies above what is attainable"
    )
    if not protocol["trajectories_complete"]:
        cut = protocol["students_in_trajectories"]
        caption += f"; T4 and T5 are computed from {cut} students only: the trajectories were cut"
    if "steps_over_all_skills" in protocol:
        rest = f"{protocol['steps_over_all_skills']:,} of {protocol['steps']:,} steps"
        caption += f"; figures over all {protocol['skills']:,} skills rest on {rest}, students drawn"
    columns = [
        wide("check", 20),
        right("value\n[interval]", no_wrap=True),
        ("minimum,\ntarget,\noptimal", {"min_width": 10, "no_wrap": True}),
        right("attainable"),
        wide("verdict,\nlevel", 10),
        *(["reading"] if readings else []),
    ]
    rows: list[Sequence[RenderableType] | None] = []
    for number_, check in enumerate(card["checks"]):
        if number_ and check["group"] != card["checks"][number_ - 1]["group"]:
            rows.append(None)
        rows.append(
            [
                check["title"],
                f"{number(check['value'], whole=True)}\n{interval(check['interval'])}".rstrip(),
                thresholds(check),
                ("" if check["ceiling"] is None or check["ceiling_is_bound"] else "~")
                + number(check["ceiling"], whole=True),
                _verdict(check),
                *([check["reading"]] if readings else []),
            ]
        )
    title = f"Scorecard: {protocol['students']} students, {protocol['scored_steps']} scored steps"
    return table(title, columns, rows, caption)


def level_line(card: Mapping[str, Any]) -> Text:
    """Return the level reached, what stands in the way of the next one and how much of it is asked."""
    titles = {check["name"]: check["title"] for check in card["checks"]}
    line = Text("Level reached: ", style="bold").append(
        card["level"], style=FAILED if card["level"] == "none" else PASSED
    )
    level = card["level"]
    for level, names in list(card["missing"].items())[:1]:
        line.append(f"; not at {level}: {', '.join(titles[name] for name in names)}", style="not bold")
    asked = [
        f"{group['held'][level]} of {group['measurable']} {name} checks hold, {group['asked'][level]} must"
        for name, group in card["groups"].items()
    ]
    line.append(f" ({level}: {'; '.join(asked)})", style="not bold")
    unknown = [check["title"] for check in card["checks"] if check["verdict"] == NOT_MEASURABLE]
    if unknown:
        line.append(f"; left out, not measurable on this data: {', '.join(unknown)}", style="not bold")
    return line


def carries_table(card: Mapping[str, Any]) -> Table:
    """Return what each part of the mastery path carries."""
    return table(
        "What carries Encoder 2's prediction",
        ["ablation", right("AUC without it"), right("fall [interval]"), right("share of the logit")],
        (
            [PARTS[part], "-", found["reason"], "-"]
            if "reason" in found
            else [
                PARTS[part],
                number(found["auc_without"], whole=True),
                f"{number(found['fall'], whole=True)} {interval(found['interval'])}",
                share(found["share_of_logit"]),
            ]
            for part, found in card["carries"].items()
        ),
    )


def encoders_table(card: Mapping[str, Any]) -> Table:
    """Return both encoders side by side, and the criteria of earlier phases."""
    more = card["further"]
    both = [more["views"]["encoder1"], more["views"]["encoder2"]]
    pooled = [more["encoder1_auc"], more["encoder2_auc"]]
    logic, agreement, combined = more["threshold_logic"], more["agreement"], more["combined_score"]

    def numbers(*values: float | None) -> list[str]:
        return [number(value, whole=True) for value in values]

    return table(
        "Both encoders side by side",
        ["metric", right("Encoder 1"), right("Encoder 2")],
        [
            ["AUC", *(f"{number(e['value'], whole=True)} {interval(e.get('interval'))}" for e in pooled)],
            *(
                [f"AUC {name.replace('_', ' ')}", *numbers(*(encoder[name].get("auc") for encoder in both))]
                for name in ("within_student", "within_skill")
            ),
            *(
                [f"AUC at {title}", *numbers(*(encoder["attempts"][name]["auc"] for encoder in both))]
                for name, title in ATTEMPTS.items()
            ),
            [
                "correlation with the response within students",
                *numbers(*(encoder["within_student_correlation"]["value"] for encoder in both)),
            ],
            ["calibration error", *numbers(*(encoder["calibration"].get("error") for encoder in both))],
            ["phase-2 criteria", *(_criterion(more["phase2"].get(name)) for name in ("encoder1", "encoder2"))],
            None,
            ["agreement (Pearson, Spearman)", *numbers(agreement.get("pearson"), agreement.get("spearman"))],
            ["E1 + alpha E2 (alpha .5, 1)", *numbers(combined.get("alpha_0.5"), combined.get("alpha_1"))],
            ["r of minimum, of mean mastery (multi-skill steps)", *numbers(logic.get("least"), logic.get("mean"))],
            ["beta spread", "", _criterion(more["beta_spread"])],
        ],
    )


def mastery_table(card: Mapping[str, Any]) -> Table | None:
    """Return how steady and how true mastery is; None of a scorecard of an older version."""
    rows = mastery_rows(card["further"])
    return table("Mastery itself", ["figure", right("value"), "over"], rows) if rows else None


def mastery_rows(further: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures of mastery itself: what, its value, and over what (once for several) or why there is none."""
    if "steadiness" not in further:
        return []
    steady, others = further["steadiness"], further["edustudio"]
    rows = []
    for kind, title in MOVES.items():
        moved = [("mean", f"{title}: mean |change|", number), ("p95", "95th percentile of |change|", number)]
        found = steady["movement"] if "reason" in steady["movement"] else steady["movement"][kind]
        rows += _told(found, [*moved, ("drops", f"falls over {DROP:g}", percent)], "cells", "(step, skill) pairs")
    ways = [
        ("rises_after_wrong", "the practised skill rises after a wrong answer", percent),
        ("falls_after_right", "falls after a right one", percent),
    ]
    truth = [
        *(("bias", "against true mastery: bias", number), ("rmse", "RMSE", number)),
        *(("error", "calibration error", number), ("separation", f"AUC for true mastery of {MASTERED:g}", number)),
    ]
    rows += _told(steady["direction"], ways, "answers", "answers")
    rows += _told(steady["calibration"], truth, "answers", "answers of simulated students")
    agreed = [("value", "agreement with answers (EduStudio's DOA)", number)]
    rows += _told(others["doa"], agreed, "pairs", "pairs of students and an item")
    same = [("value", "identifiability (EduStudio's IDS)", number)]
    return rows + _told(others["identifiability"], same, "pairs", "pairs of students with the same answers")


def _told(
    found: Mapping[str, Any], figures: Sequence[tuple[str, str, Callable[[Any], str]]], of: str, what: str
) -> list[tuple[str, str, str]]:
    if "reason" in found:
        return [(figures[0][1], "-", found["reason"])]
    over = f"{found[of]:,} {what}"
    return [(title, say(found[key]), "" if at else over) for at, (key, title, say) in enumerate(figures)]


def percent(value: float | None) -> str:
    """Return a share in percent with a decimal."""
    return "-" if value is None else f"{value:.1%}"


def _out_of_reach(card: Mapping[str, Any]) -> Text:
    """Explain every threshold that is out of reach, with its arithmetic."""
    lines = Text()
    for check in card["checks"]:
        if check["out_of_reach"]:
            # What rules out the lowest of these levels rules out the higher ones.
            reason = next(iter(check["out_of_reach"].values()))
            lines.append(f"{check['title']}: {' and '.join(check['out_of_reach'])} out of reach: ", style="yellow")
            lines.append(f"{reason}.\n", style="default")
    return lines


def thresholds(check: Mapping[str, Any]) -> str:
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
    if isinstance(need["bound"], bool):
        return number(need["bound"])
    return f"{'' if need['of'] == 'value' else need['of'] + ' '}{need['relation']} {need['bound']:g}"


def _verdict(check: Mapping[str, Any]) -> Text:
    text = verdict(check["verdict"])
    return text.append(f"\n{check['level']}", style="dim") if check["level"] != "none" else text


def _criterion(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "-"
    return f"{number(found['value'], whole=True)} {'holds' if found['holds'] else 'FAILS'} ({found['threshold']:g})"
