"""Several runs side by side: their metrics, paired differences, scorecards, and the settings that set them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from gainkt.digests import read_table
from gainkt.errors import ConfigError
from gainkt.evaluation.paired import paired_differences
from gainkt.files import plain
from gainkt.masking import masked
from gainkt.names import visible
from gainkt.overrides import command_line
from gainkt.runs.folder import Run, load_run, way_out
from gainkt.runs.page import report_of

MOST = 20
"""Runs that are compared at once."""
COLUMNS = ["student", "step", "response", "scored", "p1", "p2"]
NO_SETTINGS = ("run.", "sweep.", "logger.", "trajectories.", "dataset.path", "name", "trust", "report", "diagnose")
"""Starts of keys that say nothing of what was trained."""
SPLIT = ("fold", "split")
"""Keys of `dataset` that decide who is in which part; its seed is that of the order of batches."""


def folders_of(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the folders of the runs that are asked for: those given, or the finished ones of a sweep's folder.

    Raises:
        ConfigError: a folder does not exist, or there are fewer than two runs, or too many.
    """
    asked = [Path(one).expanduser() for one in ([given] if isinstance(given, str | Path) else given)]
    for folder in asked:
        if not folder.is_dir():
            raise ConfigError(f"runs={folder}: no such folder")
    found = asked
    if len(asked) == 1 and not (asked[0] / "config.yaml").is_file():
        done = {path.parent for path in asked[0].rglob("results.json")}
        found = sorted(done, key=lambda path: [(not part.isdigit(), part.zfill(9)) for part in path.parts])
    if not 2 <= len(found) <= MOST:
        raise ConfigError(f"runs: {len(found)} finished runs to compare; give 2 to {MOST}, as runs=[a,b]")
    return found


def compare_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """Compare runs with the first of them, as plain data.

    Raises:
        ConfigError: a run did not finish, has no tables or damaged ones, or was trained on other data or another split.
        DataError: the runs were scored on other steps.
    """
    provenance = [report_of(run.directory.provenance) or {} for run in runs]
    for run, made in zip(runs, provenance, strict=True):
        _require_alike(runs[0], run, *(p.get("data", {}).get("digest") for p in (provenance[0], made)))
    labels = labels_of(runs)
    tables = {label: _predictions(run) for label, run in zip(labels, runs, strict=True)}
    cards = [report_of(run.directory.path / "scorecard.json") for run in runs]
    settings = [_flat(OmegaConf.to_container(run.config, resolve=True, throw_on_missing=False)) for run in runs]
    keys = dict.fromkeys(key for own in settings for key in own)
    told: list[tuple[str, list[str]]] = [
        (key.removesuffix("._target_"), [_told(key, own) for own in settings])
        for key in sorted(keys)
        if not key.startswith(NO_SETTINGS) and not key.endswith("._partial_")
    ]
    untrained = [
        f"Encoder {encoder} of {label} was not trained"
        for label, run in zip(labels, runs, strict=True)
        for encoder in run.untrained()
    ]
    content = {
        "runs": [
            {
                "label": label,
                "name": str(run.config.name),
                "folder": str(run.directory.path),
                "command": made.get("command"),
                "level": card["level"] if card else None,
                "metrics": run.results["phases"][run.results["selected"]]["figures"],
            }
            for label, run, made, card in zip(labels, runs, provenance, cards, strict=True)
        ],
        "protocol": "; ".join([runs[0].results["protocol"], *untrained]),
        "checks": _checks(cards),
        "settings": [{"key": key, "values": values} for key, values in told if len(set(values)) > 1],
        **paired_differences(tables),
    }
    return plain(content)


def _require_alike(first: Run, other: Run, *digests: str | None) -> None:
    """Raise ConfigError where a run cannot be held against the first."""
    here, there = visible(other.directory.path, 200), visible(first.directory.path, 200)
    if not other.results:
        raise ConfigError(f"{here}: training did not finish; `{command_line('train', [f'run.resume={here}'])}` goes on")
    if digests[0] != digests[1]:
        raise ConfigError(f"{here}: other data than {there} (digest {digests[1]}, and {digests[0]}); nothing is paired")
    for key in SPLIT:
        one, two = (OmegaConf.select(run.config.dataset, key) for run in (first, other))
        if one != two:
            said = "" if key == "split" else f" (dataset.{key}={two}, and {one})"
            raise ConfigError(f"{here}: another split than {there}{said}; nothing is paired")


def _predictions(run: Run) -> pd.DataFrame:
    path = run.directory.path / "predictions.parquet"
    return read_table(path, way_out(path), COLUMNS)


def labels_of(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its own where that is enough, else with its folder, else with its place."""
    names = [str(run.config.name) for run in runs]
    if len(set(names)) < len(names):
        names = [f"{name} {run.directory.path.name}" for name, run in zip(names, runs, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{place}: {name}" for place, name in enumerate(names, start=1)]
    return names


def _checks(cards: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """A row a check, with what each run has of it."""
    by_run = [{check["name"]: check for check in card["checks"]} if card else {} for card in cards]
    titles = {name: check["title"] for own in by_run for name, check in own.items()}
    kept = ("value", "interval", "verdict", "level")
    return [
        {"title": title, "cells": [{k: own[name][k] for k in kept} if name in own else None for own in by_run]}
        for name, title in titles.items()
    ]


def _told(key: str, settings: dict[str, Any]) -> str:
    """A setting's value; of a class, its name."""
    value = masked(str(settings.get(key, "-")))
    return value.rpartition(".")[2] if key.endswith("._target_") else value


def _flat(node: Any, path: str = "") -> dict[str, Any]:
    if isinstance(node, dict) and node:
        return {k: v for key in node for k, v in _flat(node[key], f"{path}.{key}".lstrip(".")).items()}
    return {path: node}


def load_runs(given: str | Path | Sequence[str | Path], trust: Sequence[str] = ()) -> list[Run]:
    """Read the runs that are asked for; errors are those of `folders_of` and `load_run`."""
    return [load_run(folder, trust) for folder in folders_of(given)]
