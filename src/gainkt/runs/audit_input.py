"""What an audit is about: histories of a data set, the model that a user names, a file of predictions."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gainkt.errors import ConfigError, DataError
from gainkt.names import joined
from gainkt.runs.audit import Predict, from_module
from gainkt.runs.folder import build_datamodule
from gainkt.runs.recorder import pick_students


def model_of(name: str) -> Predict:
    """Return the callable that `package.module:name` says, from an installed package or the current folder.

    Raises:
        ConfigError: there is none.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as for `python -m`
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"callable={name}: cannot be imported ({error}); give package.module:name") from error
    import torch

    if isinstance(found, torch.nn.Module):
        return from_module(found)
    if not callable(found):
        raise ConfigError(f"callable={name}: is {type(found).__name__}, which cannot be called")
    return found


def histories_of(dataset: DictConfig, count: int, seed: int) -> pd.DataFrame:
    """Return histories of a data set, over the range of lengths: student, step, skill, response, and item if known.

    Skills of one step are joined as `gainkt.names.joined` does.
    """
    datamodule = build_datamodule(dataset)
    datamodule.setup()
    log = datamodule.log_
    students = np.sort(pick_students(log, np.flatnonzero(log.lengths > 1), count, seed))
    if not len(students):
        raise DataError("no student of the data has two steps; there is nothing to predict")
    steps, lengths = log.steps_of(students), log.lengths[students]
    place = np.arange(len(steps)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    first, names = log.skill_offsets, log.skill_names
    rows = pd.DataFrame(
        {
            "student": np.repeat(log.students[students], lengths),
            "step": place,
            "skill": [joined(names[log.skills[first[m] : first[m + 1]]].tolist()) for m in steps],
            "response": log.responses[steps].astype(np.int64),
        }
    )
    return rows.assign(item=log.item_names[log.items[steps]]) if log.num_items else rows


def predictions_of(path: Path, columns: Mapping[str, str | None]) -> pd.DataFrame:
    """Read a file of predictions; a `predictions.parquet` of a run is one, Encoder 2's unless columns.p=p1.

    Raises:
        DataError: the file cannot be read, or lacks a column that `columns` names.
    """
    student = columns["student"] or "student"  # 001 and 1 are two
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={student: str})
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # each format has errors of its own
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {' '.join(str(error).split())})") from error
    asked = {str(found): str(name) for name, found in columns.items() if found}
    if missing := [name for name in asked if name not in table]:
        raise DataError(
            f"{path}: {', '.join(f'columns.{asked[x]}={x}' for x in missing)}: no such column; found {list(table)}"
        )
    if {"p1", "p2", "skills", "scored"} <= set(table):  # gainkt's own
        own = {name: found for name, found in (("skills", "skill"), ("p2", "p")) if found not in asked.values()}
        table = table.rename(columns={**own, **asked})
        table["p"] = table["p"].where(table["scored"].astype(bool))
        return table if table["item"].notna().any() else table.drop(columns="item")
    return table.rename(columns=asked)
