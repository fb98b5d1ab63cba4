"""What a table of runs says about its parameters: ranking, spread, correlation, sensitivity, importance."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from scipy import stats

from gainkt.sweeping.summary.runs import REPEATS, Runs, is_numeric

E1, E2 = "val/encoder1_auc", "val/encoder2_auc"
BINS = 4
"""Intervals of equal count into which a parameter of more than MANY different numbers is cut for its importance."""
MANY = 8
BEST_SHARE = 0.1


def score_name(alpha: float, part: str = "val") -> str:
    """Name of the column that holds E1 + alpha E2 on a part of the data."""
    return f"{part}/score_{alpha:g}"


def score_title(alpha: float) -> str:
    """Write the score as a formula: E1 + 0.5 E2."""
    return "E1 + E2" if alpha == 1 else f"E1 + {alpha:g} E2"


def add_scores(runs: Runs, alphas: Sequence[float]) -> Runs:
    """Add the columns E1 + alpha E2 of both AUCs, on validation and on test."""
    table, names = runs.table.copy(), []
    for part in ("val", "test"):
        for alpha in alphas:
            one, two = (table.get(f"{part}/encoder{n}_auc", np.nan) for n in (1, 2))
            table[score_name(alpha, part)] = one + alpha * two
            names.append(score_name(alpha, part))
    return Runs(table, runs.settings, [*names, *runs.metrics])


def rank(runs: Runs, alpha: float) -> pd.DataFrame:
    """Finished runs, best first by E1 + alpha E2 on validation; test figures stand beside it and decide nothing."""
    ordered = runs.done.sort_values([score_name(alpha), "number"], ascending=[False, True], kind="stable")
    test = [score_name(alpha, "test"), "test/encoder1_auc", "test/encoder2_auc"]
    return ordered[["number", *runs.parameters, score_name(alpha), E1, E2, *test]].reset_index(drop=True)


def describe(runs: Runs) -> pd.DataFrame:
    """Count, mean, standard deviation (n - 1), least and greatest value of every metric over finished runs."""
    figures = runs.done[runs.metrics]
    table = pd.DataFrame(
        {"n": figures.count(), "mean": figures.mean(), "std": figures.std(), "min": figures.min(), "max": figures.max()}
    )
    return table.rename_axis("metric").reset_index()


def correlations(runs: Runs) -> pd.DataFrame:
    """Pearson's and Spearman's correlation, with its p-value, of each swept number with each metric, over runs."""
    rows = []
    for key in runs.swept:
        levels = runs.levels(key)
        if not is_numeric(runs.done[key]):
            continue
        for metric in runs.metrics:
            both = pd.DataFrame({"x": levels, "y": runs.done[metric]}).dropna()
            if len(both) < 3 or both.x.nunique() < 2 or both.y.nunique() < 2:
                continue
            line, order = stats.pearsonr(both.x, both.y), stats.spearmanr(both.x, both.y)
            rows.append((key, metric, len(both), line.statistic, line.pvalue, order.statistic, order.pvalue))
    return pd.DataFrame(rows, columns=["parameter", "metric", "n", "pearson", "pearson_p", "spearman", "spearman_p"])


def sensitivity(runs: Runs, alpha: float, share: float = BEST_SHARE) -> pd.DataFrame:
    """Spread of each parameter among the best share of runs: narrow where the choice matters, wide where it does not.

    Args:
        runs: with scores added.
        alpha: of the score on validation that ranks the runs.
        share: of the finished runs, in (0, 1]; at least 2 runs.

    Returns:
        A row a parameter: values among the best, and for numbers mean, std, least, greatest and their range as a share
        of the range over all runs.
    """
    score = runs.done[score_name(alpha)].sort_values(ascending=False, kind="stable")
    best = score.index[: max(ceil(share * len(score) - 1e-9), min(2, len(score)))]
    rows = []
    for key in runs.swept:
        levels = runs.levels(key)
        chosen = levels[best]
        values = ", ".join(f"{v} ({n})" for v, n in chosen.value_counts(sort=False).sort_index().items())
        row: dict[str, object] = {"parameter": key, "best": len(best), "values": values}
        if is_numeric(runs.done[key]):
            span = levels.max() - levels.min()
            row |= {"mean": chosen.mean(), "std": chosen.std(), "min": chosen.min(), "max": chosen.max()}
            row["share_of_range"] = (chosen.max() - chosen.min()) / span if span else np.nan
        rows.append(row)
    columns = ["parameter", "best", "values", "mean", "std", "min", "max", "share_of_range"]
    return pd.DataFrame(rows, columns=columns)


def importance(runs: Runs, metrics: Sequence[str]) -> pd.DataFrame:
    """Share of the variance of a metric that each parameter's level means explain (main effects of an ANOVA).

        share = sum_l n_l (mean_l - mean)^2 / sum_runs (y - mean)^2

    On a full grid these are the main effects of functional ANOVA and add up to at most 1; what is missing is
    interaction and noise. On other designs they may overlap. `by_chance` is what a parameter without effect reaches on
    average, (levels - 1) / (runs - 1). A parameter of more than 8 different numbers is cut into 4 intervals of equal
    count. Seeds and folds are listed too.

    Source: Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.
    """
    rows = []
    for metric in metrics:
        for key in runs.parameters:
            values = runs.done[metric]
            levels, known = runs.levels(key), values.notna()
            if is_numeric(runs.done[key]) and levels.nunique() > MANY:
                levels = pd.qcut(levels, BINS, duplicates="drop")
            y = values[known]
            total = float(((y - y.mean()) ** 2).sum())
            if len(y) < 3 or total == 0:
                continue
            groups = y.groupby(levels[known].astype(str)).agg(["count", "mean"])
            between = float((groups["count"] * (groups["mean"] - y.mean()) ** 2).sum())
            chance = min((len(groups) - 1) / (len(y) - 1), 1.0)
            rows.append((metric, key, len(groups), between / total, chance, key in REPEATS))
    return pd.DataFrame(rows, columns=["metric", "parameter", "levels", "share", "by_chance", "is_repeat"])


def pareto_front(values: pd.DataFrame) -> pd.Series:
    """Tell which rows no other row beats: none is at least as high in every column and higher in one.

    Args:
        values: figures to be made large, one column each; rows with a missing one are never on the front.
    """
    points = values.to_numpy(dtype=float)
    known = np.isfinite(points).all(1)
    front = np.zeros(len(points), dtype=bool)
    for place in np.flatnonzero(known):
        beaten = (points[known] >= points[place]).all(1) & (points[known] > points[place]).any(1)
        front[place] = not beaten.any()
    return pd.Series(front, index=values.index)
