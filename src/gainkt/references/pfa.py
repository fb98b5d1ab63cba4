"""Performance factors analysis: a logistic regression on how often each skill went right and wrong before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, nearest
from gainkt.references.base import (
    Floats,
    Opportunities,
    Prediction,
    Reference,
    Students,
    chosen_of,
    sigmoid,
    spread,
    trained_on,
)

logger = logging.getLogger(__name__)

COUNTS: dict[str, Callable[[Floats], Floats]] = {"log": np.log1p, "raw": np.asarray}
WEIGHTS = ("easiness", "right", "wrong")
_WEAK = 1e-6
"""Pull of the common weights to 0: as good as none, but finite where all responses are alike."""
_FLAT = 1e-6
"""Gradient of the mean loss that counts as none."""
_EDGE = 1e-9
"""Distance that a probability keeps from 0 and 1."""


@dataclass(frozen=True, eq=False)
class PFAPrediction(Prediction):
    """What PFA says about a log; `mastery_before_L` is sigmoid(logit_before_L)."""

    logit_before_L: Floats
    """What the slot's skill adds to the step's logit, by the responses before the step."""
    logit_after_L: Floats
    """What the same skill would add to a next step: the step's response is counted."""


@dataclass(frozen=True, eq=False)
class PFA(Reference):
    """Weights of every skill: easiness (logit at the first opportunity), right and wrong (of earlier responses).

        logit P(right) = sum over the step's skills of easiness_k + right_k f(s_k) + wrong_k f(w_k)

    s_k and w_k are how often skill k went right and wrong before the step, f is log(1 + n) or n itself. Rare skills are
    drawn to the common weights.
    """

    counts: str
    """log or raw."""
    responses: int
    """Steps in the training data."""
    log_likelihood: float
    """Mean log-likelihood of a step in training, nats."""

    version: ClassVar[int] = 2
    learning: ClassVar[str | None] = "right"

    def __post_init__(self) -> None:
        """Check the way of counting, too."""
        super().__post_init__()
        if self.counts not in COUNTS:
            raise ConfigError(f"counts={self.counts}: no such way{nearest(self.counts, COUNTS)}")

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        students: Students,
        *,
        counts: str = "log",
        weight_sd: float = 1.0,
        max_iterations: int = 500,
    ) -> Self:
        """Fit by L-BFGS: common weights, and each skill's departure from them ~ N(0, weight_sd^2); deterministic.

        Args:
            log: the data; only the given students are read.
            students: places of the training students in the log.
            counts: what a number of responses counts as, log (log(1 + n)) or raw (n, as published).
            weight_sd: standard deviation of the skills' departures, > 0.
            max_iterations: steps at most, at least 1.

        Raises:
            ConfigError: a setting is out of range.
            DataError: there is nothing to fit on, or a step names a skill twice.

        Source: Pavlik, Cen and Koedinger 2009, equation 3; log counts as in Gervet et al. 2020.
        """
        if counts not in COUNTS:
            raise ConfigError(f"counts={counts}: no such way{nearest(counts, COUNTS)}")
        if not 0 < weight_sd < np.inf:
            raise ConfigError(f"weight_sd={weight_sd}: must be above 0 and finite, so that every weight stays finite")
        if max_iterations < 1:
            raise ConfigError(f"max_iterations={max_iterations}: give at least 1")
        opportunities = Opportunities.of(log, trained_on(log, students, "PFA"))
        steps, row_A = np.unique(opportunities.step_A, return_inverse=True)
        right_R, size = log.responses[steps] == 1, (len(steps), 3 * log.num_skills)
        factors_AF = _factors(opportunities, counts)[0]
        column_AF = 3 * opportunities.skill_A[:, None] + np.arange(3)
        design = csr_array((factors_AF.ravel(), (np.repeat(row_A, 3), column_AF.ravel())), size)
        pull = 1 / (weight_sd**2 * len(steps))

        def loss(x: Floats) -> tuple[float, Floats]:
            common, own = x[:3], x[3:].reshape(-1, 3)
            logit = design @ (common + own).ravel()
            slope = (design.T @ (sigmoid(logit) - right_R)).reshape(-1, 3) / len(steps)
            value = cross_entropy(logit, right_R) + 0.5 * pull * np.square(own).sum() + _WEAK * np.square(common).sum()
            return value, np.append(slope.sum(0) + 2 * _WEAK * common, slope + pull * own)

        limits = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "maxcor": 20, "gtol": _FLAT, "ftol": 0}
        found = minimize(loss, np.zeros(3 + size[1]), jac=True, method="L-BFGS-B", options=limits)
        if np.abs(found.jac).max() > 10 * _FLAT:
            logger.warning("PFA: still falling (gradient %.2g); raise max_iterations", np.abs(found.jac).max())
        common, weights = found.x[:3], found.x[:3] + found.x[3:].reshape(-1, 3)
        return cls(
            pd.DataFrame(weights, index=log.skill_names.astype(object), columns=WEIGHTS),
            dict(zip(WEIGHTS, common.tolist(), strict=True)),
            counts=counts,
            responses=len(steps),
            log_likelihood=-cross_entropy(design @ weights.ravel(), right_R),
        )

    def predict(self, log: InteractionLog, students: Students | None = None) -> PFAPrediction:
        """Follow some students, all of them where None; a skill unseen in training has the common weights."""
        opportunities = Opportunities.of(log, chosen_of(log, students))
        weights_AF = self.of(log).to_numpy()[opportunities.skill_A]
        before, after = (
            spread((weights_AF * x_AF).sum(1), opportunities.slot_A, len(log.skills))
            for x_AF in _factors(opportunities, self.counts)
        )
        logit = np.add.reduceat(before, log.skill_offsets[:-1]) if len(before) else before
        probability, mastery = (np.clip(sigmoid(x), _EDGE, 1 - _EDGE) for x in (logit, before))
        return PFAPrediction(probability, mastery, logit_before_L=before, logit_after_L=after)

    def difficulty_of(self, parameters: pd.DataFrame) -> Floats:
        """Return -easiness, [K] logits."""
        return -parameters["easiness"].to_numpy()


def cross_entropy(logit_R: Floats, right_R: NDArray[np.bool_]) -> float:
    """Mean loss of the responses, nats."""
    return float((np.logaddexp(0, logit_R) - right_R * logit_R).mean())


def _factors(opportunities: Opportunities, counts: str) -> tuple[Floats, Floats]:
    """[A, 3] before and after each opportunity: 1, f(earlier right responses), f(earlier wrong ones)."""
    answer = np.column_stack([opportunities.right_A, ~opportunities.right_A]).astype(np.float64)
    after = pd.DataFrame(answer).groupby(opportunities.key_A).cumsum().to_numpy()
    before, after = (np.column_stack([np.ones(len(x)), COUNTS[counts](x)]) for x in (after - answer, after))
    return before, after
