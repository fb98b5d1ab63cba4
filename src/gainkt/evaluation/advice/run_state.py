"""What is known of a finished run: its scorecard, diagnosis, config and metrics, as the decision tree asks for them.

A check, a loss term or a part from outside of gainkt may be missing here or look otherwise: what is not known is None,
and the rules that ask for it stay silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from gainkt.evaluation.check import LEVELS
from gainkt.evaluation.diagnosis.findings import CAUSE, UNMEASURED


@dataclass(frozen=True, eq=False)
class RunState:
    """All that is known about a run.

    Attributes:
        card: scorecard.json.
        diagnosis: diagnosis.json; None where there is none: rules that need it stay silent.
        config: the resolved config.
        results, metrics: results.json and metrics.csv; rules about epochs stay silent without them.
        num_items: items seen in training; 0 where the data has none.
    """

    card: Mapping[str, Any]
    diagnosis: Mapping[str, Any] | None
    config: Mapping[str, Any]
    results: Mapping[str, Any] = field(default_factory=dict)
    metrics: pd.DataFrame | None = None
    num_items: int = 0

    def check(self, name: str) -> Mapping[str, Any] | None:
        """A check of the scorecard; None where it has no such check."""
        return next((check for check in self.card["checks"] if check["name"] == name), None)

    def value(self, name: str) -> float | None:
        """The value of a check; None where it was not measured."""
        return (self.check(name) or {}).get("value")

    def bound(self, name: str, level: str) -> float:
        """The last bound that a check's threshold has at a level."""
        thresholds = (self.check(name) or {})["thresholds"]
        return float(thresholds[level][-1]["bound"])

    def missed(self, name: str, level: str) -> str | None:
        """The lowest level up to the given one that a check misses, although it is not shown to be out of reach."""
        check = self.check(name)
        if check is None or check["value"] is None:
            return None
        above = LEVELS[LEVELS.index(check["level"]) + 1 if check["level"] in LEVELS else 0 : LEVELS.index(level) + 1]
        return next((step for step in above if step not in check["out_of_reach"]), None)

    def finding(self, name: str) -> Mapping[str, Any] | None:
        """A finding of the diagnosis; None where it was not measured."""
        found = [f for f in (self.diagnosis or {"findings": ()})["findings"] if f["name"] == name]
        return found[0] if found and found[0]["status"] != UNMEASURED else None

    def cause(self, name: str) -> Mapping[str, Any] | None:
        """A finding that makes Encoder 2 weak; None where it does not."""
        found = self.finding(name)
        return found if found is not None and found["status"] == CAUSE else None

    def headroom(self, finding: str) -> dict[str, float | None]:
        """AUC and log loss that a finding costs, as far as the tables tell."""
        cost = (self.finding(finding) or {}).get("stake") or {}
        return {"auc": cost.get("auc"), "nats": cost.get("nats")}

    def fall(self, part: str) -> float | None:
        """AUC that Encoder 2 loses without a part of the mastery path; None where the model has no such part."""
        return self.card["carries"].get(part, {}).get("fall")

    def further(self, name: str) -> float | None:
        """A figure that the scorecard tells besides its checks."""
        return self.card["further"].get(name, {}).get("value")

    @property
    def lead(self) -> float | None:
        """Encoder 1's AUC less Encoder 2's."""
        return self.further("encoder1_lead")

    def setting(self, path: str, default: Any = None) -> Any:
        """A value of the config by its dotted path."""
        node: Any = self.config
        for key in path.split("."):
            if not isinstance(node, Mapping) or key not in node:
                return default
            node = node[key]
        return node

    def number(self, path: str, default: float) -> float:
        """A number of the config by its dotted path; the default where there is none."""
        value = self.setting(path)
        return value if isinstance(value, int | float) else default

    def has(self, part: str, *classes: str) -> bool:
        """Tell whether a part of the model is of one of some classes, `LinearGain` say."""
        return str(self.setting(f"model.{part}._target_", "")).rpartition(".")[2] in classes

    @cached_property
    def kept(self) -> Mapping[str, Any] | None:
        """Row of metrics.csv of the epoch that was kept; None where it is not known."""
        if self.metrics is None or not self.results:
            return None
        epoch = self.results["phases"][self.results["selected"]]["epoch"]
        rows = self.metrics[self.metrics["epoch"] == epoch]
        return None if rows.empty else {str(name): value for name, value in rows.iloc[0].items()}

    @property
    def last_epoch(self) -> int | None:
        """Number of the last epoch; None where it is not known."""
        return None if self.metrics is None or self.metrics.empty else int(self.metrics["epoch"].iloc[-1])

    @property
    def best_of_encoder1(self) -> Mapping[str, Any] | None:
        """Row of metrics.csv of the epoch at which Encoder 1 was best on validation, among those that trained it."""
        if self.metrics is None or not self.results or not {"weight/bce1", "val/encoder1_auc"} <= set(self.metrics):
            return None
        trained = self.metrics[self.metrics["weight/bce1"] > 0].dropna(subset=["val/encoder1_auc"])
        if trained.empty:
            return None
        best = int(trained["val/encoder1_auc"].to_numpy().argmax())
        return {str(name): value for name, value in trained.iloc[best].items()}
