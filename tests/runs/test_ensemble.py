"""Several models as one: the mean of what they say by hand, how far apart they are, and who may be in one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_trained import ITEMS, apart_items, content_with, history, steps_of, table_of, trained

import gainkt
from conftest import random_log
from gainkt.data.loader import WindowDataset
from gainkt.data.windows import cut_windows
from gainkt.errors import ConfigError
from gainkt.model import GainKT
from gainkt.runs.averaging import mean_of
from gainkt.runs.ensemble import Ensemble
from gainkt.runs.trained import TrainedModel

LOG = apart_items(random_log(num_students=9, longest=20, seed=1))
TABLE = table_of(LOG)
SPREAD = ["p1_std", "p2_std", "mastery_std"]
CLOSE = 1e-6


def ensemble() -> Ensemble:
    return Ensemble([trained(), trained(seed=1), trained("v4_items_attention")])


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


def logits_of(network: GainKT) -> dict[str, np.ndarray]:
    """Both encoders' logits of LOG's steps, straight from a network."""
    windows = cut_windows(LOG, np.arange(LOG.num_students), 1000, 0)
    data = WindowDataset(LOG, windows, np.full(LOG.num_students, -1), np.arange(len(ITEMS)))
    batch = data.__getitems__(range(len(windows)))
    with torch.inference_mode():
        output = network(batch)
    return {f"p{n}": getattr(output, f"logit{n}_BT")[batch.valid_BT].double().numpy() for n in (1, 2)}


def test_probabilities_are_averaged_in_logits_and_masteries_as_they_are() -> None:
    made = ensemble()
    own, found = [member.predict(TABLE) for member in made.members], made.predict(TABLE)
    logits = [logits_of(member.network) for member in made.members]
    assert list(found) == [*own[0], *SPREAD]
    for name in ("p1", "p2"):
        apart = np.stack([table[name].to_numpy() for table in own])
        expected = 1 / (1 + np.exp(-np.mean([one[name] for one in logits], axis=0)))
        assert np.abs(found[name] - expected).max() < CLOSE
        assert np.abs(found[name] - apart.mean(0)).max() > 1e-4, "it is not the mean of the probabilities"
        assert np.abs(found[f"{name}_std"] - apart.std(0)).max() < CLOSE
    for row in range(len(TABLE)):
        apart = np.array([table["mastery_by_skill"][row] for table in own])
        mean = apart.mean(0)
        assert np.allclose(found["mastery_by_skill"][row], mean, atol=CLOSE)
        assert found["mastery"][row] == pytest.approx(mean.min(), abs=CLOSE)
        assert found["mastery_std"][row] == pytest.approx(apart.std(0)[mean.argmin()], abs=CLOSE)


def test_an_ensemble_of_one_is_that_model_to_the_bit() -> None:
    model, one = trained("v4_items_attention"), Ensemble([trained("v4_items_attention")])
    calls: list[Callable[[TrainedModel], pd.DataFrame]] = [
        lambda m: m.predict(TABLE),
        lambda m: m.predict_beside(TABLE),
        lambda m: m.mastery(TABLE, threshold=0.6, look_ahead=4),
        lambda m: m.outlook(m.observe(m.start(), skill=["k1", "k2"], item="i3", correct=True)),
        lambda m: m.outlook(m.start(2), {"i1": ["k1", "k2"]}),
    ]
    for call in calls:
        own, found = call(model), call(one)
        assert found[list(own)].equals(own)
        assert (found[SPREAD] == 0).all(axis=None)


def test_models_that_say_the_same_have_no_spread() -> None:
    same = [TrainedModel(content_with("v4_belief", f"model.size.dropout={x}")) for x in (0.1, 0.2, 0.3)]
    found, own = Ensemble(same).predict(TABLE), same[0].predict(TABLE)
    assert (found[SPREAD] == 0).all(axis=None)
    assert found[list(own)].equals(own)
    mean = mean_of(*[[torch.tensor([1.0]), torch.tensor([-1.0])]] * 2, [torch.tensor([0.0]), torch.tensor([1.0])])
    assert [round(float(x), 4) for x in mean] == [0.5, 0.5, 0.5, 0.2311, 0.2311, 0.5]


def test_answer_by_answer_it_says_what_it_says_of_the_table() -> None:
    made, table = ensemble(), history(25)
    whole, trace, many = made.predict(table), made.start(), [made.start(), made.start()]
    for number, answer in enumerate(steps_of(table)):
        now = made.outlook(trace, {answer["item"]: answer["skill"]}).iloc[0]
        for name in ("p1", "p2", "mastery", *SPREAD):
            assert abs(now[name] - whole[name][number]) < CLOSE, (number, name)
        trace = made.observe(trace, **answer)
        many = made.observe(many, **{key: [value, value] for key, value in answer.items()})
    after = made.mastery(table, every_skill=True).set_index("skill")
    for one in (trace, made.restore(trace.to_bytes()), *many, many[0].select([0])):
        assert one.answers == [25]
        columns = ["mastery", "p1", "p2", *SPREAD]
        assert np.abs(made.outlook(one)[columns] - after[columns]).max(axis=None) < CLOSE


def test_right_answers_that_are_missing_are_those_of_the_mean() -> None:
    made, table = ensemble(), history(8)
    threshold = float(made.mastery(table)["mastery"].median()) + 0.02
    found = made.mastery(table, threshold=threshold, look_ahead=3).set_index("skill")
    trace = made.start()
    for answer in steps_of(table):
        trace = made.observe(trace, **answer)
    for skill, row in found.iterrows():
        now, needed = trace, np.nan
        for answers in range(4):
            if made.outlook(now)["mastery"][skill] >= threshold:
                needed = answers
                break
            now = made.observe(now, skill=skill, correct=True)
        assert row["right_answers_missing"] == needed or (np.isnan(needed) and np.isnan(row["right_answers_missing"]))
        assert row["missing"] == pytest.approx(max(threshold - row["mastery"], 0), abs=1e-9)
    assert found["right_answers_missing"].nunique() > 1, "or nothing is seen"


def test_unknown_skills_are_typical_ones_to_each_member() -> None:
    made, strange = ensemble(), TABLE.assign(skill=TABLE["skill"].str.replace("k2", "Logarithms"))
    own = [member.predict(strange, unknown_skills="prior") for member in made.members]
    found = made.predict(strange, unknown_skills="prior")
    expected = 1 / (1 + np.exp(-np.mean([logit(table["p2"]) for table in own], axis=0)))
    assert np.abs(found["p2"] - expected).max() < 1e-5
    assert found["note"].equals(own[0]["note"])


def test_who_may_not_be_in_one() -> None:
    whole, other = content_with(), content_with(seed=1)
    others = {
        "second: skills are others .2 are in one of the two only, 'k6' among them. than in first; give runs": replace(
            whole, skills=(*whole.skills[:-1], "kx")
        ),
        "second: skills are others .the same in another order. than in first": replace(
            whole, skills=whole.skills[::-1]
        ),
        "second: items are others .2 are": replace(whole, items=(*whole.items[:-1], "ix")),
        "second: dataset.window_length is 7, and 1024 in first": replace(other, windows={"length": 7, "context": 256}),
        "second: dataset.read.student is user, and None in first": replace(other, reading={"student": "user"}),
    }
    for message, content in others.items():
        with pytest.raises(ConfigError, match=message) as caught:
            Ensemble([TrainedModel(whole), TrainedModel(content)], ["first", "second"])
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"third: the same model as first \(digest \w{8}\), which would count twice"):
        Ensemble([trained(), trained(seed=1), TrainedModel(whole)], ["first", "second", "third"])
    with pytest.raises(ConfigError, match="an ensemble of no run"):
        gainkt.load([])


def test_what_only_one_model_can_do_is_refused_in_a_line(tmp_path: Path) -> None:
    made = ensemble()
    trace = made.start()
    for name, use in {
        "save": lambda: made.save(tmp_path / "x.gainkt"),
        "export": lambda: made.export(tmp_path / "x"),
        "explain": lambda: made.explain(trace, skill="k1"),
        "show": lambda: made.show(TABLE),
    }.items():
        with pytest.raises(ConfigError, match=rf"^{name}: not of an ensemble: .*; ask one of its 3 members$"):
            use()
    assert made.scorecard is None
    assert not list(tmp_path.iterdir())
    assert made.name == "ensemble of 3: v4_belief, v4_items_attention"


def test_a_trace_is_its_own_and_damage_ends_in_a_line() -> None:
    made, other = ensemble(), Ensemble([trained(seed=1), trained()])
    trace = made.observe(made.start(), skill="k1", correct=True)
    for use in (
        lambda: other.observe(trace, skill="k1", correct=True),
        lambda: other.outlook(trace),
        lambda: other.restore(trace.to_bytes()),
    ):
        with pytest.raises(ConfigError, match=f"belongs to model {made.digest}, this is model {other.digest}"):
            use()
    with pytest.raises(ConfigError, match="a Trace is no trace of an ensemble"):
        made.outlook(trained().start())
    whole = trace.to_bytes()
    mark, digest, sizes, parts = whole.split(b"\n", 3)
    head = b"\n".join([mark, digest, b""])
    later = made.observe(trace, skill="k1", correct=True)
    mixed = replace(trace, parts=(*trace.parts[:-1], later.parts[-1])).to_bytes()
    own = trace.parts[0].to_bytes()
    for data in (b"", whole[:-3], mark, head, head + b"1 2\n" + parts, head + sizes + b" 0\n" + parts, mixed, own, "x"):
        with pytest.raises(ConfigError, match="a student's state: ") as caught:
            made.restore(data)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_a_list_of_bundles_is_an_ensemble(tmp_path: Path) -> None:
    paths = [trained(seed=seed).save(tmp_path / f"{seed}.gainkt") for seed in (0, 1)]
    made = gainkt.load(paths)
    assert isinstance(made, Ensemble)
    assert made.digest == Ensemble([trained(), trained(seed=1)]).digest
    assert isinstance(gainkt.load(paths[:1]), Ensemble)
    with pytest.raises(ConfigError, match=f"{paths[1]}: the same model as {paths[1]}"):
        gainkt.load([paths[0], paths[1], str(paths[1])])
