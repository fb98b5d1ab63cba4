"""What is left out and what responses mean, told by the names of a column and how often each occurs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gainkt.data.readers.cells import (
    RIGHT,
    WRONG,
    Names,
    missing_codes,
    number_of,
    parse_responses,
    skill_gaps,
    word_for,
)
from gainkt.data.readers.options import KEY, Options
from gainkt.data.readers.text import ReadError

CALLED = {"correct": "response"}
"""What messages call a role that is called otherwise in settings."""

ASKED = 2
"""Stands for the response of a row that has none and asks for a prediction."""


def among(codes: Sequence[int] | NDArray, size: int) -> NDArray[np.bool_]:
    """Return [size], true at the codes."""
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[np.asarray(codes, dtype=np.int64)] = True
    return chosen


class Gaps:
    """Rows without a value in a role that needs one, block after block."""

    def __init__(self, names: Mapping[str, list[str]], ordered: bool, options: Options) -> None:
        """Find the names that say a cell is empty, of each role; `ordered`: there is a column of the order, too."""
        self.names, self.options, self.num_roles = names, options, len(names) + ordered
        self.codes = {
            role: skill_gaps(found, options.separator, options.missing_words)
            if role == "skill"
            else missing_codes(found, options.missing_words, responses=role == "correct")
            for role, found in names.items()
        }
        if "correct" in self.codes:  # what a word means can be said of every word
            found = names["correct"]
            self.codes["correct"] = [
                code for code in self.codes["correct"] if word_for(found[code], options.meanings) is None
            ]
        self._tables = {role: among(codes, len(names[role])) for role, codes in self.codes.items() if codes}
        self.counts: dict[str, int] = {}
        self.first_reasons: dict[str, int] = {}
        self.size = self.count = self.blank = 0
        self._first: tuple[str, int, str] | None = None

    def find(self, codes: Mapping[str, NDArray], unplaced: NDArray[np.bool_] | None, rows: NDArray) -> NDArray | None:
        """Return which rows of a block have a gap; None where none has.

        Args:
            codes: of the names, by role.
            unplaced: rows without a place in the order; None: none.
            rows: their numbers in the source.
        """
        self.size += len(rows)
        empty = {role: table[codes[role]] for role, table in self._tables.items()}
        if unplaced is not None:
            empty["order"] = unplaced
        if not any(gaps.any() for gaps in empty.values()):
            return None
        gone = np.zeros(len(rows), dtype=np.bool_)
        for role, gaps in empty.items():
            self.counts[role] = self.counts.get(role, 0) + int(gaps.sum())
            self.first_reasons[role] = self.first_reasons.get(role, 0) + int((gaps & ~gone).sum())
            gone |= gaps
        if self._first is None:
            row = int(np.argmax(gone))
            role = next(role for role, gaps in empty.items() if gaps[row])
            self._first = role, int(rows[row]), "" if role == "order" else self.names[role][codes[role][row]]
        self.count += int(gone.sum())
        if len(empty) == self.num_roles:
            self.blank += int(np.logical_and.reduce(list(empty.values())).sum())
        return gone

    def refuse(self, where: Callable[..., str], label: Callable[[str], str]) -> None:
        """Refuse gaps that may not be left out.

        Raises:
            DataError: there are some.
        """
        if self._first is None or self.options.missing == "drop":
            return
        role, row, found = self._first
        counts = {role: count for role, count in self.counts.items() if count}
        also = f", {self.blank} of them blank" if self.blank else ""
        listed = ", ".join(f"{count} without {CALLED.get(role, role)}" for role, count in counts.items())
        name = f", or say by {KEY}.missing_words=[] that {found} is a name" if found and role != "correct" else ""
        raise ReadError(
            f"{where(row, role)}: {label(role)} is {found!r} ({listed}: {self.count} of "
            f"{self.size} rows{also}); {KEY}.missing=drop leaves these rows out, or fill them in{name}",
            **({"missing": "drop"} if self.count < self.size else {}),
        )


class Responses:
    """What the names in the column of responses mean."""

    def __init__(self, names: Sequence[str], options: Options, *, asks: bool = False) -> None:
        """Read them by the options; `asks`: where there is none, a row asks for a prediction (ASKED)."""
        self.names, self.options = names, options
        found = parse_responses(names, options.meanings)
        if asks:
            for code in missing_codes(names, options.missing_words, responses=True):
                found[code] = ASKED if word_for(names[code], options.meanings) is None else found[code]
        words = [word_for(name, options.meanings) for name in names]
        self.asked = [c for c, word in enumerate(words) if word is not None and options.meanings[word] is None]
        self.unread = [code for code, value in enumerate(found) if value is None and code not in self.asked]
        self.between = [code for code, value in enumerate(found) if value is not None and 0 < value < 1]
        drop = options.partial == "drop"
        self.gone = among([*self.asked, *(self.between if drop else [])], len(names))
        """[V], names whose rows are left out."""
        self.limit = options.threshold if options.partial == "threshold" else 0.5
        numbers = [0 if value is None else value >= self.limit if 0 < value < 1 else value for value in found]
        self.values = np.array(numbers).astype(np.uint8)
        """[V], 0 or 1, or ASKED."""

    def refuse(self, cells: Names, label: str) -> None:
        """Refuse responses that are not understood.

        Args:
            cells: the names, counted in the rows without gaps.
            label: what messages call them.

        Raises:
            DataError: words that may mean anything, or partial credit without a rule for it.
        """
        unread = [code for code in self.unread if cells.counts[code]]
        if unread:
            place, code = cells.first(unread)
            words = sorted(unread, key=lambda code: -cells.counts[code])
            shown = ", ".join(f"{self.names[code]!r} in {cells.counts[code]}" for code in words[:6])
            meant = {self.names[code]: guess(self.names[code]) for code in words}
            told = ",".join(
                f"{_key(word)}:{'?' if value is None else value}" for word, value in list(meant.items())[:6]
            )
            said = f"{KEY}.responses={{{told}}}"
            numbers = [number for code in words if (number := number_of(self.names[code])) is not None]
            scale = ""
            if len(numbers) == len(words) and max(numbers) > 1:
                scale = f"numbers up to {max(numbers):g} are no share of 1 (points or percent? divide them); "
            raise ReadError(
                f"{place}: {label} is {self.names[code]!r}, not 0 or 1 ({cells.count(unread)} of {cells.counts.sum()} "
                f"rows: {shown}); {scale}correct them, or say what the words mean: {shlex.quote(said)} "
                "(null leaves such rows out)",
                **({} if None in meant.values() else {"responses": {**self.options.meanings, **meant}}),
            )
        between = [code for code in self.between if cells.counts[code]]
        if between and self.options.partial == "fail":
            place, code = cells.first(between)
            raise ReadError(
                f"{place}: {label} is {self.names[code]!r}, not 0 or 1 ({cells.count(between)} of {cells.counts.sum()} "
                f"rows have partial credit); {KEY}.partial=drop leaves them out, round or threshold makes them 0 or 1",
                partial="drop",
            )

    def left_out(self, cells: Names) -> dict[str, int]:
        """Return how many rows are left out, by reason."""
        reasons = {f"response {self.names[code]!r}": int(cells.counts[code]) for code in self.asked}
        return reasons | {"partial credit": cells.count(self.between) if self.options.partial == "drop" else 0}

    def converted(self, cells: Names) -> dict[str, int]:
        """Return how many responses became 0 or 1, by how."""
        if not cells.count(self.between) or self.options.partial == "drop":
            return {}
        return {f"partial credit, right from {self.limit:g} on": cells.count(self.between)}


def guess(word: str) -> float | None:
    """Return what a word among responses seems to mean, from 0 to 1; None if it may mean anything."""
    if re.fullmatch(r"[01],\d+|\d+%", word):  # a decimal comma, percent
        number = float(word.replace(",", ".").removesuffix("%")) / (100 if "%" in word else 1)
        return number if number <= 1 else None
    return 1 if word.lower() in RIGHT else 0 if word.lower() in WRONG else None


def _key(word: str) -> str:
    return word if re.fullmatch(r"[\w. ]+", word, re.ASCII) else json.dumps(word, ensure_ascii=False)
