"""The runs of a sweep or search, finished or not, as one table: a row a job."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from gainkt.digests import exists, held_to, opened, read_json, read_table
from gainkt.errors import DataError
from gainkt.masking import masked
from gainkt.runs.folder import way_out
from gainkt.sweeping.jobs import AGAIN, RECORD, SweepFolder

REPEATS = ("seed", "dataset.fold")
"""Settings over which a run is repeated; runs that are equal but for these are one setting."""
NO_PARAMETERS = (
    *("hydra", "run", "sweep", "logger", "trajectories", "callbacks.report"),
    *("gradient_every", "dataset.path", "diagnose", "report"),
)
"""Settings that change no metric; they are listed but count as no parameter."""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FIRST = ("number", "folder", "state", "error", "seconds", "name")


@dataclass(frozen=True)
class Runs:
    """The table of runs and which of its columns mean what."""

    table: pd.DataFrame
    """One row a job: number, folder, state, error, seconds, name, one column a setting, one a metric."""
    settings: list[str]
    """Columns that hold overrides, by their dotted key; `seed` and `dataset.fold` are always among them."""
    metrics: list[str]
    """Columns that hold metrics: val/encoder1_auc, test/encoder2_auc, scorecard/gain_std, loss/bce1, ..."""

    @cached_property
    def done(self) -> pd.DataFrame:
        """The rows of finished runs."""
        return self.table[self.table.state == "done"]

    @cached_property
    def parameters(self) -> list[str]:
        """Settings that differ between finished runs; repeats come last, those that change no metric are left out."""
        varied = [key for key in self.settings if self.done[key].astype(str).nunique() > 1 and _is_parameter(key)]
        return sorted(varied, key=lambda key: key in REPEATS)

    @cached_property
    def moving_together(self) -> dict[str, str]:
        """Parameters that follow from an earlier one, as loss.bce2 does where it is 1 - loss.bce1: later -> earlier."""
        found: dict[str, str] = {}
        keys = [key for key in self.parameters if key not in REPEATS]
        for place, later in enumerate(keys):
            earlier = next((key for key in keys[:place] if key not in found and self._same(key, later)), None)
            if earlier is not None:
                found[later] = earlier
        return found

    @cached_property
    def swept(self) -> list[str]:
        """Parameters other than seeds and folds, without those that follow from another."""
        return [key for key in self.parameters if key not in REPEATS and key not in self.moving_together]

    def is_numeric(self, key: str) -> bool:
        """Tell whether every value of a parameter in finished runs is a number (and not a switch)."""
        values = self.done[key]
        return len(values) > 0 and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)

    def levels(self, key: str) -> pd.Series:
        """Values of a parameter in finished runs: numbers where all of them are, text otherwise."""
        return pd.to_numeric(self.done[key]) if self.is_numeric(key) else self.done[key].astype(str)

    def _same(self, first: str, second: str) -> bool:
        """Tell whether two parameters divide the runs alike, or lie on a line where every run has its own values."""
        one, two = self.levels(first), self.levels(second)
        pairs = len(set(zip(one, two, strict=True)))
        if not one.nunique() == two.nunique() == pairs:
            return False
        on_a_line = self.is_numeric(first) and self.is_numeric(second) and len(one) > 2
        return pairs < len(one) or (on_a_line and abs(one.corr(two)) > 1 - 1e-9)


def read_runs(folder: Path) -> Runs:
    """Read every run of a sweep folder, with or without sweep.json and job.json.

    Overrides come from sweep.json or job.json; from the command in provenance.json where it names a single run;
    otherwise from what differs between the runs' config.yaml.

    Args:
        folder: of a sweep, a search, or any folder that holds runs.

    Raises:
        ConfigError: sweep.json is not the plan of a sweep.
        DataError: the folder does not exist or holds no run, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the folder of a sweep")
    if SweepFolder(folder).planned:
        rows = [_read(folder, job.number, job.folder, job.overrides) for job in SweepFolder(folder).jobs]
    else:
        paths = {p.parent for name in (RECORD, "config.yaml") for p in folder.rglob(name)} - {folder}
        ordered = sorted(paths, key=lambda p: (not p.name.isdigit(), int(p.name) if p.name.isdigit() else 0, str(p)))
        rows = [_read(folder, int(p.name) if p.name.isdigit() else place, p) for place, p in enumerate(ordered)]
    if not rows:
        raise DataError(f"{folder}: holds no run (no sweep.json, job.json or config.yaml below it)")
    _compare_configs([row for row in rows if row["config"]])
    overridden = (key for row in rows for key in row["overrides"] or {} if key not in FIRST)  # `name` is a column
    settings = list(dict.fromkeys([*overridden, *REPEATS]))
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    table = pd.DataFrame([{name: row[name] for name in FIRST} for row in rows])
    # pandas would make numbers of None and change 1 to 1.0 in a column that misses some.
    chosen = {key: pd.Series([_setting(row, key) for row in rows], dtype=object) for key in settings}
    found = {name: pd.Series([row["metrics"].get(name) for row in rows], dtype=float) for name in metrics}
    return Runs(pd.concat([table, pd.DataFrame({**chosen, **found})], axis=1), settings, metrics)


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Return key -> value of overrides in Hydra's form: `+a.b=1` gives {"a.b": 1}."""
    parts = [masked(override).partition("=") for override in overrides]
    return {key.lstrip("+~"): _value(value) for key, equals, value in parts if equals}


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


def _read(root: Path, number: int, path: Path, overrides: Sequence[str] | None = None) -> dict[str, Any]:
    """A row: what a job's folder says of it."""
    job = read_json(path / RECORD, AGAIN, {"state": str}) if (path / RECORD).is_file() else {}
    config = _read_yaml(path / "config.yaml") if (path / "config.yaml").is_file() else {}
    finished = (path / "results.json").is_file()
    # Without job.json nothing tells a run that is going on from one that was killed.
    state = job.get("state") or ("done" if finished else "unfinished" if config else "missing")
    error = job.get("error")
    if state == "done" and not finished:
        state, error = "failed", "said to be done, but results.json is missing"
    if overrides is None:
        overrides = job["overrides"] if "overrides" in job else _from_command(path)
    return {
        "number": number,
        "folder": str(path.relative_to(root)),
        "state": state,
        "error": error,
        "seconds": job.get("seconds"),
        "name": config.get("name"),
        "config": config,
        "overrides": None if overrides is None else parse_overrides(overrides),
        "metrics": _metrics(path) if state == "done" else {},
    }


def _metrics(path: Path) -> dict[str, float]:
    """Metrics of the selected checkpoint, loss terms and weights of its epoch, and the scorecard's values."""
    results = read_json(path / "results.json", way_out(path / "results.json"), {"selected": str, "phases": dict})
    try:
        chosen = results["phases"][results["selected"]]
        found: dict[str, Any] = {f"{part}/{n}": v for part, of in chosen["figures"].items() for n, v in of.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path / 'results.json'}: holds no {error}; was it written by another version?") from error
    if exists(path / "metrics.csv", way_out(path / "metrics.csv")):
        epochs = read_table(path / "metrics.csv", way_out(path / "metrics.csv"), ("epoch",)).set_index("epoch")
        if chosen.get("epoch") in epochs.index:
            found |= epochs.loc[chosen["epoch"]].filter(regex="^(loss|weight)/").dropna().to_dict()
    if (path / "scorecard.json").is_file():
        card = read_json(path / "scorecard.json", way_out(path / "scorecard.json"), {"checks": list})
        with held_to(path / "scorecard.json", way_out(path / "scorecard.json")):
            found |= {f"scorecard/{check['name']}": check["value"] for check in card["checks"]}
            found |= {f"carries/{part}": entry.get("fall") for part, entry in card.get("carries", {}).items()}
    return {name: float(value) for name, value in found.items() if isinstance(value, (int, float))}


def _from_command(path: Path) -> list[str] | None:
    """Overrides in the command line that started a run; None where it started a sweep, or is not known."""
    hydras = path / ".hydra" / "overrides.yaml"
    if hydras.is_file():
        with opened(hydras, AGAIN) as file, held_to(hydras, AGAIN, ValueError, yaml.YAMLError, TypeError):
            return [str(entry) for entry in yaml.load(file, Loader=LOADER) or ()]
    if not (path / "provenance.json").is_file():
        return None
    provenance = read_json(path / "provenance.json", way_out(path / "provenance.json"), {})
    with held_to(path / "provenance.json", way_out(path / "provenance.json")):
        if provenance.get("overrides") is not None:
            return list(map(str, provenance["overrides"]))
        words = shlex.split(provenance.get("command", ""))
    if "gainkt.train" not in words or {"-m", "--multirun"} & set(words[words.index("gainkt.train") :]):
        return None
    return [word for word in words if "=" in word and not word.startswith("-")]


def _compare_configs(rows: list[dict[str, Any]]) -> None:
    """Take for unknown overrides the plain settings in which the configs of the runs differ."""
    if all(row["overrides"] is not None for row in rows):
        return
    flat = [_flatten(row["config"]) for row in rows]
    keys = list(dict.fromkeys(key for entry in flat for key in entry))
    differing = [key for key in keys if len({str(entry.get(key)) for entry in flat}) > 1 and _is_parameter(key)]
    for row, entry in zip(rows, flat, strict=True):
        if row["overrides"] is None:
            row["overrides"] = {key: entry[key] for key in differing if key in entry}


def _flatten(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, dict):
        return {k: v for key in node for k, v in _flatten(node[key], f"{path}.{key}".lstrip(".")).items()}
    return {path: str(node) if isinstance(node, list) else node}


def _setting(row: Mapping[str, Any], key: str) -> Any:
    """A run's value of a setting: as overridden, else as its config has it."""
    if key in (row["overrides"] or {}):
        return row["overrides"][key]
    node: Any = row["config"]
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return str(node) if isinstance(node, (dict, list)) else node


def _is_parameter(key: str) -> bool:
    return not any(key == name or key.startswith(f"{name}.") for name in NO_PARAMETERS)


def _read_yaml(path: Path) -> Any:
    """Plain content: what a config from disk says is read, not resolved; a few nested aliases would fill any memory."""
    try:
        with opened(path, AGAIN) as file:
            text = file.read().decode("utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=LOADER)):
            raise yaml.YAMLError("aliases are not read from disk")
        content = yaml.load(text, Loader=LOADER)
        if not isinstance(content, dict) or not content:
            raise yaml.YAMLError("it holds no settings")
        return content
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: is not YAML ({reason}); {AGAIN}") from error
