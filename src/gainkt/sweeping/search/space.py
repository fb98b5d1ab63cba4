"""Search space: settings by their dotted key, each with the values to try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gainkt.errors import ConfigError, nearest

FIELDS = frozenset({"low", "high", "log", "step", "choices", "complement"})


@dataclass(frozen=True)
class Space:
    """The settings that a search varies: key -> {low, high, log, step}, {choices} or {complement}."""

    entries: Mapping[str, Mapping[str, Any]]

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Return key -> value of one trial (optuna.Trial); a complement is 1 minus a setting before it."""
        chosen: dict[str, Any] = {}
        for key, entry in self.entries.items():
            if "complement" in entry:
                chosen[key] = float(f"{1 - chosen[entry['complement']]:.12g}")  # .3 rather than .30000000000000004
            elif "choices" in entry:
                chosen[key] = trial.suggest_categorical(key, tuple(entry["choices"]))
            else:
                bounds, log, step = (entry["low"], entry["high"]), entry.get("log", False), entry.get("step")
                if all(isinstance(bound, int) for bound in bounds):
                    chosen[key] = trial.suggest_int(key, *bounds, step=int(step or 1), log=log)
                else:
                    chosen[key] = trial.suggest_float(key, *bounds, step=step, log=log)
        return chosen


def read_space(content: Mapping[str, Any]) -> Space:
    """Read a space from plain containers: dotted keys, or keys within keys, down to {low, high}, {choices}, ...

    Args:
        content: the `search` group of a config; null switches a setting off.

    Raises:
        ConfigError: the space is empty, or an entry cannot be used.
    """
    entries: dict[str, Mapping[str, Any]] = {}
    for key, entry in _entries(content, ""):
        _check(f"search.{key}", entry, entries)
        entries[key] = {field: value for field, value in entry.items() if value is not None}
    if not entries:
        raise ConfigError("search: the space is empty; choose a file of conf/search/, search=bce_weight say")
    return Space(entries)


def as_override(key: str, value: Any) -> str:
    """Write a setting as Hydra takes it on the command line."""
    if value is None or isinstance(value, bool):
        return f"{key}={'null' if value is None else str(value).lower()}"
    return f"{key}={float(value)!r}" if isinstance(value, float) else f"{key}={value}"


def _check(where: str, entry: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Raise ConfigError for an entry that cannot be used."""
    for field in entry:
        if field not in FIELDS:
            raise ConfigError(f"{where}.{field}: no such field{nearest(field, FIELDS)}")
    low, high, step, choices, other = (entry.get(f) for f in ("low", "high", "step", "choices", "complement"))
    if sum((choices is not None, other is not None, low is not None or high is not None)) != 1:
        raise ConfigError(f"{where}: give either low and high, or choices, or complement")
    if choices is not None and len(choices) == 0:
        raise ConfigError(f"{where}.choices: is empty; give the values to try")
    if other is not None and other not in before:
        raise ConfigError(f"{where}.complement={other}: must be a setting that the space names before it")
    if choices is not None or other is not None:
        return
    if low is None or high is None or not low <= high:
        raise ConfigError(f"{where}: low={low} high={high}: give both, low no greater than high")
    if entry.get("log") and (low <= 0 or step is not None):
        raise ConfigError(f"{where}: log=true needs low over 0 and no step; found low={low} step={step}")


def _entries(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Entries by their dotted keys."""
    for key, value in node.items():
        name = f"{path}.{key}".lstrip(".")
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise ConfigError(f"search.{name}={value}: give low and high, or choices, or complement")
        if not value or any(field in value and not isinstance(value[field], Mapping) for field in FIELDS):
            yield name, value
        else:
            yield from _entries(value, name)
