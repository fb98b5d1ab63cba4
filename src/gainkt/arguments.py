"""Command-line values that are plain text (paths, names of columns), quoted so that Hydra's grammar takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

PATHS = (
    "path",
    "dataset.path",
    "run",
    "run.dir",
    "run.root",
    "run.resume",
    "output",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
"""Keys whose value is a path: `~` at its start is the home folder."""
TEXTS = (
    *PATHS,
    "name",
    *(
        f"dataset.read.{key}"
        for key in ("student", "skill", "correct", "item", "order", "fold", "separator", "delimiter")
    ),
    *(f"dataset.read.{key}" for key in ("encoding", "date_format", "name", "questions", "kc_model")),
)
"""Keys whose value is text."""
_PLAIN = re.compile(r"[A-Za-z_./][\w./-]*", re.ASCII)
_OTHER = re.compile(
    r"null|true|false|\[.*\]|\{.*\}|'.*'|\".*\"|.*\$\{.*|(choice|range|glob|interval|shuffle)\(.*\)", re.I
)
"""Values that say something in Hydra's grammar: nothing, a list, a quotation, an interpolation, a sweep."""


def quote_text(arguments: Sequence[str]) -> list[str]:
    """Return a command line whose plain-text values are quoted where Hydra's grammar would not read them as they stand.

    A comma separates values only where a sweep is asked for.
    """
    sweep = any(word in ("-m", "--multirun") for word in arguments)

    def safe(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if not equals or key.lstrip("+") not in TEXTS or _OTHER.fullmatch(value) or (sweep and "," in value):
            return argument
        if key.lstrip("+") in PATHS:
            value = os.path.expanduser(value)
        return f"{key}={value if not value or _PLAIN.fullmatch(value) else quoted(value)}"

    return [safe(argument) for argument in arguments]


def quoted(text: str) -> str:
    """Return text in quotes as Hydra's grammar has them: only quotes, and backslashes before one, are escaped."""
    return "'" + re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text) + "'"
