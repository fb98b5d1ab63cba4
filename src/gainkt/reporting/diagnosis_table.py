"""The diagnosis for the terminal: in 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from gainkt.reporting.terminal import number, right, share, signed, spaced, table, verdict, wide

MOMENTS = ("first", "middle", "last")
PLACES = {"gain_head": "gain head", "encoder2": "Encoder 2"}
GUARD = {True: "pass", False: "fail", None: "not_measurable"}


def diagnosis_view(diagnosis: Mapping[str, Any]) -> RenderableType:
    """Return the whole report: findings, their numbers by step, by epoch and by term, and what to change."""
    measured = {found["name"]: found["measured"] for found in diagnosis["findings"]}
    details = (("saturation", saturation_table), ("gradients", gradient_table), ("parameters", parameter_table))
    return spaced(
        findings_table(diagnosis),
        *(draw(measured[name]) for name, draw in details if measured[name]),
        changes_table(diagnosis["changes"]),
        leakage_table(diagnosis["leakage"]) if "leakage" in diagnosis else None,
    )


def findings_table(diagnosis: Mapping[str, Any]) -> Table:
    """Return a row a question: what was found, and the headroom."""
    protocol = diagnosis["protocol"]
    caption = f"headroom: {protocol['at_stake']}"
    if not protocol["trajectories_complete"]:
        caption += "; the trajectories hold some of the students only"
    rows = []
    for found in diagnosis["findings"]:
        headroom = found["stake"] or {"auc": None, "nats": None}
        numbers = signed(headroom["auc"]), signed(headroom["nats"])
        rows.append([found["question"], verdict(found["status"]), found["verdict"], *numbers])
    return table(
        f"Why is Encoder 2 weak? {protocol['students']} students, {protocol['scored_steps']} scored steps",
        [wide("question", 24), wide("", 5), "found", right("headroom:\nAUC"), right("\nnats")],
        rows,
        caption,
    )


def saturation_table(measured: Mapping[str, Any]) -> Table:
    """Return the share of saturated (step, skill) cells by step number."""
    bins = measured["by_step"]
    return table(
        "Saturated (step, skill) cells by step number",
        ["skills", *(right(found["steps"]) for found in bins), right("all")],
        ([of, *(share(found[of]) for found in bins), share(measured[of])] for of in ("practised", "other")),
    )


def gradient_table(measured: Mapping[str, Any]) -> Table:
    """Return each loss term's share of the gradient in the first, middle and last epoch."""
    cells = [(place, moment) for place in PLACES for moment in MOMENTS]
    epoch = {moment: measured["gain_head"][moment]["epoch"] for moment in MOMENTS}
    return table(
        "Share of the gradient by loss term",
        ["term", *(right(f"{PLACES[place]},\n{moment} ({epoch[moment]})") for place, moment in cells)],
        (
            [term, *(share(measured[place][moment].get(term)) for place, moment in cells)]
            for term in measured["by_epoch"]["gain_head"]
        ),
    )


def parameter_table(measured: Mapping[str, Any]) -> Table:
    """Return mean and spread of every parameter in the first and the last epoch."""
    first, last = measured["epochs"][0], measured["epochs"][-1]
    headers = [f"{which}\nepoch {epoch}" for which in ("mean,", "std,") for epoch in (first, last)]
    headers[1], headers[3] = f"\nepoch {last}", f"\nepoch {last}"
    cells = [f"{at}_{which}" for which in ("mean", "std") for at in ("first", "last")]
    return table(
        "Parameters of curve, readout and velocity",
        ["parameter", *map(right, headers)],
        ([name, *(number(ends[cell]) for cell in cells)] for name, ends in measured["ends"].items()),
    )


def changes_table(changes: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return what to change, in order of expected effect."""
    if not changes:
        return Text("What to change: none of the known causes was found.", style="bold")
    return table(
        "What to change, in order of expected effect: by headroom in AUC, then in nats",
        [
            right(""),
            "change, and the settings of python -m gainkt.train that make it",
            "because of",
            right("AUC"),
            right("nats"),
        ],
        (
            [
                str(place),
                "\n".join([change["change"], *(f"  {setting}" for setting in (change["override"] or "").split())]),
                ", ".join(name.replace("_", " ") for name in change["because"]),
                signed(change["auc"]),
                signed(change["nats"]),
            ]
            for place, change in enumerate(changes, start=1)
        ),
    )


def leakage_table(guards: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row a leakage guard."""
    rows = ([g["name"].replace("_", " "), verdict(GUARD[g["passed"]]), g["reading"]] for g in guards)
    return table("Leakage guards", ["guard", wide("", 10), "reading"], rows)
