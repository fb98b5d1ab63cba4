"""The console that commands print to."""

from rich.console import Console

FILE_WIDTH = 120
"""Columns used where output goes to a file or a pipe, which have no width of their own."""


def make_console() -> Console:
    """Return a console as wide as the terminal, or of FILE_WIDTH columns where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)
