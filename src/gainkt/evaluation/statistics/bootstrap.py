"""How sure a figure is: resampling whole students, because the steps of one student are not independent.

A resample is a weight a student (how often it was drawn). Every statistic here is a function of these weights,
exact with ties, and prepared once (sorted, or summed by student) so that a resample costs one look at each row or less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

Array = np.ndarray
CONFIDENCE = 0.95
BLOCK = 1 << 23
"""Weights that are held as float64 at once."""
RUN, RUNS, RESAMPLES = 32, 32, 128
"""Of AUC: rows of a run, runs that are summed up side by side, and resamples at once."""
EXACT_ROWS = 2_000_000
"""Rows over which the AUC of each resample is linearised."""
MARGIN = 0.03
"""Share of rows on either side of a quantile among which a resample's is looked for first."""


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
        self.counts_RS = np.empty((resamples, num_students), dtype=np.uint16)
        for counts_S in self.counts_RS:
            drawn = draw.integers(num_students, size=num_students)
            counts_S[:] = np.bincount(drawn, minlength=num_students)

    def __len__(self) -> int:
        """R."""
        return len(self.counts_RS)

    @property
    def num_students(self) -> int:
        """S."""
        return self.counts_RS.shape[1]

    def estimate(self, statistic: Callable[[Array], float]) -> Estimate:
        """Evaluate a function of the students' weights [S] on the data itself (all 1) and on each resample."""
        replicates = np.array([statistic(counts_S.astype(np.float64)) for counts_S in self.counts_RS])
        return Estimate(float(statistic(np.ones(self.num_students))), replicates)

    def of_sums(self, student_N: Array, columns: list[Array], statistic: Callable[..., Array]) -> Estimate:
        """Evaluate a function of weighted sums over rows, one argument a column.

        Args:
            student_N: student of each row.
            columns: F arrays [N] to be summed.
            statistic: takes F arrays of sums, elementwise.
        """
        sums_SF = np.stack([np.bincount(student_N, column, self.num_students) for column in columns], -1)
        return self.of_student_sums(sums_SF, statistic)

    def of_student_sums(self, sums_SF: Array, statistic: Callable[..., Array]) -> Estimate:
        """Evaluate a function as `of_sums` does, of columns that were summed by student, [S, F]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = statistic(*sums_SF.sum(0))
            some = max(1, BLOCK // self.num_students)
            blocks = [self.counts_RS[r : r + some].astype(np.float64) @ sums_SF for r in range(0, len(self), some)]
            return Estimate(float(value), statistic(*np.concatenate(blocks).T))

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
        """Area under the ROC curve over rows, ties counting half; nan with one class only.

        Over EXACT_ROWS rows the value is exact and that of each resample linearised (`_linearised_auc`).
        """
        if len(student_N) > EXACT_ROWS:
            return self._linearised_auc(student_N, probability_N, response_N)
        weights_RS = np.concatenate([np.ones_like(self.counts_RS[:1]), self.counts_RS])
        value, *replicates = auc_of_weights(student_N, probability_N, response_N, weights_RS)
        return Estimate(float(value), np.array(replicates))

    def _linearised_auc(self, student_N: Array, probability_N: Array, response_N: Array) -> Estimate:
        """AUC over rows, exact, and of each resample to first order in the students' weights w less 1.

        AUC(w) = AUC + sum over s of w_s psi_s / sum of w_i w_j,   psi_s = sum over pairs with a row of s of k_ij - AUC

        k is 1 where the right row i stands above the wrong row j, 1/2 where they tie. What is left out are pairs of two
        students who were both drawn oddly: it falls as 1 / S (the infinitesimal jackknife; Efron 1982, 6).
        """
        order = np.argsort(probability_N, kind="stable")
        is_right_N = response_N[order] > 0
        (wrong, wrong_p), (right, right_p) = (
            (student_N[rows], probability_N[rows]) for rows in (order[~is_right_N], order[is_right_N])
        )
        del order
        pairs = len(wrong) * len(right)
        if not pairs:
            return Estimate(np.nan, np.full(len(self), np.nan))
        wrong_S, right_S = (np.bincount(rows, minlength=self.num_students).astype(float) for rows in (wrong, right))
        # Pairs in order of each right row, and of each wrong one; a tie is half of one.
        won_S = np.bincount(right, _below(wrong_p, right_p), self.num_students)
        value = won_S.sum() / pairs
        won_S += np.bincount(wrong, len(right) - _below(right_p, wrong_p), self.num_students)
        psi_S = won_S - value * (right_S * len(wrong) + wrong_S * len(right))
        return self.of_student_sums(
            np.stack([psi_S, wrong_S, right_S], -1),
            lambda psi, wrongs, rights: np.where(wrongs * rights > 0, value + psi / (wrongs * rights), np.nan),
        )


def auc_of_weights(student_N: Array, probability_N: Array, response_N: Array, weights_RS: Array) -> Array:
    """AUC under the students' weights w, of many resamples at once, [R]; nan where a class has no weight.

    AUC(w) = sum over pairs (right i, wrong j) of w_i w_j ([p_i > p_j] + [p_i = p_j] / 2) / sum of w_i w_j

    Rows are sorted once. With whole weights every sum is a whole number, so that none is rounded.

    Args:
        student_N: student of each row.
        probability_N: finite.
        response_N: 1 right, 0 wrong.
        weights_RS: of each resample and student, each >= 0.
    """
    order = np.lexsort((response_N > 0, probability_N))  # of ties, the wrong ones come first
    student, right, p = student_N[order], response_N[order] > 0, probability_N[order]
    nobody, num_runs = weights_RS.shape[1], -(-len(student) // (RUN * RUNS)) * RUNS
    rows_2TG = np.full((2, num_runs * RUN), nobody)  # students of the wrong rows and of the right ones
    rows_2TG[0, : len(student)][~right], rows_2TG[1, : len(student)][right] = student[~right], student[right]
    rows_2TG = np.ascontiguousarray(rows_2TG.reshape(2, num_runs, RUN).swapaxes(1, 2))
    ties = _mixed_ties(p, right)
    # Within a block sums of such weights are whole in float32.
    small = weights_RS.dtype.kind == "u" and RUNS * (RUN * int(weights_RS.max(initial=0))) ** 2 < 1 << 24
    found = []
    for first in range(0, len(weights_RS), RESAMPLES):
        some_RS = weights_RS[first : first + RESAMPLES]
        weight_SR = np.zeros((nobody + 1, len(some_RS)), dtype=np.float32 if small else np.float64)
        weight_SR[:nobody] = some_RS.T
        wrong_TGR, right_TGR = np.empty((2, RUN, RUNS, len(some_RS)), dtype=weight_SR.dtype)
        wrong_R, right_R, pairs_R = np.zeros((3, len(some_RS)))
        for g in range(0, num_runs, RUNS):
            for rows_TG, into in zip(rows_2TG[:, :, g : g + RUNS], (wrong_TGR, right_TGR), strict=True):
                np.take(weight_SR, rows_TG, 0, out=into, mode="clip")
            for n in range(1, RUN):  # np.cumsum over a first axis takes ten times as long
                wrong_TGR[n] += wrong_TGR[n - 1]
            pairs_R += np.einsum("tgr,tgr->r", wrong_TGR, right_TGR)
            wrong_GR, right_GR = wrong_TGR[-1].astype(np.float64), right_TGR.sum(0).astype(np.float64)
            before_GR = np.cumsum(wrong_GR, 0) - wrong_GR + wrong_R
            pairs_R += np.einsum("gr,gr->r", before_GR, right_GR)
            wrong_R, right_R = before_GR[-1] + wrong_GR[-1], right_R + right_GR.sum(0)
        if ties is not None:
            tied, number = ties
            pairs_R -= _tied_pairs(number, student[tied], right[tied], weight_SR[:nobody]) / 2
        with np.errstate(invalid="ignore"):
            found.append(pairs_R / (right_R * wrong_R))
    return np.concatenate(found)


def _below(sorted_N: Array, x_M: Array) -> Array:
    """How many of some sorted numbers lie below each of others, equal ones as half, [M]."""
    return (np.searchsorted(sorted_N, x_M, "left") + np.searchsorted(sorted_N, x_M, "right")) / 2


def _mixed_ties(p_N: Array, right_N: Array) -> tuple[Array, Array] | None:
    """Rows of equal probability, some right and some wrong, and the number of each one's probability; None if none."""
    value = np.cumsum(np.diff(p_N, prepend=p_N[:1]) != 0)
    mixed = (np.bincount(value, right_N) > 0) & (np.bincount(value, ~right_N) > 0)
    rows = np.flatnonzero(mixed[value])
    return (rows, np.unique(value[rows], return_inverse=True)[1]) if len(rows) else None


def _tied_pairs(tie_N: Array, student_N: Array, right_N: Array, weight_SR: Array) -> Array:
    """Weight of the pairs of a right and a wrong row that tie, [R]."""
    shape = (int(tie_N.max()) + 1, len(weight_SR))
    wrong_TR, right_TR = (
        csr_array((np.ones(of.sum()), (tie_N[of], student_N[of])), shape) @ weight_SR for of in (~right_N, right_N)
    )
    return np.einsum("tr,tr->r", wrong_TR, right_TR)


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
    x, student, size = x_N[order], student_N[order], len(x_N)
    num_students = int(student_N.max(initial=-1)) + 1
    near = [(max(0, int((share - MARGIN) * size)), min(size, int((share + MARGIN) * size) + 1)) for share in shares]
    below_QS, all_S = _counts(num_students, *(student[:first] for first, _ in near)), _counts(num_students, student)[0]

    def quantile(weight_S: Array, share: float, first: int, end: int, below: float) -> float:
        reached = below + np.cumsum(weight_S[student[first:end]])
        wanted = share * (weight_S[:num_students] @ all_S)
        if (first and below >= wanted) or (end < size and reached[-1] < wanted):  # an odd resample
            return quantile(weight_S, share, 0, size, 0.0)
        return x[min(first + np.searchsorted(reached, wanted, "left"), size - 1)]

    def quantiles(weight_S: Array) -> Array:
        below_Q = below_QS @ weight_S[:num_students]
        asked = zip(shares, near, below_Q, strict=True)
        return np.array([quantile(weight_S, share, *ends, below) for share, ends, below in asked])

    return quantiles


def _counts(num_students: int, *student: Array) -> Array:
    """Rows of each student by kind of row, float64 [F, S]."""
    return np.stack([np.bincount(rows, minlength=num_students) for rows in student]).astype(np.float64)
