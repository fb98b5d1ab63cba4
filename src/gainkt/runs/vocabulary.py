"""Names of skills and items as a user gives them, and their numbers in a model."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from gainkt.data.readers.cells import spelled
from gainkt.errors import DataError, nearest
from gainkt.names import visible

UNKNOWN_SKILLS = ("fail", "skip", "prior")


def as_read(name: Any) -> str:
    """Return a name as the readers have it: 7 and 7.0 are "7", and Unicode is composed (NFC)."""
    return unicodedata.normalize("NFC", spelled(name))


class Vocabulary:
    """Numbers of the names that a model knows."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._number = {name: at for at, name in enumerate(self.names)}
        self._whole = {name.removesuffix(".0"): at for name, at in self._number.items()}

    def __len__(self) -> int:
        """Number of names."""
        return len(self.names)

    def number(self, name: Any) -> int:
        """Return the number of a name, -1 where it is unknown; 1.0 is 1 where only one of them is known."""
        found = self._number.get(name) if type(name) is str else None
        if found is None:
            text = as_read(name)
            found = self._number.get(text, self._whole.get(text.removesuffix(".0"), -1))
        return found

    def numbers(self, names: Iterable[Any]) -> list[int]:
        """Return the number of each name."""
        return [self.number(name) for name in names]

    def require(self, name: Any) -> int:
        """Return the number of a skill's name.

        Raises:
            DataError: it is unknown.
        """
        found = self.number(name)
        if found < 0:
            raise DataError(
                f"skill {visible(name)!r} is unknown to the model, which knows {len(self)} skills"
                f"{nearest(as_read(name), self.names)}"
            )
        return found
