"""Windows: long histories cut into pieces, so that a batch is never as long as the longest history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of histories, steps start : stop of a student; steps from `first_scored` on are scored.

    Every step of a history but its first is scored in exactly one window.
    """

    student: NDArray[np.int64]
    """[W], index of the student in the log."""
    start: NDArray[np.int64]
    """[W], first step of the window, counted within the student's history."""
    stop: NDArray[np.int64]
    """[W], one past the last step."""
    first_scored: NDArray[np.int64]
    """[W], first scored step; the steps before it are context."""
    goes_on: NDArray[np.bool_] | None = None
    """[W], True where the student's next window goes on from the state after this one; None where none does."""

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.student)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[W], steps in each window."""
        return self.stop - self.start


def cut_windows(
    log: InteractionLog, students: NDArray[np.int64], length: int, context: int, *, carry: bool = False
) -> Windows:
    """Cut histories into windows of at most `length` steps.

    With `carry` each window begins where the one before it ends, and its first step is predicted from the state after
    that one; without, each window but the first starts anew and opens with `context` old steps, unscored.

    Args:
        log: the histories.
        students: indices of the students to cut; the windows of one stand in order.
        length: steps of a window, at least 2.
        context: steps of a window that repeat the end of the one before it, 0 <= context < length; 0 with `carry`.
        carry: state goes on from window to window.

    Raises:
        ConfigError: length or context is out of range.
    """
    if length < 2:
        raise ConfigError(
            f"dataset.window_length={length}: a window needs at least 2 steps, one to read and one to predict"
        )
    if carry:
        context = 0
    if not 0 <= context < length:
        raise ConfigError(
            f"dataset.window_context={context}: must be at least 0 and less than dataset.window_length={length} where "
            "dataset.carry_state=false"
        )
    steps = log.lengths[students]
    stride = length - context
    counts = 1 + np.maximum(0, -(-(steps - length) // stride))
    owner = np.repeat(np.arange(len(students)), counts)
    piece = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = piece * stride
    first_scored = np.where(piece == 0, 1, start + context)
    stop = np.minimum(start + length, steps[owner])
    usable = stop > first_scored
    goes_on = (stop < steps[owner]) & carry
    return Windows(students[owner][usable], *(x[usable] for x in (start, stop, first_scored, goes_on)))
