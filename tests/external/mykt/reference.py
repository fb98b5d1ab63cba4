"""A reference model: the rate of right responses to each skill, whoever answers."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError
from gainkt.references.base import Floats, Prediction, Reference, Students, logit


@dataclass(frozen=True, eq=False)
class SkillRates(Reference):
    @classmethod
    def fit(cls, log: InteractionLog, students: Students, *, prior: float) -> "SkillRates":
        if not prior > 0:
            raise ConfigError(f"prior={prior}: steps, over 0")
        train = log.select(students)
        right = np.repeat(train.responses, np.diff(train.skill_offsets))
        by_skill = pd.Series(right).groupby(train.skill_names[train.skills])
        rate = (by_skill.sum() + prior * right.mean()) / (by_skill.count() + prior)
        return cls(rate.to_frame("rate"), {"rate": float(right.mean())})

    def predict(self, log: InteractionLog, students: Students | None = None) -> Prediction:
        rate_L = self.of(log)["rate"].to_numpy()[log.skills]
        rate_M = np.add.reduceat(rate_L, log.skill_offsets[:-1]) / np.diff(log.skill_offsets)
        return Prediction(rate_M, rate_L)

    def difficulty_of(self, parameters: pd.DataFrame) -> Floats:
        return -logit(parameters["rate"].to_numpy())
