"""Answers one at a time give what the whole history gives, at a cost that does not grow, and survive a restart."""

import pickle

import numpy as np
import pytest
import torch
from made_trained import SKILLS, V4, content_with, history, steps_of, trained

from gainkt.errors import ConfigError, DataError
from gainkt.model.state import State
from gainkt.runs import tracer
from gainkt.runs.trained import TrainedModel, load
from gainkt.runs.vocabulary import Vocabulary

CLOSE = 1e-6


@pytest.mark.parametrize("experiment", V4)
def test_each_prediction_is_that_of_the_whole_history(experiment: str) -> None:
    model, table = trained(experiment), history(40)
    whole, trace = model.predict(table), model.start()
    for number, answer in enumerate(steps_of(table)):
        now = model.outlook(trace, {answer["item"]: answer["skill"]}).iloc[0]
        for name in ("p1", "p2", "mastery"):
            assert abs(now[name] - whole[name][number]) < CLOSE, (number, name)
        trace = model.observe(trace, **answer)
    assert trace.answers == [40]
    after = model.mastery(table, every_skill=True).set_index("skill")
    assert np.abs(model.outlook(trace) - after[["mastery", "p1", "p2"]]).max(axis=None) < CLOSE


@pytest.mark.parametrize("experiment", ["v4_items", "v4_items_attention", "v4_monotone"])
def test_at_any_length_beyond_windows_journals_and_contexts(experiment: str) -> None:
    model, table = (
        trained(experiment, *(["model.encoder1.context=20"] if experiment == "v4_items_attention" else [])),
        history(90),
    )
    whole, trace = TrainedModel(model.content).predict(table), model.start()
    for number, answer in enumerate(steps_of(table)):
        if number % 7 == 0 or number > 80:
            now = model.outlook(trace, {answer["item"]: answer["skill"]}).iloc[0]
            assert abs(now["p1"] - whole["p1"][number]) < CLOSE
            assert abs(now["p2"] - whole["p2"][number]) < CLOSE
        trace = model.observe(trace, **answer)


def test_a_trace_is_never_changed() -> None:
    model = trained()
    start = model.start()
    before = model.outlook(start)
    right, wrong = (model.observe(start, skill="k1", correct=x) for x in (True, False))
    assert model.outlook(start).equals(before)
    assert model.outlook(right)["p2"]["k1"] != model.outlook(wrong)["p2"]["k1"]


@pytest.mark.parametrize("experiment", V4)
def test_a_restart_loses_nothing(experiment: str) -> None:
    model, trace = trained(experiment), trained(experiment).start()
    for answer in steps_of(history(12)):
        trace = model.observe(trace, **answer)
    again = TrainedModel(content_with(experiment))
    restored = again.restore(trace.to_bytes())
    assert again.outlook(restored).equals(model.outlook(trace))
    assert list(restored.journal) == list(trace.journal)
    more = {"skill": "k3", "correct": True}
    assert again.outlook(again.observe(restored, **more)).equals(model.outlook(model.observe(trace, **more)))
    for students in (model.start(3), model.start()):
        assert len(again.restore(students.to_bytes())) == len(students)


def test_another_models_trace_is_refused() -> None:
    one, other = trained(), trained(seed=1)
    trace = other.observe(other.start(), skill="k1", correct=True)
    for use in (
        lambda: one.observe(trace, skill="k1", correct=True),
        lambda: one.observe([trace], skill=["k1"], correct=[True]),
        lambda: one.outlook(trace),
        lambda: one.explain(trace, skill="k1"),
        lambda: one.restore(trace.to_bytes()),
    ):
        with pytest.raises(ConfigError, match=f"belongs to model {other.digest}, this is model {one.digest}"):
            use()


def test_damaged_bytes_end_in_one_line() -> None:
    model = trained("v4_monotone")
    trace = model.start()
    for answer in steps_of(history(5)):
        trace = model.observe(trace, **answer)
    whole = trace.to_bytes()
    mark, digest, _, rest = whole.split(b"\n", 3)
    tensors = {f"now.{name}": x for name, x in tracer._packed(trace.state).items()}

    def packed(**changes) -> bytes:
        named = {**tensors, **{name.replace("__", "/"): x for name, x in changes.items()}}
        content = tracer.save({n: x.contiguous() for n, x in named.items() if x is not None})
        return b"\n".join([mark, digest, tracer._checksum(content), content])

    assert len(model.restore(packed())) == 1
    bad = {
        "nothing": b"",
        "pickle": pickle.dumps({"a": 1}),
        "cut": whole[: len(whole) // 2],
        "another version": whole.replace(b"state-2", b"state-3"),
        "no tensors": mark + b"\n" + digest + b"\n",
        "a tensor is missing": packed(**{"now.steps": None}),
        "another shape": packed(**{"now.skill__practice": torch.zeros(1, 3)}),
        "another type": packed(**{"now.skill__practice": torch.zeros(1, len(SKILLS), dtype=torch.float64)}),
        "not a number": packed(**{"now.skill__practice": torch.full((1, len(SKILLS)), torch.nan)}),
        "a skill that is not there": packed(journal=torch.tensor([[99, -1, 1]], dtype=torch.int32)),
        "an answer that is neither": packed(journal=torch.tensor([[1, -1, 7]], dtype=torch.int32)),
        "one tensor more": packed(**{"now.student__x": torch.zeros(1, 1)}),
    }
    for what, data in bad.items():
        with pytest.raises(ConfigError, match="a student's state: ") as caught:
            model.restore(data)
        assert "\n" not in str(caught.value), what
    for place in range(0, len(whole), 97):  # whatever is changed, it is told
        changed = bytearray(whole)
        changed[place] ^= 0x41
        with pytest.raises(ConfigError, match="a student's state: ") as caught:
            model.restore(bytes(changed))
        assert "\n" not in str(caught.value)
    first = b"\n".join([b"gainkt-state-1", digest, rest])  # as they were before there was a checksum
    assert model.restore(first).to_bytes() == whole


def test_a_state_is_a_few_kilobytes() -> None:
    model, trace = trained(), trained().start()
    sizes = []
    for number in range(600):
        trace = model.observe(trace, skill=SKILLS[number % 7], correct=number % 3 > 0)
        if number in (0, 255, 599):
            sizes.append(len(trace.to_bytes()))
    assert sizes[0] < 3_000
    assert max(sizes) < 9_000, "what was long ago is a sum"
    assert trace.journal.count <= tracer.JOURNAL


def test_many_students_at_once_are_each_by_themselves() -> None:
    model, answers = trained("v4_monotone"), [list(steps_of(history(6, seed))) for seed in range(5)]
    single = [model.start() for _ in answers]
    listed, together = [model.start() for _ in answers], model.start(5)
    for step in range(6):
        now = {name: [student[step][name] for student in answers] for name in ("skill", "item", "correct")}
        single = [model.observe(s, **student[step]) for s, student in zip(single, answers, strict=True)]
        listed, together = model.observe(listed, **now), model.observe(together, **now)
    for number, trace in enumerate(single):
        assert np.abs(model.outlook(trace) - model.outlook(listed[number])).max(axis=None) < CLOSE
        assert np.abs(model.outlook(trace) - model.outlook(together.select([number]))).max(axis=None) < CLOSE
        assert np.abs(model.outlook(trace) - model.outlook(together).loc[number]).max(axis=None) < CLOSE
    assert list(listed[0].journal) == list(single[0].journal)
    assert together.answers == [6] * 5


def test_unknown_skills_fail_or_are_skipped() -> None:
    model, trace = trained(), trained().start()
    with pytest.raises(DataError, match="skill 'k9' is unknown to the model, which knows 7 skills"):
        model.observe(trace, skill="k9", correct=True)
    assert model.observe(trace, skill="k9", correct=True, unknown_skills="skip") is trace
    both = model.observe(trace, skill=["k9", "k1"], correct=True, unknown_skills="skip")
    assert model.outlook(both).equals(model.outlook(model.observe(trace, skill="k1", correct=True)))
    three = model.observe(model.start(3), skill=["k9", "k1", "k2"], correct=[1, 1, 1], unknown_skills="skip")
    assert three.answers == [0, 1, 1]
    for wrong in (None, "yes", 0.5, float("nan")):
        with pytest.raises(DataError, match="correct is"):
            model.observe(trace, skill="k1", correct=wrong)
    with pytest.raises(DataError, match="an answer without a skill"):
        model.observe(trace, skill=[], correct=True)
    with pytest.raises(ConfigError, match="skill: 2 given for 3 students"):
        model.observe(model.start(3), skill=["k1", "k2"], correct=True)


def test_names_may_be_numbers() -> None:
    content = content_with()
    model = TrainedModel(type(content)(**{**vars(content), "skills": tuple("0123456")}))
    one, two = (model.observe(model.start(), skill=x, correct=1) for x in (3, 3.0))
    assert model.outlook(one).equals(model.outlook(two))
    assert model.outlook(model.observe(model.start(), skill=np.int64(3), correct=np.bool_(True))).equals(
        model.outlook(one)
    )


def test_what_cannot_be_recorded_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TrainedModel(content_with())
    recorded = tracer.Stepper(model.network)
    answer = ((2,), -1, 1)
    state = tracer.started(model.network, 1)
    quick = recorded(state, answer)
    assert recorded.recorded[1] is not None
    forward = type(model.network.gain_head).forward

    def by_numbers(self, value_BTD, axis, batch):
        gains = forward(self, value_BTD, axis, batch)
        return gains if float(batch.response_BT.sum()) > 0 else gains * 0.5

    monkeypatch.setattr(type(model.network.gain_head), "forward", by_numbers)
    plain = tracer.Stepper(model.network)
    assert isinstance(plain(state, answer), State)
    assert plain.recorded[1] is None
    monkeypatch.undo()
    for name, x in (
        tracer.step(model.network, state, torch.tensor([[2]]), torch.tensor([-1]), torch.ones(1)).tensors().items()
    ):
        assert torch.allclose(x, quick.tensors()[name], atol=CLOSE), name


def test_one_student_may_be_given_as_a_list_of_one() -> None:
    model = trained()
    first = model.observe(model.start(), skill=SKILLS[0], correct=1)
    plain = model.observe(first, skill=SKILLS[1], correct=0)
    for listed in (
        model.observe(first, skill=[SKILLS[1]], correct=[0]),
        model.observe(first, skill=SKILLS[1], correct=[0], item=[None]),
        model.observe(model.observe(model.start(), skill=SKILLS[0], correct=[1]), skill=[[SKILLS[1]]], correct=[0]),
    ):
        assert listed.to_bytes() == plain.to_bytes()


def test_a_set_says_of_no_student_which_is_whose() -> None:
    model = trained()
    with pytest.raises(ConfigError, match="skill: a set"):
        model.observe(model.start(3), skill=set(SKILLS[:3]), correct=[1, 0, 1])


def test_names_may_be_written_in_decomposed_unicode() -> None:
    vocabulary = Vocabulary(["é", "b"])
    assert vocabulary.numbers(["e\u0301", "\u00e9", " b "]) == [0, 0, 1]


def test_what_is_no_place_or_threshold_is_said_in_one_line() -> None:
    model = trained()
    for places in ([3], [-1], [0.5], ["a"]):
        with pytest.raises(ConfigError, match="places from 0 to 2"):
            model.start(3).select(places)
    assert len(model.start(3).select(np.array([2, 0]))) == 2
    for threshold in ("0.9", None, 1, 95):
        with pytest.raises(ConfigError, match=r"threshold=.*a mastery between 0 and 1"):
            model.mastery(history(5), threshold=threshold)
    for nothing in (None, 3):
        with pytest.raises(ConfigError, match="give the folder of a run"):
            load(nothing)
