"""How a command ends when somebody ends it: Ctrl-C with status 130 and SIGTERM with 143, in one line each."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from gainkt.errors import Terminated


def leave_at_once() -> None:
    """End the process on either signal until a command's work begins: its imports take seconds and hold nothing open.

    An exception there would be a traceback, or taken by a package for a failed import. A signal that the caller has
    set aside stays so.
    """
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _leave)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _leave)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise an exception on either signal within the block, so that what is open is closed and what is held is let go.

    Lightning sets a handler of its own for SIGTERM while it trains, and calls this one too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if before[signal.SIGINT] is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ended_in_one_line() -> Iterator[None]:
    """Take either signal as the end of a command, said in one line with the last note about how to go on."""
    with interruptible():
        try:
            yield
        except KeyboardInterrupt as interruption:
            notes = getattr(interruption, "__notes__", [])[-1:]
            print("; ".join([_said(isinstance(interruption, Terminated)), *notes]), file=sys.stderr)
            sys.exit(exit_status(interruption))


def exit_status(interruption: BaseException) -> int:
    """Exit status of an interrupted process, as shells have it: 128 and the number of the signal."""
    return 128 + (signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT)


def _said(is_terminated: bool) -> str:
    return f"gainkt: {'terminated (SIGTERM)' if is_terminated else 'interrupted'}"


def _leave(number: int, frame: Any) -> NoReturn:
    os.write(2, f"{_said(number == signal.SIGTERM)}\n".encode())
    os._exit(128 + number)


def _terminate(number: int, frame: Any) -> NoReturn:
    raise Terminated
