"""The page of a benchmark: a table a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gainkt.names import visible
from gainkt.reporting.leaderboard_view import CAPTION, COLUMNS, cells, published, title
from gainkt.reporting.page.render import rendered


def leaderboard_page(content: Mapping[str, Any]) -> str:
    """Return the page of what `gainkt.sweeping.benchmark.run.benchmark` returns, as HTML."""
    boards = [
        {
            "title": title(board),
            "protocol": visible(board["protocol"] or "", 300),
            "rows": [
                (cells(row), (row["audit"] or {}).get("passed", True) and not row["error"]) for row in board["rows"]
            ],
            "published": published(board),
        }
        for board in content["datasets"]
    ]
    left_out = [visible(line, 300) for line in content["left_out"]]
    settings = {"columns": COLUMNS, "caption": CAPTION, "boards": boards, "left_out": left_out}
    return rendered("leaderboard.html", charts=False, title=visible(content["name"]), **settings)
