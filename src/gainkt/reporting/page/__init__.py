"""Pages: one HTML file each, which needs no network, no server and no other file."""

import importlib.util

from gainkt.errors import ConfigError

PAGE = "report.html"
"""Name of a page in the folder of what it is about."""


def require_pages() -> None:
    """Check that pages can be written.

    Raises:
        ConfigError: what draws them is not installed.
    """
    missing = [name for name in ("bokeh", "jinja2") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"report: {' and '.join(missing)} not installed; pip install 'gainkt[report]'")
