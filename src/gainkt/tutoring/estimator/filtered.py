"""Encoder 2's learning curves, gains and readout, with a particle filter in the place of its network's belief."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from gainkt.data.log import InteractionLog
from gainkt.model.readout import probability
from gainkt.runs import tracer
from gainkt.runs.trained import TrainedModel
from gainkt.simulation.particles import Particles
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints
from gainkt.tutoring.estimator.encoder2 import Encoder2
from gainkt.tutoring.replay import steps_of

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom

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


FITTED = ("ability_spread", "skill_spread", "velocity_spread", "forgetting")


class ModelLaws:
    """What a trained Encoder 2 says of skills, whoever practises them."""

    def __init__(self, encoder2: Encoder2, gain_RK: Floats, share_KK: Floats) -> None:
        """Take a fitted estimator, mean gains after wrong and right answers, and what other skills receive of them."""
        self.encoder2, self.network = encoder2, encoder2.network
        self.gain_RK, self.share_KK, self.forgetting = gain_RK, share_KK, 0.0
        with torch.inference_mode():
            self.offset_K = self.network.curve.offset.at(encoder2.skill_K).expand(len(share_KK)).numpy()

    @torch.inference_mode()
    def mastery(self, skills: Ints, scaled_practice: Floats, initial_logit: Floats) -> Floats:
        """Mastery M_sat[k] sigmoid(beta[k] W(velocity P) + initial logit), [n, Q]; skills [n]."""
        skill = self.encoder2.skill_K[torch.tensor(skills)][:, None]
        readiness = torch.from_numpy(initial_logit) + self.network.curve.offset.at(skill)
        practice = torch.from_numpy(scaled_practice)
        return self.network.curve(practice, skill, torch.ones(1), readiness).numpy()

    def advance(self, practice: Floats, skills_nS: Ints, gains: Floats) -> None:
        """P[j] <- (1 - forgetting) P[j] + gain[j] + sum over skills k of the step of share[k, j] gain[k], in place.

        A skill of the step forgets nothing.
        """
        if self.forgetting:
            keep = np.full(practice.shape[:2], 1 - self.forgetting, dtype=practice.dtype)
            for skill in skills_nS.T:
                rows = np.flatnonzero(skill >= 0)
                keep[rows, skill[rows]] = 1
            practice *= keep[..., None]
        for s, skill in enumerate(skills_nS.T):
            rows = np.flatnonzero(skill >= 0)
            practice[rows, skill[rows]] += gains[rows, s]
            practice[rows] += self.share_KK[skill[rows], :, None] * gains[rows, s][:, None]

    @torch.inference_mode()
    def right(self, items: Ints, skills_nS: Ints, mastery_nQS: Floats) -> Floats:
        """Chance of a right answer to items, given mastery of their skills, [n, Q]."""
        n, num_particles, _ = mastery_nQS.shape
        skills = torch.tensor(skills_nS, dtype=torch.long)
        skills = torch.where(skills >= 0, self.encoder2.skill_K[skills], -1)[:, None].expand(-1, num_particles, -1)
        item = self.encoder2.item_I[torch.tensor(items, dtype=torch.long)][:, None].expand(n, num_particles)
        batch = tracer.questions(skills, item, torch.zeros(n, num_particles))
        logit: Tensor = self.network.readout(torch.from_numpy(mastery_nQS), batch) - self.network.items2(batch)
        return probability(logit).numpy()


class FilteredEncoder2(Estimator):
    """Mastery by Encoder 2's curves, as a share of saturation, the student being followed by a particle filter.

    A particle is a readiness a skill and a velocity; answers weigh it by Encoder 2's readout, and practice grows by
    the gains that Encoder 2 gives a skill on average after a right and after a wrong answer. The spread of readiness
    between students and between a student's skills, and of velocity, are those under which answers of earlier students
    are likeliest. So nothing rests on how a network reads histories that are unlike those that it was trained on.
    """

    def __init__(self, model: TrainedModel, *, num_particles: int = 200, seed: int = 0) -> None:
        """Take a model, trained on the earlier students; memory is students x skills x particles."""
        self.encoder2 = Encoder2(model, reads="share")
        self.num_particles, self.seed = num_particles, seed

    def fit(self, earlier: Earlier) -> None:
        """Find the mean gains, and how much students differ.

        Raises:
            DataError: a skill is unknown to the model.
        """
        self.encoder2.fit(earlier)
        draw, students = np.random.default_rng(self.seed), np.asarray(earlier.students)
        self.together = max(1, CELLS // (earlier.log.num_skills * self.num_particles))
        some = draw.choice(students, min(FITTED_ON, len(students), self.together), replace=False)
        self.laws = ModelLaws(self.encoder2, *mean_gains(earlier.log, some, self.encoder2))
        start = np.log([getattr(Spreads(0), name) for name in FITTED])

        def spreads(logs: Floats) -> Spreads:
            return Spreads(earlier.log.num_skills, *np.exp(np.clip(logs, -9, 1)).tolist())

        found = minimize(
            lambda logs: self._surprise(earlier.log, some, spreads(logs)),
            start,
            method="Nelder-Mead",
            options={"maxfev": TRIALS, "initial_simplex": np.vstack([start, start + 0.5 * np.eye(len(start))])},
        )
        self.spreads = spreads(found.x)

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Draw the particles."""
        self._start(num_students, self.num_particles, self.spreads)

    def observe(self, answers: Answers) -> None:
        """Weigh the particles by the answers, and have them practise; students who left are let go."""
        self._observe(answers)

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Expected mastery as a share of saturation, [n, C]."""
        at, found = np.searchsorted(self.rows, rows), np.empty(skills.shape)
        with torch.inference_mode():
            saturation = self.encoder2.network.curve.saturation.at(self.encoder2.skill_K)
        level_K = saturation.expand(len(self.encoder2.skill_K)).numpy()
        for column, skill in enumerate(skills.T):
            self.particles.meet(at, skill)
            found[:, column] = self.particles.expect(self.particles.mastery(at, skill), at) / level_K[skill]
        return found.clip(0, 1)  # off by rounding

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Expected chance of a right answer to an item of average difficulty of each skill alone, [n, C]."""
        at, found = np.searchsorted(self.rows, rows), np.empty(skills.shape)
        for column, skill in enumerate(skills.T):
            self.particles.meet(at, skill)
            mastery = self.particles.mastery(at, skill)[..., None]
            right = self.laws.right(np.full(len(at), -1), skill[:, None], mastery)
            found[:, column] = self.particles.expect(right, at)
        return found

    def transfer(self) -> Floats:
        """Share of a gain that each other skill receives, [K, K]."""
        return self.laws.share_KK

    def _start(self, num_students: int, num_particles: int, spreads: Spreads) -> None:
        draw, self.laws.forgetting = np.random.default_rng(self.seed), spreads.forgetting
        self.particles = Particles(self.laws, spreads, num_students, num_particles, draw)
        self.rows: Ints = np.arange(num_students)

    def _observe(self, answers: Answers) -> Floats:
        """Take the answers; the chances of right ones before, [n]."""
        if len(answers.rows) < len(self.rows):
            self.particles.keep(np.searchsorted(self.rows, answers.rows))
            self.rows = answers.rows
        mastery = np.ones((len(self.rows), self.particles.weight_nQ.shape[1], answers.skills.shape[1]), np.float32)
        for s, skill in enumerate(answers.skills.T):
            rows = np.flatnonzero(skill >= 0)
            self.particles.meet(rows, skill[rows])
            mastery[rows, :, s] = self.particles.mastery(rows, skill[rows])
        right = self.laws.right(answers.items, answers.skills, mastery)
        expected = self.particles.expect(right, np.arange(len(right)))
        self.particles.weigh(np.where(answers.right[:, None], right, 1 - right))
        self.particles.practise(answers.skills, answers.right.astype(np.uint8))
        return expected

    def _surprise(self, log: InteractionLog, students: Ints, spreads: Spreads) -> float:
        """Log loss of the predictions of some students' answers."""
        self.spreads, given = spreads, self.num_particles
        self.num_particles = FITTED_WITH
        try:
            lost = [
                -np.log(np.where(answers.right, p, 1 - p).clip(1e-6))
                for answers, _ in steps_of(log, students, self)
                for p in [self._observe(answers)]
            ]
        finally:
            self.num_particles = given
        return float(np.concatenate(lost).mean())


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
