"""What a finding of the diagnosis is: the answer to one question about Encoder 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gainkt.evaluation.diagnosis.headroom import Headroom, Tables
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.measurable import Unmeasurable

CAUSE, FINE, UNMEASURED = "cause", "fine", "unmeasured"
"""Of a finding: a check that fails, passes, or is not measurable (gainkt.evaluation.check)."""


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it where it makes Encoder 2 weak."""

    measured: Mapping[str, Any]
    """Numbers, and the series that pictures are drawn from."""
    verdict: str
    """One line."""
    is_cause: bool = False
    """Whether what was found makes Encoder 2 weak."""
    headroom: Headroom | None = None
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
        status = UNMEASURED
        try:
            found = self.answer(tables)
            status = CAUSE if found.is_cause else FINE
        except Unmeasurable as reason:
            found = Finding({}, f"not measured: {reason}")
        return {
            "name": self.name,
            "question": self.text,
            "measured": found.measured,
            "status": status,
            "verdict": found.verdict,
            "stake": found.headroom and vars(found.headroom),
            "advice": found.advice if found.is_cause else None,
            "override": found.override if found.is_cause else None,
        }


def mean_std(x: Array) -> dict[str, float | None]:
    """Mean and standard deviation; None of no values."""
    return {"mean": float(x.mean()), "std": float(x.std())} if len(x) else {"mean": None, "std": None}
