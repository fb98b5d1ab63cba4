"""One vocabulary of judgement: a rule (what is asked) applied to a measurement (what was found) gives a check."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np

from gainkt.errors import ConfigError, nearest
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.statistics.bootstrap import Estimate
from gainkt.evaluation.statistics.measurable import ModelFault, Unmeasurable

LEVELS = ("minimum", "target", "optimal")
PASS, FAIL, OUT_OF_REACH, NOT_MEASURABLE = "pass", "fail", "out_of_reach", "not_measurable"
RELATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "is": operator.eq,
}
MAY_MISS = {"immediate": (1, 0, 0), "trajectory": (2, 1, 0)}
"""Groups of checks, and how many of a group may miss each of LEVELS."""


@dataclass(frozen=True)
class Need:
    """One condition of a threshold: a number (the value, or one of `further` by name) in relation to a bound."""

    relation: str
    bound: float | bool
    of: str = "value"

    def holds(self, numbers: Mapping[str, Any]) -> bool:
        """Tell whether the number is known and in the relation."""
        number = numbers.get(self.of)
        return number is not None and RELATIONS[self.relation](number, self.bound)

    def beyond(self, ceiling: float | None) -> bool:
        """Tell whether not even the ceiling of the value meets it."""
        judges_value = self.of == "value" and self.relation != "is"
        return judges_value and ceiling is not None and not RELATIONS[self.relation](ceiling, self.bound)


Levels = Mapping[str, tuple[Need, ...]]
"""What each level asks, in the order of LEVELS."""


@dataclass(frozen=True)
class Measured:
    """What was found."""

    value: float | bool | None
    """The number that is judged; None only in a check."""
    reading: str
    """One sentence for a person."""
    interval: tuple[float, float] | None = None
    """95 %, over students."""
    further: dict[str, Any] = field(default_factory=dict)
    """More numbers by name; a need may refer to one."""
    ceiling: float | None = None
    """The best that `value` can be on this data; None where nothing is known of that."""
    ceiling_reason: str = ""
    """The arithmetic of the ceiling, or why there is none."""
    ceiling_is_bound: bool = True
    """Whether no model on this data can exceed it; False of an estimate, or of a bound under a condition."""

    @classmethod
    def of(cls, found: Estimate, reading: str, **more: Any) -> Measured:
        """Judge a number with its interval over students."""
        return cls(found.value, reading, found.interval, **more)


@dataclass(frozen=True, kw_only=True)
class Check(Measured):
    """A judged measurement, as it stands in scorecard.json."""

    name: str
    title: str
    group: str
    """One of MAY_MISS in a scorecard."""
    value: float | bool | None = None
    """None where there is none: not measurable, or undefined through the model's fault (a fail)."""
    reading: str = ""
    thresholds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By level, its needs as dicts (of, relation, bound)."""
    verdict: str = FAIL
    """PASS at minimum or better; else OUT_OF_REACH where the minimum itself is; NOT_MEASURABLE where the data define
    no value; else FAIL."""
    level: str = "none"
    """The highest level all of whose needs, and those of all levels below, hold; or "none"."""
    out_of_reach: dict[str, str] = field(default_factory=dict)
    """By level not met, the arithmetic that shows its threshold to lie beyond the ceiling."""

    def reaches(self, level: str, leave_aside: bool = True) -> bool:
        """Tell whether the check holds at a level.

        Args:
            level: one of LEVELS.
            leave_aside: count a level shown out of reach as held, if every lower one is held too.
        """
        at = LEVELS.index(level)
        held = LEVELS.index(self.level) if self.level in LEVELS else -1
        return all(i <= held or (leave_aside and LEVELS[i] in self.out_of_reach) for i in range(at + 1))


def judge(name: str, title: str, levels: Levels, measure: Callable[[], Measured], group: str = "") -> Check:
    """Measure and judge; where there is no value, the reading says why.

    Args:
        name: of the check.
        title: for a person.
        levels: what each level asks; one level or several.
        measure: raises Unmeasurable where the data define no value, ModelFault where the model's output does not.
        group: of the check.
    """
    thresholds = {level: [asdict(need) for need in needs] for level, needs in levels.items()}
    blank = Check(name=name, title=title, group=group, thresholds=thresholds)
    try:
        found = measure()
        if found.value is None or not isfinite(found.value):
            raise ModelFault(f"the value is {found.value}")
    except ModelFault as error:
        return replace(blank, reading=f"No value: {error}.")
    except Unmeasurable as error:
        return replace(blank, verdict=NOT_MEASURABLE, reading=f"Not measurable: {error}.")
    numbers = {**found.further, "value": found.value}
    held = [all(need.holds(numbers) for need in needs) for needs in levels.values()]
    reached = held.index(False) if False in held else len(held)
    out_of_reach = {
        level: f"{need.relation} {need.bound:g} asked, {found.ceiling:.4g} attainable: {found.ceiling_reason}"
        for level, needs in list(levels.items())[reached:]
        for need in needs
        if need.beyond(found.ceiling) and not need.holds(numbers)
    }
    failed = OUT_OF_REACH if next(iter(levels)) in out_of_reach else FAIL
    return replace(
        blank,
        **vars(found),
        verdict=PASS if reached else failed,
        level=list(levels)[reached - 1] if reached else "none",
        out_of_reach=out_of_reach,
    )


@dataclass(frozen=True)
class Rule:
    """One row of the scorecard, built in or added by a config (docs/extending.md).

    Raises:
        ConfigError: an unknown group, levels other than LEVELS, or a relation that is none.
    """

    name: str
    """Its key in scorecard.json and in summaries (`scorecard/<name>`); a rule from a config has its key there."""
    title: str
    levels: Levels
    """What minimum, target and optimal ask."""
    measure: Callable[[Evidence], Measured]
    group: str = "immediate"
    """One of MAY_MISS: where it is shown, and how many checks beside it may miss a level."""
    columns: Mapping[str, Callable[[Any, Any], Any]] = field(default_factory=dict)
    """Numbers that it needs of every step beside those of gainkt.evaluation.schema: by name of the column in
    predictions.parquet, a function of the model's Output (with every skill) and the Batch that gives [B, T]."""

    def __post_init__(self) -> None:
        if self.group not in MAY_MISS:
            raise ConfigError(f"group={self.group}: no such group of checks{nearest(self.group, MAY_MISS)}")
        if tuple(self.levels) != LEVELS:
            raise ConfigError(f"levels={list(self.levels)}: must be {', '.join(LEVELS)}, in this order")
        for need in (need for needs in self.levels.values() for need in needs):
            if need.relation not in RELATIONS:
                raise ConfigError(f"levels: {need.relation!r} is no relation{nearest(need.relation, RELATIONS)}")

    def judge(self, evidence: Evidence) -> Check:
        """Measure and judge."""
        return judge(self.name, self.title, self.levels, lambda: self._measured(evidence), self.group)

    def _measured(self, evidence: Evidence) -> Measured:
        evidence.require_trained()
        found = self.measure(evidence)
        if not isinstance(found, Measured):
            raise ConfigError(f"scorecard.checks.{self.name}: must measure a Measured, found {type(found).__name__}")
        if not isinstance(found.value, bool | int | float | np.number | np.bool_):
            kind = type(found.value).__name__
            raise ConfigError(f"scorecard.checks.{self.name}: must measure a number as its value, found {kind}")
        return found


def above(minimum: float, target: float, optimal: float | None = None, *, relation: str = ">") -> Levels:
    """Levels that ask for more than a number each (or another relation); optimal is target where there are two."""
    bounds = (minimum, target, target if optimal is None else optimal)
    return {level: (Need(relation, bound),) for level, bound in zip(LEVELS, bounds, strict=True)}


def level_reached(checks: Sequence[Check]) -> tuple[str, dict[str, list[str]], dict[str, Any]]:
    """Return the level of a run, by level not reached the checks in its way, and the counts behind it by group.

    A level is reached where the one below is and, in every group, no more checks miss it than MAY_MISS allows: of five
    immediate checks four must be at their minimum and all at target, of six trajectory checks four and five. What is
    not measurable is left out of the count, but one check of each group must hold. From target on, what is shown out
    of reach counts as held.
    """
    reached, missing = "none", dict[str, list[str]]()
    counted = {group: [c for c in checks if c.group == group and c.verdict != NOT_MEASURABLE] for group in MAY_MISS}
    groups: dict[str, Any] = {
        group: {"checks": sum(c.group == group for c in checks), "measurable": len(of), "asked": {}, "held": {}}
        for group, of in counted.items()
    }
    for level, *may_miss in zip(LEVELS, *MAY_MISS.values(), strict=True):
        misses, enough = [], True
        for (group, of), allowed in zip(counted.items(), may_miss, strict=True):
            missed = [check.name for check in of if not check.reaches(level, leave_aside=level != "minimum")]
            asked, held = max(len(of) - allowed, 1), len(of) - len(missed)
            groups[group]["asked"][level], groups[group]["held"][level] = asked, held
            enough = enough and held >= asked
            misses += missed if of else [check.name for check in checks if check.group == group]
        if missing or not enough:
            missing[level] = misses
        else:
            reached = level
    return reached, missing, groups
