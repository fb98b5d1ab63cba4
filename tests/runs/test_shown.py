"""The explorer of students that somebody brings says what predict, mastery and explain say."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from made_trained import apart_items, table_of, trained

from conftest import random_log
from gainkt.errors import ConfigError, DataError
from gainkt.runs.shown import students_content
from gainkt.runs.trained import TrainedModel

TABLE = table_of(apart_items(random_log(num_students=6, longest=30)))
PARTS = {"own gain": "own", "transferred gain": "transferred", "initial mastery": "initial", "velocity": "velocity"}
SUMS = {**PARTS, "readiness": "readiness", "item difficulty": "item"}


def content(model: TrainedModel, table: pd.DataFrame, unknown_skills: str = "fail", rows: int = 10**6) -> dict:
    return students_content(model, model._read(table, {})[0], unknown_skills, rows, 0)


def test_it_is_what_predict_and_mastery_say() -> None:
    model, table = trained(), pd.concat([TABLE.head(1).assign(student="of one answer"), TABLE], ignore_index=True)
    found, said = content(model, table), model.predict(table)
    steps = found["cells"].drop_duplicates(["student", "step"]).set_index(["student", "step"])
    places = pd.MultiIndex.from_arrays([table["student"], table.groupby("student").cumcount()])
    for name in ("p1", "p2"):
        assert np.abs(steps[name].loc[places].to_numpy() - said[name]).max() < 1e-6
    assert np.abs(steps["before"].loc[places].to_numpy() - said["mastery"]).max() < 1e-6
    both = found["now"].merge(model.mastery(table, every_skill=True), on=["student", "skill"], validate="1:1")
    assert np.abs(both["mastery_x"] - both["mastery_y"]).max() < 1e-6
    assert len(found["students"]) == 7


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_monotone", "v4_items_attention"])
def test_the_parts_of_a_prediction_are_those_of_explain(experiment: str) -> None:
    model = trained(experiment, "model/curve=power") if experiment == "v4_belief" else trained(experiment)
    cells, told = content(model, TABLE)["cells"], 0
    for student, rows in TABLE.groupby("student", sort=False):
        trace, own = model.start(), cells[cells["student"] == student].set_index("step")
        for step, answer in enumerate(rows.itertuples()):
            skills = answer.skill.split(";")
            if len(skills) == 1:
                why = model.explain(trace, skill=skills[0], item=answer.item, look_ahead=1).table
                sums = why.groupby("part")["logit"].sum()
                for part, name in SUMS.items():
                    assert own[f"part_{name}"][step] == pytest.approx(sums.get(part, 0), abs=2e-3), (step, part)
                told += sums.get("transferred gain", 0) > 0.01 and sums.get("own gain", 0) > 0.01
            trace = model.observe(trace, skill=skills, item=answer.item, correct=answer.correct)
    assert told > 10


def test_what_is_not_shown_is_said() -> None:
    model = trained()
    table = TABLE.assign(correct=TABLE["correct"].astype(float)).head(60)
    table.loc[[3, 9], "correct"] = np.nan
    table.loc[[5, 6, 7], "skill"] = "k99"
    with pytest.raises(DataError, match="'k99' is unknown"):
        content(model, table)
    said = content(model, table, "skip")["protocol"]
    assert "2 rows without a response, not shown" in said
    assert "3 rows: skill unknown to the model: left out" in said
    assert "3 rows: skill unknown to the model: taken for a typical one" in content(model, table, "prior")["protocol"]
    assert "A random sample" in content(model, TABLE, rows=10)["sample"]
    with pytest.raises(DataError, match="no answer to show"):
        content(model, TABLE.head(2).assign(correct=None))


def test_it_is_a_page_in_a_notebook() -> None:
    shown = trained().show(TABLE.rename(columns={"student": "pupil"}), student="pupil")
    assert shown._repr_html_().startswith('<iframe sandbox="allow-scripts"')
    assert TABLE["student"][0] in shown.text
    assert 'id="report"' not in shown.text


def test_what_draws_it_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bokeh" else found(name))
    with pytest.raises(ConfigError, match=r"bokeh not installed; pip install 'gainkt\[report\]'"):
        trained().show(TABLE)
