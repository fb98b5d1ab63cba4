"""Audit anybody's model, or a file of its predictions: does it know what it should not?

A model is a callable: a table of histories in, a probability a row out, predicted from the rows before it. A guard is
the dictionary of `gainkt.evaluation.leakage`; one that fails shows, in `measured["counterexample"]`, the smallest
history found that shows the fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from gainkt.data.readers.expansion import ENOUGH, Twos
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.evaluation.leakage import Guard, guard
from gainkt.evaluation.statistics.breakdowns import auc_of

Predict = Callable[[pd.DataFrame], ArrayLike]
"""From histories (columns student, step, skill, response, and item where known; each student's rows in order) to the
probability of a right response to each row, from that student's rows before it; NaN where there is none."""

COLUMNS = ("student", "skill", "response")
MOVED = 1e-6
"""Change of a probability over which it is said to have moved."""
ALONE = 1e-4
"""The same where rows are computed in other company, which rounds differently."""
NUM_FLIPS = 12
SHORTEST = 10
"""Rows of a history from which two alike are no chance."""
SIGMAS = 4.0


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    subject: str
    """What was audited."""
    guards: list[Guard] = field(repr=False)
    """One a question."""

    @property
    def passed(self) -> bool:
        """True where no guard failed."""
        return all(found["passed"] is not False for found in self.guards)

    @property
    def content(self) -> dict[str, Any]:
        """As audit.json holds it."""
        return {"subject": self.subject, "passed": self.passed, "guards": self.guards}


def audit_model(predict: Predict, histories: pd.DataFrame, *, subject: str = "model", seed: int = 0) -> Audit:
    """Ask a model about changed histories.

    - later_responses: no probability moves when responses at its row or after it change;
    - later_rows: nor when the rows after it are taken away;
    - other_students: nor when other students are left out;
    - random_responses: with responses drawn by coin, its AUC is .5 within 4 standard deviations,
      sqrt((m + n + 1) / (12 m n)) for m right and n wrong ones;
    - history_is_read: some later probability moves, or the guards above could not fail.

    Args:
        predict: the model.
        histories: columns student, skill, response (0, 1), and item if there are any; each student's rows in order.
        subject: what the model is called.
        seed: of flips and coins.

    Raises:
        DataError: the histories lack a column, or hold other responses.
        ConfigError: the model returns something else than a probability a row.
    """
    rows, draw = _checked(histories), np.random.default_rng(seed)
    ask = _asking(predict)
    told = ask(rows)
    ahead, read = _flips(ask, rows, told, draw)
    return Audit(
        subject,
        [
            ahead,
            read,
            _without_later_rows(ask, rows, told, draw),
            _alone(ask, rows, told, draw),
            _coins(ask, rows, draw),
        ],
    )


def audit_predictions(predictions: pd.DataFrame, *, subject: str = "predictions") -> Audit:
    """Look for leaks in a table of predictions; what its columns do not tell is not measured.

    - label_scored_once: no (student, step) stands twice;
    - row_expansion: no answer stands in several rows, one a skill (by item, or by skills and responses alone);
    - parts_apart: no student, and no history of 10 rows or more, stands in two parts.

    Args:
        predictions: columns student, skill, response (0, 1) and p, and where known step, item, part; in order.
        subject: what the table is called.

    Raises:
        DataError: a column is missing, a probability is not one, or nothing is predicted.
    """
    rows = _checked(predictions, "p")
    p = pd.to_numeric(rows["p"], errors="coerce").to_numpy(dtype=np.float64)
    scored = np.isfinite(p)
    if not scored.any():
        raise DataError("column p: no row has a probability; there is nothing to audit")
    if ((p[scored] < 0) | (p[scored] > 1)).any():
        raise DataError(f"column p: {int(((p < 0) | (p > 1)).sum())} rows are no probability from 0 to 1")
    return Audit(subject, [_once(rows, scored), _expanded(rows), _parts_apart(rows)])


def from_module(module: Any, *, device: str = "cpu") -> Predict:
    """Make a `Predict` of a torch module that is called with skills and responses, [B, T] each, and items if any.

    Skills (and items) that are whole numbers are given as they are, others by their place among the sorted names. The
    module returns probabilities, or logits (found by looking: some lie outside [0, 1]), [B, T], of which column t is
    for step t. Padding stands on the right, as skill 0 and response 0.
    """
    import torch

    module.to(device).eval()

    @torch.inference_mode()
    def predict(rows: pd.DataFrame) -> NDArray[np.float64]:
        student = pd.factorize(rows["student"])[0]
        place = rows.groupby(student, sort=False).cumcount().to_numpy()
        given = []
        for name in ("skill", "response", *(["item"] if "item" in rows else [])):
            values = rows[name]
            number = values if pd.api.types.is_integer_dtype(values) else values.astype("category").cat.codes
            grid = np.zeros((student.max() + 1, place.max() + 1), dtype=np.int64)
            grid[student, place] = number
            given.append(torch.from_numpy(grid).to(device))
        told = module(*given).double().cpu().numpy()[student, place]
        outside = np.isfinite(told) & ((told < 0) | (told > 1))
        return 1 / (1 + np.exp(-told)) if outside.any() else told

    return predict


def _checked(table: pd.DataFrame, *more: str) -> pd.DataFrame:
    """Rows with a step number, in order of students; responses as whole numbers."""
    for name in (*COLUMNS, *more):
        if name not in table:
            raise DataError(f"column {name} is missing{nearest(name, map(str, table.columns))}; found {list(table)}")
    response = pd.to_numeric(table["response"], errors="coerce")
    other = ~response.isin([0, 1])
    if other.any() or not len(table):
        found = f"{int(other.sum())} rows hold something else" if len(table) else "there is no row"
        raise DataError(f"column response: 0 or 1 is needed, and {found}")
    rows = table.assign(response=response.astype(np.int64)).reset_index(drop=True)
    if "step" not in rows:
        rows["step"] = rows.groupby("student", sort=False).cumcount()
    return rows.iloc[np.lexsort((rows["step"], pd.factorize(rows["student"])[0]))].reset_index(drop=True)


Ask = Callable[[pd.DataFrame], NDArray[np.float64]]


def _asking(predict: Predict) -> Ask:
    def ask(rows: pd.DataFrame) -> NDArray[np.float64]:
        told = np.asarray(predict(rows.copy()), dtype=np.float64)
        if told.shape != (len(rows),):
            raise ConfigError(f"the model returned {list(told.shape)} for {len(rows)} rows; one probability a row")
        wrong = np.isinf(told) | (told < 0) | (told > 1)
        if wrong.any() or np.isnan(told).all():
            found = f"{told[wrong][0]:g}" if wrong.any() else "nothing but NaN"
            raise ConfigError(f"the model returned {found}; probabilities from 0 to 1, NaN where it has none")
        return told

    return ask


def _apart(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change of each probability; 1 where there is one in one of the two only."""
    return np.where(np.isnan(before) & np.isnan(after), 0.0, np.nan_to_num(np.abs(before - after), nan=1.0))


def _flips(ask: Ask, rows: pd.DataFrame, told: NDArray, draw: np.random.Generator) -> tuple[Guard, Guard]:
    """Flip one response a student, or all from one on, and see which probabilities move."""
    student = pd.factorize(rows["student"])[0]
    first = np.flatnonzero(np.r_[True, student[1:] != student[:-1]])
    length = np.diff(np.r_[first, len(rows)])
    place = np.arange(len(rows)) - first[student]
    worst: tuple[float, Any] = (0.0, None)
    later = 0.0
    for number in range(NUM_FLIPS):
        at = (draw.random(len(first)) * length).astype(np.int64)
        if number < 2:  # every later response at once, from the first step and from the last
            at = np.zeros_like(length) if number == 0 else length - 1
        flipped = (place >= at[student]) if number % 2 == 0 else (place == at[student])
        moved = _apart(told, ask(_flipped(rows, flipped)))
        ahead = np.where(place <= at[student], moved, 0.0)
        later = max(later, float(np.where(place > at[student], moved, 0.0).max()))
        row = int(ahead.argmax())
        if ahead[row] > worst[0]:
            worst = float(ahead[row]), (rows[student == student[row]], flipped[student == student[row]], place[row])
    measured: dict[str, Any] = {"moved_at_or_before": worst[0], "flips": NUM_FLIPS * len(first)}
    passed, said = worst[0] <= MOVED, ""
    if not passed:
        example = _smallest(ask, *worst[1])
        measured["counterexample"] = example
        if example:
            said = (
                f"; smallest history found: {len(example['history'])} rows, flipping row(s) {example['flipped']} moves "
                f"row {example['row']} from {example['before']:.4f} to {example['after']:.4f}"
            )
    ahead_guard = guard(
        "later_responses",
        passed,
        measured,
        f"responses at a row or after it move its probability by {worst[0]:.1e} at most{said}",
    )
    reads = guard(
        "history_is_read",
        later > MOVED,
        {"moved_after": later},
        f"responses move later probabilities by up to {later:.1e}"
        + ("" if later > MOVED else ": no response is read at all, so that no flip could show a leak"),
    )
    return ahead_guard, reads


def _flipped(rows: pd.DataFrame, flipped: NDArray[np.bool_]) -> pd.DataFrame:
    return rows.assign(response=np.where(flipped, 1 - rows["response"], rows["response"]))


def _smallest(ask: Ask, history: pd.DataFrame, flipped: NDArray[np.bool_], row: int) -> dict[str, Any]:
    """Drop rows of one student's history, and flips, as long as the probability of the row still moves."""

    def moves(keep: NDArray[np.bool_], flips: NDArray[np.bool_]) -> tuple[float, float] | None:
        part = history[keep].reset_index(drop=True)
        here = int(keep[:row].sum())
        try:
            before, after = ask(part)[here], ask(_flipped(part, flips[keep]))[here]
        except Exception:  # a model may need a minimum of rows; such a history shows nothing
            return None
        return (before, after) if _apart(np.array([before]), np.array([after]))[0] > MOVED else None

    keep, flips = np.ones(len(history), dtype=bool), flipped.copy()
    if moves(keep, flips) is None:  # it takes the other students to show it
        return {}
    for what in (flips, keep):
        size = len(history)
        while size:
            for start in range(0, len(history), size):
                tried = what.copy()
                tried[start : start + size] = False
                tried_keep, tried_flips = (tried, flips & tried) if what is keep else (keep, tried)
                changes = tried_keep[row] and tried_flips.any() and (tried != what).any()
                if changes and moves(tried_keep, tried_flips) is not None:
                    what[:] = tried
                    flips &= keep
            size //= 2
    found = moves(keep, flips)
    assert found is not None
    return {
        "history": history[keep].to_dict("records"),
        "flipped": np.flatnonzero(flips[keep]).tolist(),
        "row": int(keep[:row].sum()),
        "before": float(found[0]),
        "after": float(found[1]),
    }


def _without_later_rows(ask: Ask, rows: pd.DataFrame, told: NDArray, draw: np.random.Generator) -> Guard:
    """Cut each history somewhere."""
    student = pd.factorize(rows["student"])[0]
    place = rows.groupby(student, sort=False).cumcount().to_numpy()
    length = np.bincount(student)
    kept = place < (1 + draw.random(len(length)) * length).astype(np.int64)[student]
    moved = _apart(told[kept], ask(rows[kept].reset_index(drop=True)))
    return guard(
        "later_rows",
        moved.max() <= ALONE,
        {"moved": float(moved.max()), "rows_kept": int(kept.sum())},
        f"without the rows after it a probability moves by {moved.max():.1e} at most",
    )


def _alone(ask: Ask, rows: pd.DataFrame, told: NDArray, draw: np.random.Generator) -> Guard:
    """Ask about a few students without the others."""
    names = rows["student"].unique()
    if len(names) < 2:
        return guard("other_students", None, {}, "there is one student only")
    few = draw.permutation(names)[: max(1, min(5, len(names) // 2))]
    moved = 0.0
    for name in few:
        one = (rows["student"] == name).to_numpy()
        moved = max(moved, float(_apart(told[one], ask(rows[one].reset_index(drop=True))).max()))
    return guard(
        "other_students",
        moved <= ALONE,
        {"moved": moved, "students": len(few)},
        f"asked about {len(few)} students one by one, probabilities move by {moved:.1e} at most",
    )


def _coins(ask: Ask, rows: pd.DataFrame, draw: np.random.Generator) -> Guard:
    """Ask about histories whose responses are coins: there is nothing to know about the next one."""
    tossed = rows.assign(response=draw.integers(0, 2, len(rows)))
    told = ask(tossed)
    known = np.isfinite(told)
    y = tossed["response"].to_numpy()[known]
    m, n = int(y.sum()), int((1 - y).sum())
    if min(m, n) < SHORTEST:
        return guard("random_responses", None, {}, f"{m + n} predicted rows are too few for an AUC")
    found, width = float(auc_of(told[known], y)), SIGMAS * np.sqrt((m + n + 1) / (12 * m * n))
    passed = abs(found - 0.5) <= width
    return guard(
        "random_responses",
        passed,
        {"auc": found, "allowed": [0.5 - width, 0.5 + width], "rows": m + n},
        f"on responses drawn by coin the AUC is {found:.4f} ({0.5 - width:.4f} to {0.5 + width:.4f} is chance)"
        + ("" if passed else ": the labels are seen"),
    )


def _once(rows: pd.DataFrame, scored: NDArray[np.bool_]) -> Guard:
    twice = rows[scored].duplicated(["student", "step"], keep=False)
    found = int(rows[scored].duplicated(["student", "step"]).sum())
    measured: dict[str, Any] = {"scored": int(scored.sum()), "scored_again": found}
    if found:
        measured["counterexample"] = {"history": rows[scored][twice].head(2).to_dict("records")}
    return guard(
        "label_scored_once", found == 0, measured, f"{found} of {int(scored.sum())} predictions score a step again"
    )


def _expanded(rows: pd.DataFrame) -> Guard:
    """Rows that are one answer to an item of several skills; every second one is predicted with its label known."""
    skill = pd.factorize(rows["skill"].astype(str))[0]
    student, response = pd.factorize(rows["student"])[0], rows["response"].to_numpy()
    if "item" in rows and rows["item"].notna().any():
        same = (rows[["student", "item", "response"]] == rows[["student", "item", "response"]].shift()).all(axis=1)
        found, how = same.to_numpy() & np.r_[False, skill[1:] != skill[:-1]], "item"
    else:
        twos, how = Twos(), "skills and responses"
        twos.add(student, skill, response)
        found = twos.marks(student, skill, response)
        if not found.any() and twos.num_telling < ENOUGH:
            few = f"items are not named, and {twos.num_telling} rows on the other of two skills are too few ({ENOUGH})"
            return guard("row_expansion", None, {"rows": 0, "found_by": how}, few)
    measured: dict[str, Any] = {"rows": int(found.sum()), "found_by": how}
    if found.any():
        at = int(found.argmax())
        measured["counterexample"] = {"history": rows.iloc[at - 1 : at + 1].to_dict("records")}
    return guard(
        "row_expansion",
        not found.any(),
        measured,
        f"{int(found.sum())} of {len(rows)} rows repeat the answer before them for another skill (told by {how})",
    )


def _parts_apart(rows: pd.DataFrame) -> Guard:
    if "part" not in rows:
        return guard("parts_apart", None, {}, "there is no column part (train, valid, test)")
    crossing = int((rows.groupby("student")["part"].nunique() > 1).sum())
    seen: dict[int, set[str]] = {}
    for (part, _), history in rows.groupby(["part", "student"], sort=False):
        if len(history) >= SHORTEST:
            told = hash((tuple(history["skill"].astype(str)), tuple(history["response"])))
            seen.setdefault(told, set()).add(str(part))
    again = sum(len(parts) > 1 for parts in seen.values())
    measured: Mapping[str, int] = {"students_in_two_parts": crossing, "histories_in_two_parts": again}
    return guard(
        "parts_apart",
        crossing == 0 and again <= len(seen) / 100,
        measured,
        f"{crossing} students and {again} of {len(seen)} histories of {SHORTEST} rows or more stand in two parts",
    )
