"""Every rule of the decision tree speaks where its cause was put, and every command that it can give composes."""

import copy
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_tables import good_tables
from omegaconf import OmegaConf
from rich.console import Console

from gainkt.config import conf_dir
from gainkt.evaluation.advice import Report, advise
from gainkt.evaluation.advice_rules import RULES
from gainkt.evaluation.diagnosis import diagnose
from gainkt.evaluation.sightings import STAGES, Seen
from gainkt.recompose import changed, command_line, compose_train
from gainkt.reporting.advice_view import advice_view, command_lines

Run = dict[str, Any]
METRICS = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "weight/bce1": [0.5, 0.5, 0.5],
        "train/encoder1_auc": [0.66, 0.70, 0.71],
        "val/encoder1_auc": [0.68, 0.70, 0.70],
        "val/encoder2_auc": [0.68, 0.70, 0.70],
    }
)
RESULTS = {"selected": "train", "phases": {"train": {"epoch": 2}}}


@pytest.fixture(scope="module")
def good() -> Run:
    """A run of V4 with which nothing is wrong."""
    made = good_tables()
    return {
        "card": made.card(),
        "diagnosis": diagnose(made.predictions, made.trajectories, made.skills),
        "config": config_of("v4_belief"),
        "results": RESULTS,
        "metrics": METRICS,
    }


@cache
def config_of(experiment: str) -> dict[str, Any]:
    cfg = compose_train([f"experiment={experiment}"])
    found = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    assert isinstance(found, dict)
    return found


def ask(run: Run) -> Report:
    return advise(run["card"], run["diagnosis"], run["config"], results=run["results"], metrics=run["metrics"])


def spoiled(good: Run, experiment: str, *spoil: Callable[[Run], None]) -> Run:
    run = {**copy.deepcopy(good), "config": copy.deepcopy(config_of(experiment))}
    for change in spoil:
        change(run)
    return run


def check(name: str, value: float, level: str = "none", verdict: str = "fail", **more: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        found = next(entry for entry in run["card"]["checks"] if entry["name"] == name)
        found.update(value=value, level=level, verdict=verdict, **more)

    return change


def cause(name: str, **measured: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        found = next(entry for entry in run["diagnosis"]["findings"] if entry["name"] == name)
        found["status"] = "cause"
        found["measured"] |= measured
        found["stake"] = found["stake"] or {"auc": 0.05, "nats": 0.01}

    return change


def carries(**falls: float) -> Callable[[Run], None]:
    return lambda run: run["card"]["carries"].update({part: {"fall": fall} for part, fall in falls.items()})


def epochs(**columns: list[float]) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run["metrics"] = run["metrics"].assign(**{name.replace("__", "/"): x for name, x in columns.items()})

    return change


def lead(auc: float, by: float) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run["card"]["further"]["encoder1_auc"]["value"] = auc
        run["card"]["further"]["encoder1_lead"]["value"] = by

    return change


def setting(path: str, value: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        *parents, last = path.split(".")
        node = run["config"]
        for key in parents:
            node = node[key]
        node[last] = value

    return change


CEILING = {"ceiling": 0.35, "out_of_reach": {"target": "too high", "optimal": "too high"}}
FIRST, LAST = {"bce2": 0.1, "gain_variance": 0.9}, {"epoch": 2, "bce2": 0.1, "gain_variance": 0.9}


def steer(run: Run) -> None:
    found = next(entry for entry in run["diagnosis"]["findings"] if entry["name"] == "gradients")
    found |= {"status": "cause", "measured": {"gain_head": {"last": LAST}}, "override": "loss.gain_variance=0.0"}


WEAK = check("encoder2_auc", 0.57, "minimum", "pass")
OWN_GAIN = "model/gain_head=own_transfer model/receivers=all loss=sparse"
CASES: dict[str, list[tuple[str, list[Callable[[Run], None]], str]]] = {
    "unstable": [("v1_per_skill", [check("stability", False)], "optimizer.lr=0.00067")],
    "wrong_skill": [("v1_per_skill", [cause("wrong_skill", mastery_mismatches=5, p2_mismatches=0)], "leakage=true")],
    "falling_mastery": [("v4_belief", [check("t3_monotonicity", 4)], "leakage=true")],
    "weight_decay": [("v1_per_skill", [WEAK], "optimizer.weight_decay=0")],
    "several_causes": [("v1_per_skill", [cause("saturation"), cause("reachable_range")], "v4_belief")],
    "encoder2_weak": [
        ("v1_per_skill", [WEAK], "v4_belief"),
        ("v4_monotone", [WEAK], "v4_belief"),
        ("v4_belief", [WEAK], "trainer.max_epochs=12"),
    ],
    "constant_gain": [
        ("v0_scalar", [cause("left_over", is_the_gain=True)], OWN_GAIN),
        ("v1_per_skill", [check("gain_std", 0.01)], OWN_GAIN),
        ("v4_belief", [check("gain_std", 0.01)], ""),
    ],
    "gains_elsewhere": [
        ("v1_per_skill", [cause("gains", to_skills_not_practised=0.99)], OWN_GAIN),
        ("v4_belief", [cause("gains", to_skills_not_practised=0.99)], "loss.gain_sparsity=0.003"),
    ],
    "gains_alike": [
        ("v1_per_skill", [check("t6_response_conditional", 1.1)], OWN_GAIN),
        ("v4_monotone", [check("t6_response_conditional", 1.1)], "v4_belief"),
    ],
    "saturation": [
        ("v1_per_skill", [cause("saturation", practised=0.9)], OWN_GAIN),
        ("v4_monotone", [cause("saturation", practised=0.9)], "model/velocity=inferred"),
        ("v4_belief", [cause("saturation", practised=0.9)], ""),
        (
            "v4_monotone",
            [cause("saturation", practised=0.9), setting("model.curve.offset.per_skill", False)],
            "model/curve=per_skill",
        ),
    ],
    "sparse_activation": [
        ("v1_per_skill", [check("t2_sparse_activation", 90)], OWN_GAIN),
        ("v4_belief", [check("t2_sparse_activation", 9)], "loss.gain_sparsity=0.003"),
    ],
    "one_offset": [("v1_per_skill", [cause("parameters")], "model/curve=per_skill")],
    "reachable_range": [
        ("v1_per_skill", [cause("reachable_range")], "model/readout=learnt"),
        ("v4_monotone", [cause("reachable_range")], "v4_belief"),
    ],
    "narrow_predictions": [("v1_per_skill", [check("prediction_range", 0.1)], "model/readout=learnt")],
    "other_terms_steer": [("v3_explicit", [steer], "loss.gain_variance=0.0")],
    "curve_shape": [("v1_per_skill", [check("t4_curve_shape", 0.3)], OWN_GAIN)],
    "skill_difficulty": [("v1_per_skill", [check("t5_skill_difficulty", 0.1)], OWN_GAIN)],
    "encoder1_falls": [
        ("v2_enhanced", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70])], "callbacks.select.monitor=val/combined_score"),
        ("v1_per_skill", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70])], "model.size.dropout=0.2"),
        (
            "v1_per_skill",
            [epochs(val__encoder1_auc=[0.7, 0.72, 0.70]), setting("model.size.dropout", 0.4)],
            "trainer.max_epochs=2",
        ),
        ("v3_mlp", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70]), setting("model.size.dropout", 0.4)], ""),
    ],
    "encoder1_overfits": [("v4_belief", [epochs(train__encoder1_auc=[0.7, 0.75, 0.8])], "model.size.dropout=0.3")],
    "encoder1_weak": [
        ("v1_per_skill", [lead(0.60, 0.05)], "model/encoder1=lstm model/size=lstm"),
        ("v4_belief", [lead(0.70, -0.02)], "trainer.max_epochs=12"),
    ],
    "below_ceiling": [
        ("v4_monotone", [check("mastery_response_correlation", 0.29, **CEILING)], "v4_belief"),
        (
            "v4_belief",
            [check("mastery_response_correlation", 0.29, **CEILING), carries(gains=0.04)],
            "v4_belief_skill",
        ),
        ("v4_belief", [check("mastery_response_correlation", 0.29, **CEILING), carries(gains=0.01)], ""),
    ],
    "gains_not_needed": [
        ("v1_per_skill", [carries(gains=0.0)], OWN_GAIN),
        ("v4_belief_skill", [carries(gains=0.005, readiness=0.07, velocity=0.003)], "v4_belief"),
        ("v4_belief", [carries(gains=0.015, readiness=0.02, velocity=0.02)], "model/velocity=fixed"),
        ("v4_belief", [carries(gains=0.01), setting("model.velocity", {"_target_": "x.FixedVelocity"})], "v4_monotone"),
        ("v4_monotone", [carries(gains=0.01)], ""),
    ],
    "small_gains": [
        ("v4_belief", [check("t1_gain_differentiation", 0.03, **CEILING)], "model/velocity=fixed"),
        ("v4_monotone", [check("t2_sparse_activation", 0)], "model.velocity.mean=0.5"),
    ],
    "still_rising": [("v4_belief", [epochs(val__encoder2_auc=[0.6, 0.65, 0.7])], "trainer.max_epochs=12")],
    "confirm": [("v4_belief", [lambda run: run["card"].update(level="target")], "seed=0,1,2")],
}
"""By rule: the experiment that was run, what is wrong with it, and the experiment or settings expected ("": no way)."""


def cases() -> Iterator[Any]:
    for name, entries in CASES.items():
        for number, entry in enumerate(entries):
            yield pytest.param(name, *entry, id=f"{name}-{number}")


def test_every_rule_has_a_case_and_a_stage() -> None:
    assert [rule.name for rule in RULES] == list(dict.fromkeys(rule.name for rule in RULES))
    assert set(CASES) == {rule.name for rule in RULES}
    assert {rule.stage for rule in RULES} == set(STAGES)


@pytest.mark.parametrize(("rule", "experiment", "spoil", "expected"), cases())
def test_a_rule_speaks_and_its_command_composes(
    good: Run, rule: str, experiment: str, spoil: list[Callable[[Run], None]], expected: str
) -> None:
    run = spoiled(good, experiment, *spoil)
    report = ask(run)
    if not expected:
        assert rule in {reason.rule for reason in report.unanswered}
        assert rule not in {reason.rule for advice in report.advice for reason in advice.reasons}
        return
    advice = next(entry for entry in report.advice if rule in {reason.rule for reason in entry.reasons})
    assert " ".join(advice.overrides) == expected or advice.experiment == expected or expected in advice.overrides
    reason = next(entry for entry in advice.reasons if entry.rule == rule)
    assert reason.seen
    assert reason.means
    if advice.module == "train" and not advice.sweep:
        composed = compose_train(changed([f"experiment={advice.experiment or experiment}"], advice.overrides))
        found = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(found, dict)
        assert any(found[key] != run["config"][key] for key in found if key != "run"), "nothing would change"


def test_ways_name_only_what_exists(good: Run) -> None:
    names = {path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml")}
    for rule in RULES:
        for way in rule.ways:
            assert way.experiment is None or way.experiment in names
            assert way.label or way.experiment or way.sweep or way.module != "train", f"{rule.name}: a run needs a name"
    run = spoiled(good, "v1_per_skill", steer)
    seen = Seen(run["card"], run["diagnosis"], run["config"], run["results"], run["metrics"])
    for way in {id(way): way for rule in RULES for way in rule.ways}.values():
        if way.module == "train" and not way.sweep:
            compose_train([f"experiment={way.experiment or 'v1_per_skill'}", *way.settings(seen)])


def test_a_good_run_is_confirmed_and_a_middling_one_has_nothing(good: Run) -> None:
    assert good["card"]["level"] in ("target", "optimal")
    report = ask(good)
    assert [[reason.rule for reason in advice.reasons] for advice in report.advice if advice.sweep] == [["confirm"]]
    assert {advice.stage for advice in report.advice} <= {"refine", "confirm"}
    run = spoiled(good, "v4_belief", carries(gains=0.05), lambda run: run["card"].update(level="minimum"))
    assert ask(run).advice == ()


def test_folds_are_those_of_the_data(good: Run) -> None:
    run = spoiled(good, "v4_belief", setting("dataset.split", {"_target_": "gainkt.data.splits.GivenFolds"}))
    assert "seed=0,1,2" in ask(run).advice[-1].overrides
    assert len(ask(run).advice[-1].overrides) == 1, "the number of folds is not known"
    run["card"]["protocol"]["data"] = "assist2015, 5 given folds, held-out test set"
    assert ask(run).advice[-1].overrides == ("dataset.fold=0,1,2,3,4", "seed=0,1,2")


def test_what_is_out_of_reach_is_named_and_not_chased(good: Run) -> None:
    beyond = {"ceiling": 0.25, "out_of_reach": dict.fromkeys(("minimum", "target", "optimal"), "> 0.3 asked, 0.25")}
    run = spoiled(good, "v4_monotone", check("mastery_response_correlation", 0.24, verdict="out_of_reach", **beyond))
    report = ask(run)
    spoken = {reason.rule for advice in report.advice for reason in advice.reasons}
    assert "below_ceiling" not in spoken | {reason.rule for reason in report.unanswered}
    assert any("Mastery-response correlation" in entry["what"] for entry in report.not_worth_chasing)
    t1 = check("t1_gain_differentiation", 0.07, "minimum", "pass", **CEILING)
    assert "small_gains" not in {r.rule for a in ask(spoiled(good, "v4_belief", t1)).advice for r in a.reasons}


def test_nothing_else_is_advised_while_a_run_is_not_sound(good: Run) -> None:
    report = ask(spoiled(good, "v1_per_skill", WEAK, check("stability", False), cause("saturation")))
    assert [advice.stage for advice in report.advice] == ["sound"]
    assert report.unanswered == ()


def test_order_is_by_stage_then_stake_and_reasons_merge(good: Run) -> None:
    run = spoiled(good, "v1_per_skill", WEAK, cause("saturation"), cause("gains", to_skills_not_practised=0.9))
    for name, auc in (("saturation", 0.03), ("gains", 0.09)):
        found = next(entry for entry in run["diagnosis"]["findings"] if entry["name"] == name)
        found["stake"] = {"auc": auc, "nats": 0.02, "basis": ""}
    report = ask(run)
    stages = [STAGES.index(advice.stage) for advice in report.advice]
    assert stages == sorted(stages)
    assert report.advice[0].overrides == ("optimizer.weight_decay=0",)
    own = next(advice for advice in report.advice if " ".join(advice.overrides) == OWN_GAIN)
    assert {"gains_elsewhere", "saturation"} <= {reason.rule for reason in own.reasons}
    assert own.auc == 0.09


def test_what_has_nothing_at_stake_comes_late(good: Run) -> None:
    run = spoiled(good, "v4_belief", cause("gains", to_skills_not_practised=0.6), carries(gains=0.01))
    next(f for f in run["diagnosis"]["findings"] if f["name"] == "gains")["stake"] = {"auc": 0.0, "nats": 1e-5}
    told = [(advice.stage, advice.reasons[0].rule) for advice in ask(run).advice]
    assert told.index(("refine", "gains_not_needed")) < told.index(("refine", "gains_elsewhere"))


def test_without_diagnosis_and_metrics_the_scorecard_still_speaks(good: Run) -> None:
    run = spoiled(good, "v1_per_skill", WEAK, lead(0.72, 0.15))
    report = advise(run["card"], None, run["config"])
    assert [advice.stage for advice in report.advice][:2] == ["starved", "structure"]


def test_the_view_says_all_and_commands_survive_it(good: Run) -> None:
    content = ask(spoiled(good, "v4_monotone", WEAK, carries(gains=0.01))).plain()
    for entry in content["advice"]:
        entry["command"] = command_line("train", ["experiment=v4_belief", "dataset.path='/a b/c'", "seed=1"] * 3)
    content |= {
        "protocol": {"name": "x", "data": "y"},
        "without_diagnosis": "there is none",
        "changed_settings": ["a=1"],
    }
    console = Console(width=90, record=True, file=StringIO())
    console.print(advice_view(content, 90))
    said = console.export_text()
    for part in ("What next?", "every way that the rules know", "Without a diagnosis", "a=1"):
        assert part in said
    command = content["advice"][0]["command"]
    lines = command_lines(command, 60)
    assert len(lines) > 2
    assert all(line in said for line in command_lines(command, 90))
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    nothing = content | {"advice": [], "unanswered": [], "not_worth_chasing": []}
    console.print(advice_view(nothing))
    assert "Nothing applies" in console.export_text()
