"""Values in the grammar of Hydra, and command lines whose plain text (paths, names of columns) is quoted for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

PATHS = (
    "path",
    "dataset.path",
    "run",
    "runs",
    "predictions",
    "run.dir",
    "run.root",
    "run.resume",
    "output",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
"""Keys whose value is a path: `~` at its start is the home folder."""
STUDENT = "student"
"""Key whose value is a name and nothing else: [z], {a: b} and ${x} are names too."""
TEXTS = (
    *PATHS,
    "name",
    "study.name",
    STUDENT,
    *(
        f"dataset.read.{key}"
        for key in ("student", "skill", "correct", "item", "order", "fold", "separator", "delimiter")
    ),
    *(f"dataset.read.{key}" for key in ("encoding", "date_format", "name", "questions", "kc_model")),
)
"""Keys whose value is text."""
ADDED = r"(?:datasets|experiments|references|peers)\."
"""Keys of a benchmark to which the command line may add; Hydra asks for ++ before them."""
WORDS = "dataset.read.responses"
"""Key whose value says what words mean, {word: number}; a word may be any text, in quotes or not."""
_WORD = re.compile(
    r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|((?:[^,:{}'"\\]|\\.)+?))\s*:\s*([\d.eE+-]+|null)\s*(,|$)"""
)
_PLAIN = re.compile(r"(?!\.\d)[A-Za-z_./][\w./-]*", re.ASCII)
_SPECIAL = re.compile(r"null|true|false|nan|inf", re.I)
"""Words that Hydra's grammar does not take for text."""
_KEY = re.compile(r"[A-Za-z_][\w./-]*( [\w./-]+)*|0|[1-9]\d*", re.ASCII)
"""Keys of a mapping that stay as they are in Hydra's grammar."""
_OTHER = re.compile(
    r"null|true|false|\[.*\]|\{.*\}|'.*'|\".*\"|.*\$\{.*|(choice|range|glob|interval|shuffle)\(.*\)", re.I
)
"""Values that say something in Hydra's grammar: nothing, a list, a quotation, an interpolation, a sweep."""
_SAID = re.compile(r"null|'.*'|\".*\"|", re.I)
"""Nothing, or a quotation."""
_LIST = re.compile(r"\[[^'\"\[\]{}$]+\]")
"""A list whose entries are not quoted."""


def quote_text(arguments: Sequence[str]) -> list[str]:
    """Return a command line whose plain-text values are quoted where Hydra's grammar would not read them as they stand.

    A comma separates values only where a sweep is asked for.
    """
    sweep = any(word in ("-m", "--multirun") for word in arguments)

    def safe(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if key.lstrip("+") == WORDS:
            return f"{key}={_meanings(value)}"
        if key.lstrip("+") == STUDENT and not _SAID.fullmatch(value):
            return f"{key}={quoted(value)}".replace("${", "\\${")
        if not equals or key.lstrip("+") not in TEXTS or (sweep and "," in value):
            return argument
        if key.lstrip("+") in PATHS and _LIST.fullmatch(value):
            return f"{key}=[{','.join(map(plain_or_quoted, value[1:-1].split(',')))}]"
        if _OTHER.fullmatch(value):
            return argument
        if key.lstrip("+") in PATHS:
            value = os.path.expanduser(value)
        return f"{key}={plain_or_quoted(value)}"

    return [safe(argument) for argument in arguments]


def with_place(arguments: Sequence[str]) -> list[str]:
    """Return a command line that says by `path=` where a run's own data lies; `dataset.path=` is taken for it."""
    if any(word.lstrip("+").startswith("dataset=") for word in arguments):
        return list(arguments)
    return [
        f"path={value}" if key.lstrip("+") == "dataset.path" else word
        for word, (key, _, value) in ((word, word.partition("=")) for word in arguments)
    ]


def _meanings(value: str) -> str:
    """Return {word: number, ...}, whose words may stand in quotes and be any text, in Hydra's grammar."""
    inner, found, at = value.strip()[1:-1] if value.strip()[:1] == "{" else "", {}, 0
    if not inner.strip():
        return value
    while at < len(inner):
        entry = _WORD.match(inner, at)
        if entry is None:
            return value
        word = next(part for part in entry.groups()[:3] if part is not None)
        try:
            found[re.sub(r"\\(.)", r"\1", word)] = json.loads(entry[4])
        except ValueError:
            return value
        at = entry.end()
    return hydra_text(found)


def hydra_text(value: Any) -> str:
    """Return a value in Hydra's grammar.

    A mapping with a key that the grammar would refuse, or take for something else than its text, is JSON in quotes,
    which `dataset.read.responses` takes too: quotes around a key are none of Hydra's grammar.
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        if not all(_KEY.fullmatch(str(key)) and not _SPECIAL.fullmatch(str(key)) for key in value):
            return quoted(json.dumps(dict(value), ensure_ascii=False))
        return "{" + ",".join(f"{key}:{hydra_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(hydra_text, value)) + "]"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or _SPECIAL.fullmatch(value)):
        return quoted(value)
    return str(value)


def plain_or_quoted(text: str) -> str:
    """Return text as Hydra's grammar takes it, in quotes where it must be."""
    return hydra_text(text.strip()) if text.strip() else ""


def quoted(text: str) -> str:
    """Return text in quotes as Hydra's grammar has them: only quotes, and backslashes before one, are escaped."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"
