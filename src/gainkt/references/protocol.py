"""What every reference model offers, so that one can stand in for another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog

Floats = NDArray[np.floating]
Students = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a reference model says about a log, aligned with its flat arrays; NaN for students left out.

    A model that follows a latent quantity adds it in a subclass: `*_before_*` is what its prediction was read
    from, `*_after_*` is what it holds once it has seen the response.
    """

    probability_M: Floats
    """Chance of a right response to each step, from the student's earlier responses only."""


class Reference(Protocol):
    """A model fitted on training students, which then follows any student step by step.

    Two rules bind every member: `fit` reads the given students only, and the prediction of a step reads nothing
    of the student's responses but the earlier ones. A student is known by place in the log, never by a window.
    """

    @classmethod
    def fit(cls, log: InteractionLog, students: Students, **settings: Any) -> Self:
        """Fit on some students of a log; the settings are the model's own, named in its signature."""
        ...

    def predict(self, log: InteractionLog, students: Students | None = None) -> Prediction:
        """Follow some students of a log, all of them where None; skills are matched by name."""
        ...

    def save(self, path: str | Path) -> Path:
        """Write the model to one plain file."""
        ...

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote."""
        ...
