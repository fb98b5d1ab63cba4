"""Progress of long work: named where there is a terminal, and never in the way of what the work says."""

import io

import pytest

import gainkt.console
from gainkt.console import SafeConsole, in_turn


def test_work_is_done_in_turn_and_its_failure_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = SafeConsole(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(gainkt.console, "make_console", lambda: screen)
    assert list(in_turn([3, 1, 2], lambda one: f"[red]{one}\x1b[2J")) == [3, 1, 2]
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "2/3" in shown
    assert "[red]2" in shown  # text, not markup
    assert "\x1b[2J" not in shown
    with pytest.raises(ZeroDivisionError):
        [1 / one for one in in_turn([0], str)]


def test_nothing_is_shown_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(in_turn(["a", "b"], str)) == ["a", "b"]
    assert not "".join(capsys.readouterr()).strip()
