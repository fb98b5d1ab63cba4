"""Names are data, whatever they hold: each medium shows them, and none takes them for anything else."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from gainkt.console import SafeConsole
from gainkt.errors import ConfigError
from gainkt.names import code, file_name, joined, markdown, pictured, printed, require_folder, unjoined, visible

HOSTILE = (
    "$x$",
    "a_$",
    "_hidden",
    "[/x]",
    "[red]",
    ":smile:",
    "\x1b[31mred",
    "two\nlines",
    "a\ttab",
    "pipe|pipe",
    "<script>alert(1)</script>",
    "../../x",
    "long" * 75,
    " ",
    "\u202egnirts",
    "\U0001f600",
    "a;b",
    "back\\slash;",
    "`code` *bold* [a](http://b)",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_each_medium_shows_each_name(name: str) -> None:
    shown = visible(name)
    assert shown.strip()
    assert len(shown) <= 80
    assert not {"\x1b", "\n", "\t", "\u202e"} & set(shown)
    cell = markdown(name)
    assert "\n" not in cell
    assert "<" not in cell
    assert cell.replace("\\|", "").count("|") == 0
    assert code(name).count("`") == 2
    assert "/" not in file_name(name)
    assert len(file_name(name).encode()) < 200
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=pictured(name))
    axes.set_title(pictured(name))
    assert len(axes.legend().get_texts()) == 1
    figure.draw_without_rendering()
    console = SafeConsole(record=True, width=400, force_terminal=True)
    with console.capture() as said:
        console.print(name, soft_wrap=True, highlight=False)
    if name.isprintable():
        assert said.get() == f"{name}\n"
    assert printed(said.get()) == said.get()


def test_ordinary_names_stay() -> None:
    for name in ("v4_belief", "loss.bce1=0.3", "Äpfel und Birnen", "mine-2"):
        assert visible(name) == pictured(name) == markdown(name) == file_name(name) == name
    assert printed("two\nlines") == "two\nlines"
    assert visible("\x1b\u202e") == r"\x1b\u202e"
    assert visible("") == "''"
    assert pictured("$x$") == r"\$x\$"


def test_joined_names_come_apart_again() -> None:
    assert joined(["a", "b"]) == "a;b"
    assert unjoined("a;b") == ["a", "b"]
    assert unjoined(joined(HOSTILE)) == list(HOSTILE)
    for name in (*HOSTILE, "", "\\", ";", "\\;"):
        assert unjoined(joined([name])) == [name]


def test_a_name_that_becomes_a_folder_stays_inside() -> None:
    for name in ("v4_belief", "mine/v4_belief", "$x$", "[red]", "\U0001f600"):
        assert require_folder(name, "name") == name
    for name in ("../../x", "/x", "a/../../x", "", ".", " ", "a//b", "\x1b[31m", "a\nb", "a\x00b", "x" * 300):
        with pytest.raises(ConfigError, match=r"^name="):
            require_folder(name, "name")


@pytest.mark.parametrize("module", ["train", "reference"])
def test_a_command_refuses_a_name_outside_of_its_folder(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.setattr(sys, "argv", ["gainkt", "name=../../x", "run.root=outputs"])
    with pytest.raises(SystemExit) as end:
        import_module(f"gainkt.{module}").main()
    assert end.value.code == 1
    said = capfd.readouterr().err
    assert said.startswith("gainkt: error: name=../../x: ")
    assert len(said.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", inside]


def test_tables_show_what_stands_in_them(tmp_path: Path) -> None:
    from gainkt.reporting.terminal import table

    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    console.print(table("of [/x]", ["[red]"], [["[/x] :smile: [red]"]], "\x1b[31m"))
    text = console.export_text()
    assert "of [/x]" in text
    assert "[/x] :smile: [red]" in text
    assert "\\x1b[31m" in text
