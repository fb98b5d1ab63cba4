"""The Rasch model over skills: a student has one ability, a skill one difficulty, and practice changes neither."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog, spans
from gainkt.errors import ConfigError, DataError
from gainkt.files import write_json
from gainkt.references.base import Floats, Prediction, Students, everyone, places_of
from gainkt.references.rasch_fit import Counts, fit_jointly, follow_abilities, select_ability_sd, sigmoid
from gainkt.references.saved import numbers, reading
from gainkt.references.skill_sets import SkillSets

logger = logging.getLogger(__name__)

FORMAT = "gainkt-rasch-1"


@dataclass(frozen=True, eq=False)
class RaschPrediction(Prediction):
    """What Rasch says about a log; `mastery_before_L` is sigmoid(ability before the step - the skill's difficulty)."""

    ability_before_M: Floats
    """Ability by the responses before the step, logits; 0, the prior's mean, at the first one."""
    ability_after_M: Floats
    """The same with the step's own response."""
    difficulty_M: Floats
    """Of the step: the mean over its skills, logits."""


@dataclass(frozen=True, eq=False)
class Rasch:
    """Difficulties of skills, fitted; satisfies `Reference`.

        P(right) = sigmoid(theta_i - mean of beta_k over the step's skills)

    The mean keeps the posterior concave. theta_i ~ N(0, ability_sd^2) and beta_k ~ N(mean, difficulty_sd^2), so that
    students and skills whose responses are all right or all wrong stay finite. Predictions use the ability filtered
    before each step (`predict`, `abilities`); one ability a student from the whole history (`static_abilities`) is no
    prediction.
    """

    name = "Rasch"
    skill_names: tuple[str, ...]
    """Names of the K skills, in the order of `difficulty`."""
    difficulty: Floats
    """[K], logits, beta."""
    mean_difficulty: float
    """What unseen skills are given and rare ones are drawn to."""
    ability_sd: float
    """Standard deviation of the prior of abilities."""
    difficulty_sd: float
    """Standard deviation of the prior of difficulties."""
    ability_spread: float
    """Standard deviation of the training students' abilities as fitted."""
    responses: int
    """Steps in the training data."""
    log_likelihood: float
    """Mean log-likelihood of a step in training at the fitted abilities, nats."""
    iterations: int
    """Newton steps that fitting took."""

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        students: Students,
        *,
        ability_sd: float | None = None,
        difficulty_sd: float = 1.0,
        max_iterations: int = 100,
    ) -> Self:
        """Fit abilities and difficulties together, as the maximum of their posterior; deterministic.

        Args:
            log: the data; only the given students are read.
            students: places of the training students in the log.
            ability_sd: standard deviation of the prior of abilities, > 0; where None, the one of 0.25, 0.35, 0.5, ... 4
                whose filtered abilities predict the training students' next responses best (log loss).
            difficulty_sd: standard deviation of the prior of difficulties, > 0.
            max_iterations: Newton steps at most, at least 1.

        Raises:
            ConfigError: a setting is out of range.
            DataError: there is nothing to fit on.

        Source: Rasch 1960; the joint maximum of the posterior as in Swaminathan and Gifford 1982.
        """
        for name, value in (("ability_sd", ability_sd), ("difficulty_sd", difficulty_sd)):
            if value is not None and not 0 < value < np.inf:
                raise ConfigError(f"{name}={value}: must be above 0 and finite, so that every estimate stays finite")
        if max_iterations < 1:
            raise ConfigError(f"max_iterations={max_iterations}: give at least 1")
        students = np.asarray(students, dtype=np.int64)
        steps = log.steps_of(students)
        if not len(steps):
            raise DataError(f"{log.name}: no responses of training students to fit Rasch on; give students with steps")
        sets = SkillSets.of(log, steps)
        student, right = np.repeat(np.arange(len(students)), log.lengths[students]), log.responses[steps] == 1
        counts = Counts.of(student, sets.set_R, right, len(students), len(sets.weight_ZK))
        limits: dict[str, Any] = {"difficulty_sd": difficulty_sd, "max_iterations": max_iterations}
        if ability_sd is None:
            ability_sd = select_ability_sd(counts, sets.weight_ZK, student, sets.set_R, right, **limits)
        found = fit_jointly(counts, sets.weight_ZK, ability_sd=ability_sd, **limits)
        if not found.converged:
            logger.warning("Rasch: not converged after %d steps; raise max_iterations", found.iterations)
        return cls(
            skill_names=tuple(map(str, log.skill_names)),
            difficulty=found.difficulty_K,
            mean_difficulty=found.mean,
            ability_sd=ability_sd,
            difficulty_sd=difficulty_sd,
            ability_spread=float(found.ability_N.std()),
            responses=len(steps),
            log_likelihood=found.log_likelihood / len(steps),
            iterations=found.iterations,
        )

    def predict(self, log: InteractionLog, students: Students | None = None) -> RaschPrediction:
        """Predict each step by the ability filtered before it; an unseen skill has the mean difficulty."""
        chosen = everyone(log) if students is None else np.asarray(students, dtype=np.int64)
        steps, lengths = log.steps_of(chosen), log.lengths[chosen]
        sets = SkillSets.of(log, steps)
        difficulty_K = self.difficulties(log)
        difficulty_Z = sets.weight_ZK @ difficulty_K
        student_R = np.repeat(np.arange(len(chosen)), lengths)
        after = follow_abilities(student_R, sets.set_R, log.responses[steps] == 1, difficulty_Z, self.ability_sd)
        before = np.zeros_like(after)
        before[1:] = np.where(student_R[1:] == student_R[:-1], after[:-1], 0.0)

        def spread(values: Floats) -> Floats:
            flat = np.full(log.num_steps, np.nan)
            flat[steps] = values
            return flat

        counts = np.diff(log.skill_offsets)[steps]
        slots = spans(log.skill_offsets[:-1][steps], counts)
        mastery = np.full(len(log.skills), np.nan)
        mastery[slots] = sigmoid(np.repeat(before, counts) - difficulty_K[log.skills[slots]])
        difficulty = difficulty_Z[sets.set_R]
        return RaschPrediction(
            probability_M=spread(sigmoid(before - difficulty)),
            mastery_before_L=mastery,
            ability_before_M=spread(before),
            ability_after_M=spread(after),
            difficulty_M=spread(difficulty),
        )

    def difficulties(self, log: InteractionLog) -> Floats:
        """Return beta, [K] logits in the order of the log's skills; the mean difficulty where unseen in training."""
        return np.append(self.difficulty, self.mean_difficulty)[places_of(log, self.skill_names)]

    def abilities(
        self, log: InteractionLog, students: Students | None = None, prediction: Prediction | None = None
    ) -> Floats:
        """Return theta filtered before each step, [M] logits; NaN for students left out."""
        said = self.predict(log, students) if prediction is None else prediction
        assert isinstance(said, RaschPrediction), "a prediction of another model"
        return said.ability_before_M

    def static_abilities(self, log: InteractionLog, students: Students | None = None) -> Floats:
        """Return theta smoothed, one a student from the WHOLE history, [N] logits; NaN for students left out.

        Not causal: for the published `static` targets of training students and for reading only. It has seen every
        response of the student, so that a prediction made from it is not one.
        """
        chosen = everyone(log) if students is None else np.asarray(students, dtype=np.int64)
        after = self.predict(log, chosen).ability_after_M
        ability = np.full(log.num_students, np.nan)
        some = log.lengths[chosen] > 0
        ability[chosen] = 0.0
        ability[chosen[some]] = after[log.offsets[1:][chosen[some]] - 1]
        return ability

    def learn_rates(self, log: InteractionLog) -> None:
        """Return None: nothing is learnt."""
        return None

    def table(self) -> pd.DataFrame:
        """Return skill and difficulty (logits), one row a skill."""
        return pd.DataFrame({"skill": self.skill_names, "difficulty": self.difficulty})

    def save(self, path: str | Path) -> Path:
        """Write the model as JSON, readable by a person, whole or not at all."""
        content = {
            "format": FORMAT,
            "ability_sd": self.ability_sd,
            "difficulty_sd": self.difficulty_sd,
            "ability_spread": self.ability_spread,
            "mean_difficulty": self.mean_difficulty,
            "responses": self.responses,
            "log_likelihood": self.log_likelihood,
            "iterations": self.iterations,
            "skills": list(self.skill_names),
            "difficulty": self.difficulty.tolist(),
        }
        write_json(path, content)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            DataError: the file is missing, damaged or of another format.
        """
        with reading(path, FORMAT, "Rasch") as content:
            return cls(
                skill_names=tuple(content["skills"]),
                difficulty=numbers(content["difficulty"], len(content["skills"])),
                mean_difficulty=float(content["mean_difficulty"]),
                ability_sd=float(content["ability_sd"]),
                difficulty_sd=float(content["difficulty_sd"]),
                ability_spread=content["ability_spread"],
                responses=content["responses"],
                log_likelihood=content["log_likelihood"],
                iterations=content["iterations"],
            )
