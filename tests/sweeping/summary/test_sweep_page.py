"""The page of a sweep: what its summary says, and the way to each run's own page."""

import html
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from made_pages import made_run, named_tables

from gainkt.report import report_config
from gainkt.sweeping.summary.report import summarize, summarize_or_say_why, write_sweep_page
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


def test_what_a_search_tried_is_cut_into_intervals(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    jobs = [
        (
            [f"loss.bce1={w:.6f}", f"optimizer.lr={lr:.8f}", f"model.kind={'ab'[n % 2]}"],
            "done",
            (0.7 + w / 10, 0.6 + lr),
        )
        for n, (w, lr) in enumerate(zip(draw.random(40), 10 ** draw.uniform(-4, -2, 40), strict=True))
    ]
    folder = write_sweep(tmp_path / "s", jobs)
    summarize(folder)
    page = write_sweep_page(folder).read_text()
    text = html.unescape(re.sub(r"<script.*?</script>|<[^>]+>", " ", page, flags=re.S))
    maps = page[page.index('id="maps"') : page.index('id="importance"')]
    assert maps.count("<h3>") == 3, "each pair of the three settings"
    assert len(re.findall(r'<th scope="row"[^>]*>[^<]* to ', maps)) == 12
    assert text.count("runs in 4 intervals of the values") == 2
    tradeoff = page[page.index('id="tradeoff"') : page.index('id="maps"')]
    assert re.findall(r'<th scope="row" class="name">(\w)</th><td>(\d+)</td>', tradeoff) == [("a", "20"), ("b", "20")]
    for heading in ("Ranking by", "Pareto front", "Importance of the settings"):
        assert heading in text, heading


def test_pages_of_runs_that_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_sweep(tmp_path / "s", [([f"seed={n}"], "done", (0.7, 0.7)) for n in range(3)])
    made_run(folder / "0", named_tables(num_students=20))
    made_run(folder / "2", named_tables(num_students=20))
    (folder / "2" / "report.html").write_text("a page")
    page = report_config(composed("report", f"run={folder}")).read_text()
    assert 'href="0/report.html"' not in page
    assert "2 finished runs have none yet" in page
    page = report_config(composed("report", f"run={folder}", "runs=true")).read_text()
    assert 'href="0/report.html"' in page
    assert (folder / "2" / "report.html").read_text() == "a page"
    assert f"no page of {folder / '1'}" in "".join(capsys.readouterr().out.splitlines())
    (folder / "report.html").unlink()
    summarize_or_say_why(folder)
    assert (folder / "report.html").is_file(), "its runs have pages"


def test_a_sweep_half_done(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", [(["seed=0"], "failed", None), (["seed=1"], "waiting", None)])
    path = report_config(composed("report", f"run={folder}"))
    assert path == folder / "report.html"
    assert "No run has finished" in path.read_text()
