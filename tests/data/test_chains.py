"""Windows of a history come in order and in different batches, whatever the draw."""

import numpy as np
import pytest

from conftest import random_log
from gainkt.data.chains import ChainedPlan
from gainkt.data.loader import TokenBudgetSampler, WindowDataset
from gainkt.data.windows import Windows, cut_windows


def made(seed: int, length: int = 16) -> Windows:
    """Windows of histories of 2 to 150 steps, few of them or many, some cut in many pieces."""
    draw = np.random.default_rng(seed)
    log = random_log(num_students=int(draw.integers(1, 40)), longest=int(draw.choice([20, 60, 150])), seed=seed)
    return cut_windows(log, np.arange(log.num_students), length, 0, carry=True)


def assert_in_order(batches: list[list[int]], windows: Windows) -> None:
    student, seen = windows.student, np.full(len(windows), -1)
    for number, batch in enumerate(batches):
        assert len(np.unique(student[batch])) == len(batch), "one student twice in a batch"
        assert (seen[batch] < 0).all(), "a window twice"
        seen[batch] = number
    same = (student[1:] == student[:-1]) & (seen[1:] >= 0)
    assert (np.diff(seen)[same] > 0).all()
    assert (seen[:-1][same] >= 0).all()


@pytest.mark.parametrize("shuffle", [True, False])
def test_order_holds_and_every_window_comes_once(shuffle: bool) -> None:
    cut = 0
    for seed in range(60):
        windows = made(seed)
        sampler = TokenBudgetSampler(windows.lengths, 64, shuffle=shuffle, seed=seed, history=windows.student)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            batches = list(sampler)
            assert_in_order(batches, windows)
            assert sorted(i for batch in batches for i in batch) == list(range(len(windows)))
            assert len(batches) == len(sampler)
            assert all(len(b) == 1 or len(b) * windows.lengths[b].max() <= 64 for b in batches)
        cut += windows.goes_on.any()
    assert cut > 40


def test_epochs_differ_and_repeat() -> None:
    windows = made(3)
    sampler = TokenBudgetSampler(windows.lengths, 64, shuffle=True, history=windows.student)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_without_cut_histories_the_order_is_as_it_was() -> None:
    lengths = np.random.default_rng(0).integers(2, 50, 300)
    plain, chained = (
        TokenBudgetSampler(lengths, 128, shuffle=True, seed=3, history=history) for history in (None, np.arange(300))
    )
    assert list(plain) == list(chained)


def test_uncut_histories_and_ends_come_all_over_the_epoch() -> None:
    log = random_log(num_students=300, longest=60)
    windows = cut_windows(log, np.arange(300), 16, 0, carry=True)
    plan = ChainedPlan(windows.lengths, windows.student, 64)
    place = np.empty(len(windows))
    batches = plan.batches(np.random.default_rng(0))
    for number, batch in enumerate(batches):
        place[batch] = number / len(batches)
    for kind in (plan.free, plan.last, plan.full):
        assert 0.35 < place[kind].mean() < 0.65
        assert place[kind].std() > 0.15
    waiting = [
        len({*windows.student[place > at]} & {*windows.student[place <= at]} & {*windows.student[plan.full]})
        for at in np.linspace(0, 1, 50)
    ]
    assert max(waiting) < len({*windows.student[plan.full]}) / 3, "not all histories are under way at a time"


def test_processes_share_out_whole_histories() -> None:
    for seed in range(30):
        windows = made(seed)
        settings = {"shuffle": True, "history": windows.student}
        whole = list(TokenBudgetSampler(windows.lengths, 3 * 64, **settings))
        shares = [TokenBudgetSampler(windows.lengths, 64, rank=rank, num_ranks=3, **settings) for rank in range(3)]
        for batch, *parts in zip(whole, *shares, strict=True):
            assert sorted(i for part in parts for i in part) == sorted(batch)
        cut = {int(student) for student in windows.student[windows.start > 0]}
        owners = [{int(windows.student[i]) for part in sampler for i in part} & cut for sampler in shares]
        assert sum(map(len, owners)) == len(cut), "a student in two processes"
        for sampler in shares:
            assert_in_order([part for part in sampler if part], windows)


def test_a_batch_says_which_skills_are_ahead() -> None:
    log = random_log(num_students=20, longest=40)
    windows = cut_windows(log, np.arange(20), 9, 0, carry=True)
    data = WindowDataset(log, windows, np.arange(20), np.arange(11))
    batch = data.__getitems__(list(range(len(windows))))
    assert windows.goes_on.sum() > 10
    for row, ahead in enumerate(batch.ahead_BL):
        step = log.offsets[windows.student[row]] + windows.stop[row]
        rest = log.skills[log.skill_offsets[step] : log.skill_offsets[log.offsets[windows.student[row] + 1]]]
        assert ahead[ahead >= 0].tolist() == sorted(set(rest.tolist()) if windows.goes_on[row] else [])
    assert data.__getitems__(np.flatnonzero(~windows.goes_on)).ahead_BL.shape[1] == 0


def test_windows_that_go_on_score_their_first_step() -> None:
    log = random_log(num_students=50, longest=40)
    windows = cut_windows(log, np.arange(50), 8, 3, carry=True)
    later = windows.start > 0
    assert (windows.first_scored == np.where(later, windows.start, 1)).all()
    assert (windows.start[later] == windows.stop[np.flatnonzero(later) - 1]).all()
    assert windows.lengths.sum() == log.num_steps
    assert not cut_windows(log, np.arange(50), 8, 3).goes_on.any()
