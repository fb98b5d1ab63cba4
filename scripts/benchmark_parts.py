"""Parts of the training benchmark: a training step, samples that stand for an epoch, times, peak memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from gainkt.config import build, conf_dir, register_resolvers
from gainkt.data.batch import Batch
from gainkt.data.datamodule import KTDataModule
from gainkt.data.loader import TokenBudgetSampler, WindowDataset
from gainkt.model import GainKT
from gainkt.runs.folder import build_datamodule, build_model
from naive_baseline import NaiveGainKT, pad_to
from trainee import descend, total_of

PADDED_LENGTH, PADDED_BATCH = 200, 64


@dataclass(frozen=True)
class Case:
    """What is trained, on what."""

    experiment: str
    size: str
    data: str
    precision: str = "32-true"
    device: str = "cpu"
    tokens: int | None = None


@dataclass(frozen=True)
class Way:
    """A way of training: how batches are made and how the model is computed."""

    padded: bool
    """Every window padded to 200 steps, 64 a batch; otherwise gainkt's own batches."""
    wrap: Callable[[GainKT], nn.Module] | None
    """Makes the baseline from the model; None for gainkt's own computation."""


WAYS = {
    "baseline": Way(True, NaiveGainKT),
    "baseline, no attention dropout": Way(True, lambda model: NaiveGainKT(model, attention_dropout=0.0)),
    "gainkt on baseline's batches": Way(True, None),
    "gainkt": Way(False, None),
}
ENDS = ("baseline", "gainkt")
"""Ways whose memory is measured."""


@dataclass(frozen=True)
class Speed:
    """Speed of one way of training."""

    rounds: list[float]
    """Real steps a second, by round."""
    best: float
    """With each batch's best time: whatever else runs on the machine can only add to a time."""
    real_share: float
    """Share of the batches' cells that are real steps, over the epoch."""
    epoch_steps: int
    """Real steps in an epoch."""


class Run:
    """A model in training one way."""

    def __init__(self, case: Case, way: Way) -> None:
        """Compose the experiment, read the data and lay out an epoch."""
        register_resolvers()
        chosen = [f"experiment={case.experiment}", f"model/size={case.size}", "dataset=assist2015"]
        chosen.append(f"dataset.path={case.data}")
        if way.padded:
            chosen += [f"dataset.window_length={PADDED_LENGTH}", "dataset.window_context=0"]
        elif case.tokens:
            chosen.append(f"dataset.tokens_per_batch={case.tokens}")
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            cfg = compose("train", chosen)
        data = build_datamodule(cfg.dataset)
        data.setup()
        torch.manual_seed(0)
        model = build_model(cfg.model, data.sizes).to(case.device).train()
        self.forward = way.wrap(model) if way.wrap else model
        self.loss = build(cfg.loss)
        self.optimizer = build(cfg.optimizer)(model, num_steps=1)["optimizer"]
        self.clip, self.case, self.padded = cfg.trainer.gradient_clip_val, case, way.padded
        self._lay_out(data)

    def _lay_out(self, data: KTDataModule) -> None:
        """Window numbers of each batch of an epoch, longest batch first; and their sums."""
        windows = data.windows("train")
        self.dataset = WindowDataset(data.log_, windows, data.trained_student, data.trained_item)
        if self.padded:
            order = np.random.default_rng(0).permutation(len(windows))
            self.batches = [order[i : i + PADDED_BATCH] for i in range(0, len(order), PADDED_BATCH)]
            cells = len(windows) * PADDED_LENGTH
        else:
            sampler = TokenBudgetSampler(windows.lengths, data.tokens_per_batch, shuffle=False)
            self.batches = [np.array(rows) for rows in sampler]
            cells = sum(len(rows) * int(windows.lengths[rows].max()) for rows in self.batches)
        # Steps that a later window repeats as context are not new work.
        self.epoch_steps = int((windows.stop - np.where(windows.start, windows.first_scored, 0)).sum())
        self.real_share = self.epoch_steps / cells

    def sample(self, count: int) -> list[np.ndarray]:
        """Batches that stand for the epoch: the middle one of each of `count` equal strata by length."""
        count = min(count, len(self.batches))
        return [self.batches[int((i + 0.5) * len(self.batches) / count)] for i in range(count)]

    def step(self, rows: np.ndarray) -> float:
        """Train on one batch, its gathering included; return the seconds."""
        start = time.perf_counter()
        batch: Batch = self.dataset.__getitems__(rows.tolist())
        if self.padded:
            batch = pad_to(batch, PADDED_LENGTH)
        batch = batch.to(self.case.device)
        half = self.case.precision == "bf16-mixed"
        with torch.autocast(self.case.device, torch.bfloat16) if half else nullcontext():
            output = self.forward(batch)
        descend(total_of(output, batch, self.loss), self.optimizer, self.clip)
        if self.case.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def compare(case: Case, *, batches: int, padded_batches: int, rounds: int) -> dict[str, Speed]:
    """Time every way of training, step by step in turn, so that all meet the same disturbances.

    Speed is the epoch's real steps over the time of the epoch: the mean time of the sampled batches times the
    number of batches. A round times the whole sample once; the best takes each batch's best time.

    Args:
        case: what to train.
        batches: gainkt's batches in a sample, stratified by length.
        padded_batches: the baseline's batches in a sample; all cost about the same.
        rounds: number of rounds, after one step each to warm up.
    """
    runs = {name: Run(case, way) for name, way in WAYS.items()}
    samples = {name: run.sample(padded_batches if run.padded else batches) for name, run in runs.items()}
    for name, run in runs.items():
        for rows in samples[name][:1]:
            run.step(rows)
    seconds: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name in WAYS:
            seconds[name].append([])
        for name, rows in _in_turn(samples):
            seconds[name][-1].append(runs[name].step(rows))
    return {name: _speed(run, np.array(seconds[name])) for name, run in runs.items()}


def _speed(run: Run, seconds: np.ndarray) -> Speed:
    """Speed from the seconds of [rounds, sampled batches]."""
    rounds = run.epoch_steps / (len(run.batches) * seconds.mean(1))
    best = run.epoch_steps / (len(run.batches) * seconds.min(0).mean())
    return Speed(rounds.tolist(), float(best), run.real_share, run.epoch_steps)


def _in_turn(samples: dict[str, list[np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every way's batches, spread evenly over the round."""
    turns = [(i / len(rows), name, i) for name, rows in samples.items() for i in range(len(rows))]
    for _, name, i in sorted(turns):
        yield name, samples[name][i]


def peak_memory(case: Case, way: str) -> float:
    """Peak memory of training in MiB, from a fresh process.

    On the CPU, the most resident memory less what the process held before its first step (imports and data);
    on a GPU, the most memory that tensors held.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_memory_here, case, way).result()


def _peak_memory_here(case: Case, way: str) -> float:
    run = Run(case, WAYS[way])
    rows = [run.batches[0], *run.sample(2 if run.padded else 12)]
    before = _resident("VmRSS")
    for chosen in rows:
        run.step(chosen)
    if case.device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    """Resident memory of this process in MiB, now (VmRSS) or at its peak (VmHWM).

    Not ru_maxrss: a process starts with its parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return float("nan")
