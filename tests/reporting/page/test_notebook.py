"""A page within a notebook: in a frame that reaches nothing around it."""

import html
from html.parser import HTMLParser
from pathlib import Path

from gainkt.reporting.page.notebook import Page

TEXT = '<!doctype html><p title="a">x & y</p><script>"</iframe>"</script>'


def test_the_frame_holds_the_whole_page_as_text() -> None:
    found: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.append((tag, dict(attrs)))  # type: ignore[method-assign]
    shown = Page(TEXT)._repr_html_()
    parser.feed(shown)
    assert [tag for tag, _ in found] == ["iframe"]
    assert found[0][1]["srcdoc"] == TEXT
    assert found[0][1]["sandbox"] == "allow-scripts"
    assert html.escape(TEXT) in shown
    assert TEXT not in repr(Page(TEXT))


def test_it_is_saved(tmp_path: Path) -> None:
    assert Page(TEXT).save(tmp_path / "a" / "page.html").read_text() == TEXT
