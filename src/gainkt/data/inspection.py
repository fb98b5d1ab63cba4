"""What data lie under a path: which format, which column is what and why, and how they are read."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from gainkt.arguments import hydra_text, quote_text
from gainkt.config import build, conf_dir
from gainkt.data.log import InteractionLog
from gainkt.data.readers.cells import PARTS, number_of
from gainkt.data.readers.cleaning import guess
from gainkt.data.readers.download import format_of
from gainkt.data.readers.table import ITEM_NAMES, ORDER_NAMES, Table, TableReader, table_reader
from gainkt.data.readers.text import ReadError, head_of
from gainkt.data.splits import AutoSplit
from gainkt.errors import ConfigError, DataError
from gainkt.overrides import compose_train

NAMED = (
    "assist2009",
    "assist2012",
    "assist2015",
    "assist2017",
    "algebra2005",
    "bridge2006",
    "statics2011",
    "junyi2015",
)
"""Data sets that are known by the columns of their owner's file; the first whose columns are all there is taken."""
FORMATS = {"log": "log", "pykt": "pykt", "akt": "akt", "matrix": "matrix", "ednet": "ednet_kt1", "eedi": "nips2020"}
ROLES = {
    "student": r"(anon[ _]?)?(student|user|learner|pupil|uid|sid)([ _]?(id|name|no|number))?|.*(student|user)[ _]?id",
    "skill": r"(skill|kc|concept|topic|tag|knowledge[ _]component|subject)s?([ _]?(ids?|names?))?|kc ?\(.*\)",
    "correct": r"(is[ _]?)?(correct|right)(ness)?|(correct )?first attempt|outcome|score|response|result|answer",
    "item": "|".join(map(re.escape, ITEM_NAMES)),
    "order": "|".join(map(re.escape, (*ORDER_NAMES, "time", "order", "index", "row", "step", "t"))),
    "fold": r"fold|split|part|set|subset",
}
"""What a column of each role may be called, whole and in any case."""
VAGUE = ("row", "index", "step", "t", "time", "order")
"""Names of orders that mean something else as often: a time spent, a step of a problem."""
LIMIT = 12
"""Settings that are tried one after another."""


@dataclass
class Finding:
    """What lies under a path, and how to read it."""

    path: Path
    dataset: str | None
    """Option of conf/dataset; None where the format is not known."""
    reasons: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the reader that the data needs."""
    problems: list[str] = field(default_factory=list)
    """What the reader refuses without them, with counts."""
    doubts: list[str] = field(default_factory=list)
    """What was refused too and is answered by a setting that may be the wrong one."""
    log: InteractionLog | None = None
    """What comes out; None where something must be known that the data does not tell."""

    @property
    def command(self) -> str:
        """The command that trains on it."""
        words = ["python", "-m", "gainkt.train", "experiment=v4_belief"]
        words += [f"dataset={self.dataset}", f"dataset.path={self.path}"]
        for key, value in self.settings.items():
            name, said = f"dataset.read.{key}", hydra_text(value)
            plain = isinstance(value, str) and quote_text([f"{name}={value}"]) == [f"{name}={said}"]
            words.append(f"{name}={value if plain else said}")
        return " ".join(map(shlex.quote, words))


def inspect(path: str | Path, **given: Any) -> Finding:
    """Return what lies under a path: its format, the roles of its columns, what is wrong, and what would come out.

    Args:
        path: file or folder.
        given: settings of the reader that are known already, such as the column of a role (`student="pupil"`).

    Raises:
        ConfigError: there is no such setting, or it cannot be used.
        DataError: there is nothing, or it cannot be opened.
    """
    path = Path(path).expanduser()
    form = format_of(path)
    if form is None:
        listed = ", ".join(sorted(p.name for p in path.iterdir())[:6]) or "nothing"
        return Finding(
            path, None, problems=[f"{path}: no format known for a folder of {listed}; give one of its files"]
        )
    if form != "table":
        finding = Finding(path, FORMATS[form], [f"the files are those of {FORMATS[form]}"], dict(given))
    else:
        finding = _table(path, given)
    if not finding.problems:
        _try(finding)
    if finding.log is not None:
        finding.doubts += _doubts(finding.log)
    return finding


def _try(finding: Finding) -> None:
    """Read with what each refusal proposes, until it is read or a refusal proposes nothing."""
    for _ in range(LIMIT):
        node = compose_train([f"dataset={finding.dataset}"]).dataset.read
        OmegaConf.set_struct(node, False)
        try:
            finding.log = build(OmegaConf.create({**node, **finding.settings}))(finding.path)
            return
        except ReadError as error:
            finding.problems.append(str(error))
            new = {key: value for key, value in error.settings.items() if finding.settings.get(key) != value}
            if not new:
                return
            finding.settings |= new
        except (DataError, ConfigError) as error:
            finding.problems.append(str(error))
            return


def _doubts(log: InteractionLog) -> list[str]:
    """Say what looks odd in a log that was read: names that seem to be one, and what leaves no way to train on it."""
    found = []
    for what, names in (("students", log.students), ("skills", log.skill_names), ("items", log.item_names)):
        alike: dict[str, list[str]] = defaultdict(list)
        for name in map(str, names):
            alike[re.sub(r"\W|_", "", name.casefold()).lstrip("0") or name].append(name)
        several = [group for group in alike.values() if len(group) > 1]
        if several:
            found.append(
                f"{sum(map(len, several))} of {len(names)} {what} have names that differ in case, blanks, marks or "
                f"leading zeros only, such as {several[0][0]!r} and {several[0][1]!r}: they count as different; if "
                "they are not, write them in one way"
            )
        rounded = [name for name in map(str, names) if re.fullmatch(r"\d(\.\d+)?E\+\d+", name)]
        if rounded:
            found.append(
                f"{len(rounded)} of {len(names)} {what} have names like {rounded[0]!r}, numbers that a spreadsheet has "
                "rounded, so that several may have become one; export them as text"
            )
    try:
        AutoSplit().split(log, 0)
    except (DataError, ConfigError) as error:
        found.append(f"as it stands it cannot be trained on: {error}")
    return found


def _layout(path: Path, table: Table) -> str | None:
    """Say what shape a table seems to have of whose columns some were not recognised."""
    if table.text is not None:
        head = head_of(path).decode(table.text.encoding, errors="replace")
        for number, line in enumerate(head.splitlines()[:50]):
            cells = [cell.strip(' "') for cell in re.split(r"[,;\t|]", line)]
            known = {role for role, pattern in ROLES.items() for cell in cells if re.fullmatch(pattern, cell.lower())}
            if number and len(known) >= 3:
                return f"line {number + 1} looks like the header; remove the {number} lines above it"
    if len(table.header) == 1:
        return "there is one column: say what separates cells by dataset.read.delimiter"
    if sum(name.startswith("Unnamed:") for name in table.header) > len(table.header) / 2:
        return "the first row is not the header; remove the rows above it"
    if any(number_of(name) is not None or re.fullmatch(r"\d{4}-\d\d-\d\d.*", name) for name in table.header):
        return "the first line seems to hold data: write the names of the columns above it"
    return None


def _table(path: Path, given: Mapping[str, Any]) -> Finding:
    """Find the roles of a table's columns by name, and check them by content; those given are taken as they are."""
    settings: dict[str, Any] = dict(given)
    doubt: list[str] = []
    reader = table_reader(given)
    try:
        source = Table(path, reader, [])
    except ReadError as error:  # its encoding is another
        if "encoding" not in error.settings:
            return Finding(path, "csv", problems=[str(error)])
        doubt.append(str(error))
        reader = replace(reader, encoding=str(error.settings.get("encoding")))
        source = Table(path, reader, [])
    header = source.header
    for name in () if given else NAMED:
        read = OmegaConf.load(Path(conf_dir(), "dataset", f"{name}.yaml")).read
        columns = [read.get(role) for role in ("student", "skill", "item", "order")] + [read.get("correct", "correct")]
        flat = [one for column in columns if column for one in ([column] if isinstance(column, str) else column)]
        if set(flat) <= set(header):
            return Finding(path, name, [f"the columns {', '.join(flat)} are those of {name}"])
    finding = Finding(path, "csv")
    student = None
    for role, pattern in ROLES.items():
        if role in given:
            finding.reasons.append(f"{role} is column {given[role]!r}, as given")
            if role == "student" and isinstance(given[role], str):
                student = Table(path, reader, [given[role]]).column(given[role]).codes
            continue
        fits = [
            column
            for column in dict.fromkeys(header)
            if re.fullmatch(pattern, re.sub(r"[?!*]", "", column).strip().lower())
        ]
        fits = [column for column in fits if column not in settings.values()]
        good: list[str] = []
        bad: list[str] = []
        for column in fits:
            objection = _objection(role, column, path, reader, student)
            (bad if objection else good).append(column if not objection else f"{column} ({objection})")
        if good:
            settings[role] = _preferred(role, good)
            if role == "student":
                student = Table(path, reader, [settings[role]]).column(settings[role]).codes
            also = f" (also possible: {', '.join(c for c in good if c != settings[role])})" if len(good) > 1 else ""
            finding.reasons.append(f"{role} is column {settings[role]!r}, by its name and content{also}")
        finding.reasons += [f"{role} is not column {column}" for column in bad]
        if not good and role in ("student", "skill", "correct"):
            finding.problems.append(
                f"{path}: which column is the {'response' if role == 'correct' else role} cannot be told from its name "
                f"(columns: {', '.join(header[:20])}); give it as dataset.read.{role}"
            )
    if finding.problems and (shape := _layout(path, Table(path, reader, []))):
        finding.problems = [f"{path}: {shape}"]
    elif finding.problems and any("(every row has another value)" in reason for reason in finding.reasons):
        finding.problems.append(
            f"{path}: a row seems to be a whole student; write a row an answer (pandas.melt, DataFrame.explode), or "
            "the form that dataset=pykt or dataset=matrix reads"
        )
    if reader.encoding is not None and doubt:
        settings["encoding"] = reader.encoding
        finding.doubts += doubt
    usual = ("student", "skill", "correct")
    finding.settings = {role: said for role, said in settings.items() if said != role or role not in usual}
    return finding


def _preferred(role: str, columns: Sequence[str]) -> str:
    """The plainest name: identifiers before names, the order of the patterns for items and orders."""
    if role in ("item", "order"):
        known = (*ITEM_NAMES, *ORDER_NAMES)
        return min(columns, key=lambda c: known.index(c.lower()) if c.lower() in known else len(known))
    said = ("correct", "right", "first attempt") if role == "correct" else ()
    return min(
        columns, key=lambda c: (not any(word in c.lower() for word in said), not c.lower().endswith("id"), len(c))
    )


def _objection(
    role: str, column: str, path: Path, reader: TableReader, student: NDArray[np.int64] | None = None
) -> str | None:
    """Say why a column of a fitting name cannot have a role, by its content; None where it can.

    Args:
        role: of the column.
        column: its name.
        path: of the file.
        reader: with the file's encoding.
        student: number of each row's student, where the column is known.
    """
    cells = Table(path, reader, [column]).column(column)
    size, distinct = len(cells.codes), len(cells.names)
    if role == "student" and distinct == size and size > 1:
        return "every row has another value"
    if role == "skill" and distinct == size and size > 20:
        return "every row has another value"
    if role == "correct":
        odd = [name for name in cells.names if name and not _response_like(name)]
        return f"it holds {odd[0]!r}" if odd and len(odd) > max(2, distinct // 3) else None
    if role == "fold":
        named = [name for name in cells.names if name]
        odd = [name for name in named if name.lower() not in PARTS and not re.fullmatch(r"-?\d{1,2}(\.0)?", name)]
        if odd:
            return f"it holds {odd[0]!r}"
        words = any(name.lower() in PARTS for name in named)
        several = student is not None and bool((np.diff(_pairs(student, cells.codes)[0]) == 0).any())
        return "students stand under several of its values" if several and not words else None
    if role == "order" and column.lower() in VAGUE:
        if not all(number_of(name) is not None for name in cells.names[:1000]):
            return "not all of it is numbers"
        values = np.array([number_of(name) for name in cells.names], dtype=np.float64)[cells.codes]
        if student is not None and not _rises(student, values):
            return "it does not rise from row to row of a student, so it may say something else; give it if it is"
    if role == "order" and student is not None and column.lower() not in VAGUE:
        _, counts = _pairs(student, cells.codes)
        if all(re.fullmatch(r"\d{4}-\d\d-\d\d|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}", name) for name in cells.names[:1000]):
            return "it tells the day only" if (counts > 1).any() else None
    return None


def _pairs(student: NDArray[np.int64], codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the student of each distinct pair of student and value, ascending, and the rows of the pair."""
    pairs, counts = np.unique(student * (int(codes.max()) + 1) + codes, return_counts=True)
    return pairs // (int(codes.max()) + 1), counts


def _rises(student: NDArray[np.int64], values: NDArray[np.float64]) -> bool:
    """Tell whether values rise, or stay, from row to row of each student as they stand."""
    by_student = np.argsort(student, kind="stable")
    student, values = student[by_student], values[by_student]
    return not ((student[1:] == student[:-1]) & ~(values[1:] >= values[:-1])).any()


def _response_like(name: str) -> bool:
    number = number_of(name)
    return guess(name) is not None or (number is not None and 0 <= number <= 1)
