"""Reference models that follow students answer by answer: BKT and PFA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gainkt.references.base import Opportunities, sigmoid
from gainkt.references.bkt import BKT, Chances, chances_of, follow
from gainkt.references.pfa import COUNTS, PFA
from gainkt.tutoring.estimator.base import Answers, Earlier, Estimator, Floats, Ints

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom


class OnlineBKT(Estimator):
    """Bayesian Knowledge Tracing, fitted on the earlier students (gainkt.references.bkt); mastery is P(L)."""

    def __init__(self, *, forgets: bool = False) -> None:
        """Fit with a chance to forget, or without."""
        self.forgets = forgets

    def fit(self, earlier: Earlier) -> None:
        """Fit by expectation-maximisation."""
        fitted = BKT.fit(earlier.log, earlier.students, forgets=self.forgets)
        self.chances = chances_of(fitted.of(earlier.log))

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin at the prior."""
        self.known_NK = np.tile(self.chances.prior, (num_students, 1))

    def observe(self, answers: Answers) -> None:
        """Filter the answer on each of its skills by itself."""
        for skill in answers.skills.T:
            held = skill >= 0
            rows, at = answers.rows[held], skill[held]
            here = Chances(self.known_NK[rows, at], *self.chances.at(at)[1:])
            place = np.arange(len(rows))
            one = Opportunities(place, place, place, place, answers.right[held], [slice(0, len(rows))])
            self.known_NK[rows, at] = follow(here, one).known_after

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """P(L), [n, C]."""
        return self.known_NK[rows[:, None], skills]

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """P(L) (1 - slip) + (1 - P(L)) guess."""
        known, here = self.mastery(rows, skills), self.chances.at(skills)
        return known * (1 - here.slip) + (1 - known) * here.guess


class OnlinePFA(Estimator):
    """Performance factors analysis, fitted on the earlier students; mastery is the chance of a right answer."""

    def __init__(self, *, counts: str = "log") -> None:
        """Count as `log` or `raw` says (gainkt.references.pfa)."""
        self.counts = counts

    def fit(self, earlier: Earlier) -> None:
        """Fit the logistic regression."""
        fitted = PFA.fit(earlier.log, earlier.students, counts=self.counts)
        self.weights_KF = fitted.of(earlier.log).to_numpy()

    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin without answers."""
        self.counts_NKR = np.zeros((num_students, len(self.weights_KF), 2))

    def observe(self, answers: Answers) -> None:
        """Count the answer, right answers first."""
        for skill in answers.skills.T:
            held = skill >= 0
            self.counts_NKR[answers.rows[held], skill[held], (~answers.right[held]).astype(np.int64)] += 1

    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Chance of a right answer to an item of this skill alone, [n, C]."""
        weights, seen = self.weights_KF[skills], COUNTS[self.counts](self.counts_NKR[rows[:, None], skills])
        return sigmoid(weights[..., 0] + (weights[..., 1:] * seen).sum(-1))
