"""The runs of a sweep or search, finished or not, as one table: a row a job."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from omegaconf import DictConfig, OmegaConf

from gainkt.errors import DataError

REPEATS = ("seed", "dataset.fold")
"""Settings over which a run is repeated; runs that are equal but for these are one setting."""
ASIDE = (
    "hydra",
    "run",
    "sweep",
    "logger",
    "trajectories",
    "callbacks.report",
    "gradient_every",
    "dataset.path",
    "diagnose",
)
"""Settings that change no figure; they are listed but count as no parameter."""
FIRST = ("number", "folder", "state", "error", "seconds", "name")


@dataclass(frozen=True)
class Runs:
    """The table of runs and which of its columns mean what."""

    table: pd.DataFrame
    """One row a job: number, folder, state, error, seconds, name, one column a setting, one a metric."""
    settings: list[str]
    """Columns that hold overrides, by their dotted key; `seed` and `dataset.fold` are always among them."""
    metrics: list[str]
    """Columns that hold figures: val/encoder1_auc, test/encoder2_auc, scorecard/gain_std, ..."""

    @cached_property
    def done(self) -> pd.DataFrame:
        """The rows of finished runs."""
        return self.table[self.table.state == "done"]

    @cached_property
    def parameters(self) -> list[str]:
        """Settings that differ between finished runs; repeats come last, those that change no figure are left out."""
        varied = [key for key in self.settings if self.done[key].astype(str).nunique() > 1 and not _aside(key)]
        return sorted(varied, key=lambda key: key in REPEATS)

    @cached_property
    def moving_together(self) -> dict[str, str]:
        """Parameters that follow from an earlier one, as loss.bce2 does where it is 1 - loss.bce1: later -> earlier."""
        found: dict[str, str] = {}
        keys = [key for key in self.parameters if key not in REPEATS]
        for later in range(1, len(keys)):
            earlier = [key for key in keys[:later] if key not in found and self._same(key, keys[later])]
            if earlier:
                found[keys[later]] = earlier[0]
        return found

    @cached_property
    def swept(self) -> list[str]:
        """Parameters other than seeds and folds, without those that follow from another."""
        return [key for key in self.parameters if key not in REPEATS and key not in self.moving_together]

    def _same(self, first: str, second: str) -> bool:
        """Tell whether two parameters divide the runs alike, or lie on a line where every run has its own values."""
        one, two = self.levels(first), self.levels(second)
        pairs = len(set(zip(one, two, strict=True)))
        if not one.nunique() == two.nunique() == pairs:
            return False
        if pairs < len(one):
            return True
        numbers = is_numeric(self.done[first]) and is_numeric(self.done[second]) and len(one) > 2
        return numbers and abs(one.corr(two)) > 1 - 1e-9

    def levels(self, key: str) -> pd.Series:
        """Values of a parameter in finished runs: numbers where all of them are, text otherwise."""
        values = self.done[key]
        return pd.to_numeric(values) if is_numeric(values) else values.astype(str)


def is_numeric(values: pd.Series) -> bool:
    """Tell whether every value is a number (and not a switch)."""
    return len(values) > 0 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def read_runs(folder: Path) -> Runs:
    """Read every run of a sweep folder, with or without sweep.json and job.json.

    Overrides come from sweep.json or job.json; from the command in provenance.json where it names a single run;
    otherwise from what differs between the runs' config.yaml.

    Args:
        folder: of a sweep, a search, or any folder that holds runs.

    Raises:
        DataError: the folder does not exist or holds no run, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of a sweep")
    entries = _planned(folder) or _found(folder)
    if not entries:
        raise DataError(f"{folder}: holds no run (no sweep.json, job.json or config.yaml below it)")
    rows = [_row(folder, number, path, overrides) for number, path, overrides in entries]
    if any(row["overrides"] is None for row in rows):
        _compare_configs(rows)
    settings = list(dict.fromkeys([*(key for row in rows for key in row["overrides"]), *REPEATS]))
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    table = pd.DataFrame(
        [
            {
                **{name: row[name] for name in FIRST},
                **{key: _setting(row, key) for key in settings},
                **{name: row["metrics"].get(name) for name in metrics},
            }
            for row in rows
        ],
        columns=[*FIRST, *settings, *metrics],
    )
    for name in metrics:
        table[name] = table[name].astype(float)
    for key in settings:
        # pandas would make numbers of None and change 1 to 1.0 in a column that misses some.
        table[key] = pd.Series([_setting(row, key) for row in rows], dtype=object)
    return Runs(table, settings, metrics)


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Return key -> value of overrides in Hydra's form: `+a.b=1` gives {"a.b": 1}."""
    parsed = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if equals:
            parsed[key.lstrip("+~")] = _value(value)
    return parsed


def _value(text: str) -> Any:
    """A plain value as YAML reads it, and numbers such as 1e-3, which YAML takes for text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return text if isinstance(value, (dict, list)) else value


def _planned(folder: Path) -> list[tuple[int, Path, list[str] | None]]:
    """Jobs that sweep.json lists."""
    plan = folder / "sweep.json"
    if not plan.is_file():
        return []
    content = _read_json(plan)
    return [(int(job["number"]), folder / job["folder"], list(job["overrides"])) for job in content["jobs"]]


def _found(folder: Path) -> list[tuple[int, Path, list[str] | None]]:
    """Folders with a job.json or a run's config.yaml, in the order of their numbers or names."""
    paths = {p.parent for name in ("job.json", "config.yaml") for p in folder.rglob(name)} - {folder}
    ordered = sorted(paths, key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, str(p)))
    return [(int(p.name) if p.name.isdigit() else place, p, None) for place, p in enumerate(ordered)]


def _row(root: Path, number: int, path: Path, overrides: list[str] | None) -> dict[str, Any]:
    job = _read_json(path / "job.json") if (path / "job.json").is_file() else {}
    config = OmegaConf.load(path / "config.yaml") if (path / "config.yaml").is_file() else None
    finished = (path / "results.json").is_file()
    # Without job.json nothing tells a run that is going on from one that was killed.
    state = job.get("state") or ("done" if finished else "unfinished" if config is not None else "missing")
    error = job.get("error")
    if state == "done" and not finished:
        state, error = "failed", "said to be done, but results.json is missing"
    if overrides is None:
        listed = job.get("overrides")
        overrides = listed if listed is not None else _from_command(path)
    return {
        "number": number,
        "folder": str(path.relative_to(root)),
        "state": state,
        "error": error,
        "seconds": job.get("seconds"),
        "name": config.get("name") if isinstance(config, DictConfig) else None,
        "config": config,
        "overrides": None if overrides is None else parse_overrides(overrides),
        "metrics": _metrics(path) if state == "done" else {},
    }


def _metrics(path: Path) -> dict[str, float]:
    """Figures of the selected checkpoint, and the scorecard's values where there is one."""
    results = _read_json(path / "results.json")
    try:
        figures = results["phases"][results["selected"]]["figures"]
    except KeyError as error:
        raise DataError(f"{path / 'results.json'}: holds no {error}; was it written by another version?") from error
    found = {f"{part}/{name}": float(value) for part in figures for name, value in figures[part].items()}
    if (path / "scorecard.json").is_file():
        card = _read_json(path / "scorecard.json")
        values = {f"scorecard/{check['name']}": check["value"] for check in card["checks"]}
        values |= {f"carries/{part}": entry.get("fall") for part, entry in card.get("carries", {}).items()}
        found |= {name: float(v) for name, v in values.items() if isinstance(v, (int, float))}
    return found


def _from_command(path: Path) -> list[str] | None:
    """Overrides in the command line that started a run; None where it started a sweep, or is not known."""
    hydras = path / ".hydra" / "overrides.yaml"
    if hydras.is_file():
        return [str(entry) for entry in OmegaConf.load(hydras)]
    if not (path / "provenance.json").is_file():
        return None
    words = shlex.split(_read_json(path / "provenance.json").get("command", ""))
    if "gainkt.train" not in words or {"-m", "--multirun"} & set(words[words.index("gainkt.train") :]):
        return None
    return [word for word in words if "=" in word and not word.startswith("-")]


def _compare_configs(rows: list[dict[str, Any]]) -> None:
    """Take for unknown overrides the plain settings in which the configs of the runs differ."""
    flat = [_flatten(row["config"]) if row["config"] is not None else {} for row in rows]
    keys = list(dict.fromkeys(key for entry in flat for key in entry))
    known = [entry for entry in flat if entry]
    differing = [key for key in keys if len({str(entry.get(key)) for entry in known}) > 1 and not _aside(key)]
    for row, entry in zip(rows, flat, strict=True):
        if row["overrides"] is None:
            row["overrides"] = {key: entry[key] for key in differing if key in entry}


def _flatten(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, DictConfig):
        return {k: v for key in map(str, node) for k, v in _flatten(node[key], f"{path}.{key}".lstrip(".")).items()}
    return {path: node if isinstance(node, (int, float, bool, str, type(None))) else str(node)}


def _setting(row: Mapping[str, Any], key: str) -> Any:
    """A run's value of a setting: as overridden, else as its config has it."""
    if key in row["overrides"]:
        return row["overrides"][key]
    found = OmegaConf.select(row["config"], key, default=None) if row["config"] is not None else None
    return str(found) if OmegaConf.is_config(found) else found


def _aside(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in ASIDE)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: is not JSON ({error}); remove it and run that job again") from error
