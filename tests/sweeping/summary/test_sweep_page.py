"""The page of a sweep: what its summary says, and the way to each run's own page."""

import html
import re
from itertools import product
from pathlib import Path

import pytest

from gainkt.report import report_config
from gainkt.sweeping.summary.report import summarize, write_sweep_page
from sweeping.summary.test_summarize import write_sweep
from test_hostile_names import composed

GRID = list(product((0.3, 0.5, 0.7), (1, 2), (0, 1)))
JOBS = [
    (
        [f"loss.bce1={w}", f"model.kind={'a' if k == 1 else '<b>$$x$$'}", f"seed={seed}"],
        "done",
        (0.7 + 0.1 * w - 0.002 * seed, 0.8 - 0.1 * w + 0.01 * k),
    )
    for w, k, seed in GRID
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sweep(tmp_path_factory.mktemp("sweeps") / "s", [*JOBS, (["loss.bce1=0.9"], "failed", None)])
    (folder / "3" / "report.html").write_text("a page")
    return folder


def test_the_page_says_what_the_summary_says(sweep: Path) -> None:
    summarize(sweep)
    page = write_sweep_page(sweep).read_text()
    text = html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", page, flags=re.S))
    assert "12 done, 1 failed" in text
    for heading in (
        "Ranking by E1 + 0.5 E2",
        "Trade-off",
        "Heat maps",
        "Importance",
        "Paired differences",
        "Not finished",
    ):
        assert heading in text, heading
    assert page.count('href="3/report.html"') == 2, "in both rankings"
    assert 'href="4/report.html"' not in page
    assert "<b>" not in re.sub("<script>.*?</script>", "", page, flags=re.S)
    assert "&lt;b&gt;$$x$$" in page
    best = max(one + 0.5 * two for _, _, (one, two) in JOBS)
    assert f"{best:.4f}" in text


def test_a_sweep_half_done(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [(["seed=0"], "failed", None), (["seed=1"], "waiting", None)])
    path = report_config(composed("report", f"run={folder}"))
    assert path == folder / "report.html"
    assert "No run has finished" in path.read_text()
