"""The explorer of a page: students step by step, and the class, from tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gainkt.names import visible
from gainkt.reporting.page.charts import student_charts
from gainkt.reporting.page.pack import codes, packed, starts, thousandths
from gainkt.reporting.page.render import rendered

CELLS = ("p1", "p2", "gain", "mastery", "mastery_final", "before")


def students_page(content: Mapping[str, Any]) -> str:
    """Return a page of students alone, without a run's report, as HTML.

    Args:
        content: as `gainkt.runs.shown.students_content` returns it.
    """
    return rendered(
        "students.html",
        title=visible(content["name"]),
        content=content,
        students=student_charts(),
        data=explorer_data(content),
    )


def explorer_data(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """What page.js shows of students and skills: names, packed columns, and where each student's rows begin."""
    cells, now, people, curves = (content[name] for name in ("cells", "now", "students", "curves"))
    if cells is None:
        return None
    shown = people[people["student"].isin(set(cells["student"]))].reset_index(drop=True)
    students, skills = pd.Index(shown["student"]), pd.Index(content["skills"]["skill"])
    student, names = codes(cells["student"], students)
    order = np.argsort(student, kind="stable")
    cells, student = cells.iloc[order], student[order] - 1
    item, items = codes(cells["item"])
    now = now[now["student"].isin(students)]
    now_student = students.get_indexer(pd.Index(now["student"]))
    times = now[["student", "skill"]].merge(
        cells.groupby(["student", "skill"], sort=False)["opportunity"].max().reset_index(), how="left"
    )["opportunity"]
    now_order = np.argsort(now_student, kind="stable")
    curve_skill = skills.get_indexer(pd.Index(curves["skill"]))
    curve_order = np.argsort(curve_skill, kind="stable")
    curves = curves.iloc[curve_order]
    more = {name: cells[name] for name in ("true_mastery",) if name in cells and cells[name].notna().any()}
    parts = [p for p in content["parts"] if cells[p["name"]].notna().any() and cells[p["name"]].ne(0).any()]
    columns = {
        "start": starts(student, len(students)),
        "skill": skills.get_indexer(pd.Index(cells["skill"])),
        "step": cells["step"].to_numpy(),
        "item": item,
        "response": cells["response"].to_numpy(),
        "scored": cells["scored"].to_numpy(dtype=np.uint8),
        **{name: thousandths(cells[name]) for name in CELLS},
        **{name: thousandths(values) for name, values in more.items()},
        **{f"part_{i}": thousandths(cells[part["name"]]) for i, part in enumerate(parts)},
        "students_steps": shown["steps"].to_numpy(),
        "students_skills": shown["skills"].to_numpy(),
        **{f"students_{name}": thousandths(shown[name]) for name in ("right", "auc1", "auc2", "mastery")},
        "now_start": starts(now_student[now_order], len(students)),
        "now_skill": skills.get_indexer(pd.Index(now["skill"]))[now_order],
        "now_mastery": thousandths(now["mastery"].to_numpy()[now_order]),
        "now_count": times.fillna(0).to_numpy(dtype=int)[now_order],
        "skills_met": now.groupby("skill")["student"].size().reindex(skills).fillna(0).to_numpy(dtype=int),
        "skills_mastery": thousandths(now.groupby("skill")["mastery"].mean().reindex(skills)),
        "curve_start": starts(curve_skill[curve_order], len(skills)),
        "curve_n": curves["opportunity"].to_numpy(),
        "curve_students": curves["students"].to_numpy(),
        **{f"curve_{name}": thousandths(curves[name]) for name in ("low", "middle", "high", "right")},
        "skills_initial": thousandths(content["skills"]["initial"]),
    }
    return {
        "students": names[1:],
        "skills": [visible(name) for name in skills],
        "items": items if len(items) > 1 else [],
        "parts": [part["title"] for part in parts],
        "who": content["who"],
        "packed": packed(columns),
    }
