"""Every step of a log predicted from the answers before it; steps without a response are asked, and not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.data.loader import WindowDataset
from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.data.windows import Windows
from gainkt.model import GainKT
from gainkt.model.state import State
from gainkt.runs.averaging import mean_of
from gainkt.runs.tracer import ask, context_of, started, together

CELLS = 1 << 22
"""Numbers of a [B, T, K] tensor and of states that are held at once."""
AtEnd = Callable[[NDArray[np.int64], Sequence[State]], None]
"""Is told numbers of students, and where each model has them stand after their last answer."""


@dataclass(frozen=True)
class Walk:
    """What a model, or the mean of several, says of a log's M steps and L skill slots (gainkt.runs.averaging.Mean)."""

    p1_M: NDArray[np.float32]
    """Encoder 1's probability of a right response to each step."""
    p2_M: NDArray[np.float32]
    """Encoder 2's."""
    mastery_L: NDArray[np.float32]
    """Mastery of each step's skills before it."""
    p1_std_M: NDArray[np.float32]
    p2_std_M: NDArray[np.float32]
    mastery_std_L: NDArray[np.float32]
    """How far apart the models are: standard deviations."""


@torch.inference_mode()
def walk(
    networks: Sequence[GainKT],
    log: InteractionLog,
    asked_M: NDArray[np.bool_],
    length: int = 1024,
    num_items: int = 0,
    at_end: AtEnd | None = None,
) -> Walk:
    """Predict every step of a log that has the model's numbers of skills and items, some students at a time.

    Args:
        networks: one, or several of the same vocabulary whose mean is taken; in evaluation mode.
        log: the histories; items that the model does not know are -1.
        asked_M: steps without a response.
        length: steps that go through the model at once.
        num_items: that the model knows.
        at_end: is told where students stand in the end, some at a time.
    """
    walks = [_Walk(network, log, asked_M, length, num_items) for network in networks]
    lengths = walks[0].logs["told"].lengths
    order, at = np.argsort(-lengths, kind="stable"), 0  # students of similar length together
    while at < len(order):
        longest = min(max(int(lengths[order[at]]), 1), length)
        students = order[at : at + min(one.students_at_once(longest) for one in walks)]
        states = [one.together(students) for one in walks]
        if at_end is not None:
            at_end(students, states)
        at += len(students)
    columns = ([torch.from_numpy(getattr(one, name)) for one in walks] for name in ("logit1", "logit2", "mastery"))
    return Walk(*(x.numpy() for x in mean_of(*columns)))


def size_of(network: GainKT) -> int:
    """Return the numbers that the state of one student holds."""
    return sum(x.numel() for x in started(network, 1).tensors().values())


class _Walk:
    """A walk on its way: answers are told window by window, and what is asked is asked where it stands."""

    def __init__(
        self, network: GainKT, log: InteractionLog, asked: NDArray[np.bool_], length: int, num_items: int
    ) -> None:
        self.network, self.length = network, length
        self.context = min((x for x in map(context_of, (network.encoder1, network.encoder2)) if x), default=None)
        owner, slots = np.repeat(np.arange(log.num_students), log.lengths), np.diff(log.skill_offsets)
        self.steps = {"told": np.flatnonzero(~asked), "asked": np.flatnonzero(asked)}
        self.slots = {name: spans(log.skill_offsets[:-1][at], slots[at]) for name, at in self.steps.items()}
        self.logs = {name: taken(log, at) for name, at in self.steps.items()}
        item = np.r_[np.arange(num_items), -1] if num_items else np.empty(0, np.int64)  # the last is that of -1
        new, nothing = np.full(log.num_students, -1), Windows(*(np.empty(0, np.int64),) * 4)
        self.data = {name: WindowDataset(part, nothing, new, item) for name, part in self.logs.items()}
        # Groups of steps asked at one place: after how many answers, which asked steps, and whose groups are which.
        before = (np.cumsum(~asked) - ~asked)[asked] - self.logs["told"].offsets[owner[asked]]
        new_group = np.r_[True, (np.diff(owner[asked]) != 0) | (np.diff(before) != 0)][: len(before)]
        self.first = np.flatnonzero(new_group)
        self.stop = np.r_[self.first[1:], len(before)][: len(self.first)]
        self.before = before[self.first]
        self.groups = offsets_of(np.bincount(owner[asked][self.first], minlength=log.num_students))
        self.logit1, self.logit2 = (np.full(log.num_steps, np.nan, dtype=np.float32) for _ in range(2))
        self.mastery = np.full(len(log.skills), np.nan, dtype=np.float32)

    def students_at_once(self, longest: int) -> int:
        """Return how many students of so many steps go through the model together."""
        return max(1, CELLS // (longest * max(self.network.num_skills, self.network.width) + size_of(self.network)))

    def together(self, students: NDArray[np.int64]) -> State:
        """Walk with some students: to where the next steps are asked, asking them, on, until all is told."""
        state, place = started(self.network, len(students)), np.zeros(len(students), dtype=np.int64)
        for round_ in range(int(np.diff(self.groups)[students].max()) + 1):
            group, goal = self.groups[students] + round_, self.logs["told"].lengths[students]
            asks = group < self.groups[students + 1]
            goal[asks] = self.before[group[asks]]
            while (moving := np.flatnonzero(place < goal)).size:
                stop = np.minimum(self._window(place[moving]), goal[moving])
                state = self._tell(state, moving, students[moving], place[moving], stop)
                place[moving] = stop
            if asks.any():
                self._ask(state.select(torch.from_numpy(np.flatnonzero(asks))), students[asks], group[asks])
        return state

    def _window(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where windows end that start at some places.

        Attention sees as many steps as a trace keeps: within a longer window it would see more, so that a prediction
        would depend on where windows begin. From there on such a model is told one step of each student at a time.
        """
        if self.context is None:
            return place + self.length
        return np.where(place <= self.context, np.minimum(place + self.length, self.context + 1), place + 1)

    def _tell(self, state: State, rows: NDArray, students: NDArray, start: NDArray, stop: NDArray) -> State:
        """Return the state after steps start : stop of the students at some rows, which are predicted."""
        batch = self._batch("told", students, start, stop)
        output = self.network(batch, state.select(torch.from_numpy(rows)), every_skill=True)
        said = (output.logit1_BT, output.logit2_BT, output.mastery_before_BTS)
        self._note("told", students, start, stop, batch, *said)
        rest = np.setdiff1d(np.arange(len(state)), rows)
        if not len(rest):
            return output.state
        both = together([state.select(torch.from_numpy(rest)), output.state])
        return both.select(torch.from_numpy(np.argsort(np.r_[rest, rows])))

    def _ask(self, state: State, students: NDArray, group: NDArray) -> None:
        """Predict the steps of a group a student from where the students stand."""
        start = self.first[group] - self.logs["asked"].offsets[students]
        stop = start + self.stop[group] - self.first[group]
        batch = self._batch("asked", students, start, stop)
        found = ask(self.network, state, batch)
        self._note("asked", students, start, stop, batch, found.logit1_BQ, found.logit2_BQ, found.mastery_BQS)

    def _batch(self, name: str, students: NDArray, start: NDArray, stop: NDArray) -> Batch:
        self.data[name].windows = Windows(students, start, stop, start)
        return self.data[name].__getitems__(range(len(students)))

    def _note(
        self,
        name: str,
        students: NDArray,
        start: NDArray,
        stop: NDArray,
        batch: Batch,
        logit1_BT: Tensor,
        logit2_BT: Tensor,
        mastery_BTS: Tensor,
    ) -> None:
        log = self.logs[name]
        steps = spans(log.offsets[students] + start, stop - start)
        slots = spans(log.skill_offsets[steps], np.diff(log.skill_offsets)[steps])
        self.logit1[self.steps[name][steps]] = logit1_BT[batch.valid_BT].float().numpy()
        self.logit2[self.steps[name][steps]] = logit2_BT[batch.valid_BT].float().numpy()
        self.mastery[self.slots[name][slots]] = mastery_BTS[batch.has_skill_BTS].float().numpy()


def taken(log: InteractionLog, steps: NDArray[np.int64]) -> InteractionLog:
    """Return the log of some of its steps, of the same students."""
    owner, counts = np.repeat(np.arange(log.num_students), log.lengths), np.diff(log.skill_offsets)[steps]
    return replace(
        log,
        offsets=offsets_of(np.bincount(owner[steps], minlength=log.num_students)),
        responses=log.responses[steps],
        skill_offsets=offsets_of(counts),
        skills=log.skills[spans(log.skill_offsets[:-1][steps], counts)],
        items=log.items[steps],
    )
