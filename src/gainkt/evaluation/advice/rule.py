"""What an advice rule is: something seen in a run, what it means, and the experiments that would change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from gainkt.evaluation.check import LEVELS
from gainkt.evaluation.diagnosis.findings import CAUSE, UNMEASURED

STAGES = ("sound", "starved", "structure", "encoder1", "refine", "intervention", "confirm")
"""In the order of the decision tree: nothing else can be read while training or tables are not sound; a starved
Encoder 2 makes every other cause look worse; structure decides most; then Encoder 1, then what is left; interventions
within V1-V3 answer questions of their own; what holds is confirmed."""


@dataclass(frozen=True)
class Sighting:
    """What was seen in a run.

    Attributes:
        text: one sentence with the figure and what it is held against.
        value, threshold: that figure, and what it is held against; None where there is no single one.
        auc, nats: AUC and log loss at stake, as far as the tables tell.
    """

    text: str
    value: float | None = None
    threshold: float | None = None
    auc: float | None = None
    nats: float | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """All that is known about a run.

    Attributes:
        card: scorecard.json.
        diagnosis: diagnosis.json; None where there is none.
        config: the resolved config.
        results: results.json.
        metrics: metrics.csv; None where there is none.
        num_items: items seen in training; 0 where the data has none.
    """

    card: Mapping[str, Any]
    diagnosis: Mapping[str, Any] | None
    config: Mapping[str, Any]
    results: Mapping[str, Any]
    metrics: pd.DataFrame | None
    num_items: int = 0

    def check(self, name: str) -> Mapping[str, Any]:
        """A check of the scorecard."""
        return next(check for check in self.card["checks"] if check["name"] == name)

    def bound(self, name: str, level: str) -> float:
        """The last bound that a check's threshold has at a level."""
        return float(self.check(name)["thresholds"][level][-1]["bound"])

    def short(self, name: str, level: str = "target") -> bool:
        """Tell whether a check was measured and misses a level that is not shown to be out of reach."""
        check = self.check(name)
        held = LEVELS.index(check["level"]) if check["level"] in LEVELS else -1
        asked = [step for step in LEVELS[: LEVELS.index(level) + 1] if step not in check["out_of_reach"]]
        return check["value"] is not None and any(LEVELS.index(step) > held for step in asked)

    def finding(self, name: str) -> Mapping[str, Any] | None:
        """A finding of the diagnosis; None where it was not measured."""
        found = [f for f in (self.diagnosis or {"findings": ()})["findings"] if f["name"] == name]
        return found[0] if found and found[0]["status"] != UNMEASURED else None

    def cause(self, name: str) -> Mapping[str, Any] | None:
        """A finding that makes Encoder 2 weak; None where it does not."""
        found = self.finding(name)
        return found if found is not None and found["status"] == CAUSE else None

    def fall(self, part: str) -> float | None:
        """AUC that Encoder 2 loses without a part of the mastery path; None where the model has no such part."""
        return self.card["carries"].get(part, {}).get("fall")

    @property
    def lead(self) -> float | None:
        """Encoder 1's AUC less Encoder 2's."""
        return self.card["further"]["encoder1_lead"]["value"]

    def setting(self, path: str, default: Any = None) -> Any:
        """A value of the config by its dotted path."""
        node: Any = self.config
        for key in path.split("."):
            if not isinstance(node, Mapping) or key not in node:
                return default
            node = node[key]
        return node

    def part(self, name: str) -> str:
        """Class of a part of the model, `LinearGain` say."""
        return str(self.setting(f"model.{name}._target_", "")).rpartition(".")[2]

    def has(self, name: str, *classes: str) -> bool:
        """Tell whether a part of the model is of one of some classes."""
        return self.part(name) in classes

    @cached_property
    def kept(self) -> Mapping[str, Any] | None:
        """Row of metrics.csv of the epoch that was kept; None where it is not known."""
        if self.metrics is None or not self.results:
            return None
        epoch = self.results["phases"][self.results["selected"]]["epoch"]
        rows = self.metrics[self.metrics["epoch"] == epoch]
        return None if rows.empty else {str(name): value for name, value in rows.iloc[0].items()}

    @property
    def best_of_encoder1(self) -> Mapping[str, Any] | None:
        """Row of metrics.csv of the epoch at which Encoder 1 was best on validation, among those that trained it."""
        if self.metrics is None or not self.results:
            return None
        trained = self.metrics[self.metrics["weight/bce1"] > 0].dropna(subset=["val/encoder1_auc"])
        if trained.empty:
            return None
        best = int(trained["val/encoder1_auc"].to_numpy().argmax())
        return {str(name): value for name, value in trained.iloc[best].items()}

    def rise(self, column: str) -> float | None:
        """How far a column of metrics.csv rose in the last epoch; None unless that epoch is the one kept."""
        if self.metrics is None or self.kept is None or len(self.metrics) < 2:
            return None
        if self.kept["epoch"] != self.metrics["epoch"].iloc[-1]:
            return None
        return float(self.metrics[column].iloc[-1] - self.metrics[column].iloc[-2])


@dataclass(frozen=True)
class Way:
    """An experiment that a rule may name.

    Attributes:
        change: what it does differently, for a person.
        label: the same as a word for the run's name; "" where the experiment has a name of its own.
        experiment: of conf/experiment; None for the run's own.
        overrides: settings on top; one that depends on the run is a function of it.
        open: whether it applies: the run does not have it already.
        module: the command, train, evaluate or diagnose.
        sweep: with -m.
    """

    change: str
    label: str = ""
    experiment: str | None = None
    overrides: tuple[str | Callable[[Seen], str], ...] = ()
    open: Callable[[Seen], bool] = field(default=lambda run: True)
    module: str = "train"
    sweep: bool = False

    def settings(self, run: Seen) -> tuple[str, ...]:
        """The overrides for a run; one that comes out empty is left out."""
        texts = [override(run) if callable(override) else override for override in self.overrides]
        return tuple(word for text in texts for word in text.split())


@dataclass(frozen=True)
class Rule:
    """A rule of the decision tree: what to look for, what it means, and the ways on, the first open one being named."""

    name: str
    stage: str
    look: Callable[[Seen], Sighting | None]
    means: str
    ways: tuple[Way, ...]

    def way(self, run: Seen) -> Way | None:
        """The first way that the run has not taken already."""
        return next((way for way in self.ways if way.open(run)), None)
