"""What every reference model offers, so that one can stand in for another: a new one says how it fits and predicts."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, get_type_hints

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gainkt.data.log import InteractionLog, offsets_of, spans
from gainkt.errors import ConfigError, DataError
from gainkt.files import write_json

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Students = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a reference model says about a log, aligned with its flat arrays; NaN for students left out.

    M steps, L (step, skill) slots in the order of `log.skills`. A model that follows a latent quantity adds it in a
    subclass: `*_before_*` is what its prediction was read from, `*_after_*` is what it holds once it has seen the
    response.
    """

    probability_M: Floats
    """Chance of a right response to each step, in (0, 1), from the student's earlier responses only."""
    mastery_before_L: Floats
    """Mastery of the slot's skill before the step, in [0, 1], from the student's earlier responses only: P(L) in BKT,
    elsewhere the chance of a right response were the slot's skill the step's only one."""
    ability_before_M: Floats | None = field(default=None, kw_only=True)
    """Ability before each step, logits, from the student's earlier responses only; None in a model that has none."""


@dataclass(frozen=True, eq=False)
class Reference(ABC):
    """A table of parameters by skill, fitted on training students, by which any student is followed step by step.

    Two rules bind every model: `fit` reads the given students only, and the prediction of a step reads nothing of the
    student's responses but the earlier ones. A student is known by place in the log, never by a window. Skills are
    matched by name; one unseen in training has what the model holds of skills in general.

    A subclass defines `fit`, `predict` and `difficulty_of`; fields that it adds (as a frozen dataclass) are saved
    beside the table and must be plain values.
    """

    parameters: pd.DataFrame
    """One row a skill, by name; one column a parameter, finite."""
    common: dict[str, float]
    """Each parameter of a skill unseen in training."""

    version: ClassVar[int] = 1
    """Raised when the fit or the file changes: what was saved before is refused, and fitted again."""
    learning: ClassVar[str | None] = None
    """The parameter that says how fast a skill is learnt; None where nothing is."""

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: common values name other parameters, or a parameter is not finite.
        """
        if list(self.common) != list(self.parameters):
            raise ValueError(f"common values of {list(self.common)}, parameters {list(self.parameters)}")
        if not np.isfinite([*self.parameters.to_numpy(np.float64).ravel(), *self.common.values()]).all():
            raise ValueError("a parameter is not finite")

    @classmethod
    @abstractmethod
    def fit(cls, log: InteractionLog, students: Students, *_: Any, **settings: Any) -> Self:
        """Fit on some students of a log; the settings are the model's own keyword-only arguments, plain values."""

    @abstractmethod
    def predict(self, log: InteractionLog, students: Students | None = None) -> Prediction:
        """Follow some students of a log, all of them where None."""

    @abstractmethod
    def difficulty_of(self, parameters: pd.DataFrame) -> Floats:
        """Difficulty of the skills of a table like `parameters`, [K] logits.

        -logit of the chance that an average student answers the skill's first opportunity right.
        """

    @property
    def name(self) -> str:
        """What it is called in results."""
        return type(self).__name__

    def of(self, log: InteractionLog) -> pd.DataFrame:
        """Parameters in the order of the log's skills, the common ones where a skill was unseen in training."""
        return self.parameters.reindex(log.skill_names.astype(object)).fillna(self.common)

    def difficulties(self, log: InteractionLog) -> Floats:
        """Difficulty of each of the log's skills, [K] logits; see `difficulty_of`."""
        return self.difficulty_of(self.of(log))

    def learn_rates(self, log: InteractionLog) -> Floats | None:
        """How fast each of the log's skills is learnt, [K] in the model's own unit; None where nothing is."""
        return None if self.learning is None else self.of(log)[self.learning].to_numpy()

    def abilities(
        self, log: InteractionLog, students: Students | None = None, prediction: Prediction | None = None
    ) -> Floats:
        """Ability before each step, [M] logits, from earlier responses only; NaN for students left out.

        In a model that has none of its own it is the one at which Rasch would predict the same.

        Args:
            log: the data.
            students: places in the log, all where None.
            prediction: what `predict` said of the same log and students; predicted here where None.
        """
        said = self.predict(log, students) if prediction is None else prediction
        if said.ability_before_M is not None:
            return said.ability_before_M
        return implied_abilities(log, said.probability_M, self.difficulties(log))

    def static_abilities(self, log: InteractionLog, students: Students | None = None) -> Floats:
        """One ability a student from the WHOLE history, [N] logits; NaN for students left out. Not causal.

        Here the mean over all steps of `abilities`, 0 (an average student's) where there are no steps. For training
        targets of training students and for reading only: it has seen every response of the student, so that a
        prediction made from it is not one.
        """
        chosen = chosen_of(log, students)
        steps, student = log.steps_of(chosen), np.repeat(chosen, log.lengths[chosen])
        sums = np.bincount(student, weights=self.abilities(log, chosen)[steps], minlength=log.num_students)
        found = np.full(log.num_students, np.nan)
        found[chosen] = sums[chosen] / np.maximum(log.lengths[chosen], 1)
        return found

    def table(self) -> pd.DataFrame:
        """Skill, difficulty (logits) and parameters, one row a skill."""
        table = self.parameters.assign(difficulty=self.difficulty_of(self.parameters))
        return table[list(dict.fromkeys(["difficulty", *self.common]))].reset_index(names="skill")

    @classmethod
    def file_format(cls) -> str:
        """What the first line of a saved model says it is."""
        return f"gainkt-{cls.__name__.lower()}-{cls.version}"

    @classmethod
    def _extra(cls) -> list[str]:
        return [field.name for field in fields(cls) if field.name not in ("parameters", "common")]

    def save(self, path: str | Path) -> Path:
        """Write the model as one JSON file, readable by a person, whole or not at all."""
        content: dict[str, Any] = {
            "format": self.file_format(),
            **{name: getattr(self, name) for name in self._extra()},
            "common": self.common,
            "skills": list(self.parameters.index),
            **{name: self.parameters[name].to_list() for name in self.common},
        }
        write_json(path, {**content, "digest": _digest(content)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote.

        Raises:
            DataError: the file is missing, damaged or of another format.
        """
        again, kinds = f"fit {cls.__name__} again", get_type_hints(cls)
        try:
            content = json.loads(Path(path).read_text(), parse_constant=int)  # int refuses NaN
            if content["format"] != cls.file_format():
                raise DataError(
                    f"{path}: format {content['format']!r}, this version reads {cls.file_format()!r}; {again}"
                )
            if (digest := content.pop("digest", None)) not in (None, _digest(content)):  # earlier versions noted none
                raise DataError(f"{path}: was changed since it was written (its digest is {digest!r}); {again}")
            common = {name: float(value) for name, value in content["common"].items()}
            table = pd.DataFrame({name: content[name] for name in common}, index=content["skills"], dtype=np.float64)
            # A number that is missing (null) or of another kind fails here.
            extra = {
                name: kinds[name](content[name]) if kinds[name] in (int, float) else content[name]
                for name in cls._extra()
            }
            return cls(table, common, **extra)
        except DataError:
            raise
        except FileNotFoundError as error:
            raise DataError(f"{path}: no such file; give a model that {cls.__name__}.save wrote") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}: damaged ({error}); {again}") from error


def _digest(content: Mapping[str, Any]) -> str:
    """16 hex digits of a saved model's content, as JSON gives it back."""
    text = json.dumps(json.loads(json.dumps(content)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def implied_abilities(log: InteractionLog, probability_M: Floats, difficulty_K: Floats) -> Floats:
    """Ability at which a Rasch model of these difficulties predicts each step as told, [M] logits.

        theta = logit(p) + mean of beta_k over the step's skills

    Args:
        log: the data.
        probability_M: in (0, 1), NaN for students left out.
        difficulty_K: in the order of the log's skills, logits.
    """
    if not log.num_steps:
        return np.zeros(0)
    difficulty_M = np.add.reduceat(difficulty_K[log.skills], log.skill_offsets[:-1]) / np.diff(log.skill_offsets)
    return logit(probability_M) + difficulty_M


def logit(p: Floats) -> Floats:
    """log(p / (1 - p)); p in (0, 1)."""
    return np.log(p) - np.log1p(-p)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow; in a third of the time of scipy's expit."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def chosen_of(log: InteractionLog, students: Students | None) -> NDArray[np.int64]:
    """Places of the students asked for, all of a log where None."""
    return np.arange(log.num_students) if students is None else np.asarray(students, dtype=np.int64)


def trained_on(log: InteractionLog, students: Students, model: str) -> NDArray[np.int64]:
    """Places of the training students.

    Raises:
        DataError: they have no steps.
    """
    chosen = chosen_of(log, students)
    if not log.lengths[chosen].sum():
        raise DataError(f"{log.name}: no responses of training students to fit {model} on; give students with steps")
    return chosen


def spread(values: Floats, places: Ints, size: int) -> Floats:
    """Put values at their places among NaN."""
    flat = np.full(size, np.nan)
    flat[places] = values
    return flat


class Opportunities(NamedTuple):
    """The A (step, skill) slots of some students, packed so that all their sequences are followed at once."""

    slot_A: Ints
    """Place in the log's flat `skills`."""
    step_A: Ints
    """The step, its place in the log."""
    skill_A: Ints
    key_A: Ints
    """Tells pairs of student and skill apart."""
    right_A: NDArray[np.bool_]
    """The response."""
    blocks: list[slice]
    """First opportunities, second ones, ...; see `pack`."""

    @classmethod
    def of(cls, log: InteractionLog, students: Students) -> Opportunities:
        """Pack the histories of some students.

        Raises:
            DataError: a step names a skill twice, so that one response would count as two.
        """
        steps = log.steps_of(students)
        counts = np.diff(log.skill_offsets)[steps]
        slot, step = spans(log.skill_offsets[:-1][steps], counts), np.repeat(steps, counts)
        skill, student = (
            log.skills[slot].astype(np.int64),
            np.repeat(np.repeat(students, log.lengths[students]), counts),
        )
        twice = np.flatnonzero(pd.DataFrame({"step": step, "skill": skill}).duplicated())
        if len(twice):
            who, what = str(log.students[student[twice[0]]]), str(log.skill_names[skill[twice[0]]])
            raise DataError(
                f"{log.name}: student {who!r} has skill {what!r} twice in one step; name each skill of a step once"
            )
        key = student * log.num_skills + skill
        order, blocks = pack(key)
        right = log.responses[step[order]] == 1
        return cls(slot[order], step[order], skill[order], key[order], right, blocks)


def pack(key_A: Ints) -> tuple[Ints, list[slice]]:
    """Order rows of many sequences so that all are followed at once; a sequence is the rows of one key, in order.

    Returns:
        The order, in which the first rows of all sequences stand first, then all second ones, and so on, sequences
        from long to short; and the blocks. Block n is contiguous, and its rows go on from the first rows of block
        n - 1: no padding, no gathers.
    """
    _, sequence, lengths = np.unique(key_A, return_inverse=True, return_counts=True)
    rank = np.empty_like(lengths)
    rank[np.argsort(-lengths, kind="stable")] = np.arange(len(lengths))
    number = pd.Series(sequence).groupby(sequence).cumcount().to_numpy()
    starts = offsets_of(np.bincount(number)) if len(number) else [0]
    return np.lexsort((rank[sequence], number)), [slice(a, b) for a, b in pairwise(starts)]


class Told(NamedTuple):
    """All that a reference says of some students of a log."""

    prediction: Prediction
    ability_M: Floats
    static_N: Floats
    difficulty_K: Floats
    learn_rate_K: Floats | None


def ask(reference: Reference, log: InteractionLog, students: Students) -> Told:
    """Ask a reference all that it says of some students, and check what it returns.

    Raises:
        ConfigError: a quantity has another shape, is not finite, or is out of its range.
    """
    said, steps, skills = checked_prediction(reference, log, students), log.steps_of(students), range(log.num_skills)
    difficulty, rates = reference.difficulties(log), reference.learn_rates(log)
    _check(reference, "difficulties", difficulty, log.num_skills, skills)
    if rates is not None:
        _check(reference, "learn_rates", rates, log.num_skills, skills)
    ability, static = reference.abilities(log, students, said), reference.static_abilities(log, students)
    _check(reference, "abilities", ability, log.num_steps, steps)
    _check(reference, "static_abilities", static, log.num_students, students)
    return Told(said, ability, static, difficulty, rates)


def checked_prediction(reference: Reference, log: InteractionLog, students: Students) -> Prediction:
    """Return what a reference predicts of some students.

    Raises:
        ConfigError: it has another shape, is not finite, or is out of its range.
    """
    said, steps = reference.predict(log, students), log.steps_of(students)
    slots = spans(log.skill_offsets[:-1][steps], np.diff(log.skill_offsets)[steps])
    strictly, within = ("in (0, 1)", lambda x: (x > 0) & (x < 1)), ("in [0, 1]", lambda x: (x >= 0) & (x <= 1))
    _check(reference, "probability_M", said.probability_M, log.num_steps, steps, *strictly)
    _check(reference, "mastery_before_L", said.mastery_before_L, len(log.skills), slots, *within)
    return said


def _check(
    reference: Reference,
    what: str,
    values: Floats,
    size: int,
    places: Sequence[int] | Ints,
    wanted: str = "finite",
    fits: Callable[[Floats], NDArray[np.bool_]] = np.isfinite,
) -> None:
    values = np.asarray(values)
    if values.shape != (size,):
        raise ConfigError(f"reference {reference.name}: {what} has shape {values.shape}; return {size} numbers")
    bad = np.flatnonzero(~fits(values[places]))
    if len(bad):
        at = int(np.asarray(places)[bad[0]])
        raise ConfigError(
            f"reference {reference.name}: {len(bad)} of {len(places)} {what} are not {wanted}, the first at place {at} "
            f"({values[at]}); mend {type(reference).__name__}"
        )
