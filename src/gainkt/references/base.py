"""What every reference model offers, so that one can stand in for another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog

Floats = NDArray[np.floating]
Students = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a reference model says about a log, aligned with its flat arrays; NaN for students left out.

    M steps, L (step, skill) slots in the order of `log.skills`. A model that follows a latent quantity adds it in a
    subclass: `*_before_*` is what its prediction was read from, `*_after_*` is what it holds once it has seen the
    response.
    """

    probability_M: Floats
    """Chance of a right response to each step, from the student's earlier responses only."""
    mastery_before_L: Floats
    """Mastery of the slot's skill before the step, in [0, 1], from the student's earlier responses only: P(L) in BKT,
    elsewhere the chance of a right response were the slot's skill the step's only one."""


class Reference(Protocol):
    """A model fitted on training students, which then follows any student step by step.

    Two rules bind every member: `fit` reads the given students only, and the prediction of a step reads nothing
    of the student's responses but the earlier ones. A student is known by place in the log, never by a window.
    Skills are matched by name; one unseen in training has what the model holds of skills in general.
    """

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    @classmethod
    def fit(cls, log: InteractionLog, students: Students, **settings: Any) -> Self:
        """Fit on some students of a log; the settings are the model's own, named in its signature."""
        ...

    def predict(self, log: InteractionLog, students: Students | None = None) -> Prediction:
        """Follow some students of a log, all of them where None."""
        ...

    def difficulties(self, log: InteractionLog) -> Floats:
        """Difficulty of each of the log's skills, [K] logits.

        -logit of the chance that an average student answers the skill's first opportunity right.
        """
        ...

    def abilities(
        self, log: InteractionLog, students: Students | None = None, prediction: Prediction | None = None
    ) -> Floats:
        """Ability before each step, [M] logits, from earlier responses only; NaN for students left out.

        Args:
            log: the data.
            students: places in the log, all where None.
            prediction: what `predict` said of the same log and students; predicted here where None.
        """
        ...

    def static_abilities(self, log: InteractionLog, students: Students | None = None) -> Floats:
        """One ability a student from the WHOLE history, [N] logits; NaN for students left out. Not causal.

        For training targets of training students and for reading only: it has seen every response of the student, so
        that a prediction made from it is not one.
        """
        ...

    def learn_rates(self, log: InteractionLog) -> Floats | None:
        """How fast each of the log's skills is learnt, [K] in the model's own unit; None where nothing is."""
        ...

    def table(self) -> pd.DataFrame:
        """Named parameters, one row a skill; the first column is `skill`."""
        ...

    def save(self, path: str | Path) -> Path:
        """Write the model to one plain file."""
        ...

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        ...


class ImpliedAbility:
    """Abilities of a model that has none of its own: those at which Rasch would predict as the model does."""

    def abilities(
        self: Reference, log: InteractionLog, students: Students | None = None, prediction: Prediction | None = None
    ) -> Floats:
        """Ability implied before each step, [M] logits; see `implied_abilities`."""
        said = self.predict(log, students) if prediction is None else prediction
        return implied_abilities(log, said.probability_M, self.difficulties(log))

    def static_abilities(self: Reference, log: InteractionLog, students: Students | None = None) -> Floats:
        """Mean over all steps of the implied ability, [N] logits; NaN for students left out. Not causal.

        0, an average student's, where there are no steps. For training targets of training students and for reading
        only.
        """
        chosen = everyone(log) if students is None else np.asarray(students, dtype=np.int64)
        steps = log.steps_of(chosen)
        ability_M = self.abilities(log, chosen)
        student = np.repeat(chosen, log.lengths[chosen])
        found = np.full(log.num_students, np.nan)
        sums = np.bincount(student, weights=ability_M[steps], minlength=log.num_students)
        found[chosen] = sums[chosen] / np.maximum(log.lengths[chosen], 1)
        return found


def implied_abilities(log: InteractionLog, probability_M: Floats, difficulty_K: Floats) -> Floats:
    """Ability at which a Rasch model of these difficulties predicts each step as told, [M] logits.

        theta = logit(p) + mean of beta_k over the step's skills

    Args:
        log: the data.
        probability_M: in (0, 1), NaN for students left out.
        difficulty_K: in the order of the log's skills, logits.
    """
    if not log.num_steps:
        return np.zeros(0)
    difficulty_M = np.add.reduceat(difficulty_K[log.skills], log.skill_offsets[:-1]) / np.diff(log.skill_offsets)
    return logit(probability_M) + difficulty_M


def logit(p: Floats) -> Floats:
    """log(p / (1 - p)); p in (0, 1)."""
    return np.log(p) - np.log1p(-p)


def everyone(log: InteractionLog) -> NDArray[np.int64]:
    """Places of all students of a log."""
    return np.arange(log.num_students)


def places_of(log: InteractionLog, skill_names: tuple[str, ...]) -> NDArray[np.int64]:
    """Place among a model's skills of each of the log's, [K]; the number of the model's skills where it is unseen."""
    place = {name: k for k, name in enumerate(skill_names)}
    return np.array([place.get(str(name), len(place)) for name in log.skill_names], dtype=np.int64)
