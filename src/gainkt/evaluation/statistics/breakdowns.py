"""Prediction broken down by student, skill, attempt and probability: a pooled AUC hides whom a model tells apart.

All are functions of the predictions table (gainkt.evaluation.schema) and of the name of a column of probabilities, and
look at scored rows only. The table is given whole: which attempt is the first is a matter of unscored steps too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.correlation import centred_by, pearson
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of, scored_rows
from gainkt.names import unjoined

NUM_BINS = 10


@dataclass(frozen=True)
class GroupedAuc:
    """AUC within groups: a right response is compared only with wrong ones of the same group."""

    auc: float
    """Mean over groups weighted by their (right, wrong) pairs: the share of pairs in the right order."""
    unweighted: float
    """Plain mean over groups."""
    groups: int
    """Groups that have both classes; the others say nothing."""
    pairs: int
    """Pairs compared."""


def concordance(group_N: Array, probability_N: Array, response_N: Array, num_groups: int) -> tuple[Array, Array]:
    """Count by group the (right, wrong) pairs in the right order, ties as half, and all such pairs.

    Arguments are those of `ordered_pairs`.

    Returns:
        Two arrays [G]; their ratio is each group's AUC.
    """
    above, tied, pairs = ordered_pairs(group_N, probability_N, response_N, num_groups)
    return above + tied / 2, pairs


def ordered_pairs(
    group_N: Array, probability_N: Array, response_N: Array, num_groups: int
) -> tuple[Array, Array, Array]:
    """Count by group the (right, wrong) pairs in the right order, those that tie, and all.

    Args:
        group_N: group of each row, 0 to G - 1.
        probability_N: finite.
        response_N: 1 right, 0 wrong.
        num_groups: G.

    Returns:
        Three arrays [G].
    """
    order = np.lexsort((probability_N, group_N))
    group, probability, right = group_N[order], probability_N[order], response_N[order] > 0
    rights = np.bincount(group, right, num_groups)
    wrongs = np.bincount(group, ~right, num_groups)
    starts = np.ones(len(group), dtype=bool)  # of runs that tie
    starts[1:] = (group[1:] != group[:-1]) | (probability[1:] != probability[:-1])
    run = np.cumsum(starts) - 1
    wrong_in_run = np.bincount(run, ~right)
    wrong_before_run = np.cumsum(wrong_in_run) - wrong_in_run
    wrong_before_group = np.cumsum(wrongs) - wrongs
    below = wrong_before_run[run] - wrong_before_group[group]
    above, tied = (np.bincount(group, np.where(right, wrong, 0.0), num_groups) for wrong in (below, wrong_in_run[run]))
    return above, tied, rights * wrongs


def auc_of(score_N: Array, y_N: Array) -> float:
    """Area under the ROC curve, ties counting half; both classes must occur."""
    concordant, pairs = concordance(np.zeros(len(y_N), dtype=np.int64), score_N, y_N, 1)
    return float(concordant[0] / pairs[0])


def auc(predictions: pd.DataFrame, column: str = "p2") -> float:
    """Pooled AUC over scored steps.

    Raises:
        Unmeasurable: nothing is scored, a probability is not finite, or only one class occurs.
    """
    rows = scored_rows(predictions, "response", column)
    return _grouped(np.zeros(len(rows), dtype=np.int64), rows, column, "the scored steps").auc


def within_student_auc(predictions: pd.DataFrame, column: str = "p2") -> GroupedAuc:
    """AUC within students: does the model tell a student's own right steps from the wrong ones?

    Raises:
        Unmeasurable: as `auc`, or no student has both classes.
    """
    rows = scored_rows(predictions, "student", "response", column)
    return _grouped(pd.factorize(rows["student"])[0], rows, column, "any student's scored steps")


def within_skill_auc(predictions: pd.DataFrame, column: str = "p2") -> GroupedAuc:
    """AUC within skills: does the model tell students apart, skill difficulty aside?

    A step with several skills counts under each of them.

    Raises:
        Unmeasurable: as `auc`, or no skill has both classes.
    """
    rows = scored_rows(predictions, "skills", "response", column)
    row, skill = step_skills(rows["skills"])
    return _grouped(skill, rows.iloc[row], column, "any skill's scored steps")


def _grouped(group_N: Array, rows: pd.DataFrame, column: str, where: str) -> GroupedAuc:
    p, y = column_of(rows, column), column_of(rows, "response")
    concordant, pairs = concordance(group_N, p, y, int(group_N.max()) + 1)
    both = pairs > 0
    if not both.any():
        raise Unmeasurable(f"no AUC: {where} hold one class of responses only")
    return GroupedAuc(
        auc=float(concordant.sum() / pairs.sum()),
        unweighted=float((concordant[both] / pairs[both]).mean()),
        groups=int(both.sum()),
        pairs=int(pairs.sum()),
    )


def first_attempts(predictions: pd.DataFrame) -> Array:
    """Tell for every row (scored or not) whether the student meets one of its skills for the first time."""
    row, skill = step_skills(predictions["skills"])
    student = pd.factorize(predictions["student"])[0][row]
    again = pd.DataFrame({"student": student, "skill": skill}).duplicated().to_numpy()
    first = np.zeros(len(predictions), dtype=bool)
    first[row[~again]] = True
    return first


def first_and_later(predictions: pd.DataFrame, column: str = "p2") -> dict[str, dict[str, float | None]]:
    """AUC where a student meets a skill for the first time, and where all the step's skills were met before.

    Returns:
        {"first": {"steps": count, "auc": or None with one class only}, "later": the same}
    """
    first, scored = first_attempts(predictions), predictions["scored"].to_numpy(dtype=bool)
    found: dict[str, dict[str, float | None]] = {}
    for name, attempts in (("first", first), ("later", ~first)):
        rows = predictions.loc[attempts & scored, ["scored", "response", column]]
        found[name] = {"steps": len(rows), "auc": None}
        try:
            found[name]["auc"] = auc(rows, column)
        except Unmeasurable:
            continue
    return found


def reliability_table(predictions: pd.DataFrame, column: str = "p2", num_bins: int = NUM_BINS) -> pd.DataFrame:
    """Mean probability beside the share of right responses in bins of equal width.

    Returns:
        A row a bin that is not empty: low, high (the bin is [low, high), the last one closed), count,
        probability (mean), right (share).

    Raises:
        Unmeasurable: nothing is scored, or a probability is not finite.
    """
    rows = scored_rows(predictions, "response", column)
    p, y = column_of(rows, column), column_of(rows, "response")
    edges = np.linspace(0, 1, num_bins + 1)
    bin_N = np.clip(np.searchsorted(edges, p, "right") - 1, 0, num_bins - 1)
    count = np.bincount(bin_N, minlength=num_bins)
    some = count > 0
    columns = {
        "low": edges[:-1],
        "high": edges[1:],
        "count": count,
        "probability": np.bincount(bin_N, p, num_bins) / np.maximum(count, 1),
        "right": np.bincount(bin_N, y, num_bins) / np.maximum(count, 1),
    }
    return pd.DataFrame({name: x[some] for name, x in columns.items()})


def expected_calibration_error(predictions: pd.DataFrame, column: str = "p2", num_bins: int = NUM_BINS) -> float:
    """Mean over bins, weighted by their counts, of |share right - mean probability| (Naeini et al. 2015)."""
    table = reliability_table(predictions, column, num_bins)
    return float(np.average((table["right"] - table["probability"]).abs(), weights=table["count"]))


def within_student_correlation(predictions: pd.DataFrame, column: str = "mastery") -> float:
    """Correlation of a column with the response after subtracting each student's means.

    Students that answer all alike add variance of the column but no covariance, so they pull it towards 0.

    Raises:
        Unmeasurable: nothing is scored, a value is not finite, or one side does not vary within any student.
    """
    rows = scored_rows(predictions, "student", "response", column)
    student = pd.factorize(rows["student"])[0]
    x, y = (centred_by(student, column_of(rows, name)) for name in (column, "response"))
    return _varying(pearson(x, y), f"{column} and response within students")


def encoder_agreement(predictions: pd.DataFrame) -> dict[str, float]:
    """Pearson and Spearman correlation of the two encoders' probabilities.

    Raises:
        Unmeasurable: nothing is scored, a probability is not finite, or one encoder says the same everywhere.
    """
    rows = scored_rows(predictions, "p1", "p2")
    p1, p2 = column_of(rows, "p1"), column_of(rows, "p2")
    return {
        "pearson": _varying(pearson(p1, p2), "p1 and p2"),
        "spearman": _varying(pearson(rankdata(p1), rankdata(p2)), "p1 and p2"),
    }


def _varying(correlation: float, what: str) -> float:
    if np.isnan(correlation):
        raise Unmeasurable(f"no correlation of {what}: one of them does not vary")
    return correlation


def step_skills(skills: pd.Series, known: pd.Index | None = None) -> tuple[Array, Array]:
    """Take joined skill names apart.

    Args:
        skills: of each row, joined as in predictions.parquet.
        known: names to number the skills by, -1 where one is not among them; in order of appearance where None.

    Returns:
        Row number and skill number of every (row, skill), rows in order.
    """
    set_N, sets = pd.factorize(skills)
    members = [unjoined(str(names)) for names in sets]
    counts = np.array([len(names) for names in members], dtype=np.int64)
    names = np.array([name for names in members for name in names], dtype=object)
    code = pd.factorize(names)[0] if known is None else known.get_indexer(pd.Index(names))
    begin, count_N = np.cumsum(counts) - counts, counts[set_N]
    row = np.repeat(np.arange(len(set_N)), count_N)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(count_N) - count_N, count_N)
    return row, code.astype(np.int64)[begin[set_N[row]] + nth]
