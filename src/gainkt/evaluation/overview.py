"""What a page shows of a part of the data: tables by step, student, skill and opportunity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from gainkt.evaluation.statistics.breakdowns import concordance, step_skills

BELIEFS = ("item_difficulty", "readiness", "velocity")
"""Columns of the predictions that say why a step was predicted as it was."""
PARAMETERS = ("beta", "offset", "saturation", "experience", "threshold", "temperature", "guess", "slip")
PARTS = ("initial", "own", "transferred", "velocity", "readiness", "mastery", "item")
"""What a prediction is made of: a skill's initial mastery, the gains of answers that practised it and of others,
velocity and readiness, or mastery as a whole where these do not add up; and the item."""
RESTART = 1e-3
"""Practice lost from one step to the next over which it was summed anew."""
ROUNDING = 2e-3
"""Difference of logits that float32 makes of a probability."""
BAND = (0.1, 0.5, 0.9)
"""Quantiles of the students' mastery that a skill's curve shows."""
FEWEST = 5
"""Students from which on an opportunity is shown, where the skill ever had as many."""
MOST = 60
"""Opportunities of a skill that are shown at most."""


def practised_cells(predictions: pd.DataFrame, trajectories: pd.DataFrame) -> pd.DataFrame:
    """Return one row a step and skill that it practises; students as in the trajectories, their steps in order.

    Returns:
        student, step, skill, item, response, scored, p1, p2 (both before the step), before (mastery of the skills
        before the step, the minimum), the columns of BELIEFS, gain, mastery (after the step, as believed then),
        mastery_final (as believed at the end) and opportunity (of the student on the skill, from 1).
    """
    kept = ["student", "step", "skill", "gain", "practice", "mastery", "mastery_final"]
    cells = trajectories.loc[trajectories["relevant"], kept]
    said = ["student", "step", "item", "response", "scored", "p1", "p2", "mastery", *BELIEFS]
    told = predictions[said].rename(columns={"mastery": "before"})
    rows = cells.merge(told, on=["student", "step"], how="left", validate="m:1")
    order = pd.factorize(rows["student"])[0]
    rows = rows.iloc[np.lexsort((np.arange(len(rows)), rows["step"], order))].reset_index(drop=True)
    rows["opportunity"] = rows.groupby(["student", "skill"], sort=False).cumcount() + 1
    return rows


def prediction_parts(cells: pd.DataFrame, skills: pd.DataFrame) -> pd.DataFrame:
    """Return what Encoder 2's logit at each cell is made of, in logits; the columns of PARTS.

    The curve's argument is a sum, a = -offset + beta W(P) + beta (gamma - 1) W(P) + o, with W(P) = E log(1 + P / E), or
    P where practice does not wear off, and practice P the sum of earlier gains g, each of which counts now as
    beta W(P) / P g. A part is what it adds to the logit when the parts come in this order, gains by answer, through
    M_sat sigmoid(a) and the readout: (m - threshold) / temperature, guess + (1 - slip - guess) m, or m itself. So
    `gainkt.runs.explanation` takes a prediction apart, whose gains are summed here: own ones, of answers that practised
    the skill, and transferred ones.

    Where that does not come to the prediction (several skills at the step, or another curve or readout), the parts of
    mastery are missing, and `mastery` has them together.
    """
    known = skills.set_index("skill").astype(float, errors="ignore")
    of = {name: cells["skill"].map(known[name]).to_numpy(dtype=float) for name in PARAMETERS}
    after, gain = (cells[name].to_numpy(dtype=float) for name in ("practice", "gain"))
    practice = (after - gain).clip(min=0)
    difficulty, readiness, velocity, p2 = (cells[name].to_numpy(dtype=float) for name in (*BELIEFS, "p2"))

    def read(argument: np.ndarray, at: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The logit that the readout makes of the curve's argument, without the item's difficulty."""
        mastery = of["saturation"][at] / (1 + np.exp(-argument))
        right = of["guess"][at] + (1 - of["slip"][at] - of["guess"][at]) * mastery
        right = np.where(np.isnan(right), mastery, right)
        logit = (mastery - of["threshold"][at]) / of["temperature"][at]
        return np.where(np.isnan(logit), np.log(right / (1 - right)), logit)

    with np.errstate(all="ignore"):
        worth = of["beta"] * np.where(
            np.isnan(of["experience"]), practice, of["experience"] * np.log1p(practice / of["experience"])
        )
        steps = np.stack([-of["offset"], worth, (velocity - 1) * worth, readiness]).cumsum(axis=0)
        initial, practised, hurried, whole = map(read, steps)
        per_gain = np.where(practice > 0, worth / practice, 0)
        own = np.zeros(len(cells))
        for now, earlier in _earlier(cells):
            lower, upper = (steps[0][now] + per_gain[now] * p[earlier] for p in (practice, after))
            np.add.at(own, now, read(upper, now) - read(lower, now))
        logit = np.log(p2 / (1 - p2)) + difficulty
    found = (initial, own, practised - initial - own, hurried - practised, whole - hurried)
    alone = ~cells.duplicated(["student", "step"], keep=False).to_numpy()
    adds_up = alone & (np.abs(whole - logit) < ROUNDING * (1 + np.abs(logit)))
    parts = {name: np.where(adds_up, x, np.nan) for name, x in zip(PARTS, found, strict=False)}
    return pd.DataFrame({**parts, "mastery": np.where(adds_up, np.nan, logit), "item": -difficulty}, index=cells.index)


def _earlier(cells: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows: a cell, and an earlier one of the same student and skill whose gain is part of its practice.

    Pairs of one distance at a time, so that memory stays that of the cells. Practice is less than it was where a
    history starts anew at a cut (dataset.carry_state=false).
    """
    group = cells.groupby(["student", "skill"], sort=False).ngroup().to_numpy()
    rows = np.argsort(group, kind="stable")
    after, gain = (cells[name].to_numpy(dtype=float)[rows] for name in ("practice", "gain"))
    anew = np.r_[True, np.diff(group[rows]) != 0]
    anew[1:] |= (after - gain)[1:] < after[:-1] - RESTART
    start = np.maximum.accumulate(np.where(anew, np.arange(len(rows)), 0))
    place = np.arange(len(rows)) - start
    for distance in range(1, int(place.max(initial=0)) + 1):
        now = np.flatnonzero(place >= distance)
        yield rows[now], rows[now - distance]


def mastery_now(trajectories: pd.DataFrame) -> pd.DataFrame:
    """Return the last mastery of each skill that a student met: student, skill, mastery."""
    ordered = trajectories[["student", "skill", "step", "mastery"]].sort_values("step", kind="stable")
    last = ordered.drop_duplicates(["student", "skill"], keep="last").sort_index()
    return last[["student", "skill", "mastery"]].reset_index(drop=True)


def by_student(predictions: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return one row a student of the predictions, in their order.

    Returns:
        student, steps, skills (that were practised), right (share of responses), auc1 and auc2 (within the student,
        over scored steps; missing with one class of responses), mastery (mean over skills at the end; missing where
        `now` does not know the student).
    """
    code, students = pd.factorize(predictions["student"])
    count = np.bincount(code, minlength=len(students))
    row, skill = step_skills(predictions["skills"])
    met = pd.DataFrame({"student": code[row], "skill": skill}).drop_duplicates()
    table = pd.DataFrame(
        {
            "student": students,
            "steps": count,
            "skills": np.bincount(met["student"], minlength=len(students)),
            "right": np.bincount(code, predictions["response"], len(students)) / count,
        }
    )
    scored = predictions["scored"].to_numpy(dtype=bool)
    rows = predictions[scored]
    response = rows["response"].to_numpy()
    for number in (1, 2):
        pairs = concordance(code[scored], rows[f"p{number}"].to_numpy(dtype=float), response, len(students))
        with np.errstate(invalid="ignore", divide="ignore"):
            table[f"auc{number}"] = pairs[0] / pairs[1]
    table["mastery"] = table["student"].map(now.groupby("student")["mastery"].mean())
    return table


def by_skill(skills: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return the table of skills with what the practised cells say beside it.

    Returns:
        The columns of `skills`, and students (that practised it), initial (mean mastery before a student's first
        attempt, over steps that practise no other skill; missing where there is none), gain_right and gain_wrong (mean
        gain of the skill at steps answered so).
    """
    alone = ~cells.duplicated(["student", "step"], keep=False)
    first = cells[alone & (cells["opportunity"] == 1)]
    gain = cells.groupby(["skill", "response"])["gain"].mean().unstack()
    names = skills["skill"]
    return skills.assign(
        students=names.map(cells.groupby("skill")["student"].nunique()).fillna(0).astype(int),
        initial=names.map(first.groupby("skill")["before"].mean()),
        gain_right=names.map(gain.get(1, pd.Series(dtype=float))),
        gain_wrong=names.map(gain.get(0, pd.Series(dtype=float))),
    )


def by_opportunity(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the range of the students' mastery after each opportunity on a skill.

    Opportunities of fewer than FEWEST students are left out unless no opportunity of the skill had as many, and those
    after MOST always.

    Returns:
        skill, opportunity (from 1), students, low, middle, high (the quantiles BAND of mastery after it), right (share
        of right responses at it); a skill's rows together.
    """
    rows = cells[cells["opportunity"] <= MOST]
    groups = rows.groupby(["skill", "opportunity"], sort=True)
    table = pd.DataFrame({"students": groups.size(), "right": groups["response"].mean()})
    quantiles = groups["mastery"].quantile(np.array(BAND)).unstack()
    table[["low", "middle", "high"]] = quantiles.to_numpy() if len(quantiles) else np.empty((0, 3))
    most = table.groupby(level="skill")["students"].transform("max")
    return table[table["students"] >= most.clip(upper=FEWEST)].reset_index()


def sample_students(cells: pd.DataFrame, most: int, seed: int) -> list[str] | None:
    """Return students, drawn at random, whose rows together are at most `most` (but one student always).

    None where all of them fit.
    """
    sizes = cells.groupby("student", sort=False).size()
    if sizes.sum() <= most:
        return None
    drawn = sizes.iloc[np.random.default_rng(seed).permutation(len(sizes))]
    return list(drawn.index[: max(int((drawn.cumsum() <= most).sum()), 1)])
