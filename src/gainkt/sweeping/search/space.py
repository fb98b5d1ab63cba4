"""Search space: settings by their dotted key, each with the values to try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gainkt.errors import ConfigError, nearest

FIELDS = frozenset({"low", "high", "log", "step", "choices", "complement"})


class Suggests(Protocol):
    """The part of optuna.Trial that a space asks."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        """A number."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """A whole number."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of some values."""
        ...


@dataclass(frozen=True)
class Dimension:
    """Values of one setting: from `low` to `high`, one of `choices`, or 1 minus another setting (`complement`)."""

    key: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] | None = None
    complement: str | None = None

    def __post_init__(self) -> None:
        where = f"search.{self.key}"
        ways = [self.choices is not None, self.complement is not None, self.low is not None or self.high is not None]
        if sum(ways) != 1:
            raise ConfigError(f"{where}: give either low and high, or choices, or complement")
        if self.choices is not None and len(self.choices) == 0:
            raise ConfigError(f"{where}.choices: is empty; give the values to try")
        if not ways[2]:
            return
        if self.low is None or self.high is None or not self.low <= self.high:
            raise ConfigError(f"{where}: low={self.low} high={self.high}: give both, low no greater than high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ConfigError(f"{where}: log=true needs low over 0 and no step; found low={self.low} step={self.step}")

    def suggest(self, trial: Suggests, chosen: Mapping[str, Any]) -> Any:
        """Return the trial's value; `chosen` holds those of the settings before it."""
        if self.complement is not None:
            return float(f"{1 - chosen[self.complement]:.12g}")  # .3 rather than .30000000000000004
        if self.choices is not None:
            return trial.suggest_categorical(self.key, self.choices)
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.key, self.low, self.high, step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Space:
    """The settings that a search varies."""

    dimensions: tuple[Dimension, ...]

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """Return key -> value of one trial."""
        chosen: dict[str, Any] = {}
        for dimension in self.dimensions:
            chosen[dimension.key] = dimension.suggest(trial, chosen)
        return chosen


def read_space(content: Mapping[str, Any]) -> Space:
    """Read a space from plain containers: dotted keys, or keys within keys, down to {low, high}, {choices}, ...

    Args:
        content: the `search` group of a config.

    Raises:
        ConfigError: the space is empty, or an entry cannot be used.
    """
    entries = dict(_entries(content, ""))
    if not entries:
        raise ConfigError("search: the space is empty; choose a file of conf/search/, search=bce_weight say")
    dimensions: list[Dimension] = []
    for key, entry in entries.items():
        for field in entry:
            if field not in FIELDS:
                raise ConfigError(f"search.{key}.{field}: no such field{nearest(field, FIELDS)}")
        choices = entry.get("choices")
        values = {**entry, "choices": None if choices is None else tuple(choices)}
        other = entry.get("complement")
        if other is not None and other not in [d.key for d in dimensions]:
            raise ConfigError(f"search.{key}.complement={other}: must be a setting that the space names before it")
        dimensions.append(Dimension(key, **values))
    return Space(tuple(dimensions))


def as_override(key: str, value: Any) -> str:
    """Write a setting as Hydra takes it on the command line."""
    if value is None or isinstance(value, bool):
        return f"{key}={'null' if value is None else str(value).lower()}"
    return f"{key}={float(value)!r}" if isinstance(value, float) else f"{key}={value}"


def _entries(node: Mapping[str, Any], path: str) -> list[tuple[str, Mapping[str, Any]]]:
    found: list[tuple[str, Mapping[str, Any]]] = []
    for key, value in node.items():
        name = f"{path}.{key}".lstrip(".")
        if value is None:
            continue  # switched off on the command line
        if not isinstance(value, Mapping):
            raise ConfigError(f"search.{name}={value}: give low and high, or choices, or complement")
        ends = not value or any(field in value and not isinstance(value[field], Mapping) for field in FIELDS)
        found += [(name, value)] if ends else _entries(value, name)
    return found
