"""Settings repeated over seeds and folds: mean, interval, and paired differences between settings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from gainkt.sweeping.summary.runs import REPEATS, Runs
from gainkt.sweeping.summary.statistics import score_name

CONFIDENCE = 0.95
MOST_PAIRS = 45
"""Pairs of settings that are all compared; beyond, every setting is compared with the best."""


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
            low, high = interval(values)
            rows.append((label, metric, len(values), values.mean(), values.std(), low, high))
    return pd.DataFrame(rows, columns=["setting", "metric", "n", "mean", "std", "low", "high"])


def interval(values: pd.Series, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the t-interval of a mean; missing where there are fewer than two values."""
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std() / np.sqrt(len(values))
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
    done = runs.done.assign(_setting=setting_labels(runs))
    for key in REPEATS:
        done[key] = done[key].astype(str)
    score = done.groupby("_setting")[score_name(alpha)].mean().sort_values(ascending=False, kind="stable")
    pairs = list(combinations(score.index, 2))
    if len(pairs) > MOST_PAIRS:
        pairs = [(score.index[0], other) for other in score.index[1:]]
    rows = []
    for metric in metrics:
        # A setting run twice with the same seed and fold counts once, by its mean.
        wide = done.pivot_table(index=list(REPEATS), columns="_setting", values=metric, aggfunc="mean")
        for first, second in pairs:
            if first not in wide or second not in wide:
                continue
            differences = (wide[first] - wide[second]).dropna()
            if len(differences) < 2:
                continue
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
    spread = differences.std(ddof=1)
    # Equal differences have no spread to test against; rounding alone must not make them certain.
    known = spread > 1e-12 * np.abs(differences).max()
    t_p = float(stats.ttest_1samp(differences, 0.0).pvalue) if known else np.nan
    exact = len(differences) <= 25 and len(set(np.abs(differences))) == len(differences) and np.all(differences)
    return t_p, float(stats.wilcoxon(differences, method="exact" if exact else "asymptotic").pvalue)


def holm(p: pd.Series) -> pd.Series:
    """Correct p-values for their number m: the i-th smallest becomes max over j <= i of (m - j + 1) p_j, at most 1."""
    known = p.dropna().sort_values()
    steps = known * np.arange(len(known), 0, -1)
    return steps.cummax().clip(upper=1.0).reindex(p.index)
