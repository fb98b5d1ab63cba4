"""Every link in the documentation leads somewhere, and no place-holder is left."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), ROOT / "outputs" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_place_holders(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"@[A-Z][A-Z0-9_]+@", text)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert "://" in target or (page.parent / target).exists(), f"{page.name} points to {target}"
