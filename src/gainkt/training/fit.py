"""A run from a table in memory: `gainkt.fit(df, ...)` is `gainkt train` on a copy of the table's columns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gainkt.arguments import hydra_text, quote_text, quoted
from gainkt.config import one_line
from gainkt.data.readers.table import TableReader, table_reader
from gainkt.errors import ConfigError
from gainkt.files import write_whole
from gainkt.overrides import compose_train
from gainkt.reporting.page.notebook import Page
from gainkt.reporting.run_view import show_run
from gainkt.runs.trained import TrainedModel, load
from gainkt.training.train import RunResult, train


@dataclass(frozen=True)
class Fitted:
    """A run that was trained on a table, and lies on disk like any other."""

    done: RunResult
    """What training left in memory: the data, Lightning's module and trainer."""

    @property
    def folder(self) -> Path:
        """The run's folder, which every command takes as `run=`."""
        return self.done.run.directory.path

    @property
    def results(self) -> dict[str, Any]:
        """Figures of each phase's best checkpoint on validation and test, as in results.json."""
        return self.done.results

    @property
    def scorecard(self) -> dict[str, Any] | None:
        """Whether mastery can be believed, as in scorecard.json; None with trajectories.write=false."""
        return self.done.scorecard

    @cached_property
    def model(self) -> TrainedModel:
        """The best model of the last phase, as `gainkt.load(folder)` gives it."""
        return load(self.folder)

    def report(self) -> Page:
        """Return the run's page, which a notebook shows and `save` writes (`pip install 'gainkt[report]'`)."""
        return self.done.report()

    def show(self) -> None:
        """Print what `gainkt train` prints in the end: figures, scorecard, and what carries the prediction."""
        show_run(self.results, self.scorecard, self.done.diagnosis, self.done.alignment, self.folder)


def fit(
    data: pd.DataFrame | pa.Table | str | Path,
    *,
    student: str = "student",
    skill: str = "skill",
    correct: str = "correct",
    item: str | None = None,
    order: str | bool | None = None,
    experiment: str = "v4_belief",
    overrides: Mapping[str, Any] | Sequence[str] = (),
    root: str | Path = "outputs",
    **reading: Any,
) -> Fitted:
    """Train a model on a table of answers, as `gainkt train dataset=csv` does, and score it on students held out.

    Args:
        data: R rows, one an answer: a DataFrame, an Arrow table, or the path of a table. Of one in memory the columns
            that are read are kept under `<root>/data/`, since a run is scored again from its data.
        student: column of the student.
        skill: column of the skill, or of several joined by ";".
        correct: column of the response: 1 right, 0 wrong.
        item: column of the item, if there is one.
        order: column of a number or a time; False where rows stand in order.
        experiment: as in `gainkt train experiment=`.
        overrides: settings as on the command line, {"trainer.max_epochs": 3} or ["trainer.max_epochs=3"].
        root: folder under which runs are kept.
        reading: further settings of `gainkt.read`, such as fold="part", partial="round" or missing="drop".

    Raises:
        ConfigError: a setting that cannot be used.
        DataError: data that cannot be used; the message names the row, the count and the setting that decides.
    """
    if isinstance(overrides, str):
        raise ConfigError(f"overrides={overrides}: give a dict, or a list of key=value")
    roles = {"student": student, "skill": skill, "correct": correct, "item": item, "order": order}
    settings = {key: value for key, value in roles.items() if value is not None} | reading
    if not isinstance(data, str | Path):
        settings = {"name": "table", **settings}
    path = Path(data).expanduser() if isinstance(data, str | Path) else _kept(data, table_reader(settings), Path(root))
    given = (
        [f"{key}={hydra_text(value)}" for key, value in overrides.items()]
        if isinstance(overrides, Mapping)
        else quote_text(overrides)
    )
    chosen = [
        f"experiment={experiment}",
        "dataset=csv",
        f"dataset.path={quoted(str(path.resolve()))}",
        *(f"dataset.read.{key}={hydra_text(value)}" for key, value in settings.items()),
        f"run.root={quoted(str(root))}",
        *given,
    ]
    try:
        composed = compose_train(chosen)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(one_line(error)) from error
    return Fitted(train(composed, chosen))


def _kept(data: pd.DataFrame | pa.Table, reader: TableReader, root: Path) -> Path:
    """Keep the columns of a table that are read, under a name that says what they hold; return the file."""
    reader(data)  # what it lacks is said before anything is written
    table, stream = reader.used(data), pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    digest = hashlib.blake2b(stream.getvalue(), digest_size=8).hexdigest()
    path = root / "data" / f"{digest}.parquet"
    if not path.is_file():
        write_whole(path, lambda building: pq.write_table(table, building))
    return path
