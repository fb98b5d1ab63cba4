"""The page of a run in a real browser, from disk, with the network off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browsing import browser, missing, opened
from made_pages import made_content, made_run, named_tables, with_edges
from made_trained import table_of, trained

from conftest import random_log
from gainkt.evaluation.overview import mastery_now, practised_cells
from gainkt.reporting.page.notebook import Page
from gainkt.reporting.page.run_page import run_page
from gainkt.sweeping.summary.report import summarize, write_sweep_page
from sweeping.summary.test_summarize import write_sweep
from test_names import HOSTILE

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")
EVIL = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$$\\frac{1}{2}$$",
    "{{ 7 * 7 }}",
    "@{p1}",
    *HOSTILE,
]
DEEP = """(node) => {
  const skip = (n) => ["STYLE", "SCRIPT"].includes(n.nodeName);
  const all = (n) => [...(n.shadowRoot?.childNodes ?? []), ...n.childNodes].filter((c) => !skip(c)).flatMap(
    (c) => (c.nodeType === 3 ? [c.data] : all(c)));
  return all(node).join(" ");
}"""
"""Text of an element and its shadows."""
POINT = "() => Bokeh.documents.map((d) => d.get_model_by_name('upper')).find(Boolean)"
LABELS = f"() => ({POINT})().left[0].major_label_text_color"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_run(tmp_path_factory.mktemp("pages") / "run", with_edges(named_tables(num_students=60)))


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    content = made_content(folder)
    truth = content["cells"][["student", "step", "skill"]].assign(true_mastery=0.4321)
    page = folder / "report.html"
    page.write_text(run_page(made_content(folder, truth=truth)), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def cells(folder: Path) -> pd.DataFrame:
    tables = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "trajectories"))
    return practised_cells(*tables)


def texts(page: Any, selector: str) -> list[str]:
    return page.locator(selector).all_inner_texts()


def choose(page: Any, name: str) -> None:
    page.fill("#find", name)
    page.press("#find", "Enter")
    page.wait_for_function("(name) => document.getElementById('student-name').textContent === name", arg=name)


def test_the_report_draws_every_chart(running: Any, path: Path) -> None:
    with opened(running, path) as page:
        page.wait_for_function("() => document.querySelectorAll('#report [data-chart] > *').length >= 8")
        assert page.locator("#report").is_visible()
        assert not page.locator("#students").is_visible()
        shown = page.locator("#training .plot").first.bounding_box()
        assert shown["width"] > 300
        assert shown["height"] > 200


def test_a_student_is_found_and_the_values_are_those_of_the_tables(
    running: Any, path: Path, cells: pd.DataFrame
) -> None:
    with opened(running, path, "#students") as page:
        page.fill("#find", "S17")
        assert texts(page, "#student-table tbody button") == ["s17"]
        choose(page, "s17")
        own = cells[cells.student == "s17"].reset_index(drop=True)
        rows = page.locator("#step-table tbody tr")
        assert rows.count() == len(own)
        titles = texts(page, "#step-table thead th")
        shown = pd.DataFrame([texts(rows.nth(i), "td") for i in range(rows.count())], columns=titles)
        assert shown["skill"].tolist() == own.skill.tolist()
        assert shown["item"].tolist() == own.item.tolist()
        assert shown["answered"].tolist() == ["right" if x else "wrong" for x in own.response]
        names = {"p1": "p1", "p2": "p2", "gain": "gain", "mastery then": "mastery", "at the end": "mastery_final"}
        for title, column in names.items():
            assert (shown[title].astype(float) - own[column]).abs().max() <= 0.0005 + 1e-6, column
        assert set(shown["true"]) == {"0.432"}
        assert f"{len(own)} steps" in page.inner_text("#student-facts")


def test_pointing_at_a_step_explains_it(running: Any, path: Path, cells: pd.DataFrame) -> None:
    with opened(running, path, "#students") as page:
        choose(page, "s17")
        own = cells[cells.student == "s17"].reset_index(drop=True)
        box = page.locator("[data-chart=chart-student]").bounding_box()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 120)
        page.wait_for_function("() => document.getElementById('step').value > 5")
        at = own.iloc[int(page.input_value("#step"))]
        said = page.inner_text("#at-step")
        for value in (at.p1, at.p2, at.gain, at.mastery, at.before):
            assert f"{value:.3f}" in said
        assert at["item"] in said
        assert "difficulty" in said
        page.focus("#step")
        page.keyboard.press("Home")
        page.wait_for_function("() => document.getElementById('step-number').textContent.startsWith('0 of')")
        assert "not scored" in page.inner_text("#at-step")


def test_a_mark_under_the_pointer_has_a_tooltip(running: Any, path: Path, cells: pd.DataFrame) -> None:
    with opened(running, path, "#students") as page:
        choose(page, "s17")
        last = cells[cells.student == "s17"].iloc[-1]
        where = page.evaluate(
            """([x, y]) => { const all = (v) => [v, ...(v.child_views ?? []).flatMap(all)];
            const view = Bokeh.index.roots.flatMap(all).find((v) => v.model.name === "upper");
            const box = view.el.getBoundingClientRect();
            return [box.x + view.frame.x_scale.compute(x), box.y + view.frame.y_scale.compute(y)]; }""",
            [int(last.step), float(last.mastery)],
        )
        page.mouse.move(*where)
        page.wait_for_selector(".bk-Tooltip")
        said = page.locator(".bk-Tooltip").first.evaluate(DEEP)
        assert last.skill in said
        assert f"{last.p2:.3f}" in said


def test_sorting_students_and_skills(running: Any, path: Path) -> None:
    with opened(running, path) as page:
        page.click("#skill-table th:nth-child(2) button")
        steps = [int(text.replace(",", "")) for text in texts(page, "#skill-table tbody td:nth-child(2)")]
        assert steps == sorted(steps, reverse=True)
        assert page.get_attribute("#skill-table th:nth-child(2)", "aria-sort") == "descending"
        page.click("#skill-table th:nth-child(5) button")
        assert texts(page, "#skill-table tbody td:nth-child(5)")[-1] == "-", "what is missing stays last"
        page.click("nav a[data-view=students]")
        page.click("#student-table [data-key=mastery]")
        final = [float(text) for text in texts(page, "#student-table tbody td:nth-child(4)")]
        assert final == sorted(final, reverse=True)
        page.click("#student-table [data-key=auc2]")
        known = [text for text in texts(page, "#student-table tbody td:nth-child(3)") if text != "-"]
        assert known == sorted(known, key=float, reverse=True)
        assert len(known) > 5
        page.click("#student-table [data-key=name]")
        assert texts(page, "#student-table tbody button")[:3] == ["s0", "s1", "s2"]


def test_the_table_of_steps_is_copied(running: Any, path: Path, cells: pd.DataFrame) -> None:
    with opened(running, path) as page:
        page.click("nav a[data-view=students]")
        choose(page, "s3")
        note = "window.copied = document.querySelector('body > textarea').value"
        page.evaluate(f"document.addEventListener('copy', () => {{ {note} }})")
        page.click("[data-copy-table=step-table]")
        assert page.inner_text("[data-copy-table=step-table]") == "Copied"
        head, *rows = [line.split("\t") for line in page.evaluate("window.copied").splitlines()]
        assert len(rows) == (cells.student == "s3").sum()
        assert {len(row) for row in rows} == {len(head)}
        assert {"step", "skill"} <= set(head)


def test_switching_to_what_is_believed_at_the_end(running: Any, path: Path, cells: pd.DataFrame) -> None:
    heights = "() => [...Bokeh.documents.map((d) => d.get_model_by_name('marks')).find(Boolean).data.y]"
    with opened(running, path, "#students") as page:
        choose(page, "s17")
        own = cells[cells.student == "s17"]
        assert sum(page.evaluate(heights)) == pytest.approx(own.mastery.sum(), abs=0.02)
        page.check("[name=belief][value=mastery_final]")
        assert sum(page.evaluate(heights)) == pytest.approx(own.mastery_final.sum(), abs=0.02)
        page.select_option("#span", "20")
        page.wait_for_function(f"() => ({POINT})().x_range.end - ({POINT})().x_range.start < 23")


def test_the_class_shows_mastery_now(running: Any, path: Path, folder: Path) -> None:
    now = mastery_now(pd.read_parquet(folder / "trajectories.parquet"))
    with opened(running, path, "#class") as page:
        page.select_option("#class-students", "name")
        page.select_option("#class-skills", "name")
        assert texts(page, "#class-table tbody th button")[:2] == ["s0", "s1"]
        own = now[now.student == "s0"].sort_values("skill")
        shown = texts(page, "#class-table tbody tr:first-child td:not(.none)")
        assert [int(text.split()[0]) for text in shown[1:]] == [round(100 * x) for x in own.mastery]
        assert "1 to 50 of 60" in page.inner_text("#class-page")
        page.click("#class-next")
        assert page.is_disabled("#class-next")
        page.click("#class-table tbody th button >> nth=0")
        page.wait_for_selector("#students:not([hidden])")
        assert page.inner_text("#student-name") == "s50"


def test_edges_a_student_of_one_step_and_a_skill_that_nobody_practised(running: Any, path: Path) -> None:
    with opened(running, path, "#students") as page:
        choose(page, "s59")
        assert "1 step, 1 skill" in page.inner_text("#student-facts")
        assert page.locator("#step-table tbody tr").count() == 1
        page.goto(page.url.replace("#students", "#skills"))
        page.click("text=never practised")
        assert "No test student practised this skill" in page.inner_text("#skill-says")


def test_a_keyboard_reaches_every_control(running: Any, path: Path) -> None:
    with opened(running, path, "#students") as page:
        page.focus("#find")
        reached = set()
        for _ in range(100):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id || document.activeElement.className || ''"))
        assert {"sort", "link", "span", "step", "copy"} <= reached
        page.focus("#student-table tbody button >> nth=1")
        page.keyboard.press("Enter")
        second = texts(page, "#student-table tbody button")[1]
        page.wait_for_function("(name) => document.getElementById('student-name').textContent === name", arg=second)


def test_it_fits_a_narrow_window_in_both_schemes(running: Any, path: Path) -> None:
    with opened(running, path, viewport={"width": 1024, "height": 768}) as page:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for view in ("report", "students", "class"):
                page.click(f"nav a[data-view={view}]")
                assert page.evaluate("document.documentElement.scrollWidth") <= 1024, view
            ink, ground = (
                sum(map(int, page.evaluate(f"getComputedStyle(document.body).{name}").strip("rgb()").split(",")))
                for name in ("color", "backgroundColor")
            )
            assert (ink > ground) == (scheme == "dark")
            muted = "getComputedStyle(document.body).getPropertyValue('--muted').trim()"
            page.wait_for_function(f"() => ({LABELS})() === {muted}")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_names_do_nothing(running: Any, tmp_path: Path) -> None:
    tables = named_tables(EVIL, EVIL[:8], num_students=len(EVIL))
    tables.predictions["item"] = [EVIL[i % len(EVIL)] for i in range(len(tables.predictions))]
    folder = made_run(tmp_path / "run", tables, name=EVIL[0])
    page_file = folder / "report.html"
    page_file.write_text(run_page(made_content(folder)), encoding="utf-8")
    with opened(running, page_file) as page:
        page.click("#skill-table tbody button >> nth=2")
        assert page.title().startswith(EVIL[0])
        page.goto(page.url.partition("#")[0] + "#students")
        for name in EVIL[:5]:
            choose(page, name)
            box = page.locator("[data-chart=chart-student]").bounding_box()
            for share in (0.3, 0.6, 0.9):
                page.mouse.move(box["x"] + share * box["width"], box["y"] + 40)
        page.goto(page.url.replace("#students", "#class"))
        page.wait_for_selector("#class-table tbody tr")
        assert page.locator("main img, main script[src], .bk-Tooltip img").count() == 0


NAMED = {"button", "link", "searchbox", "combobox", "slider", "radio", "checkbox", "columnheader", "rowheader", "image"}
"""Roles that say nothing without a name."""


def spoken(page: Any) -> list[tuple[str, str]]:
    """Role and name of each node that assistive technology is told of."""
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    said = [node for node in tree if not node["ignored"]]
    return [(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in said]


def test_assistive_technology_is_told_of_every_control_and_picture(running: Any, path: Path) -> None:
    has = {
        "report": {"link", "button"},
        "students": {"searchbox", "slider", "radio"},
        "class": {"combobox", "checkbox"},
    }
    with opened(running, path) as page:
        for view, roles in has.items():
            page.click(f"nav a[data-view={view}]")
            page.wait_for_timeout(500)
            found = spoken(page)
            assert roles <= {role for role, _ in found}, view
            assert [role for role, name in found if role in NAMED and not name] == [], view
            charts = page.locator("[data-chart]:visible, svg[role=img]:visible").count()
            assert sum(role == "image" for role, _ in found) >= charts, view
        page.click("nav a[data-view=students]")
        page.evaluate("document.querySelector('label[for=find]').remove()")
        page.evaluate("document.querySelector('#find').removeAttribute('placeholder')")
        assert ("searchbox", "") in spoken(page), "the check has teeth"


def test_the_page_of_a_search(running: Any, tmp_path: Path) -> None:
    made = [(n, {"loss.bce1": 0.01 * n, "optimizer.lr": 1e-4 * (n * 7 % 30 + 1)}) for n in range(30)]
    jobs = [([f"{k}={x:.5f}" for k, x in given.items()], "done", (0.7 + 0.001 * n, 0.7)) for n, given in made]
    folder = write_sweep(tmp_path / "s", [*jobs, (["loss.bce1=9"], "failed", None)])
    summarize(folder)
    with opened(running, write_sweep_page(folder), viewport={"width": 1024, "height": 768}) as page:
        page.wait_for_function("() => [...document.querySelectorAll('[data-chart]')].every((c) => c.children.length)")
        assert page.locator("[data-chart]").count() == 3
        assert [role for role, name in spoken(page) if role in NAMED and not name] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 1024
        page.click("#ranking-1 th button >> nth=0")
        assert texts(page, "#ranking-1 tbody th")[0] == "29"


def shown_in_a_notebook(page: Page, path: Path) -> Path:
    """What a notebook's output is: a piece of a page, which did not make it."""
    path.write_text(f'<!doctype html><html data-ready="yes"><h1>cells</h1>{page._repr_html_()}</html>')
    return path


def test_a_run_and_a_models_students_work_within_a_notebook(running: Any, path: Path, tmp_path: Path) -> None:
    report = shown_in_a_notebook(Page(path.read_text()), tmp_path / "report.html")
    with opened(running, report) as page:
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for()
        frame.locator("nav a[data-view=students]").click()
        frame.locator("#student-table tbody button").first.click()
        assert frame.locator("#step-table tbody tr").count() > 0
        assert page.inner_text("h1") == "cells", "the notebook is still there"
    table = table_of(random_log(num_students=5, longest=20))
    with opened(running, shown_in_a_notebook(trained().show(table), tmp_path / "show.html")) as page:
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready]").wait_for()
        assert set(frame.locator("#student-table tbody button").all_inner_texts()) == set(table["student"])
        frame.locator("nav a[data-view=class]").click()
        assert frame.locator("#class-table tbody tr").count() == table["student"].nunique()
        frame.locator("#class-table tbody th button").first.click()
        assert frame.locator("#at-step").inner_text().startswith("Step 0")
