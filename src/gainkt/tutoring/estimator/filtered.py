"""Encoder 2's learning curves, gains and readout, with a particle filter in the place of its network's belief."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from gainkt.data.log import InteractionLog
from gainkt.model.readout import probability
from gainkt.runs import tracer
from gainkt.runs.trained import TrainedModel
from gainkt.simulation.world import wear_off
from gainkt.tutoring.estimator.base import Earlier, Floats, Ints
from gainkt.tutoring.estimator.encoder2 import Encoder2
from gainkt.tutoring.estimator.particle_filter import ParticleFilter
from gainkt.tutoring.replay import steps_of

CELLS = 1 << 25
"""Students x skills x particles that are held at once, 128 MB an array."""
FITTED_ON = 200
"""Earlier students whose answers say how much students differ."""
FITTED_WITH = 100
"""Particles meanwhile."""
TRIALS = 45
"""Sets of spreads that are tried at most."""


@dataclass(frozen=True)
class Spreads:
    """How much students differ: what particles are drawn by."""

    num_skills: int
    """Skills, K."""
    ability_spread: float = 0.9
    """Standard deviation of readiness between students, logits of the curve."""
    skill_spread: float = 0.6
    """Standard deviation of a student's readiness between skills, logits."""
    velocity_spread: float = 0.4
    """Standard deviation of the logarithm of velocity, whose mean is 1."""
    forgetting: float = 0.005
    """Share of its practice that a skill loses in a step that does not practise it."""
    gain_noise: float = 0.25
    """Standard deviation of the logarithm of a gain; not fitted."""


FITTED = {"ability_spread": 1.0, "skill_spread": 1.0, "velocity_spread": 1.0, "forgetting": 0.0}
"""Names of what is fitted, and the logarithm of the most that each may be."""


class ModelLaws:
    """What a trained Encoder 2 says of skills, whoever practises them."""

    def __init__(self, encoder2: Encoder2, gain_RK: Floats, share_KK: Floats, forgetting: float = 0.0) -> None:
        """Take a fitted estimator, mean gains after wrong and right answers, and what other skills receive of them."""
        self.encoder2, self.curve = encoder2, encoder2.network.curve
        self.gain_RK, self.share_KK, self.forgetting = gain_RK, share_KK, forgetting
        with torch.inference_mode():
            self.offset_K, self.saturation_K = (
                part.at(encoder2.skill_K).expand(len(share_KK)).numpy()
                for part in (self.curve.offset, self.curve.saturation)
            )

    @torch.inference_mode()
    def mastery(self, skills: Ints, scaled_practice: Floats, initial_logit: Floats) -> Floats:
        """Mastery M_sat[k] sigmoid(beta[k] W(velocity P) + initial logit), [n, Q]; skills [n]."""
        readiness = torch.from_numpy(initial_logit + self.offset_K[skills][:, None])
        skill, velocity = self.encoder2.skill_K[torch.tensor(skills)][:, None], torch.ones(1)
        return self.curve(torch.from_numpy(scaled_practice), skill, velocity, readiness).numpy()

    def advance(self, practice: Floats, skills_nS: Ints, gains: Floats) -> None:
        """P[j] <- (1 - forgetting) P[j] + gain[j] + sum over skills k of the step of share[k, j] gain[k], in place.

        A skill of the step forgets nothing.
        """
        wear_off(practice, skills_nS, self.forgetting)
        for s, skill in enumerate(skills_nS.T):
            rows = np.flatnonzero(skill >= 0)
            practice[rows, skill[rows]] += gains[rows, s]
            practice[rows] += self.share_KK[skill[rows], :, None] * gains[rows, s][:, None]


class FilteredEncoder2(ParticleFilter):
    """Mastery by Encoder 2's curves, as a share of saturation, the student being followed by a particle filter.

    A particle is a readiness a skill and a velocity; answers weigh it by Encoder 2's readout, and practice grows by
    the gains that Encoder 2 gives a skill on average after a right and after a wrong answer. The spread of readiness
    between students and between a student's skills, that of velocity, and forgetting are those under which answers of
    earlier students are likeliest. So nothing rests on how a network reads histories that are unlike those that it was
    trained on.
    """

    laws: ModelLaws
    spread: Spreads

    def __init__(self, model: TrainedModel, *, num_particles: int = 200, seed: int = 0) -> None:
        """Take a model, trained on the earlier students; memory is students x skills x particles.

        Raises:
            ConfigError: there are fewer than 2 particles.
        """
        super().__init__(num_particles, seed)
        self.encoder2 = Encoder2(model, reads="share")

    def fit(self, earlier: Earlier) -> None:
        """Find the mean gains, and how much students differ.

        Raises:
            DataError: a skill is unknown to the model.
        """
        self.encoder2.fit(earlier)
        draw, students = np.random.default_rng(self.seed), np.asarray(earlier.students)
        self.together = max(1, CELLS // (earlier.log.num_skills * self.num_particles))
        some = draw.choice(students, min(FITTED_ON, len(students), self.together), replace=False)
        gains, trial = mean_gains(earlier.log, some, self.encoder2), copy.copy(self)
        trial.num_particles = FITTED_WITH
        start = np.log([getattr(Spreads(0), name) for name in FITTED])

        def suppose(logs: Floats, one: FilteredEncoder2) -> None:
            values = np.exp(np.clip(logs, -9, list(FITTED.values()))).tolist()
            one.spread = Spreads(earlier.log.num_skills, **dict(zip(FITTED, values, strict=True)))
            one.laws = ModelLaws(self.encoder2, *gains, one.spread.forgetting)

        def surprise(logs: Floats) -> float:
            suppose(logs, trial)
            told = [(answers.right, trial.told(answers)) for answers, _ in steps_of(earlier.log, some, trial)]
            right, p = map(np.concatenate, zip(*told, strict=True))
            return float(-np.log(np.where(right, p, 1 - p).clip(1e-6)).mean())

        simplex = np.vstack([start, start + 0.5 * np.eye(len(start))])
        found = minimize(surprise, start, method="Nelder-Mead", options={"maxfev": TRIALS, "initial_simplex": simplex})
        suppose(found.x, self)

    @torch.inference_mode()
    def right(self, items: Ints, skills_nS: Ints, mastery_nQS: Floats) -> Floats:
        """Chance of a right answer by Encoder 2's readout, [n, Q]."""
        n, num_particles, _ = mastery_nQS.shape
        skills = torch.tensor(skills_nS, dtype=torch.long)
        skills = torch.where(skills >= 0, self.encoder2.skill_K[skills], -1)[:, None].expand(-1, num_particles, -1)
        item = self.encoder2.item_I[torch.tensor(items, dtype=torch.long)][:, None].expand(n, num_particles)
        batch, network = tracer.questions(skills, item, torch.zeros(n, num_particles)), self.encoder2.network
        logit: Tensor = network.readout(torch.from_numpy(mastery_nQS), batch) - network.items2(batch)
        return probability(logit).numpy()

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mastery as a share of saturation, [n, C]."""
        found = self.expected(rows, skills, lambda skill, m: m) / self.laws.saturation_K[skills]
        return found.clip(0, 1)  # off by rounding

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Expected chance of a right answer to an item of average difficulty of each skill alone, [n, C]."""
        unknown = np.full(len(rows), -1)
        return self.expected(rows, skills, lambda skill, m: self.right(unknown, skill[:, None], m[..., None]))

    def transfer(self) -> Floats:
        """Share of a gain that each other skill receives, [K, K]."""
        return self.laws.share_KK


def mean_gains(log: InteractionLog, students: Ints, encoder2: Encoder2) -> tuple[Floats, Floats]:
    """Mean gain of a practised skill after wrong and right answers, [2, K], and of each other as a share of it, [K, K].

    A skill that the students do not practise has the mean of the others.
    """
    size = log.num_skills
    total_RK, count_RK = np.zeros((2, 2, size))
    given_KK = np.zeros((size, size))
    for answers, held in steps_of(log, students, encoder2):
        before = encoder2.state.skill["practice"][torch.from_numpy(answers.rows)].clone()
        encoder2.observe(answers)
        after = encoder2.state.skill["practice"][torch.from_numpy(answers.rows)]
        gain_nK = (after - before)[:, encoder2.skill_K].double().numpy()
        for skill, there in zip(answers.skills.T, held.T, strict=True):
            rows, right = np.flatnonzero(there), answers.right[there].astype(np.int64)
            np.add.at(total_RK, (right, skill[rows]), gain_nK[rows, skill[rows]])
            np.add.at(count_RK, (right, skill[rows]), 1)
            alone = rows[held[rows].sum(1) == 1]
            np.add.at(given_KK, skill[alone], gain_nK[alone])
    mean_R = total_RK.sum(1) / count_RK.sum(1).clip(1)
    gain_RK = np.where(count_RK > 0, total_RK / count_RK.clip(1), mean_R[:, None])
    own_K = given_KK.diagonal().copy()
    share_KK = np.divide(given_KK, own_K[:, None], out=np.zeros_like(given_KK), where=own_K[:, None] > 0)
    np.fill_diagonal(share_KK, 0)
    return gain_RK, share_KK.astype(np.float32)
