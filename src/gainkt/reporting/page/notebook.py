"""A page as a value: shown by a notebook in a frame of its own, or saved."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from gainkt.files import write_whole


@dataclass(frozen=True)
class Page:
    """A whole page of HTML."""

    text: str = field(repr=False)
    height: int = 800
    """Pixels of its frame in a notebook."""

    def save(self, path: str | Path) -> Path:
        """Write the page, whole or not at all, and return its path."""
        path = Path(path)
        write_whole(path, lambda building: building.write_text(self.text, encoding="utf-8"))
        return path

    def _repr_html_(self) -> str:
        """Return the page in a frame whose scripts reach nothing of the notebook."""
        source = html.escape(self.text, quote=True)
        style = f"width: 100%; height: {self.height}px; border: 0"
        return f'<iframe sandbox="allow-scripts" style="{style}" title="gainkt report" srcdoc="{source}"></iframe>'
