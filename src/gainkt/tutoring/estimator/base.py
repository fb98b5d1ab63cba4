"""What an estimator of mastery offers to a tutor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.references.base import Students
from gainkt.simulation.truth import Truth

if TYPE_CHECKING:
    from gainkt.tutoring.classroom import Classroom

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Earlier:
    """Students who practised before, under another policy: what estimators are fitted on."""

    log: InteractionLog
    """Their answers; skills and items are numbered as those of the students who come."""
    students: Students
    """Places in the log of those to fit on."""
    truth: Truth | None = None
    """The laws of simulated students; None of real ones."""


@dataclass(frozen=True)
class Answers:
    """One answer each of n students."""

    rows: Ints
    """Places of the students, [n], rising."""
    skills: Ints
    """[n, S], skills of the item, -1 in empty slots."""
    items: Ints
    """[n], -1 where unknown."""
    right: Flags
    """[n]."""


class Estimator(ABC):
    """Follows N students answer by answer, all at once, and says how well each masters each skill.

    A user's own is one class and one YAML (`_target_` and settings), as `estimator@estimators.mine=mine` names it.
    """

    needs_truth: ClassVar[bool] = False
    """It reads what only a simulation knows, so that real logs cannot be asked about."""
    together: int = 4000
    """Students of a log who are told to it at once; fewer where each takes much memory."""
    needs_state: ClassVar[bool] = False
    """It reads the simulated students themselves, so that no log at all can be told to it."""

    def fit(self, earlier: Earlier) -> None:  # noqa: B027 (not every estimator has something to fit)
        """Learn from earlier students; nothing where there is nothing to learn."""

    @abstractmethod
    def start(self, num_students: int, classroom: Classroom | None) -> None:
        """Begin with N new students; `classroom` holds the simulated ones, read by those that `needs_truth` alone."""

    @abstractmethod
    def observe(self, answers: Answers) -> None:
        """Take an answer of some students; one who was left out once does not answer again."""

    @abstractmethod
    def mastery(self, rows: Ints, skills: Ints) -> Floats:
        """Estimate of the given skills now, [n, C], in the estimator's own unit, higher for better.

        Args:
            rows: places of the students, [n].
            skills: [n, C].
        """

    def chance(self, rows: Ints, skills: Ints) -> Floats:
        """Chance of a right answer to the given skills now, [n, C]; where not said otherwise, `mastery`."""
        return self.mastery(rows, skills)

    def transfer(self) -> Floats | None:
        """[K, K], what practice of the row's skill gives to the column's; None where the estimator knows none."""
        return None
