"""What tutors decided by estimates of mastery, for the terminal and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import RenderableType

from gainkt.names import pictured, visible
from gainkt.reporting.figures import MARKERS, STYLES
from gainkt.reporting.palette import SERIES
from gainkt.reporting.terminal import Sheet, interval, number, right, share, spaced, table

NAMES = {
    "true_state": "true state",
    "bayes_filter": "Bayes filter",
    "bkt": "BKT",
    "pfa": "PFA",
    "moving_average": "moving average",
    "in_a_row": "right in a row",
    "fixed": "fixed number",
}
"""How the estimators of conf/estimator are called in print."""
TRUTH = (
    ("calibration", "bias"),
    ("calibration", "rmse"),
    ("separation", "earlier"),
    ("separation", "new"),
    ("separation", "within"),
)
"""Where the steadiness of an estimator holds what the truth alone tells."""
SHOWN = 0.4
"""False mastery up to which curves are drawn."""


def teaching_view(content: Mapping[str, Any]) -> RenderableType:
    """Return the tables of what `gainkt.tutoring.command.teach_config` returns."""
    return spaced(*(table(*sheet) for sheet in teaching_sheets(content)), *teaching_notes(content))


def teaching_sheets(content: Mapping[str, Any]) -> list[Sheet]:
    """Return the tables as text: the comparison first, how steady the estimates are last."""
    shown = _simulated(content) if content["mode"] == "simulated" else _logs(content)
    return [*shown, _steadiness(content)]


def teaching_notes(content: Mapping[str, Any]) -> list[str]:
    """Return what is to be known of the comparison."""
    return [visible(note, 200) for note in content["notes"]]


def meaning(content: Mapping[str, Any]) -> str:
    """Say what was found of a trained model's estimate, of the cheapest reading where there are several."""
    rows = [row for row in content["estimators"] if row["name"] not in NAMES] or content["estimators"]
    return _of_taught(content, rows) if content["mode"] == "simulated" else _of_told(content, rows)


def _of_taught(content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    reached, target = [row for row in rows if row["opportunities"]["value"] is not None], share(content["target"])
    if not reached:
        names = ", ".join(title_of(row["name"]) for row in rows)
        return f"No level of {names} brings false mastery to {target}: a tutor cannot go by it."
    best = min(reached, key=lambda row: row["opportunities"]["value"])
    others = [(title_of(name), _told(found)) for name, found in best["against"].items() if name != best["name"]]
    against = ", ".join(f"{times} x {other}" for other, times in others)
    return (
        f"At {target} false mastery a tutor who goes by {title_of(best['name'])} asks {_told(best['opportunities'])} "
        f"exercises of a student and skill{f' ({against})' if against else ''}."
    )


def _of_told(content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    best = max(rows, key=lambda row: row["right_when_left_out"]["value"] or 0)
    found, kept, amount = best["right_when_left_out"], best["right_when_kept"], share(best["left_out"]["value"])
    return (
        f"What a tutor who goes by {title_of(best['name'])} would have left out, {amount} of all exercises, was "
        f"answered right in {number(found['value'])} {interval(found['interval'])} of cases, the rest in "
        f"{number(kept)}: the higher the first, the fewer students it lets go too early."
    )


def title_of(name: str) -> str:
    """Name of an estimator in print."""
    return NAMES.get(name, visible(name, 50))


def _told(found: Mapping[str, Any] | None, digits: int = 2) -> str:
    if found is None or found["value"] is None:
        return "not reached"
    ends = found["interval"]
    return f"{found['value']:.{digits}f}" + ("" if ends is None else f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]")


def _simulated(content: Mapping[str, Any]) -> list[Sheet]:
    against = list(content["estimators"][0]["against"])
    rows = [
        [
            title_of(row["name"]),
            _told(row["opportunities"]),
            *(_told(row["against"][other]) for other in against),
            _told(row["over"]),
            share(row["limit"]["value"]),
            number(row["level"]),
        ]
        for row in content["estimators"]
    ]
    courses = content["students"] * content["skills"]
    main = Sheet(
        f"At {share(content['target'])} false mastery: {courses:,} courses (a student and a skill) in each of "
        f"{len(content['schools'])} simulations",
        [
            "estimator",
            right("opportunities [95 %]"),
            *(right(f"x {title_of(other)}") for other in against),
            right("over-practice"),
            right("limit"),
            right("level"),
        ],
        rows,
        f"Opportunities and over-practice (those after true mastery {content['mastered']:g} was there) a course. False "
        f"mastery: of the courses that the tutor ended as mastered, those that were not. limit: courses that used all "
        f"{content['limit']} opportunities. Stopping: {visible(content['policy']['stopping'])}; sequencing: "
        f"{visible(content['policy']['sequencing'])}. Intervals: students and simulations resampled.",
    )
    tuned = [
        [
            title_of(row["name"]),
            number(_mean(row, "level")),
            share(_mean(row, "false")),
            number(_mean(row, "opportunities")),
        ]
        for row in content["estimators"]
        if any(row["tuned"])
    ]
    caption = "The level is the lowest at which courses of the earlier students have the target's false mastery."
    shift = Sheet(
        "With the level tuned on the earlier students, who practised under another policy",
        ["estimator", right("level"), right("false mastery"), right("opportunities")],
        tuned,
        caption,
    )
    return [main, shift] if tuned else [main]


def _steadiness(content: Mapping[str, Any]) -> Sheet:
    def mean(row: Mapping[str, Any], *path: str) -> float | None:
        values: list[Any] = row["steadiness"]
        for key in path:
            values = [None if value is None else value[key] for value in values]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    movement = [("mean", number), ("p95", number), ("drops", share)]
    rows = [
        [
            title_of(row["name"]),
            *(say(mean(row, "movement", "met", key)) for key, say in movement),
            number(mean(row, "movement", "unmet", "mean")),
            share(mean(row, "direction", "rises_after_wrong")),
            share(mean(row, "direction", "falls_after_right")),
            *([number(mean(row, *path)) for path in TRUTH] if simulated else []),
        ]
        for simulated in [content["mode"] == "simulated"]
        for row in content["estimators"]
        if any(row["steadiness"])
    ]
    titles = [
        "mean move",
        "95th percentile",
        "falls > .05",
        "mean move, unmet",
        "rises after wrong",
        "falls after right",
    ]
    if content["mode"] == "simulated":
        titles += ["bias", "RMSE", "AUC, earlier", "AUC, new", "within a skill"]
    return Sheet(
        "How steady the estimates are",
        ["estimator", *map(right, titles)],
        rows,
        "Moves: of the estimate of a skill at steps that do not practise it, skills met before unless said otherwise. "
        "Rises and falls: of the skill that was answered. Bias, RMSE: against true mastery of the earlier "
        "students who were not fitted on. AUC: of the estimate for being mastered, of these, and of new students whom "
        "nobody stops, over all pairs of courses and over those of one skill.",
    )


def _mean(row: Mapping[str, Any], key: str) -> float | None:
    values = [one[key] for one in row["tuned"] if one is not None]
    return float(np.mean(values)) if values else None


def _logs(content: Mapping[str, Any]) -> list[Sheet]:
    rows = [
        [
            title_of(row["name"]),
            number(row["level"]),
            f"{share(row['left_out']['value'])}",
            f"{number(row['right_when_left_out']['value'])} {interval(row['right_when_left_out']['interval'])}",
            number(row["right_when_kept"]),
            share(row["declared"]),
            share(row["wheel_spinning"]["recall"]),
            share(row["wheel_spinning"]["others"]),
        ]
        for row in content["estimators"]
    ]
    spinning = content["estimators"][0]["wheel_spinning"]
    main = Sheet(
        f"{visible(content['data'])}: {content['students']:,} students, {content['courses']:,} courses, "
        f"{content['opportunities']:,} opportunities, {content['right']:.3f} right",
        [
            "estimator",
            right("level"),
            right("left out"),
            right("right when left out [95 %]"),
            right("right when kept"),
            right("declared"),
            right("wheel-spinning recall"),
            right("others undeclared"),
        ],
        rows,
        f"left out: opportunities after the estimate reached the level, which leaves out {share(content['left_out'])} "
        "of those of earlier students; right when left out is evidence against false mastery. Wheel-spinning: "
        f"{spinning['spinning']:,} of {spinning['courses']:,} courses with 10 opportunities had no 3 right in a row "
        f"within them; recall: those not declared mastered. {visible(content['protocol'], 200)}",
    )
    names = [title_of(row["name"]) for row in content["agreement"]]
    agreement = Sheet(
        "Agreement on which courses end as mastered (Cohen's kappa)",
        ["", *map(right, names)],
        [[name, *map(number, row["values"])] for name, row in zip(names, content["agreement"], strict=True)],
    )
    return [main, agreement]


def mean_curves(content: Mapping[str, Any]) -> list[tuple[str, list[float], list[float]]]:
    """A curve an estimator of simulated students: its name, false mastery, opportunities.

    Of several simulations it is their mean: at each rate of false mastery the fewest opportunities that a level of at
    most that rate takes, interpolated between levels, where every simulation has one.
    """
    found: dict[str, list[Any]] = {}
    for curve in content["curves"]:
        found.setdefault(curve["name"], []).append(curve)
    rates, curves = np.linspace(0, SHOWN, 81), []
    for name, each in found.items():
        if len(each) == 1:
            curves.append((name, each[0]["false"], each[0]["opportunities"]))
            continue
        total = np.zeros(len(rates))
        for one in each:
            kept = [(x, y) for x, y in zip(one["false"], one["opportunities"], strict=True) if x is not None]
            false, opportunities = np.array(sorted(kept), dtype=float).reshape(-1, 2).T
            least = np.minimum.accumulate(opportunities)
            total += np.interp(rates, false, least, left=np.nan) if len(false) else np.nan
        there = np.isfinite(total)
        curves.append((name, rates[there].tolist(), (total[there] / len(each)).tolist()))
    return curves


def teaching_figure(content: Mapping[str, Any]) -> Figure:
    """Opportunities by false mastery over all levels; of real histories, share right by the share left out."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    simulated = content["mode"] == "simulated"
    curves = mean_curves(content) if simulated else [(c["name"], c["left_out"], c["right"]) for c in content["curves"]]
    for place, (name, x, y) in enumerate(curves):
        style, marker = STYLES[place // len(SERIES) % 4], MARKERS[place % 6]
        drawn: dict[str, Any] = {
            "color": SERIES[place % len(SERIES)],
            "label": pictured(title_of(name)),
            "linewidth": 1,
        }
        axes.plot(x, y, style, marker=marker, markersize=3, markevery=max(1, len(x) // 20), **drawn)
    if simulated:
        axes.axvline(content["target"], color="0.4", linewidth=0.8)
        axes.set(xlabel="false mastery", ylabel="opportunities a course", xlim=(0, SHOWN))
        axes.set_ylim(0, content["limit"])
        if len(content["schools"]) > 1:
            axes.set_title(f"mean of {len(content['schools'])} simulations", fontsize=9)
    else:
        axes.axhline(content["right"], color="0.4", linewidth=0.8)
        axes.set(xlabel="share of opportunities left out", ylabel="share right of those left out")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure
