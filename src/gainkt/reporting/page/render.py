"""Templates become pages: everything escaped, BokehJS inside, and a policy that lets no request leave them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from bokeh.resources import Resources
from markupsafe import Markup

from gainkt import __version__
from gainkt.reporting import palette
from gainkt.reporting.page.pack import script_json

HERE = Path(__file__).parent / "templates"


@cache
def environment() -> jinja2.Environment:
    """Return the templates' environment: what is put into a page is text unless it is a template's own."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["script_json"] = lambda content: Markup(script_json(content))
    made.filters["three"] = lambda x: "-" if x is None else f"{x:.3f}"
    made.filters["percent"] = lambda x: "-" if x is None else f"{x:.0%}"
    return made


@cache
def scripts(charts: bool) -> list[str]:
    """Return the page's own script, after BokehJS (without the parts that no page uses) where there are charts."""
    bokeh = ["\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)] if charts else []
    return [*bokeh, (HERE / "page.js").read_text(encoding="utf-8")]


def policy(allowed: Sequence[str]) -> str:
    """Return the page's content security policy: its own scripts run, no other one, and nothing is fetched."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in allowed)
    own = f"script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def rendered(template: str, *, charts: bool = True, **context: Any) -> str:
    """Return a page.

    Args:
        template: its file's name.
        charts: whether it has any.
        context: what it shows.
    """
    allowed = scripts(charts)
    made = environment().get_template(template)
    page = made.render(
        **context,
        policy=policy(allowed),
        scripts=[Markup(script) for script in allowed],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        palette=palette,
        version=__version__,
    )
    return page.encode("utf-8", "replace").decode("utf-8")  # names may hold halves of characters
