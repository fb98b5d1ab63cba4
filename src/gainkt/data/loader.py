"""Batches by token budget: windows of similar length together, padded only to the longest among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from gainkt.data.batch import Batch
from gainkt.data.log import InteractionLog
from gainkt.data.windows import Windows
from gainkt.errors import ConfigError


class WindowDataset(Dataset[Batch]):
    """Windows over a log; asked for several at once it answers with one Batch, gathered without a Python loop."""

    def __init__(
        self,
        log: InteractionLog,
        windows: Windows,
        trained_student: NDArray[np.int64],
        trained_item: NDArray[np.int64],
    ) -> None:
        """Keep the flat arrays.

        Args:
            log: the histories.
            windows: pieces of them, W in all.
            trained_student: [num_students of the log], index among the training students or -1.
            trained_item: [num_items of the log], index among the items seen in training or -1.
        """
        self.log, self.windows = log, windows
        self.trained_student, self.trained_item = trained_student, trained_item

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        """Return one window as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the windows `indices` as one batch, padded to the longest of them."""
        log, rows = self.log, np.asarray(indices)
        student, start = self.windows.student[rows], self.windows.start[rows]
        length = self.windows.lengths[rows]
        column = np.arange(length.max())
        valid = column < length[:, None]
        # Padding points at the window's own first step; its content is masked wherever it is read.
        step = log.offsets[student][:, None] + start[:, None] + np.where(valid, column, 0)
        skills, has_skill = self._skills(step, valid)
        item = self.trained_item[log.items[step]] if len(self.trained_item) else np.full(step.shape, -1)
        scored = valid & (start[:, None] + column >= self.windows.first_scored[rows][:, None])
        return Batch(
            student_B=torch.from_numpy(student),
            trained_student_B=torch.from_numpy(self.trained_student[student]),
            start_B=torch.from_numpy(start),
            skills_BTS=torch.from_numpy(skills),
            has_skill_BTS=torch.from_numpy(has_skill),
            item_BT=torch.from_numpy(np.where(valid, item, -1)),
            response_BT=torch.from_numpy(np.where(valid, log.responses[step], 0).astype(np.float32)),
            valid_BT=torch.from_numpy(valid),
            scored_BT=torch.from_numpy(scored),
        )

    def _skills(self, step: NDArray[np.int64], valid: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
        """Skill slots [B, T, S] of the steps, and which of them hold a skill."""
        log = self.log
        if log.max_slots == 1:
            return np.where(valid, log.skills[step], 0).astype(np.int64)[..., None], valid[..., None]
        first = log.skill_offsets[step]
        count = log.skill_offsets[step + 1] - first
        slot = np.arange(np.where(valid, count, 1).max())
        has_skill = valid[..., None] & (slot < count[..., None])
        skills = log.skills[np.where(has_skill, first[..., None] + slot, 0)]
        return np.where(has_skill, skills, 0).astype(np.int64), has_skill


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of windows with at most `tokens` cells (windows x longest window), drawn over similar lengths.

    The order is a function of (seed, epoch). Every rank gets the same number of batches, so that no process waits
    for one that never comes; the last few batches are dealt twice if the count does not divide.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        tokens: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Keep the plan's inputs.

        Args:
            lengths: [W], steps of each window.
            tokens: cells of a batch, padding included; a longer window makes a batch of its own.
            shuffle: draw windows and batches at random (training), or go from long to short (evaluation).
            seed: of the draw.
            rank: this process.
            num_ranks: processes that share the epoch.

        Raises:
            ConfigError: tokens is less than 2.
        """
        if tokens < 2:
            raise ConfigError(f"dataset.tokens_per_batch={tokens}: a batch holds at least 2 steps")
        self.lengths, self.tokens, self.shuffle, self.seed = lengths, tokens, shuffle, seed
        self.rank, self.num_ranks, self.epoch = rank, num_ranks, 0
        # Lightning passes the epoch on to a batch sampler's `sampler`, not to the batch sampler itself.
        self.sampler = self
        self._bounds = self._plan()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        return -(-(len(self._bounds) - 1) // self.num_ranks)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the window numbers of each batch."""
        num_batches = len(self._bounds) - 1
        windows, batches = np.arange(len(self.lengths)), np.arange(num_batches)
        if self.shuffle:
            draw = np.random.default_rng([self.seed, self.epoch])
            windows, batches = draw.permutation(windows), draw.permutation(batches)
        windows = windows[np.argsort(-self.lengths[windows], kind="stable")]
        mine = np.resize(batches, len(self) * self.num_ranks)[self.rank :: self.num_ranks]
        for batch in mine:
            yield windows[self._bounds[batch] : self._bounds[batch + 1]].tolist()

    def _plan(self) -> list[int]:
        """Where each batch starts once windows stand from long to short: the same in every epoch."""
        ordered, bounds = -np.sort(-self.lengths), [0]
        while bounds[-1] < len(ordered):
            fits = max(1, self.tokens // int(ordered[bounds[-1]]))
            bounds.append(min(bounds[-1] + fits, len(ordered)))
        return bounds

    @property
    def padding(self) -> float:
        """Share of an epoch's cells that are padding, in [0, 1)."""
        ordered = -np.sort(-self.lengths)
        cells = sum(int(ordered[a]) * (b - a) for a, b in zip(self._bounds, self._bounds[1:], strict=False))
        return 1.0 - float(ordered.sum()) / cells


def _as_is(batch: Any) -> Any:
    """Collate nothing: the dataset has already made the batch."""
    return batch


def make_loader(dataset: WindowDataset, sampler: TokenBudgetSampler) -> DataLoader[Batch]:
    """Return a loader over the sampler's batches; in-process, since gathering a batch costs less than sending it."""
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=_as_is, pin_memory=torch.cuda.is_available())
