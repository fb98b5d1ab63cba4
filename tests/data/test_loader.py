"""Batches hold what the log holds, within the token budget and with little padding."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import random_log
from gainkt.data.datamodule import KTDataModule
from gainkt.data.loader import TokenBudgetSampler, WindowDataset, make_loader
from gainkt.data.readers import read_pykt
from gainkt.data.splits import GivenFolds
from gainkt.data.windows import cut_windows
from gainkt.errors import ConfigError


def dataset(longest: int = 25, slots: int = 3) -> WindowDataset:
    log = random_log(longest=longest, slots=slots)
    windows = cut_windows(log, np.arange(log.num_students), 12, 3)
    return WindowDataset(log, windows, np.arange(log.num_students), np.arange(log.num_items))


@pytest.mark.parametrize("slots", [1, 3])
def test_batch_holds_the_log(slots: int) -> None:
    data = dataset(slots=slots)
    log, windows = data.log, data.windows
    batch = data.__getitems__(list(range(len(windows))))
    for row in range(len(windows)):
        student, start, stop = windows.student[row], windows.start[row], windows.stop[row]
        assert batch.student_B[row] == student
        assert batch.start_B[row] == start
        assert batch.valid_BT[row].sum() == stop - start
        for t in range(stop - start):
            step = log.offsets[student] + start + t
            skills = log.skills[log.skill_offsets[step] : log.skill_offsets[step + 1]]
            assert batch.skills_BTS[row, t][batch.has_skill_BTS[row, t]].tolist() == skills.tolist()
            assert batch.response_BT[row, t] == log.responses[step]
            assert batch.item_BT[row, t] == log.items[step]
            assert bool(batch.scored_BT[row, t]) == (start + t >= windows.first_scored[row])
    padding = ~batch.valid_BT
    assert not batch.has_skill_BTS[padding].any()
    assert not batch.scored_BT[padding].any()
    assert (batch.response_BT[padding] == 0).all()
    assert (batch.item_BT[padding] == -1).all()


def test_sampler_covers_every_window_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(2, 50, 300)
    sampler = TokenBudgetSampler(lengths, 128, shuffle=True, seed=3)
    batches = list(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(300))
    assert all(len(batch) == 1 or len(batch) * lengths[batch].max() <= 128 for batch in batches)
    assert len(batches) == len(sampler)
    cells = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert sampler.padding == pytest.approx(1 - lengths.sum() / cells)


def test_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(2, 50, 300)
    sampler = TokenBudgetSampler(lengths, 128, shuffle=True, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_processes_share_each_batch_of_one_process() -> None:
    lengths = np.random.default_rng(0).integers(2, 50, 301)
    for shuffle in (True, False):
        whole = list(TokenBudgetSampler(lengths, 3 * 128, shuffle=shuffle))
        shares = [TokenBudgetSampler(lengths, 128, shuffle=shuffle, rank=rank, num_ranks=3) for rank in range(3)]
        assert {len(sampler) for sampler in shares} == {len(whole)}
        for batch, *parts in zip(whole, *shares, strict=True):
            assert sorted(i for part in parts for i in part) == sorted(batch)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_share_may_be_empty() -> None:
    data = dataset()
    shares = [TokenBudgetSampler(np.array([9]), 128, shuffle=True, rank=rank, num_ranks=2) for rank in range(2)]
    assert [list(sampler) for sampler in shares] == [[[0]], [[]]]
    empty = data.__getitems__([])
    assert len(empty) == 0
    assert not empty.scored_BT.any()


def test_lightning_can_set_the_epoch() -> None:
    data = dataset()
    sampler = TokenBudgetSampler(data.windows.lengths, 64, shuffle=True)
    loader = make_loader(data, sampler)
    assert loader.batch_sampler is not None
    loader.batch_sampler.sampler.set_epoch(4)
    assert sampler.epoch == 4
    assert sum(len(batch) for batch in loader) == len(data)


def test_budget_too_small() -> None:
    with pytest.raises(ConfigError, match="tokens_per_batch=1"):
        TokenBudgetSampler(np.array([2, 3]), 1, shuffle=False)


def test_little_padding_on_assistments_2015(shared_data: Path) -> None:
    module = KTDataModule(read=read_pykt, path=str(shared_data / "assist2015_pykt"), split=GivenFolds())
    sampler = module.train_dataloader().batch_sampler
    assert isinstance(sampler, TokenBudgetSampler)
    assert sampler.padding < 0.05


def test_unseen_items_and_new_students_are_marked() -> None:
    log = random_log()
    module = KTDataModule(read=lambda: log, split=_FirstTrain(10))
    module.setup()
    batch = next(iter(module.val_dataloader()))
    assert (batch.trained_student_B == -1).all()
    seen = set(log.items[: log.offsets[10]].tolist())
    assert module.sizes.num_items == len(seen)
    train = next(iter(module.loader("train")))
    assert (train.trained_student_B >= 0).all()
    assert torch.equal(torch.sort(train.trained_student_B.unique()).values, torch.arange(10))


class _FirstTrain:
    """The first `n` students train, the others split evenly."""

    def __init__(self, n: int) -> None:
        self.n = n

    def split(self, log, fold):
        from gainkt.data.splits import Split

        rest = np.arange(self.n, log.num_students)
        return Split(np.arange(self.n), rest[::2], rest[1::2], "by hand")
