"""An explanation adds up to the prediction, and what it promises is what the model says then."""

import numpy as np
import pytest
from made_trained import SKILLS, V4, history, steps_of, trained

from gainkt.errors import ConfigError, DataError
from gainkt.runs import tracer


def traced(model, length: int = 15):
    trace = model.start()
    for answer in steps_of(history(length)):
        trace = model.observe(trace, **answer)
    return trace


@pytest.mark.parametrize("experiment", [*V4, "v1_per_skill", "l23_per_step", "v0_scalar"])
def test_the_parts_add_up_to_the_prediction(experiment: str) -> None:
    model = trained(experiment)
    trace = traced(model, 9)
    for skill, item in (("k1", "i3"), ("k4", None)):
        found = model.explain(trace, skill=skill, item=item, look_ahead=0)
        now = model.outlook(trace, {item or "?": skill}).iloc[0]
        chain, table = found.chain, found.table
        assert abs(table["argument"].sum() - chain["argument"]) < 1e-6
        assert abs(table["logit"].sum() - chain["logit"]) < 1e-6
        assert abs(1 / (1 + np.exp(-chain["argument"])) - chain["level"]) < 1e-6
        assert abs(chain["level"] * chain["saturation"] - chain["mastery"]) < 1e-6
        assert abs(chain["readout"] - chain["difficulty"] - chain["logit"]) < 1e-6
        assert abs(chain["mastery"] - now["mastery"]) < 1e-6
        assert abs(chain["p2"] - now["p2"]) < 1e-6


def test_each_answer_stands_with_what_it_brought() -> None:
    model = trained()
    found = model.explain(traced(model), skill="k2").table
    answers = found[found["answer"].notna()]
    table = history(15)
    assert answers["of"].tolist() == table["skill"].tolist()
    assert answers["correct"].tolist() == table["correct"].tolist()
    own = table["skill"].str.split(";").map(lambda skills: "k2" in skills)
    assert (answers["part"] == "own gain").tolist() == own.tolist()
    assert answers["gain"].between(0, 1).all()
    assert set(found["part"]) == {
        *("initial mastery", "own gain", "transferred gain", "velocity", "readiness", "item difficulty"),
    }
    nobody = model.explain(model.start(), skill="k2").table
    assert nobody["part"].tolist() == ["initial mastery", "velocity", "readiness", "item difficulty"]


def test_what_is_not_in_the_journal_is_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracer, "JOURNAL", 10)
    model = trained("v4_monotone")
    trace = traced(model)
    found = model.explain(trace, skill="k2")
    assert found.table["part"].tolist()[1] == "earlier answers"
    assert found.table["answer"].dropna().tolist() == [10, 11, 12, 13, 14]
    assert abs(found.chain["p2"] - model.outlook(trace)["p2"]["k2"]) < 1e-6
    several = model.explain(model.observe(model.start(3), skill=["k1"] * 3, correct=[1, 0, 1]).select([1]), skill="k1")
    assert several.table["part"].tolist()[:2] == ["initial mastery", "earlier answers"]


def test_what_would_change_it_is_what_the_model_says_then() -> None:
    model = trained()
    trace = traced(model)
    found = model.explain(trace, skill="k3", look_ahead=4)
    then = trace
    for right in range(5):
        row = found.changes[(found.changes["right"] == right) & (found.changes["wrong"] == 0)].iloc[0]
        now = model.outlook(then).loc["k3"]
        assert abs(row["mastery"] - now["mastery"]) < 1e-6
        assert abs(row["p2"] - now["p2"]) < 1e-6
        then = model.observe(then, skill="k3", correct=True)
    wrong = model.outlook(model.observe(trace, skill="k3", correct=False)).loc["k3"]
    assert abs(found.changes.iloc[0]["mastery"] - wrong["mastery"]) < 1e-6


def test_it_says_what_brings_mastery_over_the_threshold() -> None:
    model = trained()
    trace = traced(model)
    for skill in SKILLS:
        found = model.explain(trace, skill=skill, look_ahead=6)
        levels = found.changes[found.changes["wrong"] == 0]["mastery"].to_list()
        if levels[1] < max(levels) > levels[0]:
            break
    best = int(np.argmax(levels))
    between = (max(levels[:best]) + levels[best]) / 2
    said = model.explain(trace, skill=skill, look_ahead=6, threshold=between).would
    assert said.startswith(f"{best} more right answer"), said
    assert "already" in model.explain(trace, skill=skill, threshold=levels[0] - 0.01).would
    limit = found.chain["saturation"]
    assert "tends to" in model.explain(trace, skill=skill, threshold=(1 + limit) / 2).would
    assert "do not bring it over" in model.explain(trace, skill=skill, threshold=limit - 1e-6, look_ahead=2).would
    assert "initial mastery" in str(found)


def test_what_cannot_be_explained_ends_in_one_line() -> None:
    model = trained()
    with pytest.raises(DataError, match="skill 'x' is unknown"):
        model.explain(model.start(), skill="x")
    with pytest.raises(ConfigError, match="2 students; give the trace of one"):
        model.explain(model.start(2), skill="k1")
