"""The console that commands print to, and the look of a table of findings; what is printed is text, never markup."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from gainkt.names import printed

FILE_WIDTH = 120
"""Columns used where output goes to a file or a pipe, which have no width of their own."""


class SafeConsole(Console):
    """A console that prints text as it stands: no markup, no emoji codes, and no character that acts on a terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render, and write out what would act on the terminal."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else printed(segment.text)
            yield segment if text == segment.text else segment._replace(text=text)


def make_console() -> Console:
    """Return a console as wide as the terminal, or of FILE_WIDTH columns where there is none."""
    console = SafeConsole()
    return console if console.is_terminal else SafeConsole(width=FILE_WIDTH)


Work = TypeVar("Work")


def in_turn(work: Sequence[Work], name: Callable[[Work], str]) -> Iterator[Work]:
    """Go through long pieces of work under a bar that names the one in progress; no bar where there is no terminal."""
    console = make_console()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(work))
        for number, one in enumerate(work):
            bar.update(task, completed=number, description=name(one))
            yield one


def plain_table(title: str, caption: str | None = None) -> Table:
    """Return an empty table with rules between its sections only: readable without colour, and when copied."""
    return Table(
        title=Text(printed(title), style="bold"),
        title_justify="left",
        title_style="bold",
        caption=None if caption is None else Text(printed(caption)),
        caption_justify="left",
        caption_style="",
        box=box.HORIZONTALS,
    )
