"""The diagnosis for the terminal: readable without colour, and in 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.console import plain_table

STATUS = {"cause": ("CAUSE", "bold red"), "fine": ("fine", "green"), "unmeasured": ("-", "dim")}
PASSED = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("-", "yellow")}
MOMENTS = ("first", "middle", "last")


def diagnosis_view(diagnosis: Mapping[str, Any]) -> RenderableType:
    """Return the whole report: verdicts, their figures by step, by epoch and by term, and what to change."""
    measured = {found["name"]: found["measured"] for found in diagnosis["findings"]}
    parts: list[RenderableType] = [findings_table(diagnosis)]
    if measured["saturation"]:
        parts += [Text(), saturation_table(measured["saturation"])]
    if measured["gradients"]:
        parts += [Text(), gradient_table(measured["gradients"])]
    if measured["parameters"]:
        parts += [Text(), parameter_table(measured["parameters"])]
    parts += [Text(), changes_table(diagnosis["changes"])]
    if "leakage" in diagnosis:
        parts += [Text(), leakage_table(diagnosis["leakage"])]
    return Group(*parts)


def findings_table(diagnosis: Mapping[str, Any]) -> Table:
    """Return a row a question: what was found, and what it costs."""
    protocol = diagnosis["protocol"]
    caption = f"at stake: {protocol['at_stake']}"
    if not protocol["trajectories_complete"]:
        caption += "; the trajectories hold some of the students only"
    table = plain_table(
        f"Why is Encoder 2 weak? {protocol['students']} students, {protocol['scored_steps']} scored steps", caption
    )
    table.add_column("question", width=24)
    table.add_column("", width=5)
    table.add_column("found")
    table.add_column("at stake:\nAUC", justify="right")
    table.add_column("\nnats", justify="right")
    for found in diagnosis["findings"]:
        stake = found["stake"] or {"auc": None, "nats": None}
        word, style = STATUS[found["status"]]
        table.add_row(
            found["question"], Text(word, style=style), found["verdict"], _signed(stake["auc"]), _signed(stake["nats"])
        )
    return table


def saturation_table(measured: Mapping[str, Any]) -> Table:
    """Return the share of saturated (step, skill) cells by step number."""
    table = plain_table("Saturated (step, skill) cells by step number")
    table.add_column("skills")
    for bin_ in measured["by_step"]:
        table.add_column(bin_["steps"], justify="right")
    table.add_column("all", justify="right")
    for which in ("practised", "other"):
        table.add_row(which, *(_share(bin_[which]) for bin_ in measured["by_step"]), _share(measured[which]))
    return table


def gradient_table(measured: Mapping[str, Any]) -> Table:
    """Return each loss term's share of the gradient in the first, middle and last epoch."""
    table = plain_table("Share of the gradient by loss term")
    table.add_column("term")
    for place in ("gain head", "Encoder 2"):
        for moment in MOMENTS:
            epoch = measured["gain_head"][moment]["epoch"]
            table.add_column(f"{place},\n{moment} ({epoch})", justify="right")
    for term in measured["by_epoch"]["gain_head"]:
        shares = [measured[place][moment].get(term) for place in ("gain_head", "encoder2") for moment in MOMENTS]
        table.add_row(term, *map(_share, shares))
    return table


def parameter_table(measured: Mapping[str, Any]) -> Table:
    """Return mean and spread of every parameter in the first and the last epoch."""
    epochs = measured["epochs"]
    table = plain_table("Parameters of curve, readout and velocity")
    table.add_column("parameter")
    for which in ("mean", "std"):
        for at, epoch in (("first", epochs[0]), ("last", epochs[-1])):
            table.add_column(f"{which},\nepoch {epoch}" if at == "first" else f"\nepoch {epoch}", justify="right")
    for name, ends in measured["ends"].items():
        table.add_row(name, *(_number(ends[f"{at}_{which}"]) for which in ("mean", "std") for at in ("first", "last")))
    return table


def changes_table(changes: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return what to change, in order of expected effect."""
    if not changes:
        return Text("What to change: none of the known causes was found.", style="bold")
    table = plain_table("What to change, in order of expected effect: by AUC at stake, then by nats")
    table.add_column("", justify="right")
    table.add_column("change, and the settings of python -m gainkt.train that make it")
    table.add_column("because of")
    table.add_column("AUC", justify="right")
    table.add_column("nats", justify="right")
    for number, change in enumerate(changes, start=1):
        table.add_row(
            str(number),
            "\n".join([change["change"], *(f"  {setting}" for setting in (change["override"] or "").split())]),
            ", ".join(name.replace("_", " ") for name in change["because"]),
            _signed(change["auc"]),
            _signed(change["nats"]),
        )
    return table


def leakage_table(guards: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row a leakage guard."""
    table = plain_table("Leakage guards")
    table.add_column("guard")
    table.add_column("", width=4)
    table.add_column("reading")
    for found in guards:
        word, style = PASSED[found["passed"]]
        table.add_row(found["name"].replace("_", " "), Text(word, style=style), found["reading"])
    return table


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+z.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:z.3f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
