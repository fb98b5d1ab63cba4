"""Runs that are asked together, as members of an ensemble or as teachers: of one split, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gainkt.data.datamodule import PARTS, KTDataModule
from gainkt.digests import held_to
from gainkt.errors import ConfigError, DataError
from gainkt.model import GainKT
from gainkt.names import visible
from gainkt.runs.averaging import mean
from gainkt.runs.folder import Run, build_datamodule, way_out
from gainkt.runs.pass_ import Seen, one_pass

LOGITS = ("logit1", "logit2")


class Logits:
    """Both encoders' logits of every step, once each, in the order of the batches."""

    def __init__(self) -> None:
        self._pieces: list[pd.DataFrame] = []

    def add(self, seen: Seen) -> None:
        """Take a batch."""
        shown = seen.shown_BT
        columns = {
            "student": seen.student_BT[shown].int(),
            "step": seen.number_BT[shown].int(),
            "response": seen.batch.response_BT[shown].to(torch.int8),
            "scored": seen.batch.scored_BT[shown],
            "logit1": seen.output.logit1_BT[shown].float(),
            "logit2": seen.output.logit2_BT[shown].float(),
        }
        self._pieces.append(pd.DataFrame({name: x.cpu().numpy() for name, x in columns.items()}))

    def table(self) -> pd.DataFrame:
        """Columns student (its number in the log), step (in its history), response, scored, logit1 and logit2."""
        return pd.concat(self._pieces, ignore_index=True)


def logits_of(model: GainKT, datamodule: KTDataModule, part: str, device: torch.device | str = "cpu") -> pd.DataFrame:
    """Return what a model says of every step of a part, as `Logits.table`; the same rows for every model."""
    said = Logits()
    one_pass(model, datamodule.loader(part), [said], device)
    return said.table()


def mean_logits(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return tables of the same rows as one, with the mean of their logits."""
    means = {}
    for name in LOGITS:
        means[name] = mean([torch.from_numpy(table[name].to_numpy(copy=True)) for table in tables]).numpy()
    return tables[0].assign(**means)


def require_same_parts(run: Run, datamodule: KTDataModule) -> None:
    """Check that a run was trained on data as given here, with the same students in each part.

    Who is in the run's parts is found by its own rule and fold on the data given: nothing is read again.

    Raises:
        DataError: its data were others.
        ConfigError: its parts were others, so that it has learnt from students of another part.
    """
    place, source = visible(run.directory.path, 200), run.directory.provenance
    with held_to(source, way_out(source)):
        known = str(run.provenance["data"]["digest"])
    if known != datamodule.log_.digest:
        raise DataError(f"{place}: trained on other data (digest {known}, here {datamodule.log_.digest})")
    own = build_datamodule(run.config.dataset)
    parts = own.rule.split(datamodule.log_, own.fold)
    for name in PARTS:
        theirs, ours = getattr(parts, name), getattr(datamodule.split, name)
        if not np.array_equal(np.sort(theirs), np.sort(ours)):
            raise ConfigError(
                f"{place}: its {name} part has other students "
                f"({len(np.setxor1d(theirs, ours)):,} stand in one of the two only): {parts.description}, here "
                f"{datamodule.split.description}; give runs of the same split and fold"
            )
