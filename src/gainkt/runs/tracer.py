"""A model that is kept up to date: students' answers one at a time, and what it expects of them now.

The cost of an answer does not depend on how many there were: recurrent streams keep their state, attention a bounded
context. A trace says whose it is: another model's is refused.
"""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, DataError
from gainkt.model import GainKT
from gainkt.model.axis import Cells, all_skills
from gainkt.model.belief import Belief, Moments
from gainkt.model.state import State

JOURNAL = 256
"""Answers that a trace keeps one by one, so that `explain` can name them; what came before them is kept as a sum."""
TRIED, SAME = 3, 1e-6
"""Made-up answers on which recorded operations are tried, and a difference that is rounding."""
_MARK, _FIRST_MARK = b"gainkt-state-2", b"gainkt-state-1"
"""Of the bytes of a trace, and of those without a checksum, which are read as well."""

Answer = tuple[tuple[int, ...], int, int]
"""Numbers of the skills, number of the item (-1: unknown), and 1 right or 0 wrong."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The latest answers of one student, newest first; answers are added to it without copying."""

    answer: Answer
    earlier: Journal | None
    count: int

    def __iter__(self) -> Iterator[Answer]:
        """From the first answer to the last."""
        found, entry = [], self
        while entry is not None:
            found.append(entry.answer)
            entry = entry.earlier  # type: ignore[assignment]
        return reversed(found)


@dataclass(frozen=True, slots=True)
class Trace:
    """Where B students stand. It is never changed: an answer gives a new trace."""

    model: str
    """Digest of the model that it belongs to."""
    state: State
    """What the model keeps of the students, [B, ...]."""
    journal: Journal | None = None
    """The latest answers, of a single student who was traced alone."""
    base: State | None = None
    """State before them; None where they are all."""

    def __len__(self) -> int:
        """Number of students, B."""
        return len(self.state)

    @property
    def answers(self) -> list[int]:
        """Answers so far, a number a student."""
        return self.state.steps_B.tolist()

    def select(self, students: Sequence[int]) -> Trace:
        """Return the trace of the students at the given places of this one; their answers one by one are not kept.

        Raises:
            ConfigError: there is no such place.
        """
        if any(not isinstance(place, Integral) or not 0 <= place < len(self) for place in students):
            raise ConfigError(f"students={list(students)}: give places from 0 to {len(self) - 1}")
        return Trace(self.model, self.state.select(torch.as_tensor(students, dtype=torch.long)))

    def to_bytes(self) -> bytes:
        """Return the trace as bytes, tensors only; `TrainedModel.restore` reads them."""
        tensors = {f"now.{name}": x for name, x in _packed(self.state).items()}
        if self.base is not None:
            tensors |= {f"base.{name}": x for name, x in _packed(self.base).items()}
        if self.journal is not None:
            answers = list(self.journal)
            slots = max(len(skills) for skills, _, _ in answers)
            rows = [[*skills, *[-1] * (slots - len(skills)), item, right] for skills, item, right in answers]
            tensors["journal"] = torch.tensor(rows, dtype=torch.int32)
        content = save({name: x.clone(memory_format=torch.contiguous_format) for name, x in tensors.items()})
        return b"\n".join([_MARK, self.model.encode(), _checksum(content), content])


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).hexdigest().encode()


def _packed(state: State) -> dict[str, Tensor]:
    """Tensors of a state on all skills, without what follows from their number, and of contexts what is in use."""
    used = int(state.steps_B.max())
    tensors = {name: x for name, x in state.tensors().items() if name != "skills"}
    return {
        name: x[:, max(0, x.shape[1] - used) :] if name.startswith("context/") else x for name, x in tensors.items()
    }


def restore(network: GainKT, model: str, data: bytes) -> Trace:
    """Return the trace that was turned into bytes.

    Raises:
        ConfigError: the bytes are no trace, are damaged, or are another model's.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ConfigError(f"a student's state: a {type(data).__name__} is no bytes, which Trace.to_bytes gives")
    mark, _, rest = bytes(data).partition(b"\n")
    digest, _, tensors = rest.partition(b"\n")
    if mark not in (_MARK, _FIRST_MARK):
        raise ConfigError("a student's state: these bytes are none that this version of gainkt wrote")
    require_own(model, digest.decode(errors="replace"))
    if mark == _MARK:
        told, _, tensors = tensors.partition(b"\n")
        if told != _checksum(tensors):
            raise ConfigError("a student's state: the bytes are damaged (their checksum differs)")
    try:
        found = load(tensors)
        states = {}
        for part in ("now", "base"):
            own = {name.removeprefix(f"{part}."): x for name, x in found.items() if name.startswith(f"{part}.")}
            if own or part == "now":
                states[part] = _fitting(network, own)
        rows = found["journal"].tolist() if "journal" in found else []
        journal = None
        for *skills, item, right in rows:
            answer = (tuple(skill for skill in skills if skill >= 0), item, right)
            if not answer[0] or max(answer[0]) >= network.num_skills or right not in (0, 1):
                raise ValueError("an answer that cannot be")
            journal = Journal(answer, journal, 1 if journal is None else journal.count + 1)
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"a student's state: the bytes are damaged ({type(error).__name__}: {error})") from error
    return Trace(model, states["now"], journal, states.get("base"))


def _fitting(network: GainKT, tensors: dict[str, Tensor]) -> State:
    """The state of tensors, if the model keeps tensors of these names and shapes."""
    new = started(network, len(tensors["steps"]))
    like, widths = new.tensors(), {name: x.shape[1] for name, x in new.context.items()}
    state = State.from_tensors({**tensors, "skills": like["skills"]}).widen(0, widths)
    for name, x in state.tensors().items():
        if x.dtype != like[name].dtype or x.shape != like[name].shape:
            raise ValueError(f"{name} is {x.dtype} {list(x.shape)}")
        if x.is_floating_point() and not torch.isfinite(x).all():
            raise ValueError(f"{name} is not finite")
    if state.tensors().keys() != like.keys():
        raise ValueError(f"it holds {sorted(state.tensors().keys() ^ like.keys())} too much or too little")
    return state


def require_own(model: str, digest: str) -> None:
    """Check that a trace belongs to a model.

    Raises:
        ConfigError: it is another's.
    """
    if digest != model:
        raise ConfigError(
            f"a student's state: it belongs to model {digest}, this is model {model}; load the model that it was made "
            "with, or let this one observe the student's answers anew"
        )


def require_trace(model: str, trace: Any) -> None:
    """Check that something is a trace of a model; raises ConfigError where it is not."""
    if not isinstance(trace, Trace):
        raise ConfigError(f"a {type(trace).__name__} is no trace; model.start() gives one, of several students too")
    require_own(model, trace.model)


def require_number(name: str, value: Any, least: int) -> None:
    """Check that an argument is a whole number, `least` or more; raises ConfigError where it is not."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(f"{name}={value}: a whole number, {least} or more")


def require_threshold(value: float) -> None:
    """Check that an argument is a threshold of mastery; raises ConfigError where it is not."""
    if not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise ConfigError(f"threshold={value!r}: a mastery between 0 and 1, such as .95")


def questions(skills_BTS: Tensor, item_BT: Tensor, response_BT: Tensor) -> Batch:
    """Return a batch of steps; slots without a skill hold -1.

    Args:
        skills_BTS: int64, numbers of skills, -1 in empty slots.
        item_BT: int64, numbers of items, -1 where unknown.
        response_BT: float32, 1 right, 0 wrong; anything where nothing is learnt from it.
    """
    has_skill = skills_BTS >= 0
    student = torch.zeros(skills_BTS.shape[0], dtype=torch.long)
    valid = has_skill.any(2)
    return Batch(
        student_B=student,
        trained_student_B=student - 1,
        start_B=student,
        skills_BTS=skills_BTS.clamp_min(0),
        has_skill_BTS=has_skill,
        item_BT=item_BT,
        response_BT=response_BT,
        valid_BT=valid,
        scored_BT=valid,
    )


def started(network: GainKT, students: int) -> State:
    """State of students before their first step, with room for all of the context that attention will keep.

    So the shapes of a state stay what they are, whatever the number of answers.
    """
    state = network.start(students)
    return state.widen(0, {name: context_of(getattr(network, name.partition(".")[0])) for name in state.context})


def context_of(stream: nn.Module) -> int:
    """Return how many steps back a stream sees where it keeps steps; 0 where it keeps a state."""
    return int(getattr(stream, "context", 0))


def step(network: GainKT, state: State, skills_BS: Tensor, item_B: Tensor, right_B: Tensor) -> State:
    """Return the state after one more answer of each student."""
    batch = questions(skills_BS[:, None], item_B[:, None], right_B[:, None])
    return network(batch, state, every_skill=True).state


class Stepper:
    """`step` for one student at a time, a few hundred microseconds each: the recorded operations of a first call.

    They are replayed for answers of as many skills, once they have been seen to give what the model itself gives; a
    model with a part whose operations depend on the numbers is asked itself.
    """

    def __init__(self, network: GainKT) -> None:
        self.network = network
        self.recorded: dict[int, Callable[..., tuple[Tensor, ...]] | None] = {}
        new = started(network, 1)
        self.skills_1K, self.names = new.skills_BC, tuple(map(tuple, (new.student, new.context, new.skill)))
        self.one_skill = new.skills_BC[0][:, None]
        self.response = torch.tensor([[0.0], [1.0]])

    def __call__(self, state: State, answer: Answer) -> State:
        """Return the state of a student after one more answer."""
        skills, item, right = answer
        skills_1S = self.one_skill[skills[0]][None] if len(skills) == 1 else torch.tensor([skills])
        given = (skills_1S, torch.tensor([item]), self.response[right])
        if len(skills) not in self.recorded:
            self.recorded[len(skills)] = self._record(len(skills))
        run = self.recorded[len(skills)]
        return step(self.network, state, *given) if run is None else self.state(run(*given, *self.tensors(state)))

    def named(self) -> list[str]:
        """Return a name for each of `tensors`."""
        groups = zip(("student", "context", "skill"), self.names, strict=True)
        return ["steps", *(f"{group}/{name}" for group, names in groups for name in names)]

    def tensors(self, state: State) -> list[Tensor]:
        """Return the tensors of a state in the order of `named`."""
        groups = zip((state.student, state.context, state.skill), self.names, strict=True)
        return [state.steps_B, *(group[name] for group, names in groups for name in names)]

    def state(self, tensors: Sequence[Tensor], kind: type[State] = State) -> State:
        """Return the state of tensors in the order of `named`."""
        rest = iter(tensors)
        return kind(next(rest), self.skills_1K, *({name: next(rest) for name in names} for names in self.names))

    def _record(self, slots: int) -> Callable[..., tuple[Tensor, ...]] | None:
        """Record the operations and try them on made-up answers; None where they do not give the same."""
        quick = with_cells(self.network)

        class Recorded(nn.Module):
            @staticmethod
            def forward(skills: Tensor, item: Tensor, right: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
                return tuple(self.tensors(step(quick, self.state(tensors, OfAllSkills), skills, item, right)))

        draw, state = torch.Generator().manual_seed(0), started(self.network, 1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                example = (*self._made_up(slots, draw), *self.tensors(state))
                recorded = torch.jit.freeze(torch.jit.trace(Recorded().eval(), example, check_trace=False))
                for _ in range(TRIED):
                    answer = self._made_up(slots, draw)
                    expected = step(self.network, state, *answer)
                    pairs = zip(self.tensors(expected), recorded(*answer, *self.tensors(state)), strict=True)
                    if not all(a.shape == b.shape and torch.allclose(a, b, atol=SAME) for a, b in pairs):
                        return None
                    state = expected
        except Exception:  # recording fails in as many ways as a part may be written
            return None
        return recorded

    def _made_up(self, slots: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """An answer at random."""
        skills = torch.randint(0, self.network.num_skills, (1, slots), generator=draw)
        return skills, torch.full((1,), -1), torch.randint(0, 2, (1,), generator=draw).float()


class OfAllSkills(State):
    """A state that is only asked about all skills in order, and need not look for them."""

    def of_skills(self, skills_BC: Tensor) -> dict[str, Tensor]:
        """What is kept of all skills."""
        return dict(self.skill)


class _Cells(nn.Module):
    """An LSTM over one step, layer by layer: the same numbers, without what it costs to get a kernel for many ready."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.layers = lstm.all_weights

    def forward(self, x_B1D: Tensor, before: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return output, and hidden and cell states of all layers, as an LSTM does."""
        x, after = x_B1D[:, 0], []
        for number, weights in enumerate(self.layers):
            after.append(torch.lstm_cell(x, (before[0][number], before[1][number]), *weights))
            x = after[-1][0]
        hidden, cell = (torch.stack(states) for states in zip(*after, strict=True))
        return x[:, None], (hidden, cell)


def with_cells(network: GainKT) -> GainKT:
    """Return a copy of a network, with the same weights, for one step at a time."""
    quick = copy.copy(network)
    quick._modules = dict(network._modules)
    for name, part in network.named_children():
        if type(inner := getattr(part, "lstm", None)) is nn.LSTM:
            quick._modules[name] = copy.copy(part)
            quick._modules[name]._modules = {**part._modules, "lstm": _Cells(inner)}  # type: ignore[union-attr]
    return quick


def noted(trace: Trace, state: State, answer: Answer) -> Trace:
    """Return the trace of a single student after an answer that has led to a state."""
    journal, base = trace.journal, trace.base
    is_full = journal is not None and journal.count >= JOURNAL
    if is_full or (journal is None and base is None and trace.answers[0]):
        journal, base = None, trace.state
    return Trace(trace.model, state, Journal(answer, journal, 1 if journal is None else journal.count + 1), base)


def apart(state: State) -> list[State]:
    """Return the state of each student by itself."""
    tensors = {name: x.split(1) for name, x in state.tensors().items()}
    return [State.from_tensors(dict(zip(tensors, row, strict=True))) for row in zip(*tensors.values(), strict=True)]


def together(states: Sequence[State]) -> State:
    """Return the states of students, which have the same shapes, as one; faster than State.stack for thousands."""
    named = [state.tensors() for state in states]
    return State.from_tensors({name: torch.cat([one[name] for one in named]) for name in named[0]})


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model expects of Q questions, each asked next."""

    logit1_BQ: Tensor
    """Encoder 1's logit of a right response."""
    logit2_BQ: Tensor
    """Encoder 2's."""
    mastery_BQS: Tensor
    """Mastery of each question's skills now."""


def ask(network: GainKT, state: State, batch: Batch) -> Expected:
    """Return what is expected of each question of a batch, [B, Q], were it the student's next; none is learnt from."""
    number = batch.valid_BT.shape[1]
    last = (state.student[f"last.encoder1.{what}"][:, None].expand(-1, number, -1) for what in ("context", "value"))
    logit1 = network.response_head(*last, batch, network.items1(batch))
    belief, cells, practice_BQS = belief_now(network, state, batch)
    mastery = network.mastery(practice_BQS, cells, belief).expand(batch.skills_BTS.shape)
    return Expected(logit1, network.readout(mastery, batch) - network.items2(batch), mastery)


def belief_now(network: GainKT, state: State, batch: Batch) -> tuple[Belief, Cells, Tensor]:
    """Return what is believed of students now; the cells of a batch of questions; and their practice, [B, Q, S]."""
    size = batch.valid_BT.shape
    value = state.student.get("last.encoder2.value", state.student["last.encoder1.value"])[:, None]
    belief = network.belief(batch, Moments(value, torch.zeros(size, dtype=torch.long), value.expand(-1, size[1], -1)))
    axis = all_skills(batch, network.num_skills).going_on(state)
    # No question is answered before another: what was not met before is not met here.
    axis = replace(axis, first_BC=torch.where(axis.first_BC < 0, -1, 1))
    return belief, axis.slots(batch.skills_BTS), axis.read(axis.kept["practice"][:, None].expand(-1, size[1], -1))


def padded(skills: Sequence[Sequence[int]]) -> Tensor:
    """Return lists of skills as a tensor [N, S], -1 in empty slots.

    Raises:
        DataError: a list is empty.
    """
    slots = max(map(len, skills), default=1)
    if not all(skills):
        raise DataError("an answer without a skill: name one skill or several")
    return torch.tensor([[*one, *[-1] * (slots - len(one))] for one in skills], dtype=torch.long)


def right(correct: Any) -> int:
    """Return a response as 1 or 0.

    Raises:
        DataError: it is neither.
    """
    with suppress(TypeError, ValueError):  # of pd.NA and arrays, which are neither
        if correct in (0, 1):  # True, False, 1.0 and NumPy's numbers too
            return int(correct)
    raise DataError(f"correct is {correct!r}, not 0 or 1; what has no response yet is asked for by outlook or predict")
