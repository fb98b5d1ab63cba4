"""What every reader of tables may be told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gainkt.errors import ConfigError, nearest

KEY = "dataset.read"
"""Where a reader's settings stand in a run's config, for messages."""
_CHOICES = {
    "missing": ("fail", "drop"),
    "partial": ("fail", "drop", "round", "threshold"),
    "duplicates": ("fail", "keep", "drop"),
    "row_expansion": (None, "fold", "keep"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every reader of tables may be told; nothing is left out, folded or converted unless it is."""

    missing: str = "fail"
    """Rows without student, skill, item, place in the order or response: `fail`, or `drop` them."""
    partial: str = "fail"
    """Responses between 0 and 1: `fail`, `drop`, `round` (.5 is right), or `threshold` (see there)."""
    threshold: float = 1.0
    """With partial=threshold, the credit from which a response is right, in (0, 1]."""
    duplicates: str = "fail"
    """Rows of one student at one place in the order with the same item (skill, without items): `fail`, `keep`, `drop`
    all but the first."""
    responses: Mapping[str, float | None] | str | None = None
    """What words mean: {correct: 1, incorrect: 0}, in any case, or the same as JSON; null leaves such rows out."""
    row_expansion: str | None = None
    """Rows that are one answer to an item of several skills: `fold` them into one step, or `keep` them apart. By
    default they are folded where items are known and refused where they are not."""
    separator: str | None = "auto"
    """What joins the skills of a cell; `list` for [3, 71]; null for nothing; `auto` for ";" after a look."""
    missing_words: Sequence[str] | None = None
    """Words that say a cell is empty, exactly; the common ones in any case by default."""
    date_format: str | None = None
    """How times are written, such as "%m/%d/%Y %I:%M:%S %p"; numbers and ISO 8601 by default."""
    published: Mapping[str, int] | None = None
    """Counts that the data set is known to have, by name as in the account; others are warned of and recorded."""
    name: str | None = None
    """Name of the data set in results; the file's or folder's by default."""

    @property
    def meanings(self) -> Mapping[str, float | None]:
        """What words mean; {} where nothing is said."""
        return self.responses if isinstance(self.responses, Mapping) else {}

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            value = getattr(self, key)
            if value not in known:
                listed = nearest(str(value), [choice for choice in known if choice])
                raise ConfigError(f"{KEY}.{key}={value}: no such choice{listed}")
        if isinstance(self.responses, str):
            object.__setattr__(self, "responses", _read_json(self.responses))
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"{KEY}.threshold={self.threshold}: must lie above 0 and not above 1")
        for word, value in self.meanings.items():
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ConfigError(f"{KEY}.responses: {word} is {value!r}; give 0, 1, a number between them, or null")
        if self.separator == "":
            raise ConfigError(f"{KEY}.separator is empty; give what joins skills in a cell, such as ';', or null")


def _read_json(text: str) -> dict[str, Any]:
    """Read what words mean.

    Raises:
        ConfigError: it is no JSON object.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{KEY}.responses={text}: neither {{word: number, ...}} nor the same as JSON ({error})"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError(f"{KEY}.responses={text}: give {{word: number, ...}}")
    return found
