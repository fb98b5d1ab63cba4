"""A browser without a network that opens pages from disk, and notes what they ask for and complain of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


def missing() -> str | None:
    """Why there is no browser; None where there is one."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "Playwright is not installed: pip install 'gainkt[dev]'"
    return None if executable() else "no Chromium here: apt-get install chromium"


def executable() -> str | None:
    """Where the system's Chromium is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium with a profile of its own, which is empty."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable(), headless=True, args=list(OPTIONS))
        try:
            yield running
        finally:
            running.close()


@contextmanager
def opened(running: Any, path: Path, fragment: str = "", **context: Any) -> Iterator[Any]:
    """A page opened from disk with the network off; it must ask for nothing else and complain of nothing."""
    own = running.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **context})
    page, wrong = own.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: wrong.append(f"{said.type}: {said.text}") if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "blob:")) else None)
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(f"{path.resolve().as_uri()}{fragment}")
        page.wait_for_selector("html[data-ready]", timeout=60_000)
        yield page
        assert wrong == []
    finally:
        own.close()
