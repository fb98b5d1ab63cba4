"""The page of a run: every section, with and without its source; names in it are text."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_pages import made_content, made_run, named_tables, with_edges

from gainkt.errors import ConfigError
from gainkt.reporting.page.judgement import bullet
from gainkt.reporting.page.run_page import run_page
from gainkt.runs.folder import load_run
from gainkt.runs.page import gather
from test_names import HOSTILE

SECTIONS = [
    *(
        "run",
        "metrics",
        "scorecard",
        "carries",
        "mastery",
        "training",
        "calibration",
        "skills",
        "transfer",
        "diagnosis",
    ),
    *("provenance", "students", "class"),
]


class Reader(HTMLParser):
    """Collects tags, text, ids and the JSON of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.json: dict[str, object] = {}
        self.text: list[str] = []
        self.within: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.within = (found.get("id") or tag) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self.within = None

    def handle_data(self, data: str) -> None:
        if self.within is None:
            self.text.append(data)
        elif self.within not in ("script", "style"):
            self.json[self.within] = json.loads(data)

    @property
    def ids(self) -> list[str]:
        return [found["id"] for _, found in self.tags if found.get("id")]  # type: ignore[misc]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("run"), with_edges(named_tables(num_students=40)))


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return run_page(made_content(folder))


def test_every_section_stands_in_its_order_and_every_id_once(page: str) -> None:
    ids = Reader(page).ids
    assert [name for name in ids if name in SECTIONS] == SECTIONS
    assert len(ids) == len(set(ids))


def test_every_chart_has_its_data_and_a_text_alternative(page: str) -> None:
    found = Reader(page)
    charts = [attributes for _, attributes in found.tags if "data-chart" in attributes]
    assert len(charts) > 5
    for attributes in charts:
        assert attributes["data-chart"] in found.json
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"] or "") > 20
    assert all(a.get("aria-label") or a.get("aria-hidden") for tag, a in found.tags if tag == "svg")


def test_numbers_are_those_of_the_reports(page: str, folder: Path) -> None:
    text = html.unescape(" ".join(Reader(page).text))
    card = json.loads((folder / "scorecard.json").read_text())
    for check in card["checks"]:
        assert check["title"] in text
        assert check["reading"] in text
    assert f"{card['carries']['gains']['fall']:.3f}" in text
    assert "5,000" in text
    assert "left out: blank skill" in text
    assert "python -m gainkt.train experiment=v4_belief name=v4_belief" in text


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_only(page: str) -> None:
    found = Reader(page)
    assert not [a for tag, a in found.tags if tag in ("link", "img", "iframe", "object", "base")]
    assert not [a for tag, a in found.tags if tag == "script" and "src" in a]
    assert not [key for _, a in found.tags for key in a if key.startswith("on")]
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and "http-equiv" in a) or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "script-src 'unsafe-inline'" not in policy
    assert "eval" not in policy


def test_hostile_names_are_text(tmp_path: Path) -> None:
    evil = ['"><img src=x onerror=alert(1)>', "</script><script>alert(1)</script>", "$$\\frac{1}{2}$$", *HOSTILE]
    tables = named_tables(evil, evil[:8], num_students=len(evil))
    tables.predictions["item"] = [evil[i % len(evil)] for i in range(len(tables.predictions))]
    content = made_content(made_run(tmp_path / "run", tables, name="</title><script>alert(1)</script>"))
    page = run_page(content)
    calm = Reader(run_page(made_content(made_run(tmp_path / "calm", named_tables(num_students=len(evil))))))
    hostile = Reader(page)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in calm.tags], "no name became a tag"
    assert not set("\x1b\u202e") & set(page)
    data = hostile.json["data"]
    assert isinstance(data, dict)
    assert data["students"][1] == "</script><script>alert(1)</script>"
    charts = json.dumps({key: value for key, value in hostile.json.items() if key.startswith("chart-")})
    assert "frac" not in charts, "a chart's label would be typeset"


def test_a_run_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", card=False)
    for name in ("predictions", "trajectories", "skills"):
        (folder / f"{name}.parquet").unlink()
    page = run_page(made_content(folder))
    text = " ".join(Reader(page).text)
    assert "No scorecard" in text
    assert "python -m gainkt.evaluate" in text
    assert "data" not in Reader(page).json
    assert 'id="diagnosis"' not in page


def test_a_scorecard_of_an_older_version_has_no_figures_of_mastery(folder: Path) -> None:
    content = made_content(folder)
    older = {key: value for key, value in content["card"]["further"].items() if key not in ("steadiness", "edustudio")}
    page = run_page(content | {"card": {**content["card"], "further": older}})
    assert "#mastery" not in page
    assert "#mastery" in run_page(content)


def test_a_sample_is_said(folder: Path) -> None:
    content = made_content(folder, most_rows=100, seed=3)
    assert content["cells"].student.nunique() < 40
    assert "random sample (seed 3)" in " ".join(Reader(run_page(content)).text)
    assert len(content["students"]) == 40, "the report's own numbers are over all of them"


def test_truth_and_given_parts_go_along(folder: Path) -> None:
    cells = made_content(folder)["cells"]
    truth = cells[["student", "step", "skill"]].assign(true_mastery=0.5)
    parts = cells[["student", "step"]].drop_duplicates().assign(surprise=0.25)
    data = Reader(run_page(made_content(folder, truth=truth, parts=parts))).json["data"]
    assert isinstance(data, dict)
    assert data["parts"][-1] == "surprise"
    assert {"true_mastery", f"part_{len(data['parts']) - 1}"} <= {name for name, *_ in data["packed"]["columns"]}


def test_many_skills_show_the_largest_transfers_only(folder: Path) -> None:
    content = made_content(folder)
    many = pd.concat([content["skills"]] * 6, ignore_index=True)
    many["skill"] = [f"k{i}" for i in range(len(many))]
    gains = np.full((len(many), len(many)), 0.01)
    gains[3, 5] = 0.4
    page = run_page(content | {"skills": many, "transfer": {"gains": gains, "steps": 9, "students": 2}})
    text = " ".join(" ".join(Reader(page).text).split())
    assert "largest of 2,862 pairs" in text
    assert re.search(r"k3 +k5 +0\.400", text)


def test_a_run_that_did_not_finish_or_is_damaged(folder: Path, tmp_path: Path) -> None:
    other = made_run(tmp_path / "run", named_tables(num_students=20))
    (other / "diagnosis.json").write_text("{")
    with pytest.raises(ConfigError, match=r"diagnosis\.json: (is damaged|was changed)"):
        gather(load_run(other))
    (other / "diagnosis.json").unlink()
    (other / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"predictions\.parquet: (is damaged|was changed)"):
        gather(load_run(other))
    (other / "results.json").unlink()
    with pytest.raises(ConfigError, match=r"did not finish; `python -m gainkt\.train run\.resume="):
        gather(load_run(other))


def test_bullets() -> None:
    need = {"relation": ">", "bound": 0.5, "of": "value"}
    check = {"value": 0.75, "interval": (0.7, 0.8), "ceiling": None, "thresholds": {"minimum": [need]}}
    drawn = bullet(check)
    assert drawn is not None
    (mark, level), value = drawn["marks"][0], drawn["value"]
    assert level == 0
    assert 0 < mark < drawn["interval"][0] < value < drawn["interval"][1] < 100
    assert bullet(check | {"value": True}) is None
    assert bullet(check | {"value": None}) is None
