"""Train a model of pykt-toolkit by its own code, and predict: `<python> run_pykt.py <folder>` (see gainkt.peers).

Its `init_model`, `train_model` (early stopping on the validation part) and `evaluate` are called; what is done here is
to cut histories as pyKT does, into pieces of `length` steps. Of a longer test history each piece repeats the second
half of the one before it, unscored, so that no prediction after the first piece has less than half a piece of history.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pykt.models import evaluate, init_model, train_model

EMBEDDING = "qid"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""As pyKT chooses it."""
PATIENCE = 10
"""Epochs after the best one, at which pyKT's `train_model` ends."""


class OutOfTime(Exception):
    """No further epoch may begin."""


class Batches:
    """Pieces of histories as pyKT's loaders give them; a training pass after the first begins before `until` only."""

    def __init__(
        self,
        rows: pd.DataFrame,
        length: int,
        size: int,
        *,
        train: bool = False,
        overlap: bool = False,
        until: float = float("inf"),
    ) -> None:
        names = ("skill", "item", "response")
        self.columns = {name: torch.from_numpy(rows[name].to_numpy(np.int64, copy=True)) for name in names}
        self.size, self.shuffled, self.until = size, train, until
        pieces = []
        for at in rows.groupby("student", sort=False).indices.values():
            stride = length // 2 if overlap else length
            for start in range(0, len(at), stride):
                first = 1 if not overlap or start == 0 else length - stride
                if len(at) - start > first:
                    pieces.append((at[0] + start, min(length, len(at) - start), first))
        self.pieces = torch.tensor(pieces)
        self.clock: list[tuple[float, float]] = []
        """When each pass began and ended."""
        if not train:  # alike in length, which saves padding
            self.pieces = self.pieces[self.pieces[:, 1].argsort(stable=True)]

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        began = time.time()
        if self.clock and began > self.until:
            raise OutOfTime
        order = torch.randperm(len(self.pieces)) if self.shuffled else torch.arange(len(self.pieces))
        for some in order.split(self.size):
            start, length, first = self.pieces[some].T
            place = torch.arange(int(length.max()))
            mask = (place < length[:, None])[:, 1:]
            made = {"masks": mask, "smasks": mask & (place[1:] >= first[:, None])}
            at = (start[:, None] + place).clamp(max=len(self.columns["skill"]) - 1)
            for key, name in (("q", "item"), ("c", "skill"), ("r", "response")):
                values = self.columns[name][at]
                values = values.float() if name == "response" else values
                made |= {f"{key}seqs": values[:, :-1] * mask, f"shft_{key}seqs": values[:, 1:] * mask}
            made |= {key: torch.zeros_like(made["qseqs"]) for key in ("tseqs", "shft_tseqs")}
            yield {key: value.to(DEVICE) for key, value in made.items()}
        self.clock.append((began, time.time()))

    def scored_rows(self) -> np.ndarray:
        """Rows that are predicted, in the order of the pieces."""
        return np.concatenate([np.arange(start + first, start + n) for start, n, first in self.pieces.tolist()])


def main(folder: Path) -> None:
    """Train, and write predictions.csv."""
    given = json.loads((folder / "settings.json").read_text())
    settings: dict[str, Any] = given["settings"]
    torch.manual_seed(given["seed"])
    np.random.seed(given["seed"])  # noqa: NPY002 (what pyKT draws from)
    train, valid, test = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "valid", "test"))
    name, length, size = settings["model"], settings["length"], settings["batch_size"]
    sizes = {"num_c": given["num_skills"], "num_q": given["num_items"], "emb_path": ""}
    model = init_model(name, settings["model_config"], sizes, EMBEDDING)
    if model is None:
        raise SystemExit(f"pykt-toolkit knows no model {name}")
    optimizer = torch.optim.Adam(model.parameters(), settings["learning_rate"])
    minutes = settings.get("minutes")
    until = float("inf") if minutes is None else time.time() + 60 * minutes
    parts = Batches(train, length, size, train=True, until=until), Batches(valid, length, size)
    with suppress(OutOfTime):
        train_model(model, *parts, settings["epochs"], optimizer, str(folder), save_model=True)
    trained, validated = (np.array(part.clock) for part in parts)
    kept = folder / f"{EMBEDDING}_model.ckpt"
    best = int((trained[:, 0] <= kept.stat().st_mtime).sum())  # the last epoch that began before it was kept
    if len(trained) < best + PATIENCE:
        reason = f"epochs={settings['epochs']}" if len(trained) == settings["epochs"] else f"minutes={minutes}"
        told = f"stopped by {reason} after {len(trained)} epochs (best: epoch {best}); pyKT stops {PATIENCE} after it"
        (folder / "notes.txt").write_text(told + "\n")
    epochs = {"train_seconds": trained[:, 1] - trained[:, 0], "seconds": validated[:, 1] - trained[0, 0]}
    pd.DataFrame(epochs).assign(best=np.arange(1, len(trained) + 1) == best).to_csv(folder / "epochs.csv", index=False)
    model.load_state_dict(torch.load(kept))
    asked, said = Batches(test, length, size, overlap=True), folder / "said.txt"
    evaluate(model, asked, name, str(said))
    # A line a piece: skills, responses, next skills, next responses, probabilities, ...
    lists = (re.findall(r"\[([^\[\]]*)\]", line)[4] for line in said.read_text().splitlines() if line)
    p = np.concatenate([np.array(numbers.split(", "), dtype=np.float64) for numbers in lists])
    table = test.iloc[asked.scored_rows()].assign(p=p)
    table[table["scored"] == 1][["student", "step", "p"]].to_csv(folder / "predictions.csv", index=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
