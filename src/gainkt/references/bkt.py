"""Bayesian Knowledge Tracing: a skill is known or not, learnt by practice, and seen through guesses and slips."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.files import write_json
from gainkt.references.base import Floats, ImpliedAbility, Prediction, Students, everyone, logit, places_of
from gainkt.references.bkt_chain import NAMES, Followed, Parameters, expected_counts, follow, log_posterior, maximise
from gainkt.references.opportunities import Opportunities
from gainkt.references.saved import numbers, reading

logger = logging.getLogger(__name__)

FORMAT = "gainkt-bkt-1"
COMBINE = {"product": np.multiply, "minimum": np.minimum}
_EDGE = 1e-3
"""Distance that every chance keeps from 0 and 1, so that no history is impossible."""
_START = {"prior": 0.4, "learn": 0.15, "forget": 0.05, "guess": 0.25, "slip": 0.1}
"""Where fitting starts, and what the fit common to all skills is drawn to."""


@dataclass(frozen=True, eq=False)
class BKTPrediction(Prediction):
    """What BKT says about a log; `mastery_before_L` is P(L), the chance that the slot's skill is known."""

    right_L: Floats
    """Chance of a right response if the slot's skill were the only one of the step."""
    mastery_after_L: Floats
    """P(L) after the step: its response is counted, and what it may have taught or lost."""


@dataclass(frozen=True, eq=False)
class BKT(ImpliedAbility):
    """Chances of every skill, fitted; satisfies `Reference`.

    A step with several skills counts as one opportunity of each, and its response as evidence on each by itself,
    although a wrong one may be due to another skill: an approximation, which keeps skills independent. Its
    prediction is the least of its skills' chances of a right response, or their product (all must succeed, each by
    itself), which is too low where the skills of one item are guessed at or slipped on together: on ASSISTments 2009
    test AUC is .712 with the minimum and .700 with the product.
    """

    skill_names: tuple[str, ...]
    """Names of the K skills, in the order of the parameters."""
    parameters: Parameters
    """[K]."""
    common: Parameters
    """[1], fitted as if all skills were one: what unseen skills are given and rare ones are drawn to."""
    combine: str
    """minimum or product."""
    responses: int
    """Opportunities in the training data."""
    log_likelihood: float
    """Mean log-likelihood of an opportunity in training, nats."""
    iterations: int
    """Steps of expectation-maximisation that the skills took."""

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        students: Students,
        *,
        forgets: bool = False,
        combine: str = "minimum",
        max_guess: float = 0.5,
        max_slip: float = 0.5,
        strength: float = 5.0,
        tolerance: float = 1e-6,
        max_iterations: int = 500,
    ) -> Self:
        """Fit by expectation-maximisation: first one set of chances for all skills, then each skill's from there.

        Deterministic. Guess and slip are kept apart (max_guess + max_slip <= 1, so that 1 - slip >= guess), for
        without it the states may swap names and mastery would fall by learning.

        Args:
            log: the data; only the given students are read.
            students: places of the training students in the log.
            forgets: fit a chance to forget too; 0 otherwise.
            combine: how a step's skills make one prediction, minimum or product.
            max_guess: largest chance to guess, in (0, 1).
            max_slip: largest chance to slip, in (0, 1).
            strength: opportunities that the common chances weigh for each skill's own, > 0.
            tolerance: nats an opportunity; fitting stops when a step gains less.
            max_iterations: steps at most, at least 1.

        Raises:
            ConfigError: a setting is out of range.
            DataError: there is nothing to fit on.

        Source: Corbett and Anderson 1995; bounds as in Baker, Corbett and Aleven 2008.
        """
        _check(combine=combine, max_guess=max_guess, max_slip=max_slip, strength=strength, iterations=max_iterations)
        opportunities = Opportunities.of(log, students)
        if not len(opportunities):
            raise DataError(f"{log.name}: no responses of training students to fit BKT on; give students with steps")
        bounds = dict.fromkeys(NAMES, (_EDGE, 1 - _EDGE))
        bounds["guess"], bounds["slip"] = (_EDGE, max_guess), (_EDGE, max_slip)
        if not forgets:
            bounds["forget"] = (0.0, 0.0)
        # In bounds, so that a chance that no data speaks of keeps to them too.
        start = {name: _tensor([min(max(value, bounds[name][0]), bounds[name][1])]) for name, value in _START.items()}

        def climb(opportunities: Opportunities, expected: Parameters) -> tuple[Parameters, Followed, int]:
            found, followed = expected, follow(expected, opportunities)
            reached = log_posterior(found, followed.seen, expected, strength)
            iterations, gained = 0, float("inf")
            while gained >= tolerance and iterations < max_iterations:
                found = maximise(expected_counts(found, opportunities, followed), expected, strength, bounds)
                followed, last = follow(found, opportunities), reached
                reached = log_posterior(found, followed.seen, expected, strength)
                iterations, gained = iterations + 1, (reached - last) / len(opportunities)
            if gained >= tolerance:
                logger.warning("BKT: still gaining %.2g nats an opportunity; raise max_iterations", gained)
            return found, followed, iterations

        as_one = replace(opportunities, skill_A=torch.zeros_like(opportunities.skill_A))
        with torch.inference_mode():
            common, _, _ = climb(as_one, Parameters(**start))
            own = common.at(torch.zeros(log.num_skills, dtype=torch.int64))
            parameters, followed, iterations = climb(opportunities, own)
        return cls(
            skill_names=tuple(map(str, log.skill_names)),
            parameters=parameters,
            common=common,
            combine=combine,
            responses=len(opportunities),
            log_likelihood=float(followed.seen.log().mean()),
            iterations=iterations,
        )

    @property
    def name(self) -> str:
        """What it is called in results."""
        return "BKT with forgetting" if self._forgets else "BKT"

    @property
    def _forgets(self) -> bool:
        return bool(self.common.forget > 0)

    def predict(self, log: InteractionLog, students: Students | None = None) -> BKTPrediction:
        """Follow some students, all of them where None; a skill unseen in training has the common chances."""
        chosen = everyone(log) if students is None else np.asarray(students, dtype=np.int64)
        opportunities = Opportunities.of(log, chosen)
        with torch.inference_mode():
            followed = follow(self._for(log), opportunities)

        def spread(values: Tensor) -> Floats:
            flat = np.full(len(log.skills), np.nan)
            flat[opportunities.slot_A] = values.numpy()
            return flat

        right = spread(followed.right)
        return BKTPrediction(
            probability_M=COMBINE[self.combine].reduceat(right, log.skill_offsets[:-1]) if len(right) else right,
            right_L=right,
            mastery_before_L=spread(followed.known_before),
            mastery_after_L=spread(followed.known_after),
        )

    def difficulties(self, log: InteractionLog) -> Floats:
        """Return -logit of prior (1 - slip) + (1 - prior) guess, [K] in the order of the log's skills."""
        return _difficulty(self._for(log))

    def learn_rates(self, log: InteractionLog) -> Floats:
        """Return the chance to learn by an opportunity, [K] in the order of the log's skills."""
        return self._for(log).learn.numpy()

    def table(self) -> pd.DataFrame:
        """Return skill, difficulty (logits), and the chances (forget where it was fitted), one row a skill."""
        names = [name for name in NAMES if name != "forget" or self._forgets]
        chances = {name: getattr(self.parameters, name).numpy() for name in names}
        return pd.DataFrame({"skill": self.skill_names, "difficulty": _difficulty(self.parameters), **chances})

    def _for(self, log: InteractionLog) -> Parameters:
        """Chances in the order of the log's skills."""
        both = {name: torch.cat([getattr(self.parameters, name), getattr(self.common, name)]) for name in NAMES}
        return Parameters(**both).at(torch.from_numpy(places_of(log, self.skill_names)))

    def save(self, path: str | Path) -> Path:
        """Write the model as JSON, readable by a person, whole or not at all."""
        content: dict[str, Any] = {
            "format": FORMAT,
            "combine": self.combine,
            "responses": self.responses,
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "common": {name: float(getattr(self.common, name)) for name in NAMES},
            "skills": list(self.skill_names),
            **{name: getattr(self.parameters, name).tolist() for name in NAMES},
        }
        write_json(path, content)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            DataError: the file is missing, damaged or of another format.
        """
        with reading(path, FORMAT, "BKT") as content:
            num_skills = len(content["skills"])
            model = cls(
                skill_names=tuple(content["skills"]),
                parameters=Parameters(**{n: torch.from_numpy(numbers(content[n], num_skills)) for n in NAMES}),
                common=Parameters(**{n: _tensor([content["common"][n]]) for n in NAMES}),
                combine=content["combine"],
                responses=content["responses"],
                log_likelihood=content["log_likelihood"],
                iterations=content["iterations"],
            )
            if model.combine not in COMBINE:
                raise ValueError(f"combine={model.combine!r}")
            return model


def _difficulty(chances: Parameters) -> Floats:
    return -logit((chances.prior * (1 - chances.slip) + (1 - chances.prior) * chances.guess).numpy())


def _tensor(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _check(*, combine: str, max_guess: float, max_slip: float, strength: float, iterations: int) -> None:
    if combine not in COMBINE:
        raise ConfigError(f"combine={combine}: no such way{nearest(combine, COMBINE)}")
    for name, value in (("max_guess", max_guess), ("max_slip", max_slip)):
        if not _EDGE <= value < 1:
            raise ConfigError(f"{name}={value}: must lie in [{_EDGE:g}, 1)")
    if max_guess + max_slip > 1:
        raise ConfigError(
            f"max_guess={max_guess}, max_slip={max_slip}: must sum to 1 at most, or a student who knows the skill "
            "could be less likely to answer right than one who does not"
        )
    if not strength > 0:
        raise ConfigError(f"strength={strength}: must be above 0, so that skills with little data stay finite")
    if iterations < 1:
        raise ConfigError(f"max_iterations={iterations}: give at least 1")
