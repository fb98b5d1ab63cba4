"""State: what the model keeps of students between two batches of their histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

SPARE = 2**31 - 1
"""Stands in a list of skills where there is none; greater than any skill, so that the list stays in order."""


@dataclass(slots=True)
class Share:
    """What one part keeps of B students; all numbers are 0 before their first step."""

    student: dict[str, Tensor]
    """By name, [B, ...]: a recurrent stream's hidden state."""
    context: dict[str, Tensor]
    """By name, [B, N, ...]: something of each of the last N steps, the latest last; 0 where there were fewer."""
    steps_B: Tensor
    """int64, steps of the history so far."""

    @property
    def width(self) -> int:
        """Steps of context held, N; 0 where none are."""
        return next((x.shape[1] for x in self.context.values()), 0)


@dataclass(slots=True)
class State:
    """What the model keeps of B students after some steps: tensors only, [B, ...] all of them.

    It is all that a prediction of their next steps needs of the steps before. Names are `<part>.<what>`. Before a first
    step all numbers are 0.
    """

    steps_B: Tensor
    """int64, steps of the history so far."""
    skills_BC: Tensor
    """int64, rising: the skills that `skill` speaks of, all K or those that the student meets later; then SPARE."""
    student: dict[str, Tensor]
    """[B, ...] each: recurrent states; context and value of the streams after the last step."""
    context: dict[str, Tensor]
    """[B, N, ...] each, as in `Share`."""
    skill: dict[str, Tensor]
    """[B, C] each: `practice`, `met` (1 or 0), and what parts keep of a skill; 0 in spare columns."""

    def __len__(self) -> int:
        """Number of students, B."""
        return len(self.steps_B)

    def share(self, part: str) -> Share:
        """What one part keeps."""
        return Share(_of(part, self.student), _of(part, self.context), self.steps_B)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by a name of its own: `steps`, `skills`, `student/<name>`, `context/<name>`, `skill/<name>`."""
        groups = {"student": self.student, "context": self.context, "skill": self.skill}
        named = {f"{group}/{name}": x for group, tensors in groups.items() for name, x in tensors.items()}
        return {"steps": self.steps_B, "skills": self.skills_BC, **named}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> State:
        """The state whose `tensors` these are."""
        groups: dict[str, dict[str, Tensor]] = {"student": {}, "context": {}, "skill": {}}
        for name, x in tensors.items():
            if "/" in name:
                groups[name.partition("/")[0]][name.partition("/")[2]] = x
        return cls(tensors["steps"], tensors["skills"], **groups)

    def to(self, device: torch.device | str) -> State:
        """The state on another device."""
        return self._each(lambda x: x.to(device))

    def detach(self) -> State:
        """The state without the graph that made it."""
        return self._each(Tensor.detach)

    def select(self, index_B: Tensor) -> State:
        """The state of the students at the given places, which may repeat."""
        return self._each(lambda x: x[index_B.to(x.device)])

    @classmethod
    def stack(cls, states: Sequence[State]) -> State:
        """The states of several groups of students under each other.

        Lists of skills and contexts are as wide as the widest; a tensor that a state lacks is 0 there.
        """
        columns = max(state.skills_BC.shape[1] for state in states)
        widths = {
            name: max(s.context[name].shape[1] for s in states if name in s.context)
            for s in states
            for name in s.context
        }
        wide = [state.widen(columns, widths).tensors() for state in states]
        like = {name: x for tensors in wide for name, x in tensors.items()}
        rows = [
            {name: t[name] if name in t else x.new_zeros(len(t["steps"]), *x.shape[1:]) for name, x in like.items()}
            for t in wide
        ]
        return cls.from_tensors({name: torch.cat([row[name] for row in rows]) for name in like})

    def widen(self, columns: int, widths: dict[str, int]) -> State:
        """The same state with at least so many columns of skills and steps of context."""
        more = max(0, columns - self.skills_BC.shape[1])
        if not more and all(widths.get(name, 0) <= x.shape[1] for name, x in self.context.items()):
            return self
        return replace(
            self,
            skills_BC=F.pad(self.skills_BC, (0, more), value=SPARE),
            skill={name: F.pad(x, (0, more)) for name, x in self.skill.items()},
            context={
                name: F.pad(x, (0, 0) * (x.ndim - 2) + (max(0, widths.get(name, 0) - x.shape[1]), 0))
                for name, x in self.context.items()
            },
        )

    def of_skills(self, skills_BC: Tensor) -> dict[str, Tensor]:
        """What is kept of the given skills, [B, C] each; 0 for those that the state does not speak of."""
        skills = skills_BC.expand(len(self), -1).contiguous()
        at = torch.searchsorted(self.skills_BC.contiguous(), skills).clamp_max(self.skills_BC.shape[1] - 1)
        known = self.skills_BC.gather(1, at) == skills
        return {name: x.gather(1, at) * known for name, x in self.skill.items()}

    def _each(self, change: Callable[[Tensor], Tensor]) -> State:
        return State.from_tensors({name: change(x) for name, x in self.tensors().items()})


def last_columns(x_BT: Tensor, end_B: Tensor, count: int) -> Tensor:
    """The `count` columns of [B, T, ...] before column `end_B`, the first of all in the place of those that lack."""
    at = (end_B[:, None] - count + torch.arange(count, device=x_BT.device)).clamp_min(0)
    return x_BT.gather(1, at.view(*at.shape, *(1,) * (x_BT.ndim - 2)).expand(-1, -1, *x_BT.shape[2:]))


def _of(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a part, by name within it."""
    return {name.removeprefix(f"{part}."): x for name, x in tensors.items() if name.startswith(f"{part}.")}
