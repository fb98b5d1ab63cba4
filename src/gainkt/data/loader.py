"""Batches by token budget: windows of similar length together, padded only to the longest among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from gainkt.data.batch import Batch
from gainkt.data.chains import ChainedPlan, token_bounds
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
        """Return the windows `indices`, none or more, as one batch, padded to the longest of them."""
        log, rows = self.log, np.asarray(indices, dtype=np.int64)
        student, start = self.windows.student[rows], self.windows.start[rows]
        length = self.windows.lengths[rows]
        column = np.arange(length.max(initial=1))
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
            ahead_BL=torch.from_numpy(self._ahead(rows)),
        )

    def _ahead(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Skills that the students meet after those of the windows that go on, [B, L], -1 in empty places."""
        log, windows = self.log, self.windows
        going = np.flatnonzero(windows.goes_on[rows]) if windows.goes_on is not None else rows[:0]
        if not len(going):
            return np.empty((len(rows), 0), dtype=np.int64)
        student = windows.student[rows[going]]
        first = log.skill_offsets[log.offsets[student] + windows.stop[rows[going]]]
        count = log.skill_offsets[log.offsets[student + 1]] - first
        flat = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        owner, skill = np.divmod(np.unique(np.repeat(going, count) * log.num_skills + log.skills[flat]), log.num_skills)
        place = np.arange(len(owner)) - np.searchsorted(owner, owner)
        ahead = np.full((len(rows), int(place.max()) + 1), -1, dtype=np.int64)
        ahead[owner, place] = skill
        return ahead

    def _skills(self, step: NDArray[np.int64], valid: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
        """Skill slots [B, T, S] of the steps, and which of them hold a skill."""
        log = self.log
        if log.max_slots == 1:
            return np.where(valid, log.skills[step], 0).astype(np.int64)[..., None], valid[..., None]
        first = log.skill_offsets[step]
        count = log.skill_offsets[step + 1] - first
        slot = np.arange(np.where(valid, count, 1).max(initial=1))
        has_skill = valid[..., None] & (slot < count[..., None])
        skills = log.skills[np.where(has_skill, first[..., None] + slot, 0)]
        return np.where(has_skill, skills, 0).astype(np.int64), has_skill


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of windows with at most `tokens` cells (windows x longest window), drawn over similar lengths.

    The order is a function of (seed, epoch). Windows of one history come in order and in different batches
    (gainkt.data.chains). Of several processes each has its share of every batch, which holds as many times `tokens`
    cells: all take the same number of batches, and each window is in one share. A share may be empty; it holds the
    windows of a history that is cut in one process.
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
        history: NDArray[np.int64] | None = None,
    ) -> None:
        """Keep the plan's inputs.

        Args:
            lengths: [W], steps of each window.
            tokens: cells of a process's share of a batch, padding included; a longer window makes a batch of its own.
            shuffle: draw windows and batches at random (training), or go from long to short (evaluation).
            seed: of the draw.
            rank: this process.
            num_ranks: processes that share the epoch.
            history: [W], number of the history whose windows go on from each other; None where none do.

        Raises:
            ConfigError: tokens is less than 2.
        """
        if tokens < 2:
            raise ConfigError(f"dataset.tokens_per_batch={tokens}: a batch holds at least 2 steps")
        self.lengths, self.tokens, self.shuffle, self.seed = lengths, tokens * num_ranks, shuffle, seed
        self.rank, self.num_ranks, self.epoch = rank, num_ranks, 0
        # Lightning passes the epoch on to a batch sampler's `sampler`, not to the batch sampler itself.
        self.sampler = self
        is_cut = history is not None and len(np.unique(history)) < len(history)
        self._plan = ChainedPlan(lengths, history, self.tokens) if history is not None and is_cut else None
        self._bounds = [] if self._plan else token_bounds(lengths, self.tokens)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._plan) if self._plan else len(self._bounds) - 1

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the window numbers of this process's share of each batch."""
        for batch in self._in_order() if self._plan else self._by_length():
            yield self._share(batch).tolist()

    def _by_length(self) -> Iterator[NDArray[np.int64]]:
        """Batches of histories that are whole."""
        windows, batches = np.arange(len(self.lengths)), np.arange(len(self))
        if self.shuffle:
            draw = np.random.default_rng([self.seed, self.epoch])
            windows, batches = draw.permutation(windows), draw.permutation(batches)
        windows = windows[np.argsort(-self.lengths[windows], kind="stable")]
        for batch in batches:
            yield windows[self._bounds[batch] : self._bounds[batch + 1]]

    def _in_order(self) -> Iterator[NDArray[np.int64]]:
        """Batches of histories that are cut."""
        assert self._plan is not None
        yield from self._plan.batches(np.random.default_rng([self.seed, self.epoch, 0]) if self.shuffle else None)

    def _share(self, batch: NDArray[np.int64]) -> NDArray[np.int64]:
        """The windows that this process takes: similar lengths for each, or whole histories where some are cut."""
        if self.num_ranks == 1:
            return batch
        dealt = np.arange(len(batch))
        if self._plan is not None and self._plan.is_cut[batch].any():
            dealt = self._plan.history[batch]
        return batch[dealt % self.num_ranks == self.rank]

    @property
    def padding(self) -> float:
        """Share of an epoch's cells that are padding, in [0, 1)."""
        batches = [self.lengths[batch] for batch in self]
        return 1.0 - sum(int(x.sum()) for x in batches) / sum(len(x) * int(x.max()) for x in batches)


def _as_is(batch: Any) -> Any:
    """Collate nothing: the dataset has already made the batch."""
    return batch


def make_loader(dataset: WindowDataset, sampler: TokenBudgetSampler) -> DataLoader[Batch]:
    """Return a loader over the sampler's batches; in-process, since gathering a batch costs less than sending it."""
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=_as_is, pin_memory=torch.cuda.is_available())
