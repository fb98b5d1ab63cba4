"""A table of answers in, predictions and mastery out, whoever the students are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_trained import ITEMS, V4, apart_items, content_with, table_of, trained

from conftest import random_log
from gainkt.data.loader import WindowDataset
from gainkt.data.windows import cut_windows
from gainkt.errors import ConfigError, DataError
from gainkt.model.readout import probability
from gainkt.runs.trained import TrainedModel, load

NUMBERS = ["p1", "p2", "mastery"]
LOG = apart_items(random_log(num_students=12, longest=30, seed=1))
TABLE = table_of(LOG)
SHUFFLED = TABLE.assign(at=range(len(TABLE))).sample(frac=1, random_state=0)


def apart(one: pd.DataFrame, other: pd.DataFrame) -> float:
    return float(np.abs(one[NUMBERS].to_numpy() - other[NUMBERS].to_numpy()).max())


@pytest.mark.parametrize("experiment", V4)
def test_predictions_are_those_of_the_model_on_whole_histories(experiment: str) -> None:
    model = trained(experiment)
    windows = cut_windows(LOG, np.arange(LOG.num_students), 1000, 0)
    data = WindowDataset(LOG, windows, np.full(LOG.num_students, -1), np.arange(len(ITEMS)))
    batch = data.__getitems__(range(len(windows)))
    with torch.inference_mode():
        output = model.network(batch)
    found = model.predict(TABLE)
    for name, logit in {"p1": output.logit1_BT, "p2": output.logit2_BT}.items():
        assert np.abs(found[name].to_numpy() - probability(logit[batch.valid_BT]).numpy()).max() < 1e-6
    lowest = output.mastery_before_BTS.masked_fill(~batch.has_skill_BTS, 2.0).amin(2)[batch.valid_BT]
    assert np.abs(found["mastery"].to_numpy() - lowest.numpy()).max() < 1e-6


def test_rows_keep_their_order_and_index() -> None:
    found = trained().predict(SHUFFLED, order="at")
    assert found.index.equals(SHUFFLED.index)
    assert apart(found.sort_index(), trained().predict(TABLE)) < 1e-6
    assert found["note"].isna().all()
    by_skill = found["mastery_by_skill"]
    assert by_skill.map(len).equals(SHUFFLED["skill"].str.count(";") + 1)
    assert np.allclose(by_skill.map(min), found["mastery"])


def test_a_blank_response_is_predicted_and_not_learnt_from() -> None:
    blank = TABLE.assign(correct=TABLE["correct"].where(np.arange(len(TABLE)) % 3 > 0))
    found = trained().predict(blank)
    told = blank["correct"].notna()
    assert apart(found[told], trained().predict(blank[told])) < 1e-6
    assert found["note"].notna().equals(~told)
    for row in [0, 3, 30, 60]:
        history = blank[(blank["student"] == blank["student"][row]) & (blank.index < row) & told]
        alone = trained().predict(pd.concat([history, blank.loc[[row]]])).loc[[row]]
        assert apart(alone, found.loc[[row]]) < 1e-6
        right = trained().predict(pd.concat([history, blank.loc[[row]].assign(correct=1)])).loc[[row]]
        assert apart(right, alone) < 1e-6, "what the response would be says nothing"


def test_one_student_one_answer_and_an_unknown_one() -> None:
    model = trained()
    one = model.predict(pd.DataFrame({"student": ["x"], "skill": ["k3"], "item": ["i2"], "correct": [1]}))
    asked = model.predict(pd.DataFrame({"student": ["x"], "skill": ["k3"], "item": ["i2"], "correct": [None]}))
    assert apart(one, asked) < 1e-6
    without = model.predict(pd.DataFrame({"student": ["x"], "skill": ["k3"], "correct": [None]}), item=None)
    assert without["p2"][0] != asked["p2"][0], "an item has a difficulty"
    new_item = model.predict(pd.DataFrame({"student": ["x"], "skill": ["k3"], "item": ["?"], "correct": [None]}))
    assert apart(without, new_item) < 1e-6, "one that the model does not know is of average difficulty"


def test_students_do_not_touch_each_other() -> None:
    found = trained().predict(TABLE)
    for name, rows in TABLE.groupby("student"):
        assert apart(trained().predict(rows), found.loc[rows.index]) < 1e-6, name


def test_unknown_skills_fail_are_skipped_or_are_typical() -> None:
    model, half = trained(), TABLE["student"] < "s5"
    strange = TABLE.assign(skill=TABLE["skill"].mask(half, TABLE["skill"].str.replace("k2", "Logarithms")))
    with pytest.raises(DataError, match=r"'Logarithms' is unknown to the model, which knows 7 skills.*prior"):
        model.predict(strange)
    with pytest.raises(ConfigError, match="unknown_skills=skp: no such choice; did you mean 'skip'"):
        model.predict(strange, unknown_skills="skp")
    alone, with_others = strange["skill"] == "Logarithms", strange["skill"].str.contains("Logarithms;|;Logarithms")
    skipped = model.predict(strange, unknown_skills="skip")
    assert skipped["p2"].isna().equals(alone)
    assert skipped["note"].notna().equals(alone | with_others)
    rest = strange[~alone].assign(skill=strange["skill"].str.replace("Logarithms;|;Logarithms", "", regex=True))
    assert apart(skipped[~alone], model.predict(rest)) < 1e-6
    typical = model.predict(strange, unknown_skills="prior")
    assert typical[NUMBERS].notna().all(axis=None)
    assert typical["note"].notna().equals(alone | with_others)
    assert apart(typical[~half], model.predict(TABLE)[~half]) < 1e-6


def test_long_histories_go_in_pieces() -> None:
    long = table_of(apart_items(random_log(num_students=3, longest=90, seed=2)))
    whole, cut = TrainedModel(content_with()), TrainedModel(content_with(windows={"length": 7, "context": 2}))
    assert apart(whole.predict(long), cut.predict(long)) < 1e-6


def test_columns_are_those_of_the_training_data_unless_said() -> None:
    reading = {"student": "user", "skill": "kc", "correct": "score", "item": "problem", "responses": {"ok": 1, "no": 0}}
    model = TrainedModel(content_with(reading=reading))
    words = TABLE.assign(correct=TABLE["correct"].map({1: "ok", 0: "no"}))
    named = words.rename(columns={"student": "user", "skill": "kc", "correct": "score", "item": "problem"})
    assert apart(model.predict(named), trained().predict(TABLE)) < 1e-6
    with pytest.raises(DataError, match="no column 'user'"):
        model.predict(TABLE)
    with pytest.raises(ConfigError, match=r"studnt: no such setting of gainkt\.read; did you mean 'student'"):
        model.predict(named, studnt="x")
    mixed = model.predict(named.rename(columns={"user": "uid"}), student="uid")
    assert apart(mixed, trained().predict(TABLE)) < 1e-6


def test_rows_that_do_not_count_have_no_prediction() -> None:
    twice = pd.concat([TABLE.assign(attempt=1), TABLE.head(5).assign(attempt=2)], ignore_index=True)
    found = trained().predict(twice, only={"attempt": 1})
    assert found["p2"].isna().sum() == 5
    assert set(found["note"][found["p2"].isna()]) == {"left out in reading"}
    assert apart(found[:-5], trained().predict(TABLE)) < 1e-6


def test_mastery_is_what_the_next_answer_would_be_predicted_from() -> None:
    model, table = trained(), trained().mastery(SHUFFLED, order="at", threshold=0.6)
    pairs = TABLE.assign(skill=TABLE["skill"].str.split(";")).explode("skill").reset_index(names="row")
    counts = pairs.groupby(["student", "skill"])["row"].agg(opportunities="size", last="max")
    found = table.set_index(["student", "skill"])
    assert found["opportunities"].to_dict() == counts["opportunities"].to_dict()
    assert found["last_practised"].to_dict() == counts["last"].to_dict()
    asked = found.reset_index()[["student", "skill"]].assign(correct=None)
    asked = asked.assign(item=[f"?{row}" for row in asked.index], at=10_000 + asked.index)
    after = model.predict(pd.concat([SHUFFLED, asked]), order="at").tail(len(asked))
    assert apart(after, table) < 1e-6
    assert np.allclose(table["missing"], np.maximum(0.6 - table["mastery"], 0))


def test_mastery_of_every_skill_and_the_answers_that_are_missing() -> None:
    model = trained()
    table = model.mastery(TABLE, every_skill=True, threshold=0.7, look_ahead=4)
    assert len(table) == LOG.num_students * 7
    never = table["opportunities"] == 0
    assert table["last_practised"].isna().equals(never)
    reached = table["mastery"] >= 0.7
    assert (table["right_answers_missing"] == 0).equals(reached)
    open_ = table[table["right_answers_missing"] > 0]
    for row in open_.head(3).itertuples():
        needed = int(row.right_answers_missing)
        more = pd.DataFrame({"student": row.student, "skill": row.skill, "item": "?", "correct": [1] * needed})
        for number in (needed, needed - 1):
            again = model.mastery(pd.concat([TABLE, more.head(number)]), threshold=0.7, every_skill=True)
            now = again[(again["student"] == row.student) & (again["skill"] == row.skill)]
            assert (now["mastery"].iloc[0] >= 0.7) == (number == needed)
    with pytest.raises(ConfigError, match="threshold=95"):
        model.mastery(TABLE, threshold=95)


def test_a_log_is_taken_as_it_is() -> None:
    assert apart(trained().predict(LOG), trained().predict(TABLE)) < 1e-6
    empty = replace(LOG, items=np.full_like(LOG.items, -1), item_names=np.array([], dtype=np.str_))
    assert apart(trained().predict(empty), trained().predict(TABLE, item=None)) < 1e-6


def test_what_is_no_model_ends_in_one_line(tmp_path) -> None:
    with pytest.raises(ConfigError, match="no such run or bundle"):
        load(tmp_path / "missing.gainkt")
    with pytest.raises(ConfigError, match="not the folder of a run"):
        load(tmp_path)


def test_what_cannot_be_meant_is_one_line(tmp_path: Path) -> None:
    model, trace = trained(), trained().start()
    path = model.save(tmp_path / "m.gainkt")
    wrong = {
        "students=-1: a whole number, 1": lambda: model.start(-1),
        "students=2.5": lambda: model.start(2.5),
        "look_ahead=-1": lambda: model.mastery(TABLE, look_ahead=-1),
        "look_ahead=1.5": lambda: model.explain(trace, skill="k1", look_ahead=1.5),
        "threshold=1.5": lambda: model.explain(trace, skill="k1", threshold=1.5),
        "correct is <NA>, not": lambda: model.observe(trace, skill="k1", correct=pd.NA),
        "correct: 2 given for 1 students": lambda: model.observe(trace, skill="k1", correct=np.array([[1]] * 2)),
        "a str is no trace": lambda: model.observe("anna", skill="k1", correct=True),
        "a list is no trace": lambda: model.outlook([trace, trace]),
        "items: name each with its skill": lambda: model.outlook(trace, items=["i1"]),
        "items: name each": lambda: model.outlook(trace, items={}),
        "a str is no bytes": lambda: model.restore("abc"),
        "a int is no bytes": lambda: model.restore(10**12),
        "a folder; give the name of the file too": lambda: model.save(tmp_path),
        "phase=late: .*m.gainkt is no run's folder": lambda: load(path, phase="late"),
    }
    for said, use in wrong.items():
        with pytest.raises((ConfigError, DataError), match=said) as caught:
            use()
        assert "\n" not in str(caught.value)
