"""The console that commands print to, and the look of a table of findings."""

from rich import box
from rich.console import Console
from rich.table import Table

FILE_WIDTH = 120
"""Columns used where output goes to a file or a pipe, which have no width of their own."""


def make_console() -> Console:
    """Return a console as wide as the terminal, or of FILE_WIDTH columns where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def plain_table(title: str, caption: str | None = None) -> Table:
    """Return an empty table with rules between its sections only: readable without colour, and when copied."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        caption_style="",
        box=box.HORIZONTALS,
    )
