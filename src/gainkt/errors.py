"""Errors that a user can cause: what was found, where, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class DataError(ValueError):
    """Data that cannot be used; the message names the file, line or student, the finding and the way out."""


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key, the finding and the way out.

    A constructor knows its arguments only (`dropout=2: a probability`); gainkt.config.build makes that a full key.
    """

    is_named = False
    """The key is a full one already."""


class ReportError(ValueError):
    """What follows a training failed; its metrics stand."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which a scheduler or `kill` sends: an interruption like Ctrl-C, with an exit status of its own."""


LISTED = 12
"""Known names that a message lists at most."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known name closest to `name`, or the list of known names."""
    known = sorted(known)
    shown = [*known[:LISTED], f"... ({len(known)} in all)"] if len(known) > LISTED else known
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(shown)}" if known else ""
