"""The model card of a bundle: what a stranger must know before using a trained model, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gainkt import __version__
from gainkt.names import code, markdown

if TYPE_CHECKING:
    from gainkt.runs.bundle import Content

PARTS = {
    "gains": "gains, permuted over a student's steps",
    "gain_sizes": "sizes of gains, each at its mean",
    "velocity": "velocity, at its mean",
    "readiness": "readiness, at its mean",
    "right_skill": "the skill asked for, the one practised last instead",
}
FIGURES = {"auc": "AUC", "accuracy": "accuracy", "log_loss": "log loss", "calibration_error": "calibration error"}
USE = """## Use

    import gainkt
    model = gainkt.load("this file")
    model.predict(df)    # each answer from those before it; a blank one is predicted
    model.mastery(df)    # where each student stands"""
LISTED = 100
"""Skills that are listed by name."""


def model_card(content: Content) -> str:
    """Return a model's card: what it is, data, protocol, figures, what carries the prediction, limits, and use."""
    parts = [
        f"# {markdown(content.name)}\n\nA knowledge tracing model of gainkt {__version__} (model {content.digest}): "
        "from a student's answers it predicts the next one (p1 by Encoder 1, unconstrained; p2 by Encoder 2, read from "
        "mastery) and estimates the mastery of each skill.",
        _data(content),
        _figures(content.results),
        _judgement(content.scorecard),
        _limits(content),
        USE,
    ]
    return "\n\n".join(parts) + "\n"


def _data(content: Content) -> str:
    results = content.results
    skills = ", ".join(map(code, content.skills[:LISTED]))
    more = f" and {len(content.skills) - LISTED} more" if len(content.skills) > LISTED else ""
    items = f"{len(content.items):,} items" if content.items else "no items"
    protocol = markdown(results.get("protocol", "not known: training did not finish"))
    return (
        f"## Data and protocol\n\n{protocol}.\n\nIt knows {len(content.skills):,} skills and {items}. Skills: {skills}"
        f"{more}.\n\nThe training data are not in this file, nor is the name of any student."
    )


def _figures(results: dict[str, Any]) -> str:
    phase = results.get("phases", {}).get(results.get("selected"), {})
    rows = [
        f"| {part} | Encoder {encoder} | {' | '.join(_number(figures.get(f'encoder{encoder}_{x}')) for x in FIGURES)} |"
        for part, figures in phase.get("figures", {}).items()
        for encoder in (1, 2)
    ]
    if not rows:
        return "## Figures\n\nNone: training did not finish."
    head = f"| part | encoder | {' | '.join(FIGURES.values())} |\n|---|---|{'---|' * len(FIGURES)}"
    return "## Figures\n\nStudents of these parts were not trained on; validation chose the epoch.\n\n" + "\n".join(
        [head, *rows]
    )


def _judgement(card: dict[str, Any] | None) -> str:
    if card is None:
        return "## Can its mastery be believed\n\nNot known: the run left no scorecard."
    rows = [
        f"| {markdown(c['title'])} | {c['verdict'].replace('_', ' ')} | {markdown(c['reading'])} |"
        for c in card["checks"]
    ]
    carries = [
        f"| {PARTS.get(part, part)} | {_number(found.get('fall'))} | {_number(found.get('share_of_logit'))} |"
        for part, found in (card.get("carries") or {}).items()
    ]
    return "\n".join(
        [
            f"## Can its mastery be believed\n\nLevel reached: {card['level']}.\n",
            "| check | verdict | reading |\n|---|---|---|",
            *rows,
            "\n## What carries the prediction\n",
            "What Encoder 2's AUC loses without a part, and the part's share of the variance of its logit.\n",
            "| part taken away | AUC lost | share of logit |\n|---|---|---|",
            *carries,
        ]
    )


def _limits(content: Content) -> str:
    failed = [c["title"] for c in (content.scorecard or {}).get("checks", ()) if c["verdict"] == "fail"]
    limits = [
        "Figures hold for students like those of the data above; others need a test of their own "
        "(`gainkt evaluate`, `gainkt inspect`).",
        "Every student is new to it: a student's history is all that it knows, and it forgets nothing but by revising "
        "its belief.",
        "A skill that it was not trained on cannot be estimated; an item that it was not trained on counts as one of "
        "average difficulty for its skills.",
        "Mastery is an estimate of this model, not a measurement; use it to choose practice, not to grade.",
    ]
    limits += [
        f"Encoder {encoder} was not trained: {'p2, mastery and gains say' if encoder == 2 else 'p1 says'} nothing."
        for encoder in content.untrained
    ]
    if failed:
        limits.append(f"It fails these checks: {markdown(', '.join(failed))}.")
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}"
