"""The page of a run: its report, the explorer of its students, and the class, from plain dictionaries and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import TemplateError

from gainkt.names import visible
from gainkt.reporting.page.charts import Chart, calibration, skill_curve, student_charts
from gainkt.reporting.page.explorer import explorer_data
from gainkt.reporting.page.judgement import carried, judged, level_words, pill
from gainkt.reporting.page.render import rendered
from gainkt.reporting.page.training import training_charts
from gainkt.reporting.scorecard_table import mastery_rows
from gainkt.reporting.terminal import interval, number, share, signed

METRICS = {
    "auc": ("AUC", "chance that a right step gets a higher probability than a wrong one"),
    "accuracy": ("accuracy", "share of steps on the right side of .5"),
    "log_loss": ("log loss", "nats a step; lower is better"),
    "rmse": ("RMSE", "lower is better"),
    "calibration_error": ("calibration error", "over 10 bins; lower is better"),
}
ENCODERS = {"encoder1": "Encoder 1", "encoder2": "Encoder 2"}
PARTS = {"val": "validation", "test": "test", "train": "training", "valid": "validation"}
PARAMETERS = ("beta", "saturation", "offset", "experience", "threshold", "temperature", "guess", "slip")
FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, TemplateError)
"""What content of another form than reports have leads to."""
MOST_MATRIX = 40
"""Skills that a picture of the transfer between all of them has room for."""
MOST_PAIRS = 30


def run_page(content: Mapping[str, Any]) -> str:
    """Return the page of a run as HTML.

    Args:
        content: as `gainkt.runs.page.gather` returns it. What a run has not (a diagnosis, advice, an alignment, tables)
            is None there, and the page says how to make it. `teaching` is from `teaching_section`, or None.
    """
    content = {
        **content,
        "diagnosis": _with_pills(content["diagnosis"]),
        "alignment": _with_pills(content["alignment"]),
    }
    card, results, metrics = content["card"], content["results"], content["metrics"]
    return rendered(
        "run.html",
        title=visible(content["name"]),
        content=content | {"provenance_rows": _provenance(content["provenance"])},
        about=_about(content),
        account=_account(results.get("account") or {}),
        tiles=_tiles(content),
        metrics=_metrics(results),
        metric_names=METRICS,
        side_by_side=None if card is None else _side_by_side(card["further"]),
        lead=None if card is None else _lead(card["further"].get("encoder1_lead") or {}),
        checks=None if card is None else judged(card),
        level=None if card is None else level_words(card),
        carries=None if card is None else carried(card["carries"]),
        mastery=None if card is None else mastery_rows(card["further"]),
        teaching=content["teaching"],
        training=[] if metrics is None else training_charts(metrics),
        calibration=None if card is None else _calibration(card["further"]["views"]),
        skills=_skills(content),
        skill_curve=skill_curve(),
        transfer=_transfer(content),
        students=student_charts(),
        data=explorer_data(content),
        signed=signed,
        number=number,
        share=share,
    )


def _about(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was trained on what."""
    results, provenance, config = content["results"], content["provenance"], content["config"]
    selected = results["selected"]
    rows = [
        ("Model", visible(content["name"])),
        ("Data and split", visible(results["protocol"], 400)),
        ("Training students", f"{content['sizes']['num_students']:,}"),
        ("Skills", f"{content['sizes']['num_skills']:,}"),
        ("Items seen in training", f"{content['sizes']['num_items']:,}" if content["sizes"]["num_items"] else "none"),
        ("Selected", f"epoch {results['phases'][selected]['epoch']} of phase {visible(selected)}, on validation"),
        ("Seed", str(provenance.get("seed", "-"))),
        *(
            ("Not trained", f"Encoder {encoder}: what stands here of it means nothing")
            for encoder in results["phases"][selected].get("untrained", ())
        ),
    ]
    parts = [(key, config.get(key)) for key in ("gain_head", "receivers", "curve", "readout", "velocity", "readiness")]
    named = [f"{key.replace('_', ' ')}: {visible(str(value).rpartition('.')[2])}" for key, value in parts if value]
    return [*rows, ("Parts", ", ".join(named))] if named else rows


def _provenance(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Code, packages, machine and data that made the run."""
    git, data = found.get("git") or {}, found.get("data") or {}
    packages = ", ".join(
        f"{visible(name)} {visible(version)}" for name, version in (found.get("packages") or {}).items()
    )
    rows = [
        ("Started", found.get("started")),
        ("gainkt", found.get("gainkt")),
        ("Commit", git.get("commit") and f"{git['commit']}{' with changes' if git.get('dirty') else ''}"),
        ("Python", found.get("python")),
        ("Packages", packages),
        ("Machine", (found.get("machine") or {}).get("platform")),
        ("Data", data.get("name")),
        ("Digest of the data", data.get("digest")),
    ]
    return [(name, visible(value, 300)) for name, value in rows if value]


def _with_pills(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A diagnosis or an alignment whose findings, guards and thresholds have their verdicts in words."""
    if report is None:
        return None
    guards = {True: "pass", False: "fail", None: "not_measurable"}
    said = {
        "findings": lambda found: found["status"],
        "leakage": lambda guard: guards[guard["passed"]],
        "thresholds": lambda row: row["verdict"],
    }
    made = {
        key: [{**row, "pill": pill(verdict(row))} for row in report[key]]
        for key, verdict in said.items()
        if key in report
    }
    return {**report, **made}


def _account(account: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What reading did to the data, a row a count; what happened to no row is not listed."""
    rows = []
    for key, value in account.items():
        title = visible(key.replace("_", " "))
        if isinstance(value, Mapping):
            rows += [(f"{title}: {visible(reason)}", _count(n)) for reason, n in value.items() if n]
        elif value or key in ("rows", "histories_cut", "students_dropped"):
            rows.append((title, _count(value)))
    return rows


def _count(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{_count(value[0])} ({_count(value[1])} published)"
    return f"{value:,}" if isinstance(value, int) else visible(value)


def _tiles(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """The few numbers that come first."""
    card, results = content["card"], content["results"]
    figures = results["phases"][results["selected"]]["figures"]
    part = "test" if "test" in figures else next(iter(figures))
    tiles = []
    for key, title in ENCODERS.items():
        known = None if card is None else card["further"].get(f"{key}_auc")
        tiles.append(
            {
                "title": f"{title} AUC",
                "value": number(figures[part][f"{key}_auc"]),
                "note": interval(known.get("interval")) if known else "",
                "over": f"{PARTS.get(part, part)} students",
            }
        )
    if card is not None:
        protocol, held = card["protocol"], sum(check["verdict"] == "pass" for check in card["checks"])
        tiles.append(
            {
                "title": "Scorecard level",
                "value": card["level"],
                "note": f"{held} of {len(card['checks'])} checks pass",
                "over": f"{protocol['students']:,} students",
            }
        )
        tiles.append(
            {
                "title": "Scored steps",
                "value": f"{protocol['scored_steps']:,}",
                "note": f"of {protocol['steps']:,}",
                "over": f"{protocol['skills']:,} skills",
            }
        )
    return tiles


def _metrics(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a phase and part, with both encoders' metrics."""
    return [
        {
            "phase": visible(phase),
            "epoch": entry["epoch"],
            "part": PARTS.get(part, part),
            "selected": phase == results["selected"],
            "cells": [number(found.get(f"{encoder}_{metric}")) for metric in METRICS for encoder in ENCODERS],
        }
        for phase, entry in results["phases"].items()
        for part, found in entry["figures"].items()
    ]


def _side_by_side(more: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Both encoders on the test students: what, over what, and a number each."""
    one, two = more["views"]["encoder1"], more["views"]["encoder2"]

    def both(title: str, over: str, read: Any) -> tuple[str, str, list[str]]:
        return title, over, [number(read(of)) for of in (one, two)]

    first, later = (one["attempts"][name]["steps"] for name in ("first", "later"))
    pooled = [more["encoder1_auc"], more["encoder2_auc"]]
    return [
        (
            "AUC",
            "all scored steps, 95 % interval",
            [f"{number(e.get('value'))} {interval(e.get('interval'))}" for e in pooled],
        ),
        both("AUC within students", "pairs of steps of one student", lambda of: of["within_student"].get("auc")),
        both("AUC within skills", "pairs of steps on one skill", lambda of: of["within_skill"].get("auc")),
        both("AUC, first attempts", f"{first:,} steps on a new skill", lambda of: of["attempts"]["first"]["auc"]),
        both("AUC, later attempts", f"{later:,} steps", lambda of: of["attempts"]["later"]["auc"]),
        both("calibration error", "10 bins", lambda of: of["calibration"].get("error")),
    ]


def _lead(lead: Mapping[str, Any]) -> str:
    """Say how far Encoder 1 is ahead."""
    value, ends = lead.get("value"), lead.get("interval")
    if value is None or ends is None:
        return ""
    if ends[0] <= 0 <= ends[1]:
        return f"The two AUCs differ by {abs(value):.3f} {interval(ends)}: no difference that these students show."
    ahead, behind = ("Encoder 1", "Encoder 2") if value > 0 else ("Encoder 2", "Encoder 1")
    low, high = sorted(abs(end) for end in ends)
    return f"{ahead} is ahead of {behind} by {abs(value):.3f} AUC [{low:.3f}, {high:.3f}] on the same steps."


def _calibration(views: Mapping[str, Any]) -> Chart | None:
    tables = {
        title: views[key]["calibration"]["reliability"]
        for key, title in ENCODERS.items()
        if views[key]["calibration"].get("reliability")
    }
    if not tables:
        return None
    errors = "; ".join(f"{title} {views[key]['calibration']['error']:.3f}" for key, title in ENCODERS.items())
    says = f"Calibration error, the mean distance from the diagonal over steps: {errors}."
    return calibration(tables, says)


def _skills(content: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A row a skill for the sortable table, those practised most first."""
    table = content["skills"]
    if table is None:
        return None
    curves = dict(list(content["curves"].groupby("skill")["students"]))
    table = table.assign(place=np.arange(len(table))).sort_values("practised_steps", ascending=False, kind="stable")
    return [
        {
            "place": int(row["place"]),
            "name": visible(row["skill"]),
            "steps": int(row["practised_steps"]),
            "students": int(row["students"]),
            **{key: _known(row[key]) for key in ("responses_right", "initial", "gain_right", "gain_wrong")},
            "parameters": _learnt(row),
            "says": _spread(curves.get(row["skill"]), content["part"]),
        }
        for row in table.to_dict("records")
    ]


def _learnt(row: Mapping[str, Any]) -> str:
    known = ", ".join(f"{name} {row[name]:.3g}" for name in PARAMETERS if _known(row[name]) is not None)
    return f"Learnt: {known}." if known else ""


def _spread(students: pd.Series | None, part: str) -> str:
    """Say over whom a skill's curve is."""
    if students is None:
        return f"No {part} student practised this skill: there is no curve to show."
    first, last = f"{students.iloc[0]:,}", f"{students.iloc[-1]:,}"
    return f"{len(students)} opportunities shown; {first} students at the first, {last} at the last."


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _transfer(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mean gain that each skill receives at steps that practise another: a matrix of few skills, pairs of many."""
    found, table = content["transfer"], content["skills"]
    if table is None:
        return None
    steps, own = table["steps"].to_numpy(float), table["practised_steps"].to_numpy(float)
    rest = table["gain_mean"].fillna(0).to_numpy(float) * steps
    rest = rest - table["gain_practised_mean"].fillna(0).to_numpy(float) * own
    with np.errstate(invalid="ignore", divide="ignore"):
        received = rest / (steps - own)
    share_of_all = float(np.nansum(rest) / max(np.nansum(table["gain_mean"].fillna(0) * steps), 1e-12))
    made: dict[str, Any] = {
        "received": [(visible(n), _known(x)) for n, x in zip(table["skill"], received, strict=True)],
        "share": share_of_all,
        "reason": content["transfer_reason"],
        "matrix": None,
        "pairs": None,
    }
    if found is None:
        return made
    gains = found["gains"]
    off = np.where(np.eye(len(gains), dtype=bool), np.nan, gains)
    names = [visible(name, 30) for name in table["skill"]]
    top = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
    made |= {"top": top, "students": found["students"], "steps": found["steps"]}
    order = np.argsort(-np.nan_to_num(off, nan=-1), axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [(names[a], names[b], float(off[a, b])) for a, b in zip(*np.unravel_index(order, off.shape), strict=True)]
    made["pairs"] = [pair for pair in pairs if np.isfinite(pair[2]) and pair[2] > 0]
    if len(names) <= MOST_MATRIX:
        made["matrix"] = [
            (names[i], [(names[j], i == j, _known(gains[i, j])) for j in range(len(names))]) for i in range(len(names))
        ]
        made["names"] = names
    return made
