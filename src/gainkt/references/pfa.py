"""Performance factors analysis: a logistic regression on how often each skill went right and wrong before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.files import write_json
from gainkt.references.base import Floats, ImpliedAbility, Prediction, Students, everyone, places_of
from gainkt.references.opportunities import Opportunities
from gainkt.references.saved import numbers, reading

logger = logging.getLogger(__name__)

FORMAT = "gainkt-pfa-1"
COUNTS: dict[str, Callable[[Tensor], Tensor]] = {"log": torch.log1p, "raw": torch.clone}
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
class PFA(ImpliedAbility):
    """Weights of every skill, fitted; satisfies `Reference`.

        logit P(right) = sum over the step's skills of easiness_k + right_k f(s_k) + wrong_k f(w_k)

    s_k and w_k are how often skill k went right and wrong before the step, f is log(1 + n) or n itself.
    """

    name = "PFA"
    skill_names: tuple[str, ...]
    """Names of the K skills, in the order of the weights."""
    easiness: Floats
    """[K], beta: logit at the first opportunity."""
    right: Floats
    """[K], gamma: weight of earlier right responses."""
    wrong: Floats
    """[K], rho: weight of earlier wrong responses."""
    common: tuple[float, float, float]
    """easiness, right, wrong that unseen skills are given and rare ones are drawn to."""
    counts: str
    """log or raw."""
    responses: int
    """Steps in the training data."""
    log_likelihood: float
    """Mean log-likelihood of a step in training, nats."""

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
        opportunities = Opportunities.of(log, students)
        if not len(opportunities):
            raise DataError(f"{log.name}: no responses of training students to fit PFA on; give students with steps")
        _, step = np.unique(opportunities.step_A, return_inverse=True)
        step_A, num_steps = torch.from_numpy(step.reshape(-1)), int(step.max()) + 1
        target = torch.zeros(num_steps, dtype=torch.float64)
        target[step_A] = opportunities.right_A.double()
        factors, skill_A = _factors(opportunities, counts)[0], opportunities.skill_A
        common = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        own = torch.zeros(log.num_skills, 3, dtype=torch.float64, requires_grad=True)

        def fit_of() -> Tensor:
            slots = ((common + own)[skill_A] * factors).sum(1)
            logit = torch.zeros(num_steps, dtype=torch.float64).index_add(0, step_A, slots)
            return binary_cross_entropy_with_logits(logit, target)

        search = torch.optim.LBFGS(
            [common, own],
            max_iter=max_iterations,
            max_eval=2 * max_iterations,
            tolerance_grad=_FLAT,
            tolerance_change=0,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            search.zero_grad()
            pull = own.square().sum() / (2 * weight_sd**2 * num_steps) + _WEAK * common.square().sum()
            total = fit_of() + pull
            total.backward()
            return total

        with torch.enable_grad():
            search.step(closure)
            closure()
        steepest = max(float(weights.grad.abs().max()) for weights in (common, own) if weights.grad is not None)
        if steepest > 10 * _FLAT:
            logger.warning("PFA: still falling (gradient %.2g); raise max_iterations", steepest)
        with torch.inference_mode():
            easiness, right, wrong = (common + own).T.numpy().copy()
            likelihood = -float(fit_of())
        return cls(
            skill_names=tuple(map(str, log.skill_names)),
            easiness=easiness,
            right=right,
            wrong=wrong,
            common=tuple(common.tolist()),
            counts=counts,
            responses=num_steps,
            log_likelihood=likelihood,
        )

    def predict(self, log: InteractionLog, students: Students | None = None) -> PFAPrediction:
        """Follow some students, all of them where None; a skill unseen in training has the common weights."""
        chosen = everyone(log) if students is None else np.asarray(students, dtype=np.int64)
        opportunities = Opportunities.of(log, chosen)
        weights_A = torch.from_numpy(self._for(log))[opportunities.skill_A]

        def spread(factors: Tensor) -> Floats:
            flat = np.full(len(log.skills), np.nan)
            flat[opportunities.slot_A] = (weights_A * factors).sum(1).numpy()
            return flat

        before, after = map(spread, _factors(opportunities, self.counts))
        logit = np.add.reduceat(before, log.skill_offsets[:-1]) if len(before) else before
        return PFAPrediction(
            probability_M=_sigmoid(logit),
            mastery_before_L=_sigmoid(before),
            logit_before_L=before,
            logit_after_L=after,
        )

    def difficulties(self, log: InteractionLog) -> Floats:
        """Return -easiness, [K] logits in the order of the log's skills."""
        return -self._for(log)[:, 0]

    def learn_rates(self, log: InteractionLog) -> Floats:
        """Return the weight of earlier right responses, [K] in the order of the log's skills."""
        return self._for(log)[:, 1]

    def table(self) -> pd.DataFrame:
        """Return skill, difficulty (logits), easiness, right and wrong, one row a skill."""
        weights = {"easiness": self.easiness, "right": self.right, "wrong": self.wrong}
        return pd.DataFrame({"skill": self.skill_names, "difficulty": -self.easiness, **weights})

    def _for(self, log: InteractionLog) -> Floats:
        """[K, 3], weights in the order of the log's skills."""
        both = np.concatenate([np.column_stack([self.easiness, self.right, self.wrong]), [self.common]])
        return both[places_of(log, self.skill_names)]

    def save(self, path: str | Path) -> Path:
        """Write the model as JSON, readable by a person, whole or not at all."""
        content = {
            "format": FORMAT,
            "counts": self.counts,
            "responses": self.responses,
            "log_likelihood": self.log_likelihood,
            "common": dict(zip(("easiness", "right", "wrong"), self.common, strict=True)),
            "skills": list(self.skill_names),
            "easiness": self.easiness.tolist(),
            "right": self.right.tolist(),
            "wrong": self.wrong.tolist(),
        }
        write_json(path, content)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            DataError: the file is missing, damaged or of another format.
        """
        with reading(path, FORMAT, "PFA") as content:
            common, num_skills = content["common"], len(content["skills"])
            model = cls(
                skill_names=tuple(content["skills"]),
                easiness=numbers(content["easiness"], num_skills),
                right=numbers(content["right"], num_skills),
                wrong=numbers(content["wrong"], num_skills),
                common=(float(common["easiness"]), float(common["right"]), float(common["wrong"])),
                counts=content["counts"],
                responses=content["responses"],
                log_likelihood=content["log_likelihood"],
            )
            if model.counts not in COUNTS:
                raise ValueError(f"counts={model.counts!r}")
            return model


def _sigmoid(x: Floats) -> Floats:
    return np.clip(0.5 * (1 + np.tanh(0.5 * x)), _EDGE, 1 - _EDGE)


def _factors(opportunities: Opportunities, counts: str) -> tuple[Tensor, Tensor]:
    """[A, 3] before and after each opportunity: 1, f(earlier right responses), f(earlier wrong ones)."""
    answer_A = torch.stack([opportunities.right_A, ~opportunities.right_A], dim=1).double()
    before_A = torch.zeros_like(answer_A)
    so_far = torch.zeros(opportunities.num_sequences, 2, dtype=torch.float64)
    for block in opportunities.blocks():
        size = block.stop - block.start
        before_A[block] = so_far[:size]
        so_far[:size] += answer_A[block]
    ones = torch.ones(len(answer_A), 1, dtype=torch.float64)
    f = COUNTS[counts]
    return torch.cat([ones, f(before_A)], dim=1), torch.cat([ones, f(before_A + answer_A)], dim=1)
