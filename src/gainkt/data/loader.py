"""Batches by token budget: windows of similar length together, padded only to the longest among them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from gainkt.data.batch import Batch
from gainkt.data.chains import ChainedPlan, token_bounds
from gainkt.data.log import InteractionLog, spans
from gainkt.data.windows import Windows
from gainkt.errors import ConfigError


class FlatLog:
    """The columns of a log that batches are gathered from, as tensors: on the host they are the log's own memory."""

    def __init__(
        self, log: InteractionLog, trained_item: NDArray[np.int64], device: torch.device | str = "cpu"
    ) -> None:
        """Put them on a device.

        Args:
            log: the histories.
            trained_item: [num_items of the log], index among the items seen in training or -1.
            device: where they stay; a step takes 5 bytes, 4 more for its item, and 12 or more if it has several skills.
        """
        columns = {"response": log.responses, "skill": log.skills, "trained_item": trained_item}
        columns |= {"item": log.items} if len(trained_item) else {}
        columns |= {"first_slot": log.skill_offsets} if log.max_slots > 1 else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor is it written
            self.columns = {name: torch.from_numpy(x).to(device) for name, x in columns.items()}
        self.device = torch.device(device)

    @staticmethod
    def home(log: InteractionLog, device: torch.device) -> torch.device:
        """Return where a log is best kept: on a GPU that trains, if it takes at most a quarter of its free memory."""
        if device.type != "cuda":
            return torch.device("cpu")
        size = sum(x.nbytes for x in (log.responses, log.skills, log.items, log.skill_offsets))
        return device if size <= torch.cuda.mem_get_info(device)[0] / 4 else torch.device("cpu")


class WindowDataset(Dataset[Batch]):
    """Windows over a log; asked for several at once it answers with one Batch, gathered without a Python loop.

    A batch is gathered where the log is kept; what the host sends there is six numbers a window.
    """

    def __init__(
        self,
        log: InteractionLog,
        windows: Windows,
        trained_student: NDArray[np.int64],
        trained_item: NDArray[np.int64],
        flat: FlatLog | None = None,
    ) -> None:
        """Keep the flat arrays.

        Args:
            log: the histories.
            windows: pieces of them, W in all.
            trained_student: [num_students of the log], index among the training students or -1.
            trained_item: [num_items of the log], index among the items seen in training or -1.
            flat: the log where it is to be gathered; on the host if not given.
        """
        self.log, self.windows, self.trained_student = log, windows, trained_student
        self.flat = flat or FlatLog(log, trained_item)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        """Return one window as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """Return the windows `indices`, none or more, as one batch, padded to the longest of them."""
        rows, device, column = np.asarray(indices, dtype=np.int64), self.flat.device, self.flat.columns
        student, start, length = (x[rows] for x in (self.windows.student, self.windows.start, self.windows.lengths))
        first, scored_from = self.log.offsets[student] + start, self.windows.first_scored[rows] - start
        known = torch.from_numpy(np.stack([student, self.trained_student[student], start, first, length, scored_from]))
        student_B, trained_B, start_B, first_B, length_B, scored_B = known.to(device, non_blocking=True)
        place_T = torch.arange(int(length.max(initial=1)), device=device)
        valid_BT = place_T < length_B[:, None]
        # Padding points at the window's own first step; its content is masked wherever it is read.
        step_BT = first_B[:, None] + place_T * valid_BT
        skills_BTS, has_skill_BTS = self._skills(step_BT, valid_BT, spans(first, length))
        if "item" in column:
            item_BT = torch.where(valid_BT, column["trained_item"][column["item"][step_BT].long()], -1)
        else:
            item_BT = torch.full_like(step_BT, -1)
        return Batch(
            student_B=student_B,
            trained_student_B=trained_B,
            start_B=start_B,
            skills_BTS=skills_BTS,
            has_skill_BTS=has_skill_BTS,
            item_BT=item_BT,
            response_BT=(column["response"][step_BT] * valid_BT).float(),
            valid_BT=valid_BT,
            scored_BT=valid_BT & (place_T >= scored_B[:, None]),
            ahead_BL=torch.from_numpy(self._ahead(rows)).to(device, non_blocking=True),
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

    def _skills(self, step_BT: Tensor, valid_BT: Tensor, steps: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Skill slots [B, T, S] of the steps, and which of them hold a skill."""
        column = self.flat.columns
        if "first_slot" not in column:
            return (column["skill"][step_BT].long() * valid_BT)[..., None], valid_BT[..., None]
        offsets = self.log.skill_offsets
        most = int(
            (offsets[steps + 1] - offsets[steps]).max(initial=1)
        )  # on the host: a GPU would have to be waited for
        first_BT = column["first_slot"][step_BT]
        count_BT = column["first_slot"][step_BT + 1] - first_BT
        slot_S = torch.arange(most, device=step_BT.device)
        has_skill_BTS = valid_BT[..., None] & (slot_S < count_BT[..., None])
        skills_BTS = column["skill"][(first_BT[..., None] + slot_S) * has_skill_BTS].long()
        return skills_BTS * has_skill_BTS, has_skill_BTS


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
    pinned = torch.cuda.is_available() and dataset.flat.device.type == "cpu"
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=_as_is, pin_memory=pinned)
