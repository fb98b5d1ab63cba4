"""What a finding of the diagnosis is, and the small figures that findings share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gainkt.evaluation.diagnosis.headroom import Stake, Tables
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.measurable import Unmeasurable

CAUSE, FINE, UNMEASURED = "cause", "fine", "unmeasured"


@dataclass(frozen=True)
class Finding:
    """The answer to one question about Encoder 2."""

    measured: Mapping[str, Any]
    """Figures, and the series that pictures are drawn from."""
    verdict: str
    """One line."""
    is_cause: bool = False
    """Whether what was found makes Encoder 2 weak."""
    stake: Stake | None = None
    """What it costs; None where the tables cannot tell."""
    advice: str | None = None
    """What to change, where it is a cause."""
    override: str | None = None
    """The settings of `python -m gainkt.train` that do so."""


@dataclass(frozen=True)
class Question:
    """A question about Encoder 2 and the function of a run's tables that answers it."""

    name: str
    text: str
    answer: Callable[[Tables], Finding] = field(repr=False)

    def ask(self, tables: Tables) -> dict[str, Any]:
        """Return the finding as plain data; one that the tables do not define says why."""
        about = {"name": self.name, "question": self.text}
        try:
            found = self.answer(tables)
        except Unmeasurable as reason:
            nothing = {"measured": {}, "status": UNMEASURED, "verdict": f"not measured: {reason}"}
            return {**about, **nothing, "stake": None, "advice": None, "override": None}
        return {
            **about,
            "measured": found.measured,
            "status": CAUSE if found.is_cause else FINE,
            "verdict": found.verdict,
            "stake": found.stake and vars(found.stake),
            "advice": found.advice if found.is_cause else None,
            "override": found.override if found.is_cause else None,
        }


def mean_std(x: Array) -> dict[str, float | None]:
    """Mean and standard deviation; None of no values."""
    return {"mean": float(x.mean()), "std": float(x.std())} if len(x) else {"mean": None, "std": None}


def mean_or_none(x: Array) -> float | None:
    """Mean; None of no values."""
    return float(np.mean(x)) if len(x) else None
