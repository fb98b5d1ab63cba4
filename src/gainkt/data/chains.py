"""Order of batches in which the windows of one student follow each other, no two of them in one batch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Windows = NDArray[np.int64]
"""Numbers of windows."""


def token_bounds(lengths: NDArray[np.int64], tokens: int) -> list[int]:
    """Where each batch starts once windows stand from long to short; at most `tokens` cells a batch, or one window."""
    ordered, bounds = -np.sort(-lengths), [0]
    while bounds[-1] < len(ordered):
        fits = max(1, tokens // int(ordered[bounds[-1]]))
        bounds.append(min(bounds[-1] + fits, len(ordered)))
    return bounds


class ChainedPlan:
    """Batches over cut histories: as many in every epoch, in another order.

    A cut history has windows of full length and at most one shorter, the last. Full ones fill R rounds, one batch
    each: students stand in a row, window i of the row goes to round i mod R, so that the windows of a student are in
    different rounds (R is no less than the windows of any), mostly one after the other. Students whose last windows
    share a batch stand together, and that batch follows as soon as all of them are through: few students wait at a
    time. Histories that are not cut are batched by themselves, anywhere between.
    """

    def __init__(self, lengths: NDArray[np.int64], history: NDArray[np.int64], tokens: int) -> None:
        """Plan the batches.

        Args:
            lengths: [W], steps of each window.
            history: [W], number of the history that each is a piece of; pieces stand in order.
            tokens: cells of a batch, padding included.
        """
        self.lengths, self.history = lengths, np.unique(history, return_inverse=True)[1]
        self.is_cut = cut = np.bincount(self.history)[self.history] > 1
        longest = int(lengths[cut].max(initial=1))
        numbers = np.arange(len(lengths))
        self.full, self.last = numbers[cut & (lengths == longest)], numbers[cut & (lengths < longest)]
        self.free = numbers[~cut]
        most = int(np.bincount(self.history[self.full]).max(initial=0))
        self.rounds = max(-(-len(self.full) // max(1, tokens // longest)), most)
        self.bounds = {
            kind: token_bounds(lengths[of], tokens) for kind, of in (("last", self.last), ("free", self.free))
        }

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self.rounds + sum(len(bounds) - 1 for bounds in self.bounds.values())

    def batches(self, draw: np.random.Generator | None) -> list[Windows]:
        """The epoch's batches in order, drawn at random; where there is no draw, always the same."""
        last, free = (
            self._by_length(of, self.bounds[kind], draw) for kind, of in (("last", self.last), ("free", self.free))
        )
        num_histories = int(self.history.max()) + 1
        # Place in the row, by the batch that the last window is in.
        group = np.arange(len(last)) if draw is None else draw.permutation(len(last))
        place = np.linspace(0, len(last), num_histories) if draw is None else draw.random(num_histories) * len(last)
        for number, members in zip(group, last, strict=True):
            place[self.history[members]] = number
        tie = np.arange(num_histories) if draw is None else draw.random(num_histories)
        rank = np.empty(num_histories, dtype=np.int64)
        rank[np.lexsort((tie, place))] = np.arange(num_histories)
        row = self.full[np.lexsort((self.full, rank[self.history[self.full]]))]
        owner = self.history[row]
        turn = np.arange(len(row)) % max(self.rounds, 1)
        turn = turn[np.lexsort((turn, rank[owner]))]  # a student's windows in the order of the rounds
        when = np.arange(self.rounds, dtype=np.float64) if draw is None else np.sort(draw.random(self.rounds))
        ends = np.cumsum(np.bincount(turn, minlength=self.rounds))
        full = np.split(row[np.argsort(turn, kind="stable")], ends)[:-1]
        through = np.full(num_histories, -1, dtype=np.int64)
        np.maximum.at(through, owner, turn)
        after = [when[through[self.history[members]].max()] for members in last]
        anywhere = np.full(len(free), np.inf) if draw is None else draw.random(len(free))
        kind = np.repeat([0, 1, 2], [len(full), len(last), len(free)])
        order = np.lexsort((kind, np.concatenate([when, after, anywhere])))
        every = [*full, *last, *free]
        return [every[number] for number in order]

    def _by_length(self, windows: Windows, bounds: list[int], draw: np.random.Generator | None) -> list[Windows]:
        """Batches of windows of similar length, from long to short."""
        windows = windows if draw is None else draw.permutation(windows)
        windows = windows[np.argsort(-self.lengths[windows], kind="stable")]
        return [windows[a:b] for a, b in pairwise(bounds)]
