"""Picture every section of a page: `python scripts/screenshots.py --run outputs/v4_belief/<run>` (needs Chromium)."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow": {"viewport": {"width": 1024, "height": 768}},
}
READY = """new MutationObserver(() => {
  if (document.documentElement?.dataset.ready) window.usableAfter ??= performance.now();
}).observe(document, {attributes: true, subtree: true});"""
DRAWN = "() => [...document.querySelectorAll('#report [data-chart]')].every((chart) => chart.children.length)"


def take(page: Any, folder: Path, name: str) -> None:
    """Picture the top of the page, every section of its first view, and every other view whole."""
    page.wait_for_function(DRAWN, timeout=120_000)
    page.wait_for_timeout(500)
    page.screenshot(path=folder / f"{name}-top.png")
    for section in page.locator("main section[id]").all():
        if section.is_visible():
            section.screenshot(path=folder / f"{name}-{section.get_attribute('id')}.png")
    before = page.viewport_size
    for link in page.locator("nav [data-view]").all()[1:]:
        link.click()
        page.wait_for_timeout(1500)
        # A window as high as the view: Playwright's own way to picture all of it draws a canvas twice.
        page.set_viewport_size({**before, "height": page.evaluate("document.documentElement.scrollHeight")})
        page.wait_for_timeout(500)
        page.screenshot(path=folder / f"{name}-{link.get_attribute('data-view')}.png")
        page.set_viewport_size(before)


def main() -> None:
    """Open the page of a run in each look, and save what it shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, help="folder with a report.html; the newest below outputs/ where not given")
    parser.add_argument("--to", type=Path, default=ROOT / "outputs" / "screenshots")
    given = parser.parse_args()
    pages = sorted(ROOT.glob("outputs/**/report.html"), key=lambda path: path.stat().st_mtime)
    path = given.run / "report.html" if given.run else next(reversed(pages), None)
    chromium = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None or not path.is_file():
        sys.exit(f"{path or 'outputs/'}: no report.html; `gainkt report run=<folder>` or `make demo` writes one")
    if chromium is None:
        sys.exit("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    given.to.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        for name, look in LOOKS.items():
            page = browser.new_context(offline=True, **look).new_page()
            page.add_init_script(READY)
            page.goto(path.resolve().as_uri())
            page.wait_for_selector("html[data-ready]")
            print(f"{name}: usable {page.evaluate('Math.round(window.usableAfter)')} ms after opening")
            take(page, given.to, name)
        browser.close()
    print(f"screenshots: {given.to}")


if __name__ == "__main__":
    main()
