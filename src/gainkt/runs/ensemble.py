"""Several trained models as one: `gainkt.load([run, run])` averages them and says how far apart they are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model import GainKT
from gainkt.names import visible
from gainkt.reporting.page.notebook import Page
from gainkt.runs import tracer
from gainkt.runs.explanation import Explanation
from gainkt.runs.tracer import Trace
from gainkt.runs.trained import TrainedModel

_MARK = b"gainkt-states-1"


@dataclass(frozen=True, slots=True)
class EnsembleTrace:
    """Where B students stand, as each member of an ensemble has it. It is never changed: an answer gives a new one."""

    model: str
    """Digest of the ensemble that it belongs to."""
    parts: tuple[Trace, ...]
    """A trace a member."""

    def __len__(self) -> int:
        """Number of students, B."""
        return len(self.parts[0])

    @property
    def answers(self) -> list[int]:
        """Answers so far, a number a student."""
        return self.parts[0].answers

    def select(self, students: Sequence[int]) -> EnsembleTrace:
        """Return the trace of the students at the given places of this one."""
        return EnsembleTrace(self.model, tuple(part.select(students) for part in self.parts))

    def to_bytes(self) -> bytes:
        """Return the trace as bytes, tensors only; `Ensemble.restore` reads them."""
        parts = [part.to_bytes() for part in self.parts]
        sizes = " ".join(str(len(part)) for part in parts)
        return b"\n".join([_MARK, self.model.encode(), sizes.encode(), b"".join(parts)])


class Ensemble(TrainedModel):
    """The mean of trained models of the same skills and items, by the same calls; tables have its spread beside it.

    Of either encoder p = sigmoid(mean over members of the logit). Mastery is the mean of theirs, and that of an item's
    skills the lowest of these means. `p1_std`, `p2_std` and `mastery_std` are standard deviations over the M members,
    with M in the denominator; `mastery_std` is that of the skill whose mastery is the lowest. An ensemble of one model
    says what that model says, to the bit.
    """

    shows_spread = True

    def __init__(self, members: Sequence[TrainedModel], places: Sequence[str] = ()) -> None:
        """Join the members.

        Args:
            members: one or more.
            places: where each was read from, for messages; its name where not given.

        Raises:
            ConfigError: there is none, one stands twice, or one differs from the first in skills, items, windows, in
                how a table is read, or in which encoders were trained.
        """
        self.members = tuple(members)
        require_alike(self.members, places or [member.name for member in members])
        self.content = self.members[0].content
        self.skills, self.items = self.members[0].skills, self.members[0].items

    def __repr__(self) -> str:
        """Size, digest and members."""
        return f"Ensemble({self.digest[:8]}, of {', '.join(map(repr, self.members))})"

    @property
    def name(self) -> str:
        """How many there are, of which names."""
        return f"ensemble of {len(self.members)}: {', '.join(dict.fromkeys(member.name for member in self.members))}"

    @cached_property
    def digest(self) -> str:
        """32 hex digits of the members' digests in order: whose a trace is."""
        return hashlib.sha256("".join(member.digest for member in self.members).encode()).hexdigest()[:32]

    @property
    def scorecard(self) -> dict[str, Any] | None:
        """None: scorecards judge the gains of one model."""
        return None

    def networks_with(self, more: int) -> list[GainKT]:
        """Return the members' networks, each with some typical skills beside its own."""
        return [member.network_with(more) for member in self.members]

    def start(self, students: int = 1) -> EnsembleTrace:  # type: ignore[override]
        """Return the trace of new students; as `TrainedModel.start`."""
        return EnsembleTrace(self.digest, tuple(member.start(students) for member in self.members))

    def restore(self, data: bytes) -> EnsembleTrace:  # type: ignore[override]
        """Return a trace from the bytes that `EnsembleTrace.to_bytes` made.

        Raises:
            ConfigError: the bytes are damaged, or another model's.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ConfigError(f"a student's state: a {type(data).__name__} is no bytes, which to_bytes gives")
        mark, digest, sizes, whole = [*bytes(data).split(b"\n", 3), b"", b"", b""][:4]
        if mark != _MARK:
            raise ConfigError("a student's state: these bytes are none of an ensemble that this version wrote")
        tracer.require_own(self.digest, digest.decode(errors="replace"))
        lengths = [int(size) for size in sizes.split() if size.isdigit() and len(size) < 16]
        if len(lengths) != len(self.members) or sum(lengths) != len(whole):
            raise ConfigError("a student's state: the bytes are damaged (they are not as long as they say)")
        ends = [sum(lengths[: place + 1]) for place in range(len(lengths))]
        pieces = [whole[end - length : end] for end, length in zip(ends, lengths, strict=True)]
        parts = tuple(member.restore(piece) for member, piece in zip(self.members, pieces, strict=True))
        if any(part.answers != parts[0].answers for part in parts):
            raise ConfigError("a student's state: the bytes are damaged (members were told different answers)")
        return EnsembleTrace(self.digest, parts)

    def observe(self, trace: Any, *, skill: Any, correct: Any, item: Any = None, unknown_skills: str = "fail") -> Any:
        """Return the trace after one more answer of each student; as `TrainedModel.observe`, at all members' cost.

        Raises:
            DataError: as there.
            ConfigError: as there.
        """
        many, answer = isinstance(trace, list | tuple), {"skill": skill, "correct": correct, "item": item}
        for one in trace if many else [trace]:
            self._require(one)
        told = []
        for place, member in enumerate(self.members):
            own = [one.parts[place] for one in trace] if many else trace.parts[place]
            told.append(member.observe(own, **answer, unknown_skills=unknown_skills))
        joined = zip(*told, strict=True) if many else [tuple(told)]
        found = [EnsembleTrace(self.digest, tuple(parts)) for parts in joined]
        return found if many else found[0]

    def _require(self, trace: Any) -> None:
        if not isinstance(trace, EnsembleTrace):
            raise ConfigError(f"a {type(trace).__name__} is no trace of an ensemble; its start() gives one")
        tracer.require_own(self.digest, trace.model)

    def _expected(self, trace: Any, batch: Batch) -> list[tracer.Expected]:
        pairs = zip(self.members, trace.parts, strict=True)
        return [tracer.ask(member.network, part.state, batch) for member, part in pairs]

    def save(self, path: str | Path) -> Path:
        """Refused: a bundle holds one model."""
        self._refuse("save", "a bundle holds one model")

    def export(self, folder: str | Path, *, slots: int = 4) -> Path:
        """Refused: ONNX files hold one model."""
        self._refuse("export", "ONNX files hold one model")

    def explain(self, trace: Any, **_: Any) -> Explanation:
        """Refused: the parts of a mastery are those of one curve."""
        self._refuse("explain", "the parts of a mastery add up on the curve of one model")

    def show(self, data: Any, **_: Any) -> Page:
        """Refused: the explorer shows the gains of one model."""
        self._refuse("show", "the explorer shows the gains of one model")

    def _refuse(self, call: str, why: str) -> NoReturn:
        raise ConfigError(f"{call}: not of an ensemble: {why}; ask one of its {len(self.members)} members")


def require_alike(members: Sequence[TrainedModel], places: Sequence[str], *, trained: bool = True) -> None:
    """Check that models can be averaged.

    Args:
        members: of the ensemble.
        places: where each was read from.
        trained: whether the same encoders must have been trained in all.

    Raises:
        ConfigError: there is none, one stands twice, or one differs from the first in skills, items, windows, in how
            a table is read, or in which encoders were trained.
    """
    if not members:
        raise ConfigError("an ensemble of no run: give one or more, as gainkt.load([run, run]) or run=[a,b]")
    where, agreed = [visible(place, 200) for place in places], [_agreed(member) for member in members]
    digests = [member.digest for member in members]
    for number, (place, digest, own) in enumerate(zip(where, digests, agreed, strict=True)):
        if (earlier := digests.index(digest)) < number:
            raise ConfigError(
                f"{place}: the same model as {where[earlier]} (digest {digest[:8]}), which would count twice; give "
                "different runs"
            )
        for what in sorted({*own, *agreed[0]}):
            one, other = own.get(what), agreed[0].get(what)
            if one == other:
                continue
            told = f"is {visible(one)}, and {visible(other)}"
            if isinstance(one, tuple) and isinstance(other, tuple):
                apart = sorted({*one} ^ {*other})
                among = f"{len(apart)} are in one of the two only, {visible(apart[0])!r} among them" if apart else ""
                told = f"are others ({among or 'the same in another order'}) than"
            raise ConfigError(
                f"{place}: {what} {told} in {where[0]}; give runs that were trained on the same data and read it alike"
            )
    for place, member in zip(where, members, strict=True):
        if trained and (odd := set(member.untrained) ^ set(members[0].untrained)):
            wrong = place if odd & set(member.untrained) else where[0]
            raise ConfigError(
                f"{wrong}: its Encoder {min(odd)} was not trained, as that of other members was, and their mean would "
                "say nothing; leave it out"
            )


def _agreed(model: TrainedModel) -> dict[str, Any]:
    """What members have in common, by name."""
    content = model.content
    reading = {f"dataset.read.{key}": value for key, value in content.reading.items()}
    windows = {f"dataset.window_{key}": value for key, value in content.windows.items()}
    return {"skills": content.skills, "items": content.items, **windows, **reading}
