"""Advice for the terminal: readable without colour, with commands that can be copied as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gainkt.names import visible

INDENT = 4
NARROWEST = 40


def advice_view(content: Mapping[str, Any], width: int = 100) -> RenderableType:
    """Return the whole report: experiments in order, what no experiment is left for, what is not worth chasing.

    Args:
        content: of advice.json.
        width: columns over which a command may go before it is continued on a new line.
    """
    about = content["protocol"]
    title = f"What next? {visible(about['name'])} on {about['data'] or 'its data'}: level {content['level']}"
    parts: list[RenderableType] = [Text(title, style="bold")]
    if content["changed_settings"]:
        parts.append(Text(f"The run differs from its experiment as it is now: {' '.join(content['changed_settings'])}"))
    if not content.get("overrides_known", True):
        parts.append(Text("The run's overrides are not known: the commands set key by key what its config holds."))
    for number, advice in enumerate(content["advice"], start=1):
        parts += [Text(), *_advice(number, advice, width)]
    if not content["advice"]:
        parts += [Text(), Text("Nothing applies: no rule knows an experiment that this run has not answered.")]
    if content["unanswered"]:
        parts += [Text(), Text("Seen, and every experiment that the rules know is taken already", style="bold")]
        parts += [_item(f"{_sentence(reason['seen'])} {reason['means']}") for reason in content["unanswered"]]
    if content["not_worth_chasing"]:
        parts += [Text(), Text("Not worth chasing", style="bold")]
        parts += [_item(f"{entry['what']}: {entry['why']}.") for entry in content["not_worth_chasing"]]
    if content["without_diagnosis"]:
        parts += [Text(), Text(f"Without a diagnosis: {content['without_diagnosis']}", style="yellow")]
    return Group(*parts, Text())


def _advice(number: int, advice: Mapping[str, Any], width: int) -> list[RenderableType]:
    """One experiment: what, why, and the command."""
    head = Text(f"{number}. {advice['change'][0].upper()}{advice['change'][1:]}", style="bold")
    head.append(_headroom(advice), style="not bold")
    parts: list[RenderableType] = [head]
    for reason in advice["reasons"]:
        text = Text(f"{reason['rule'].replace('_', ' ')}: ", style="cyan")
        parts.append(_indented(text.append(f"{_sentence(reason['seen'])} {reason['means']}", style="default")))
    lines = command_lines(advice["command"], width)
    return parts + [Text(line, style="green", no_wrap=True, overflow="ignore") for line in lines]


def command_lines(command: str, width: int) -> list[str]:
    """Break a command into lines that a shell reads as one."""
    lines, line = [], " " * INDENT
    for word in map(shlex.quote, shlex.split(command)):
        if line.strip() and len(line) + len(word) + 3 > max(width, NARROWEST):
            lines.append(f"{line}\\")
            line = " " * 2 * INDENT
        line += f"{word} "
    return [*lines, line.rstrip()]


def _headroom(advice: Mapping[str, Any]) -> str:
    headroom = {"AUC": advice["auc"], "nats": advice["nats"]}
    known = [f"{value:.3f} {unit}" for unit, value in headroom.items() if value is not None]
    return f"   (headroom: {', '.join(known)})" if known else ""


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _item(text: str) -> RenderableType:
    return _indented(Text(f"- {_sentence(text)}"))


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, INDENT), expand=False)
