"""Cost of the mastery path by length and skills: a column for each skill that is met, or for every skill."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from gainkt.data.batch import Batch, shift
from gainkt.model import Size
from gainkt.model.axis import SkillAxis, all_skills, met_skills
from gainkt.model.bounded import Bounded
from gainkt.model.curve import SigmoidCurve
from gainkt.model.gain_head.linear import LinearGain
from gainkt.model.readout import ThresholdReadout, probability
from gainkt.model.receivers import AllSkills
from gainkt.model.velocity import StudentVelocity

SKILLS_A_STUDENT, BLOCK = 10, 5
REPEATS = 15


@dataclass(frozen=True)
class Cell:
    """One measurement."""

    length: int
    """Steps of a window, T."""
    num_skills: int
    """Skills of the data, K."""
    tokens: int
    """Steps in the batch, B T."""
    width: int
    """Width of the value stream, D."""


class MasteryPath(nn.Module):
    """V1's mastery path from the value stream on: gains, practice, mastery, prediction."""

    def __init__(self, cell: Cell, num_students: int) -> None:
        """Build the parts at V1's sizes."""
        super().__init__()
        size = Size(d_model=cell.width, num_heads=4, num_blocks=1, d_ff=cell.width, dropout=0.0)
        self.gain_head, self.receivers = LinearGain(cell.num_skills, size), AllSkills()
        self.velocity = StudentVelocity(num_students, cell.width, mean=1.1)
        self.curve = SigmoidCurve(
            cell.num_skills,
            beta=partial(Bounded, mean=2.5, low=0.0),
            saturation=partial(Bounded, mean=0.7, low=0.0, high=1.0),
            offset=partial(Bounded, mean=1.5, per_skill=False),
        )
        self.readout = ThresholdReadout(
            cell.num_skills,
            threshold=partial(Bounded, mean=0.85, low=0.0, high=1.0, per_skill=False),
            temperature=partial(Bounded, mean=1.0, low=0.0, per_skill=False, learn=False),
            reduce="minimum",
        )

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Logit of a right response to each step, [B, T]; as GainKT.forward computes it."""
        gains = self.receivers(self.gain_head(value_BTD, axis, batch), axis, batch)
        before, nothing = axis.read(shift(gains.cumsum(1))), gains.new_zeros(1)
        mastery = self.curve(before, batch.skills_BTS, self.velocity(batch, value_BTD), nothing)
        return self.readout(mastery, batch)


def blocked_batch(cell: Cell, seed: int = 0) -> Batch:
    """Students who each practise about 10 skills, 5 steps at a time, and come back to them."""
    draw = torch.Generator().manual_seed(seed)
    b, t = max(1, cell.tokens // cell.length), cell.length
    own = torch.rand(b, cell.num_skills, generator=draw).argsort(-1)[:, : 2 * SKILLS_A_STUDENT]
    count = torch.poisson(torch.full((b, 1), float(SKILLS_A_STUDENT)), generator=draw).clamp(2, own.shape[1])
    blocks = torch.rand(b, -(-t // BLOCK), generator=draw).mul(count).long().repeat_interleave(BLOCK, 1)[:, :t]
    valid = torch.ones(b, t, dtype=torch.bool)
    return Batch(
        student_B=torch.arange(b),
        trained_student_B=torch.arange(b),
        start_B=torch.zeros(b, dtype=torch.long),
        skills_BTS=own.gather(1, blocks)[..., None],
        has_skill_BTS=valid[..., None],
        item_BT=torch.full((b, t), -1),
        response_BT=torch.randint(0, 2, (b, t), generator=draw).float(),
        valid_BT=valid,
        scored_BT=valid & (torch.arange(t) > 0),
    )


def measure_cell(cell: Cell) -> dict[str, Any]:
    """Measure a training step both ways in turn: best ms, peak MiB of tensors, difference in p2.

    The best, since whatever else runs on the machine can only add to a time.
    """
    torch.manual_seed(0)
    batch = blocked_batch(cell)
    path = MasteryPath(cell, len(batch))
    value = torch.randn(*batch.valid_BT.shape, cell.width, requires_grad=True)
    axes = {"met": lambda: met_skills(batch), "every": lambda: all_skills(batch, cell.num_skills)}

    def step(name: str) -> float:
        start = time.perf_counter()
        logit = path(value, axes[name](), batch)
        loss = nn.functional.binary_cross_entropy_with_logits(logit, batch.response_BT, reduction="none")
        (loss * batch.scored_BT).sum().backward()
        took = 1000 * (time.perf_counter() - start)
        # Freed here, not before the next step, so that each step's allocations balance.
        path.zero_grad()
        value.grad = None
        return took

    seconds: dict[str, list[float]] = {name: [] for name in axes}
    for repeat in range(REPEATS + 1):
        for name in axes:
            took = step(name)
            if repeat:
                seconds[name].append(took)
    with torch.no_grad():
        p2 = [probability(path(value, axis(), batch)) for axis in axes.values()]
    return {
        **asdict(cell),
        "windows": len(batch),
        "columns": met_skills(batch).size,
        "difference": float((p2[0] - p2[1]).abs().max()),
        **{name: {"ms": min(seconds[name]), "peak_mib": _peak(partial(step, name))} for name in axes},
    }


def _peak(step: partial[float]) -> float:
    """Most MiB that the tensors made in a step hold at once, by the profiler's record of the allocator."""
    with _silent(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    results = record.profiler.kineto_results if record.profiler else None
    assert results is not None
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    held = peak = 0
    for _, nbytes in changes:
        held += nbytes
        peak = max(peak, held)
    return peak / 2**20


@contextmanager
def _silent() -> Iterator[None]:
    """Keep standard error quiet: torch's profiler tells there, from C++, when it starts and stops."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
