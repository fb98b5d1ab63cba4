"""What a table of runs says: ranking, spread, correlation, sensitivity, importance, repeats over seeds and folds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import ceil

import numpy as np
import pandas as pd
from scipy import stats

from gainkt.sweeping.summary.runs import REPEATS, Runs

E1, E2 = "val/encoder1_auc", "val/encoder2_auc"
TEST = ("test/encoder1_auc", "test/encoder2_auc")
BINS = 4
"""Intervals of equal count into which a parameter of more than MANY different numbers is cut for its importance."""
MANY = 8
BEST_SHARE = 0.1
CONFIDENCE = 0.95
MOST_PAIRS = 45
"""Pairs of settings that are all compared; beyond, every setting is compared with the best."""


def score_name(alpha: float, part: str = "val") -> str:
    """Name of the column that holds E1 + alpha E2 on a part of the data."""
    return f"{part}/score_{alpha:g}"


def score_title(alpha: float) -> str:
    """Write the score as a formula: E1 + 0.5 E2."""
    return "E1 + E2" if alpha == 1 else f"E1 + {alpha:g} E2"


def add_scores(runs: Runs, alphas: Sequence[float]) -> Runs:
    """Add the columns E1 + alpha E2 of both AUCs, on validation and on test."""
    scores: dict[str, pd.Series | float] = {}
    for part in ("val", "test"):
        one, two = (runs.table.get(f"{part}/encoder{n}_auc", np.nan) for n in (1, 2))
        scores |= {score_name(alpha, part): one + alpha * two for alpha in alphas}
    return Runs(runs.table.assign(**scores), runs.settings, [*scores, *runs.metrics])


def rank(runs: Runs, alpha: float) -> pd.DataFrame:
    """Finished runs, best first by E1 + alpha E2 on validation; test metrics stand beside it and decide nothing."""
    ordered = runs.done.sort_values([score_name(alpha), "number"], ascending=[False, True], kind="stable")
    columns = ["number", *runs.parameters, score_name(alpha), E1, E2, score_name(alpha, "test"), *TEST]
    return ordered[columns].reset_index(drop=True)


def describe(runs: Runs) -> pd.DataFrame:
    """Count, mean, standard deviation (n - 1), minimum and maximum of every metric over finished runs."""
    table = runs.done[runs.metrics].agg(["count", "mean", "std", "min", "max"]).T.astype({"count": int})
    return table.rename(columns={"count": "n"}).rename_axis("metric").reset_index()


def correlations(runs: Runs) -> pd.DataFrame:
    """Pearson's and Spearman's correlation, with its p-value, of each swept number with each metric, over runs."""
    rows = []
    for key in filter(runs.is_numeric, runs.swept):
        for metric in runs.metrics:
            both = pd.DataFrame({"x": runs.levels(key), "y": runs.done[metric]}).dropna()
            if len(both) >= 3 and (both.nunique() > 1).all():
                line, order = stats.pearsonr(both.x, both.y), stats.spearmanr(both.x, both.y)
                rows.append((key, metric, len(both), *line, *order))
    return pd.DataFrame(rows, columns=["parameter", "metric", "n", "pearson", "pearson_p", "spearman", "spearman_p"])


def sensitivity(runs: Runs, alpha: float, share: float = BEST_SHARE) -> pd.DataFrame:
    """Spread of each parameter among the best share of runs: narrow where the choice matters, wide where it does not.

    Args:
        runs: with scores added.
        alpha: of the score on validation that ranks the runs.
        share: of the finished runs, in (0, 1]; at least 2 runs.

    Returns:
        A row a parameter: values among the best, and for numbers mean, std, min, max and their range as a share
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
        if runs.is_numeric(key):
            row |= {name: chosen.agg(name) for name in ("mean", "std", "min", "max")}
            row["share_of_range"] = np.ptp(chosen) / np.ptp(levels) if np.ptp(levels) else np.nan
        rows.append(row)
    return pd.DataFrame(rows, columns=["parameter", "best", "values", "mean", "std", "min", "max", "share_of_range"])


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
        y = runs.done[metric].dropna()
        for key in runs.parameters:
            levels = runs.levels(key)
            if runs.is_numeric(key) and levels.nunique() > MANY:
                levels = pd.qcut(levels, BINS, duplicates="drop")
            levels = levels[y.index].astype(str)
            explained = y.groupby(levels).transform("mean")
            if len(y) < 3 or y.var() == 0:
                continue
            share, num_levels = explained.var() / y.var(), levels.nunique()
            chance = min((num_levels - 1) / (len(y) - 1), 1.0)
            rows.append((metric, key, num_levels, share, chance, key in REPEATS))
    return pd.DataFrame(rows, columns=["metric", "parameter", "levels", "share", "by_chance", "is_repeat"])


def pareto_front(values: pd.DataFrame) -> pd.Series:
    """Tell which rows no other row beats: none is at least as high in every column and higher in one.

    Args:
        values: metrics to be maximised, one column each; rows with a missing one are never on the front.
    """
    points = values.to_numpy(dtype=float)
    known = points[np.isfinite(points).all(1)]
    beaten = [((known >= point).all(1) & (known > point).any(1)).any() for point in points]
    return pd.Series(np.isfinite(points).all(1) & ~np.array(beaten, dtype=bool), index=values.index)


def setting_labels(runs: Runs) -> pd.Series:
    """Name each finished run's setting by its swept parameters, `loss.bce1=0.3 optimizer.lr=0.01` say."""
    if not runs.swept:
        return pd.Series("as composed", index=runs.done.index)
    return runs.done[runs.swept].apply(lambda row: " ".join(f"{key}={value}" for key, value in row.items()), axis=1)


def settings_table(runs: Runs, metrics: Sequence[str], alpha: float) -> pd.DataFrame:
    """Mean, standard deviation and 95 % t-interval of metrics over the seeds and folds of each setting, best first.

        mean +- t(.975, n - 1) s / sqrt(n)

    The interval takes runs as independent. Folds share training students, so that it is rather too narrow.

    Returns:
        A row a setting and metric: setting, metric, n, mean, std, low, high; the last three missing where n is 1.
    """
    labels = setting_labels(runs)
    order = runs.done.groupby(labels)[score_name(alpha)].mean().sort_values(ascending=False, kind="stable")
    rows = []
    for label in order.index:
        for metric in metrics:
            values = runs.done.loc[labels == label, metric].dropna()
            rows.append((label, metric, len(values), values.mean(), values.std(), *interval(values)))
    return pd.DataFrame(rows, columns=["setting", "metric", "n", "mean", "std", "low", "high"])


def interval(values: pd.Series, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the t-interval of a mean; missing where there are fewer than two values."""
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.sem()
    return float(values.mean() - half), float(values.mean() + half)


def comparisons(runs: Runs, metrics: Sequence[str], alpha: float) -> pd.DataFrame:
    """Paired differences between settings: runs of the same seed and fold, by t-test and by Wilcoxon's test.

    Holm's correction is over all comparisons of one metric. With n pairs Wilcoxon's p cannot fall under 2 / 2^n.

    Returns:
        A row a pair of settings and metric, the better setting on validation first: first, second, metric, n,
        difference, low, high (95 % t-interval), t_p, wilcoxon_p, t_p_holm, wilcoxon_p_holm; empty where no two settings
        share two repeats.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
    """
    done = runs.done.assign(_setting=setting_labels(runs)).astype(dict.fromkeys(REPEATS, str))
    order = done.groupby("_setting")[score_name(alpha)].mean().sort_values(ascending=False, kind="stable").index
    pairs = list(combinations(order, 2))
    if len(pairs) > MOST_PAIRS:
        pairs = [(order[0], other) for other in order[1:]]
    rows = []
    for metric in metrics:
        # A setting run twice with the same seed and fold counts once, by its mean.
        wide = done.pivot_table(index=list(REPEATS), columns="_setting", values=metric, aggfunc="mean")
        for first, second in (pair for pair in pairs if set(pair) <= set(wide)):
            differences = (wide[first] - wide[second]).dropna()
            if len(differences) >= 2:
                row = (first, second, metric, len(differences), differences.mean(), *interval(differences))
                rows.append((*row, *paired_tests(differences.to_numpy())))
    names = ["first", "second", "metric", "n", "difference", "low", "high", "t_p", "wilcoxon_p"]
    table = pd.DataFrame(rows, columns=names)
    for name in ("t_p", "wilcoxon_p"):
        table[f"{name}_holm"] = table.groupby("metric")[name].transform(holm) if len(table) else np.nan
    return table


def paired_tests(differences: np.ndarray) -> tuple[float, float]:
    """Two-sided p-values of the paired t-test and of Wilcoxon's signed-rank test; 1 where no difference is left."""
    if not np.any(differences):
        return 1.0, 1.0
    # Equal differences have no spread to test against; rounding alone must not make them certain.
    known = differences.std(ddof=1) > 1e-12 * np.abs(differences).max()
    t_p = float(stats.ttest_1samp(differences, 0.0).pvalue) if known else np.nan
    exact = len(differences) <= 25 and len(set(np.abs(differences))) == len(differences) and np.all(differences)
    return t_p, float(stats.wilcoxon(differences, method="exact" if exact else "asymptotic").pvalue)


def holm(p: pd.Series) -> pd.Series:
    """Correct p-values for their number m: the i-th smallest becomes max over j <= i of (m - j + 1) p_j, at most 1."""
    known = p.dropna().sort_values()
    steps = known * np.arange(len(known), 0, -1)
    return steps.cummax().clip(upper=1.0).reindex(p.index)
