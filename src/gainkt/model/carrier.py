"""Carrier: hands each student's state from one window to the next while batches go through a model in order."""

from __future__ import annotations

import numpy as np
import torch

from gainkt.data.batch import Batch
from gainkt.model.gainkt import Output
from gainkt.model.state import SPARE, State


class Carrier:
    """Keeps the states of students with a window still to come, and no others; for one pass over the windows.

        carrier = Carrier()
        for batch in batches:
            output = model(batch, carrier.before(batch))
            carrier.after(batch, output)

    States are detached. Batches none of whose windows goes on, or has gone on, cost nothing.
    """

    def __init__(self) -> None:
        """Start with no student."""
        self._held: State | None = None  # row 0 is the state before a first step
        self._row = np.zeros(0, dtype=np.int64)  # of each student; 0: none is kept
        self._unused = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """Students whose state is kept."""
        return 0 if self._held is None else len(self._held) - 1 - len(self._unused)

    def before(self, batch: Batch) -> State | None:
        """State of the batch's students before their windows, which is then no longer kept; None where there is none.

        Students of whom nothing is kept get the state before a first step.
        """
        if self._held is None or not len(self):
            return None
        student = batch.student_B.cpu().numpy()
        row = self._rows(student)[student]
        if not row.any():
            return None
        state = self._held.select(torch.from_numpy(row))
        self._let_go(student)
        return state

    def after(self, batch: Batch, output: Output) -> None:
        """Keep the state of the students whose windows go on."""
        if not batch.ahead_BL.shape[1]:
            return
        assert output.state_of is not None, "the model knows from the batch that windows go on"
        going = (batch.ahead_BL >= 0).any(1).nonzero()[:, 0]
        state = output.state_of(going).detach()
        student = batch.student_B[going].cpu().numpy()
        self._rows(student)
        self._let_go(student)
        self._make_room(state)
        assert self._held is not None
        self._row[student], self._unused = self._unused[: len(student)], self._unused[len(student) :]
        rows = torch.from_numpy(self._row[student]).to(state.steps_B.device)
        widths = {name: x.shape[1] for name, x in self._held.context.items()}
        wide = state.widen(self._held.skills_BC.shape[1], widths).tensors()
        for name, x in self._held.tensors().items():
            x[rows] = wide[name].to(x.dtype)

    def _rows(self, student: np.ndarray) -> np.ndarray:
        """The row of every student, those of the batch included."""
        lacking = int(student.max()) + 1 - len(self._row)
        if lacking > 0:
            self._row = np.pad(self._row, (0, max(lacking, len(self._row))))
        return self._row

    def _let_go(self, student: np.ndarray) -> None:
        """Forget students."""
        row = self._row[student]
        self._unused = np.concatenate([row[row > 0], self._unused])
        self._row[student] = 0

    def _make_room(self, state: State) -> None:
        """Rows for more students, and columns for what they have."""
        held, more = self._held, len(state) - len(self._unused)
        rows = (0 if held is None else len(held)) + (max(more, len(self)) + (held is None) if more > 0 else 0)
        columns, widths = state.skills_BC.shape[1], {name: x.shape[1] for name, x in state.context.items()}
        if held is not None:
            held = held.widen(columns, widths)
            columns, widths = held.skills_BC.shape[1], {name: x.shape[1] for name, x in held.context.items()}
        have = 0 if held is None else len(held)
        if rows > have:
            empty = state.select(torch.zeros(rows - have, dtype=torch.long)).widen(columns, widths)
            empty = State.from_tensors({name: torch.zeros_like(x) for name, x in empty.tensors().items()})
            empty.skills_BC += SPARE
            self._unused = np.concatenate([self._unused, np.arange(max(have, 1), rows)])
            held = empty if held is None else State.stack([held, empty])
        self._held = held
