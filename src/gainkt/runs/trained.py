"""A trained model as a tutor, a dashboard or a notebook uses it: `model = gainkt.load("outputs/v4_belief/...")`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gainkt.data.batch import Batch
from gainkt.data.log import InteractionLog
from gainkt.data.readers.frame import RowLog
from gainkt.data.readers.table import TableReader, table_reader
from gainkt.errors import ConfigError, DataError
from gainkt.model import GainKT
from gainkt.names import visible
from gainkt.reporting.page import require_pages
from gainkt.reporting.page.notebook import Page
from gainkt.runs import classroom, tracer
from gainkt.runs.averaging import mean_of
from gainkt.runs.bundle import Content, content_of, read_bundle, write_bundle
from gainkt.runs.explanation import Explanation, explain
from gainkt.runs.folder import load_run
from gainkt.runs.page import MOST_ROWS
from gainkt.runs.shown import students_content
from gainkt.runs.tracer import Trace
from gainkt.runs.vocabulary import Vocabulary

log = logging.getLogger(__name__)

Skill = str | int | Sequence[str | int]
"""Name of a skill, or names of several that one item practises."""
Table = pd.DataFrame | str | Path | InteractionLog
"""Answers, one a row, or the path of a file of them; or a log that was read already."""


def load(
    path: str | Path | Sequence[str | Path], *, phase: str | None = None, trust: Iterable[str] = ()
) -> TrainedModel:
    """Read a trained model from a run's folder or from a bundle (`TrainedModel.save`); neither brings code that runs.

    Args:
        path: the folder, as training printed it, or the file; of a list of them, their ensemble
            (`gainkt.runs.ensemble.Ensemble`), whose tables say too how far apart its members are.
        phase: of a run, the phase whose best checkpoint is taken; the last one where None.
        trust: packages, besides gainkt, whose parts the model may name.

    Raises:
        ConfigError: there is no run or bundle, it is damaged, of an unknown version, or names code that it may not; or
            members of an ensemble do not go together.
    """
    if not isinstance(path, str | Path | Iterable):
        raise ConfigError(f"{path!r}: give the folder of a run, the path of a bundle, or a list of them")
    if not isinstance(path, str | Path):
        from gainkt.runs.ensemble import Ensemble

        places, packages = [str(one) for one in path], tuple(trust)
        return Ensemble([load(one, phase=phase, trust=packages) for one in places], places)
    path = Path(path).expanduser()
    if phase is not None and not path.is_dir():
        raise ConfigError(
            f"phase={phase}: {path} is no run's folder; a bundle has one model, of the phase it was saved of"
        )
    content = content_of(load_run(path, trust), phase) if path.is_dir() else read_bundle(path, trust)
    for encoder in content.untrained:
        what = "p1" if encoder == 1 else "p2, with mastery and gains,"
        log.warning("%s: Encoder %d was not trained: %s says nothing", visible(str(path), 200), encoder, what)
    return TrainedModel(content)


class TrainedModel:
    """Predicts, keeps students up to date and explains. All students are new to it: their answers are all it knows.

    Probabilities and masteries lie in [0, 1]. p1 is Encoder 1's chance of a right answer, by an unconstrained network;
    p2 is Encoder 2's, read from mastery.
    """

    shows_spread = False
    """Whether tables have p1_std, p2_std and mastery_std too."""

    def __init__(self, content: Content) -> None:
        """Build the model.

        Raises:
            ConfigError: settings and weights do not fit together.
        """
        self.content = content
        self.network = content.build()
        self.skills, self.items = Vocabulary(content.skills), Vocabulary(content.items)
        self._wider: dict[int, GainKT] = {0: self.network}

    def __repr__(self) -> str:
        """Name, size and digest."""
        return f"TrainedModel({self.name!r}, {len(self.skills)} skills, {len(self.items)} items, {self.digest[:8]})"

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.content.name

    @property
    def untrained(self) -> tuple[int, ...]:
        """Encoders, of 1 and 2, that were fitted to nothing: what they say means nothing."""
        return self.content.untrained

    @cached_property
    def digest(self) -> str:
        """32 hex digits of weights, settings and vocabularies: whose a trace is."""
        return self.content.digest

    @cached_property
    def _stepper(self) -> tracer.Stepper:
        return tracer.Stepper(self.network)

    @property
    def scorecard(self) -> dict[str, Any] | None:
        """What the run's scorecard says, as in scorecard.json; None where it left none."""
        return self.content.scorecard

    def save(self, path: str | Path) -> Path:
        """Write the model as one file: weights, settings, names of skills and items, scorecard and a model card.

        It holds no training data and no student's name. Its README.md says what one must know before using it.

        Raises:
            OSError: it cannot be written.
        """
        return write_bundle(self.content, path)

    def export(self, folder: str | Path, *, slots: int = 4) -> Path:
        """Write the model as ONNX (`pip install 'gainkt[export]'`): one answer at a time, and whole histories at once.

        Args:
            folder: gets step.onnx, histories.onnx and model.json (names and the state before a first answer).
            slots: skills that one answer may have in step.onnx.

        Raises:
            ConfigError: a package is missing, or a part of the model has no counterpart in ONNX.
        """
        from gainkt.runs.export import export

        return export(self, folder, slots=slots)

    def network_with(self, more: int) -> GainKT:
        """Return the network with some typical skills beside its own (unknown_skills=prior)."""
        if more not in self._wider:
            self._wider[more] = self.content.build(more)
        return self._wider[more]

    def networks_with(self, more: int) -> list[GainKT]:
        """Return the networks whose mean is said, each with some typical skills beside its own: one."""
        return [self.network_with(more)]

    def predict(self, data: Table, *, unknown_skills: str = "fail", **reading: Any) -> pd.DataFrame:
        """Predict each answer from those before it, whoever the students are: one student, one answer, a whole class.

        A blank response (None, NaN, "") is predicted and not learnt from: that is how a next answer is asked for.

        Args:
            data: R rows, one an answer (or, of an item of several skills, one a skill), or the path of such a table.
            unknown_skills: what becomes of skills that the model was not trained on: `fail`, `skip` them, or `prior`,
                to take each for a typical skill. An unknown item counts as one of average difficulty.
            reading: settings of the table reader that differ from those of the training data: student="user_id",
                skill=..., correct=..., item=..., order=..., and those of `gainkt.read`; None for a column there is not.

        Returns:
            R rows in the order of the data, with its index: p1, p2 [0, 1]; mastery, the lowest of the answer's skills
            before it; mastery_by_skill, a list of the row's own; note, what is to be said of a row, None for most. NaN
            in rows that were left out.

        Raises:
            DataError: the table cannot be used, or has skills that the model does not know.
            ConfigError: a setting that does not exist.
        """
        read, table, _ = self._read(data, reading)
        return classroom.predictions(self, read, unknown_skills).set_axis(table.index)

    def mastery(
        self,
        data: Table,
        *,
        threshold: float = 0.95,
        every_skill: bool = False,
        look_ahead: int = 0,
        unknown_skills: str = "fail",
        **reading: Any,
    ) -> pd.DataFrame:
        """Return where each student stands after all answers: a row a student and skill, what a dashboard shows.

        Args:
            data: as for `predict`.
            threshold: of mastery, in (0, 1).
            every_skill: all skills of the model, not only those that the student has answered or is asked.
            look_ahead: right answers in a row that are tried at most, to see when the threshold is reached.
            unknown_skills: as for `predict`.
            reading: as for `predict`.

        Returns:
            student; skill; mastery now, [0, 1]; opportunities, answers on the skill; last_practised, the place in the
            order (the row's label in the index, where there is no order column) of the last of them; p1 and p2, the
            chance of a right answer now; missing, what mastery lacks to the threshold, 0 where it is reached. With
            look_ahead: right_answers_missing, how many in a row bring it there, NaN where as many do not.

        Raises:
            DataError: as for `predict`.
            ConfigError: as for `predict`.
        """
        read, _, when = self._read(data, reading)
        return classroom.mastery_table(
            self,
            read,
            when,
            threshold=threshold,
            every_skill=every_skill,
            look_ahead=look_ahead,
            unknown_skills=unknown_skills,
        )

    def show(
        self, data: Table, *, unknown_skills: str = "fail", rows: int = MOST_ROWS, seed: int = 0, **reading: Any
    ) -> Page:
        """Return the explorer of these students, which a notebook shows and `save` writes: each step by step, and the
        class, students by skills.

        Args:
            data: as for `predict`; rows without a response are not shown.
            unknown_skills: as for `predict`.
            rows: practised (step, skill) cells at most; of more, students are drawn at random, which the page says.
            seed: of that draw.
            reading: as for `predict`.

        Raises:
            DataError: as for `predict`, or there is no answer.
            ConfigError: as for `predict`, or what draws pages is not installed (`pip install 'gainkt[report]'`).
        """
        require_pages()
        from gainkt.reporting.page.explorer import students_page

        read, _, _ = self._read(data, reading)
        return Page(students_page(students_content(self, read, unknown_skills, rows, seed)))

    def predict_beside(self, data: Table, *, unknown_skills: str = "fail", **reading: Any) -> pd.DataFrame:
        """Return the columns that are read of a table and, beside them, what `predict` says of its rows."""
        read, table, _ = self._read(data, reading)
        said = classroom.predictions(self, read, unknown_skills).set_axis(table.index)
        if both := sorted(set(map(str, table)) & set(said)):
            raise DataError(
                f"{read.log.name}: column {both[0]!r} is read, and a column of what is predicted is called so too; "
                "rename it in the table"
            )
        return pd.concat([table, said], axis=1)

    def _read(self, data: Table, reading: Mapping[str, Any]) -> tuple[RowLog, pd.DataFrame, pd.Series]:
        """Rows as they were read, the columns read, and what stands for the time of a row."""
        if isinstance(data, InteractionLog):
            read, table = classroom.rows_of(data)
            return read, table, table.index.to_series()
        reader = self._reader(reading)
        read, columns = reader.rows(Path(data).expanduser() if isinstance(data, str) else data)
        table = columns.to_pandas()
        table.index = data.index if isinstance(data, pd.DataFrame) else table.index
        return read, table, _when(table[reader.order]) if isinstance(reader.order, str) else table.index.to_series()

    def _reader(self, reading: Mapping[str, Any]) -> TableReader:
        settings = {"item": "item" if len(self.items) else None, **self.content.reading, **reading}
        if reading.get("order", True) is None:  # there is none; that of the training data may be another column's
            settings["order"] = False
        return table_reader(settings)

    def start(self, students: int = 1) -> Trace:
        """Return the trace of new students, who have not answered anything yet.

        Args:
            students: how many, B; one is traced with its answers, so that `explain` can name them.

        Raises:
            ConfigError: it is not a whole number, 1 or more.
        """
        tracer.require_number("students", students, 1)
        with torch.inference_mode():
            return Trace(self.digest, tracer.started(self.network, students))

    def restore(self, data: bytes) -> Trace:
        """Return a trace from the bytes that `Trace.to_bytes` made.

        Raises:
            ConfigError: the bytes are damaged, or another model's.
        """
        return tracer.restore(self.network, self.digest, data)

    def observe(self, trace: Any, *, skill: Any, correct: Any, item: Any = None, unknown_skills: str = "fail") -> Any:
        """Return the trace after one more answer of each student; the trace that was given stays as it was.

        The cost does not depend on the answers so far.

        Args:
            trace: of one student, of B students, or a list of B traces of one student each.
            skill: name of the answer's skill, or a list of the names of an item's skills; of B students, a list of B.
            correct: True or 1, False or 0; of B students, B of them.
            item: name of the item; None where there is none. One that the model does not know counts as of average
                difficulty. Of B students, B of them.
            unknown_skills: `fail`; or `skip`, to leave out skills that the model does not know, and the answer where it
                has no other.

        Raises:
            DataError: a skill is unknown, or a response is neither right nor wrong.
            ConfigError: the trace is another model's, or the lists are not as long as it.
        """
        if isinstance(trace, Trace) and len(trace) == 1 and _is_list(correct) and len(correct) == 1:
            skill, item = (next(iter(x)) if _is_list(x) and len(x) == 1 else x for x in (skill, item))
            correct = next(iter(correct))
        if isinstance(trace, Trace) and len(trace) == 1 and not _is_list(correct):
            answer = self._answer(skill, item, correct, unknown_skills)
            return trace if answer is None else self._observed(trace, answer)
        if not isinstance(trace, list | tuple):
            tracer.require_trace(self.digest, trace)
        traces = None if isinstance(trace, Trace) else list(trace)
        size = len(trace)
        lists = [list(given) if _is_list(given) else [given] * size for given in (skill, correct, item)]
        for what, given in zip(("skill", "correct", "item"), lists, strict=True):
            if len(given) != size:
                raise ConfigError(f"{what}: {len(given)} given for {size} students")
        for what, given in (("skill", skill), ("correct", correct), ("item", item)):
            if isinstance(given, set):
                raise ConfigError(f"{what}: a set says of no student which is whose; give a list")
        answers = [self._answer(s, i, c, unknown_skills) for s, c, i in zip(*lists, strict=True)]
        return self._observed_together(trace if traces is None else traces, answers)

    def _answer(self, skill: Skill, item: Any, correct: Any, unknown_skills: str) -> tracer.Answer | None:
        """Numbers of an answer; None where it has no skill that the model knows, and may be skipped."""
        names = _names(skill)
        if unknown_skills == "skip":
            found = [number for name in names if (number := self.skills.number(name)) >= 0]
        elif unknown_skills == "fail":
            found = [self.skills.require(name) for name in names]
        else:
            raise ConfigError(f"unknown_skills={unknown_skills}: fail or skip, where answers come one at a time")
        response = tracer.right(correct)
        if not found and names:
            return None
        if not found:
            raise DataError("an answer without a skill: name one skill or several")
        return tuple(dict.fromkeys(found)), -1 if item is None else self.items.number(item), response

    def _observed(self, trace: Trace, answer: tracer.Answer) -> Trace:
        tracer.require_trace(self.digest, trace)
        with torch.inference_mode():
            state = self._stepper(trace.state, answer)
        return tracer.noted(trace, state, answer)

    def _observed_together(self, trace: Trace | list[Trace], answers: list[tracer.Answer | None]) -> Any:
        for one in trace if isinstance(trace, list) else [trace]:
            tracer.require_trace(self.digest, one)
        rows = [row for row, answer in enumerate(answers) if answer is not None]
        given = [answer for answer in answers if answer is not None]
        if not rows:
            return trace
        skills, item = tracer.padded([one[0] for one in given]), torch.tensor([one[1] for one in given])
        right = torch.tensor([float(one[2]) for one in given])
        with torch.inference_mode():
            if isinstance(trace, Trace) and len(rows) == len(trace):
                return Trace(self.digest, tracer.step(self.network, trace.state, skills, item, right))
            if isinstance(trace, Trace):
                index, rest = (
                    torch.tensor(rows),
                    torch.tensor(sorted(set(range(len(trace))) - set(rows)), dtype=torch.long),
                )
                state = tracer.step(self.network, trace.state.select(index), skills, item, right)
                both = tracer.together([trace.state.select(rest), state])
                return Trace(self.digest, both.select(torch.argsort(torch.cat([rest, index]))))
            before = tracer.together([trace[row].state for row in rows])
            done = tracer.step(self.network, before, skills, item, right)
        found = list(trace)
        for row, answer, state in zip(rows, given, tracer.apart(done), strict=True):
            found[row] = tracer.noted(found[row], state, answer)
        return found

    def outlook(self, trace: Trace, items: Mapping[str, Skill] | None = None) -> pd.DataFrame:
        """Return what to expect of each skill now: mastery, and the chance of a right answer were it asked next.

        Args:
            trace: of B students.
            items: items of which to say the same, each with its skill or skills; where None, all skills without item.

        Returns:
            A row a skill (or item), by name, with mastery (the lowest of an item's skills), p1 and p2, each in [0, 1];
            of several students, their place in the trace comes first in the index.

        Raises:
            ConfigError: the trace is another model's, or items are no such table.
            DataError: a skill is unknown.
        """
        self._require(trace)
        if items is not None and not (isinstance(items, Mapping) and items):
            raise ConfigError('items: name each with its skill or skills, {"q17": "fractions"}')
        asked = {name: name for name in self.skills.names} if items is None else dict(items)
        numbers = tracer.padded([[self.skills.require(name) for name in _names(s)] for s in asked.values()])
        item = torch.tensor([-1 if items is None else self.items.number(name) for name in asked])
        size = (len(trace), -1)
        batch = tracer.questions(
            numbers[None].expand(*size, -1), item[None].expand(size), torch.zeros(len(trace), len(asked))
        )
        with torch.inference_mode():
            said = self._expected(trace, batch)
            mean = mean_of(*zip(*((one.logit1_BQ, one.logit2_BQ, one.mastery_BQS) for one in said), strict=True))
            lowest, at = mean.mastery.masked_fill(~batch.has_skill_BTS, torch.inf).min(2)
        columns = {"mastery": lowest, "p1": mean.p1, "p2": mean.p2}
        if self.shows_spread:
            of_lowest = mean.mastery_std.gather(2, at[..., None])[..., 0]
            columns |= {"p1_std": mean.p1_std, "p2_std": mean.p2_std, "mastery_std": of_lowest}
        names = pd.Index(list(asked), name="skill" if items is None else "item")
        if len(trace) > 1:
            names = pd.MultiIndex.from_product([range(len(trace)), names], names=["student", names.name])
        return pd.DataFrame({name: x.double().flatten().numpy() for name, x in columns.items()}, index=names)

    def _require(self, trace: Any) -> None:
        """Check that a trace is this model's."""
        tracer.require_trace(self.digest, trace)

    def _expected(self, trace: Any, batch: Batch) -> list[tracer.Expected]:
        """What each network expects of questions."""
        return [tracer.ask(self.network, trace.state, batch)]

    def explain(
        self,
        trace: Trace,
        *,
        skill: str | int,
        item: Any = None,
        threshold: float = 0.95,
        look_ahead: int = 10,
    ) -> Explanation:
        """Return where the mastery of a skill, and the chance p2 of a right answer, come from, part by part.

        Args:
            trace: of one student.
            skill: its name.
            item: name of the item that would be asked; None for one of average difficulty.
            threshold: of mastery, in (0, 1).
            look_ahead: right answers in a row that are tried, to see what would change it.

        Raises:
            ConfigError: the trace is another model's or of several students, or the model has a curve of another kind.
            DataError: the skill is unknown.
        """
        tracer.require_trace(self.digest, trace)
        number = -1 if item is None else self.items.number(item)
        return explain(
            self.network, trace, self.skills.names, self.skills.require(skill), number, threshold, look_ahead
        )


def _when(order: pd.Series) -> pd.Series:
    """What tells the order of rows; numbers where a file's text is numbers."""
    if not isinstance(order.dtype, pd.CategoricalDtype):
        return order
    text = order.astype(object)
    numbers = pd.to_numeric(text, errors="coerce")
    return numbers if numbers.notna().equals(text.notna()) else text


def _is_list(given: Any) -> bool:
    return isinstance(given, list | tuple | set | np.ndarray | pd.Series) and getattr(given, "ndim", 1) > 0


def _names(skill: Skill) -> list[Any]:
    return list(skill) if _is_list(skill) else [skill]  # type: ignore[arg-type]
