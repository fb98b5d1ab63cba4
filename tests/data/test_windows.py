"""Windows cover every step once, with context before it."""

import numpy as np
import pytest

from conftest import random_log
from gainkt.data.windows import cut_windows
from gainkt.errors import ConfigError


@pytest.mark.parametrize(("length", "context"), [(100, 0), (10, 0), (10, 4), (2, 1), (5, 4), (2, 0)])
def test_every_step_but_the_first_is_scored_once(length: int, context: int) -> None:
    log = random_log(longest=40)
    windows = cut_windows(log, np.arange(log.num_students), length, context)
    seen = np.zeros(log.num_steps, dtype=int)
    for student, start, stop, first in zip(
        windows.student, windows.start, windows.stop, windows.first_scored, strict=True
    ):
        assert stop - start <= length
        assert start <= first < stop
        seen[log.offsets[student] + first : log.offsets[student] + stop] += 1
    firsts = np.zeros(log.num_steps, dtype=bool)
    firsts[log.offsets[:-1]] = True
    assert (seen[firsts] == 0).all()
    assert (seen[~firsts] == 1).all()


def test_later_windows_open_with_context() -> None:
    log = random_log(num_students=200, longest=40)
    windows = cut_windows(log, np.arange(log.num_students), 10, 4)
    later = windows.start > 0
    assert later.any()
    assert (windows.first_scored[later] - windows.start[later] == 4).all()


def test_bad_lengths() -> None:
    log = random_log()
    with pytest.raises(ConfigError, match="window_length=1"):
        cut_windows(log, np.arange(3), 1, 0)
    with pytest.raises(ConfigError, match="window_context=10"):
        cut_windows(log, np.arange(3), 10, 10)
