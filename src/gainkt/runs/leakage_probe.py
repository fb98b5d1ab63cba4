"""Leakage guards on a model and its data, on demand: `python -m gainkt.diagnose run=<dir> leakage=true`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.data.datamodule import PARTS, KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.data.readers.expansion import ENOUGH, Twos
from gainkt.evaluation.leakage import (
    AUDIT_ROWS,
    Guard,
    chance_level,
    export_audit,
    guard,
    kt_audit,
    scored_once,
    students_apart,
)
from gainkt.model import GainKT
from gainkt.model.readout import probability
from gainkt.runs.recorder import record

Predict = Callable[[Batch], tuple[Tensor, Tensor]]
"""From a batch to both encoders' probabilities, [B, T] each."""
NUM_BATCHES, NUM_FLIPS = 6, 8
SHORTEST = 10
"""Steps of a history from which two alike are no chance."""
MOVED = 1e-6
"""Change of a probability over which a response is said to move it."""


def check_leakage(
    model: GainKT,
    datamodule: KTDataModule,
    predictions: pd.DataFrame,
    *,
    part: str = "test",
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> list[Guard]:
    """Run every guard against a model that knows what it should not.

    Args:
        model: the two encoders.
        datamodule: the data, with the model's numbering of skills.
        predictions: what the model said about the part, all steps (gainkt.evaluation.schema).
        part: train, valid or test.
        device: where to compute.
        seed: of flips, shuffles and the pick of training students for kt-audit.

    Returns:
        Guards as {name, passed (None: not measured), measured, reading}.
    """
    log, students = datamodule.log_, datamodule.students(part)
    lengths = dict(zip(map(str, log.students[students]), log.lengths[students].tolist(), strict=True))
    parts = {name: log.students[datamodule.students(name)] for name in PARTS}
    audited = {part: predictions}
    if part != "train":
        rows = min(len(predictions), AUDIT_ROWS - len(predictions))  # as many as of the part, if the audit takes them
        audited["train"] = _some_training_predictions(model, datamodule, rows, device=device, seed=seed)
    return [
        *flipped_responses(_probabilities(model, device), _spread(datamodule, part), seed=seed),
        *(chance_level(predictions, column, seed=seed) for column in ("p1", "p2")),
        students_apart(parts),
        histories_apart({name: datamodule.students(name) for name in PARTS}, log),
        scored_once(predictions, lengths),
        answers_once(predictions),
        *(kt_audit(export_audit(audited, column), column) for column in ("p1", "p2")),
    ]


def histories_apart(parts: Mapping[str, NDArray[np.int64]], log: InteractionLog) -> Guard:
    """Tell whether no history of validation or test stands in training under another name.

    Short histories are alike by chance: those of 10 steps or more count, and one in a hundred may be.

    Args:
        parts: the students' numbers by part.
        log: the data.
    """
    hashes = log.histories
    long = {name: students[log.lengths[students] >= SHORTEST] for name, students in parts.items()}
    known = hashes[long["train"]]
    again = {name: int(np.isin(hashes[long[name]], known).sum()) for name in parts if name != "train"}
    counts = {name: len(long[name]) for name in again}
    passed = all(again[name] <= counts[name] / 100 for name in again)
    said = ", ".join(f"{again[name]} of {counts[name]} in {name}" for name in again)
    return guard(
        "histories_apart",
        passed,
        {**again, "counted": counts},
        f"students of {SHORTEST} steps or more whose whole history stands in training, under whatever name: {said}",
    )


def answers_once(predictions: pd.DataFrame) -> Guard:
    """Tell whether no step repeats the answer before it for another skill, from skills and responses alone.

    Items, where they are named, say so exactly: see `scored_once`. Without them a few steps tell nothing.

    Args:
        predictions: of one part of the data, all steps.
    """
    steps = predictions.sort_values(["student", "step"], kind="stable")
    student, skill = (pd.factorize(steps[column])[0] for column in ("student", "skills"))
    response = steps["response"].to_numpy().astype(np.int64)
    twos = Twos()
    twos.add(student, skill, response)
    found = int(twos.marks(student, skill, response).sum())
    few = not found and twos.num_telling < ENOUGH and bool(predictions["item"].isna().all())
    reading = (
        f"{found} of {len(steps)} steps repeat the response before them for another skill, more often than answers of "
        "their own do"
    )
    if found:
        reading += ": rows of one answer are read apart, and the label leaks; read the data with its item column"
    if few:
        reading = (
            f"items are not named, and {twos.num_telling} steps on the other of two skills are too few to tell whether "
            f"rows of one answer are read apart ({ENOUGH} are needed)"
        )
    return guard("answers_once", None if few else found == 0, {"suspected_rows": found, "rows": len(steps)}, reading)


def flipped_responses(predict: Predict, batches: Iterable[Batch], *, seed: int = 0) -> list[Guard]:
    """Flip one response of every window, at several positions, and see which predictions move.

    None at or before the flipped step may; some later one must, or the guard could not fail.

    Args:
        predict: gives both encoders' probabilities of a batch.
        batches: of real data.
        seed: of the positions; the first step is always among them.

    Returns:
        A guard an encoder.
    """
    draw = torch.Generator().manual_seed(seed)
    earlier, later, flips = [0.0, 0.0], [0.0, 0.0], 0
    for batch in batches:
        before = predict(batch)
        length = batch.valid_BT.sum(1).cpu()
        column = torch.arange(batch.valid_BT.shape[1])
        for number in range(NUM_FLIPS):
            at = (torch.rand(len(batch), generator=draw) * length).long() * (number > 0)
            here = (column == at[:, None]).to(batch.response_BT.device)
            after = predict(replace(batch, response_BT=torch.where(here, 1 - batch.response_BT, batch.response_BT)))
            seen = (column <= at[:, None]).to(here.device) & batch.valid_BT
            flips += len(batch)
            for i, (x, y) in enumerate(zip(before, after, strict=True)):
                change = (x - y).abs()
                earlier[i] = max(earlier[i], float((change * seen).max()))
                later[i] = max(later[i], float((change * (batch.valid_BT & ~seen)).max()))
    return [
        guard(
            f"flipped_responses_encoder{i + 1}",
            earlier[i] <= MOVED < later[i],
            {"moved_at_or_before": earlier[i], "moved_after": later[i], "flips": flips},
            f"{flips} flipped responses move predictions at or before them by {earlier[i]:.1e} at most, "
            f"later ones by up to {later[i]:.1e}"
            + ("" if later[i] > MOVED else ": the encoder reads no response at all"),
        )
        for i in range(2)
    ]


def _probabilities(model: GainKT, device: torch.device | str) -> Predict:
    model.to(device).eval()

    @torch.inference_mode()
    def predict(batch: Batch) -> tuple[Tensor, Tensor]:
        output = model(batch.to(device))
        return probability(output.logit1_BT).cpu(), probability(output.logit2_BT).cpu()

    return predict


def _spread(datamodule: KTDataModule, part: str) -> Iterable[Batch]:
    """A few batches of a part, from the longest windows to the shortest."""
    loader = datamodule.loader(part)
    chosen = set(np.linspace(0, len(loader) - 1, NUM_BATCHES).astype(int).tolist())
    return (batch for number, batch in enumerate(loader) if number in chosen)


def _some_training_predictions(
    model: GainKT, datamodule: KTDataModule, rows: int, *, device: torch.device | str, seed: int
) -> pd.DataFrame:
    """Predictions of as many training students, drawn at random, as fit into a number of rows (at minimum one)."""
    students = np.random.default_rng(seed).permutation(datamodule.students("train"))
    fits = int(np.searchsorted(np.cumsum(datamodule.log_.lengths[students]), rows))
    some = datamodule.of_students("train", np.sort(students[: max(fits, 1)]))
    with tempfile.TemporaryDirectory() as folder:
        paths = record(model, some, "train", Path(folder), device=device, num_students=1)
        return pd.read_parquet(paths["predictions"])
