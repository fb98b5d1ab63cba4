"""The section of a page on what tutors decided: its sentence, tables and curves; what is in teach.json is only data."""

import html
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from made_pages import made_content, made_run, named_tables

from gainkt.errors import ConfigError
from gainkt.report import report_config
from gainkt.reporting.page.run_page import run_page
from gainkt.reporting.page.teaching import teaching_section
from gainkt.reporting.teaching_view import meaning
from test_hostile_names import composed


def estimate(value: float | None, wide: float = 0.5) -> dict[str, Any]:
    return {"value": value, "interval": None if value is None else [value - wide, value + wide]}


def row(name: str, opportunities: float | None) -> dict[str, Any]:
    times = None if opportunities is None else opportunities / 4
    return {
        "name": name,
        "opportunities": estimate(opportunities),
        "over": estimate(2.0),
        "limit": estimate(0.1),
        "false": estimate(0.05),
        "level": 0.9,
        "against": {"true_state": estimate(times, 0.1), "bayes_filter": estimate(times and times / 1.5, 0.1)},
        "tuned": [{"level": 0.8, "false": 0.11, "opportunities": 7.0}],
        "steadiness": [None],
    }


TAUGHT = {
    "mode": "simulated",
    "schools": ["seed 0"],
    "students": 150,
    "skills": 20,
    "policy": {"stopping": "Mastery", "sequencing": "Blocked"},
    **{"target": 0.05, "mastered": 0.7, "limit": 30},
    "estimators": [row("true_state", 4.0), row("bayes_filter", 6.0), row("v4_belief mastery", 25.5), row("mine", 9.16)],
    "curves": [
        {"name": name, "school": "seed 0", "level": [0.5, 0.9], "false": [0.3, 0.04], "opportunities": [3.0, 9.0]}
        for name in ("true_state", "v4_belief mastery")
    ],
    "notes": ["mine left out: it taught in 1 of 2 simulations"],
}
TOLD = {
    "mode": "logs",
    **{
        "data": "assist2017",
        "protocol": "fold 0",
        "students": 341,
        "opportunities": 9000,
        "courses": 400,
        "right": 0.36,
    },
    "left_out": 0.3,
    "estimators": [
        {
            "name": "mine",
            "level": 0.9,
            "left_out": estimate(0.33, 0.01),
            "right_when_left_out": estimate(0.428, 0.02),
            "right_when_kept": 0.328,
            "declared": 0.5,
            "wheel_spinning": {"courses": 20, "spinning": 12, "recall": 0.8, "others": 0.4},
            "steadiness": [None],
        }
    ],
    "curves": [{"name": "mine", "left_out": [0.1, 0.3], "right": [0.5, 0.43]}],
    "agreement": [{"name": "mine", "values": [1.0]}],
    "notes": [],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", named_tables(num_students=20))


def page_of(folder: Path, content: dict[str, Any]) -> str:
    return run_page(made_content(folder, teaching=teaching_section(content)))


def test_it_says_what_the_cheapest_reading_of_the_model_costs() -> None:
    assert meaning(TAUGHT) == (
        "At 5% false mastery a tutor who goes by mine asks 9.16 [8.66, 9.66] exercises of a student and skill "
        "(2.29 [2.19, 2.39] x true state, 1.53 [1.43, 1.63] x Bayes filter)."
    )
    never = {**TAUGHT, "estimators": [row("true_state", 4.0), row("mine", None)]}
    assert meaning(never) == "No level of mine brings false mastery to 5%: a tutor cannot go by it."
    assert "33% of all exercises, was answered right in 0.428 [0.408, 0.448] of cases, the rest in 0.328" in meaning(
        TOLD
    )


def test_tables_and_curves_stand_in_the_page(folder: Path) -> None:
    page = page_of(folder, TAUGHT)
    text = html.unescape(page)
    section = text[text.index('<section id="teaching"') : text.index('<section id="training"')]
    for part in (meaning(TAUGHT), "3,000 courses", "25.50 [25.00, 26.00]", "Bayes filter", "11%", TAUGHT["notes"][0]):
        assert part in section
    assert "0.040</td><td>9.000" in section, "the curve's numbers"
    assert 'id="chart-teaching"' in section
    assert 'href="#teaching"' in page
    assert 'id="teaching"' not in run_page(made_content(folder))
    told = html.unescape(page_of(folder, TOLD))
    assert "wheel-spinning recall" in told
    assert meaning(TOLD) in told


def test_what_it_holds_is_text(folder: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b\u202e$$\\frac12$$"
    hostile = deepcopy(TAUGHT)
    hostile["estimators"][3]["name"] = hostile["curves"][1]["name"] = evil
    hostile["policy"] = {"stopping": evil, "sequencing": evil}
    hostile["notes"] = [evil]
    page = page_of(folder, hostile)
    tags = re.compile(r"<[a-z]+")
    assert len(tags.findall(page)) == len(tags.findall(page_of(folder, TAUGHT)))
    assert not set("\x1b\u202e") & set(page)


def report(folder: Path, *overrides: str) -> str:
    return report_config(composed("report", f"run={folder}", *overrides)).read_text()


def test_the_door_finds_it_in_the_run_s_folder_or_where_one_says(folder: Path, tmp_path: Path) -> None:
    assert 'id="teaching"' not in report(folder)
    taught = tmp_path / "taught"
    taught.mkdir()
    (taught / "teach.json").write_text(json.dumps(TAUGHT))
    assert 'id="teaching"' in report(folder, f"teach={taught}")
    (folder / "teach.json").write_text(json.dumps(TOLD))
    assert "wheel-spinning recall" in report(folder)
    with pytest.raises(
        ConfigError, match=r"no/teach\.json: is missing; `.*gainkt\.teach run=.* output=.*no` writes it"
    ):
        report(folder, f"teach={tmp_path}/no")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("estimators", 3),
        ("estimators", []),
        ("mode", ["simulated"]),
        ("target", "<b>"),
        ("limit", None),
        ("curves", [{"name": "a", "false": [0.1, "x"], "opportunities": [1, 2]}]),
        ("curves", [{"name": "a", "false": [0.1], "opportunities": [1, 2]}]),
        ("students", "many"),
        ("notes", 7),
    ],
)
def test_what_is_no_teach_json_is_one_line(folder: Path, key: str, value: object) -> None:
    (folder / "teach.json").write_text(json.dumps({**TAUGHT, key: value}))
    with pytest.raises(ConfigError, match=r"teach\.json: is damaged \(.*; `.*gainkt\.teach") as raised:
        report(folder)
    assert "\n" not in str(raised.value)
