"""How sure a figure is: resampling whole students, because the steps of one student are not independent.

A resample is a weight a student (how often it was drawn). Every statistic here is a function of these weights,
exact with ties, and prepared once (sorted, or summed by student) so that 500 resamples cost under a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A figure with its value in every resample, so that differences of figures keep their pairing."""

    value: float
    replicates_R: Array

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % percentile interval; None where most resamples leave the figure undefined."""
        known = self.replicates_R[np.isfinite(self.replicates_R)]
        if 2 * len(known) <= len(self.replicates_R):
            return None
        low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference of two figures from the same resamples."""
        return Estimate(self.value - other.value, self.replicates_R - other.replicates_R)


class StudentBootstrap:
    """Seeded resamples of S students with replacement (cluster bootstrap; Davison and Hinkley 1997, 3.8).

    Args:
        num_students: S; a statistic names students 0 to S - 1.
        resamples: R.
        seed: two bootstraps of one seed draw the same students.
    """

    def __init__(self, num_students: int, resamples: int = 500, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.counts_RS = np.empty((resamples, num_students))
        for counts_S in self.counts_RS:
            drawn = draw.integers(num_students, size=num_students)
            counts_S[:] = np.bincount(drawn, minlength=num_students)

    @property
    def num_students(self) -> int:
        """S."""
        return self.counts_RS.shape[1]

    def estimate(self, statistic: Callable[[Array], float]) -> Estimate:
        """Evaluate a function of the students' weights [S] on the data itself (all 1) and on each resample."""
        replicates = np.array([statistic(counts_S) for counts_S in self.counts_RS])
        return Estimate(float(statistic(np.ones(self.num_students))), replicates)

    def of_sums(self, student_N: Array, columns: list[Array], statistic: Callable[..., Array]) -> Estimate:
        """Evaluate a function of weighted sums over rows, one argument a column.

        Args:
            student_N: student of each row.
            columns: F arrays [N] to be summed.
            statistic: takes F arrays of sums, elementwise.
        """
        sums_SF = np.stack([np.bincount(student_N, column, self.num_students) for column in columns], -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = statistic(*sums_SF.sum(0))
            return Estimate(float(value), statistic(*(self.counts_RS @ sums_SF).T))

    def mean(self, student_N: Array, x_N: Array) -> Estimate:
        """Mean over rows."""
        return self.of_sums(student_N, [np.ones(len(x_N)), x_N], lambda n, x: x / n)

    def std(self, student_N: Array, x_N: Array) -> Estimate:
        """Standard deviation over rows, sqrt(mean(x^2) - mean(x)^2)."""
        x = x_N - x_N.mean()  # no cancellation
        return self.of_sums(
            student_N,
            [np.ones(len(x)), x, x * x],
            lambda n, x, xx: np.sqrt(np.maximum(xx / n - (x / n) ** 2, 0)),
        )

    def correlation(self, student_N: Array, x_N: Array, y_N: Array) -> Estimate:
        """Pearson correlation over rows; nan where one side does not vary."""
        x, y = x_N - x_N.mean(), y_N - y_N.mean()

        def pearson(n: Array, x: Array, y: Array, xx: Array, yy: Array, xy: Array) -> Array:
            # A column that is constant but for rounding (of float32 storage) does not vary.
            var_x, var_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
            cov = xy / n - x * y / n**2
            return np.where((var_x > 1e-14) & (var_y > 1e-14), cov / np.sqrt(np.abs(var_x * var_y)), np.nan)

        return self.of_sums(student_N, [np.ones(len(x)), x, y, x * x, y * y, x * y], pearson)

    def auc(self, student_N: Array, probability_N: Array, response_N: Array) -> Estimate:
        """Area under the ROC curve over rows, ties counting half; nan with one class only."""
        return self.estimate(auc_of_weights(student_N, probability_N, response_N))


def auc_of_weights(student_N: Array, probability_N: Array, response_N: Array) -> Callable[[Array], float]:
    """Prepare AUC as a function of the students' weights w.

    AUC(w) = sum over pairs (right i, wrong j) of w_i w_j ([p_i > p_j] + [p_i = p_j] / 2) / sum of w_i w_j

    Args:
        student_N: student of each row.
        probability_N: finite.
        response_N: 1 right, 0 wrong.

    Returns:
        A function of weights [S], each >= 0; nan where a class has no weight.
    """
    right = response_N > 0
    by_probability = np.argsort(probability_N[~right], kind="stable")
    wrong_p, wrong_student = probability_N[~right][by_probability], student_N[~right][by_probability]
    by_probability = np.argsort(probability_N[right], kind="stable")  # sorted too: neighbours read neighbours
    right_p, right_student = probability_N[right][by_probability], student_N[right][by_probability]
    below = np.searchsorted(wrong_p, right_p, "left")
    below_or_tied = np.searchsorted(wrong_p, right_p, "right")
    wrong_up_to = np.zeros(len(wrong_p) + 1)

    def auc(weight_S: Array) -> float:
        np.cumsum(weight_S[wrong_student], out=wrong_up_to[1:])
        weight = weight_S[right_student]
        pairs = weight.sum() * wrong_up_to[-1]
        return float(weight @ (wrong_up_to[below] + wrong_up_to[below_or_tied]) / 2 / pairs) if pairs > 0 else np.nan

    return auc


def quantiles_of_weights(student_N: Array, x_N: Array, shares: list[float]) -> Callable[[Array], Array]:
    """Prepare quantiles as a function of the students' weights: the smallest x up to which a share of them lies.

    Args:
        student_N: student of each row.
        x_N: finite.
        shares: Q numbers in [0, 1].

    Returns:
        A function of weights [S] that gives [Q] (inverse of the distribution function; no interpolation).
    """
    order = np.argsort(x_N, kind="stable")
    x, student = x_N[order], student_N[order]

    def quantiles(weight_S: Array) -> Array:
        reached = np.cumsum(weight_S[student])
        at = np.searchsorted(reached, np.asarray(shares) * reached[-1], "left")
        return x[np.minimum(at, len(x) - 1)]

    return quantiles
