"""Every rule of the decision tree speaks where its cause was put, and every command that it can give composes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_runs import (
    CEILING,
    OWN_GAIN,
    WEAK,
    Run,
    ask,
    carries,
    cause,
    check,
    corrupted,
    epochs,
    good_run,
    items,
    lead,
    setting,
    steer,
)
from omegaconf import OmegaConf

from conftest import composed
from gainkt.config import conf_dir
from gainkt.evaluation.advice.rules import RULES, STAGES
from gainkt.evaluation.advice.run_state import RunState
from gainkt.overrides import changed

TEMPERATURE, LEARN_THRESHOLD = "model.readout.temperature.mean", "model.readout.threshold.learn"
ONE_STEEPNESS = "model.curve.beta.per_skill"
ONE_UNIT = f"++{ONE_STEEPNESS}=false"
SMALL = check("t2_sparse_activation", 0)
BELOW = check("mastery_response_correlation", 0.29, **CEILING)
STRAIGHT = setting("model.curve", {"_target_": "gainkt.model.curve.SigmoidCurve"})
FASTER_ITEMS = "++optimizer.lr_scale.items1=30 ++optimizer.lr_scale.items2=30"
OVERFIT = epochs(train__encoder1_auc=[0.7, 0.75, 0.8])
FASTER = "++optimizer.lr_scale.gain_head=5"
HELD = "model.velocity.mean=0.5 model.curve.beta.mean=2 ++model.curve.beta.learn=false"


def short_of_target(run: Run) -> None:
    run["card"]["level"] = "minimum"


def fell_after_three(run: Run) -> None:
    last = run["metrics"].iloc[[-1]].assign(epoch=3)
    run["metrics"] = pd.concat([run["metrics"], last], ignore_index=True)
    run["metrics"]["val/encoder1_auc"] = [0.7, 0.71, 0.72, 0.70]
    run["results"] = {"selected": "train", "phases": {"train": {"epoch": 3}}}


CASES: dict[str, list[tuple[str, list[Callable[[Run], None]], str]]] = {
    "unstable": [("v1_per_skill", [check("stability", False)], "optimizer.lr=0.00067")],
    "wrong_skill": [("v1_per_skill", [cause("wrong_skill", mastery_mismatches=5, p2_mismatches=0)], "leakage=true")],
    "falling_mastery": [("v4_belief", [check("t3_monotonicity", 4)], "leakage=true")],
    "weight_decay": [("v1_per_skill", [WEAK], "optimizer.weight_decay=0")],
    "several_causes": [("v1_per_skill", [cause("saturation"), cause("reachable_range")], "v4_belief")],
    "encoder2_weak": [
        ("v1_per_skill", [WEAK], "v4_belief"),
        ("v4_monotone", [WEAK], "v4_belief"),
        ("v4_belief", [WEAK], "trainer.max_epochs=14"),
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
        ("v4_monotone", [check("t2_sparse_activation", 9)], "loss.gain_sparsity=0.0015"),
    ],
    "one_offset": [("v1_per_skill", [cause("parameters")], "model/curve=per_skill")],
    "reachable_range": [
        ("v1_per_skill", [cause("reachable_range")], "model/readout=learnt"),
        ("v4_monotone", [cause("reachable_range")], "model.readout.temperature.mean=0.2"),
        ("v4_monotone", [cause("reachable_range"), setting(TEMPERATURE, 0.1)], "v4_belief"),
        ("v4_monotone", [cause("reachable_range"), setting(TEMPERATURE, 0.5)], "model/readout=learnt"),
        ("v4_monotone", [cause("reachable_range"), setting(LEARN_THRESHOLD, False)], "model/readout=learnt"),
        ("v4_belief", [cause("reachable_range"), setting(TEMPERATURE, 0.1)], ""),
    ],
    "narrow_predictions": [
        ("v1_per_skill", [check("prediction_range", 0.1)], "model/readout=learnt"),
        ("v4_monotone", [check("prediction_range", 0.1)], "v4_belief"),
        ("v4_belief", [check("prediction_range", 0.1)], "model.readout.temperature.mean=0.2"),
    ],
    "other_terms_steer": [("v3_explicit", [steer], "loss.gain_variance=0.0")],
    "curve_shape": [
        ("v1_per_skill", [check("t4_curve_shape", 0.3)], OWN_GAIN),
        ("v4_belief", [check("t4_curve_shape", 0.3), STRAIGHT], "model/curve=power"),
        ("v4_belief", [check("t4_curve_shape", 0.3)], ""),
    ],
    "skill_difficulty": [
        ("v1_per_skill", [check("t5_skill_difficulty", 0.1)], OWN_GAIN),
        (
            "v4_belief",
            [check("t5_skill_difficulty", 0.1), setting(ONE_STEEPNESS, True)],
            ONE_UNIT,
        ),
        ("v4_belief", [check("t5_skill_difficulty", 0.1)], ""),
    ],
    "encoder1_falls": [
        ("v2_enhanced", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70])], "callbacks.select.monitor=val/combined_score"),
        ("v1_per_skill", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70])], "model.size.dropout=0.2"),
        (
            "v1_per_skill",
            [fell_after_three, setting("model.size.dropout", 0.4)],
            "trainer.max_epochs=3",
        ),
        ("v3_mlp", [epochs(val__encoder1_auc=[0.7, 0.72, 0.70]), setting("model.size.dropout", 0.4)], ""),
    ],
    "encoder1_overfits": [
        ("v4_belief", [OVERFIT], "model.size.dropout=0.4"),
        ("v4_belief", [OVERFIT, items], "loss.item_shrinkage=0.1"),
        ("v4_items", [OVERFIT, items], "model.size.dropout=0.4"),
        ("v1_per_skill", [OVERFIT, items], "model.size.dropout=0.2"),
    ],
    "encoder1_weak": [
        ("v1_per_skill", [lead(0.60, 0.05)], "model/encoder1=lstm model/size=lstm"),
        ("v1_per_skill", [lead(0.60, 0.05), items], "model/encoder1=lstm model/size=lstm"),
        ("v4_belief", [lead(0.70, -0.02)], "trainer.max_epochs=14"),
        ("v4_belief", [lead(0.70, -0.02), items], FASTER_ITEMS),
        ("v4_items", [lead(0.70, -0.02), items], "model/encoder1=distance_attention model.size.num_blocks=2"),
        ("v4_items_attention", [lead(0.70, -0.02), items], "trainer.max_epochs=9"),
    ],
    "below_ceiling": [
        ("v4_belief", [BELOW, short_of_target, items], FASTER_ITEMS),
        ("v4_belief", [BELOW, short_of_target, STRAIGHT], "model/curve=power"),
        ("v4_monotone", [BELOW, short_of_target], "v4_belief"),
        (
            "v4_belief",
            [BELOW, short_of_target, carries(gains=0.04)],
            "v4_belief_skill",
        ),
        ("v4_belief", [BELOW, short_of_target, carries(gains=0.01)], ""),
        (
            "v4_belief",
            [BELOW, short_of_target, carries(gains=0.04, gain_sizes=0.001)],
            "",
        ),
    ],
    "gains_not_needed": [
        ("v1_per_skill", [carries(gains=0.0)], OWN_GAIN),
        ("v4_belief_skill", [carries(gains=0.005, readiness=0.07, velocity=0.003)], "v4_belief"),
        ("v4_belief", [carries(gains=0.015, readiness=0.02, velocity=0.02)], "model/velocity=fixed"),
        ("v4_belief", [carries(gains=0.01), setting("model.velocity", {"_target_": "x.FixedVelocity"})], "v4_monotone"),
        ("v4_monotone", [carries(gains=0.01)], ""),
        ("v4_monotone", [carries(gains=0.01, readiness=0.05)], "loss.readiness_size=0.1"),
        ("v4_monotone", [carries(gains=0.01, readiness=0.05), setting("loss.readiness_size", 0.1)], ""),
        ("v4_belief", [carries(gains=0.01), setting("optimizer.lr_scale", {})], FASTER),
    ],
    "only_counting": [
        ("v1_per_skill", [carries(gain_sizes=0.004)], OWN_GAIN),
        ("v4_belief", [carries(gains=0.05, gain_sizes=0.004), setting("optimizer.lr_scale", {})], FASTER),
        ("v4_belief_skill", [carries(gains=0.05, gain_sizes=0.004)], "v4_belief"),
        ("v4_belief", [carries(gains=0.05, gain_sizes=-0.01)], "model/velocity=fixed"),
        ("v4_monotone", [carries(gains=0.05, gain_sizes=0.004, readiness=0.01)], "loss.readiness_size=0.1"),
        ("v4_monotone", [carries(gains=0.05, gain_sizes=0.004)], ""),
    ],
    "small_gains": [
        ("v4_belief", [check("t1_gain_differentiation", 0.03, **CEILING)], "model/velocity=fixed"),
        ("v4_monotone", [check("t2_sparse_activation", 0)], "model.velocity.mean=0.5"),
        ("v4_monotone", [SMALL, epochs(**{"parameter/curve.beta_mean": [1.0, 1.5, 2.0]})], HELD),
        ("v4_monotone", [SMALL, setting("model.readout.temperature.learn", True)], "model/readout=wide"),
        ("v4_monotone", [SMALL, setting(ONE_STEEPNESS, True)], ONE_UNIT),
        ("v1_per_skill", [SMALL], "model.velocity.mean=0.55"),
    ],
    "still_rising": [("v4_belief", [epochs(val__encoder2_auc=[0.6, 0.65, 0.7])], "trainer.max_epochs=14")],
    "gain_floor": [
        ("v1_per_skill", [check("gain_std", 0.01)], "try_gain_floor"),
        ("v3_mlp", [cause("left_over", is_the_gain=True)], "try_gain_floor"),
    ],
    "q_matrix": [("v1_per_skill", [cause("gains", to_skills_not_practised=0.99)], "try_q_matrix")],
    "gain_response": [("v2_enhanced", [check("t6_response_conditional", 1.1)], "try_gain_response")],
    "confirm": [("v4_belief", [lambda run: run["card"].update(level="target")], "seed=0,1,2")],
}
"""By rule: the experiment that was run, what is wrong with it, and the experiment or settings expected ("": no way)."""


def cases() -> Iterator[Any]:
    for name, entries in CASES.items():
        for number, entry in enumerate(entries):
            yield pytest.param(name, *entry, id=f"{name}-{number}")


@pytest.fixture(scope="module")
def good() -> Run:
    return good_run()


def test_every_rule_has_a_case_and_a_stage() -> None:
    assert [rule.name for rule in RULES] == list(dict.fromkeys(rule.name for rule in RULES))
    assert set(CASES) == {rule.name for rule in RULES}
    assert {rule.stage for rule in RULES} == set(STAGES)


@pytest.mark.parametrize(("rule", "experiment", "corruptions", "expected"), cases())
def test_a_rule_speaks_and_its_command_composes(
    good: Run, rule: str, experiment: str, corruptions: list[Callable[[Run], None]], expected: str
) -> None:
    run = corrupted(good, experiment, *corruptions)
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
        cfg = composed("train", *changed([f"experiment={advice.experiment or experiment}"], advice.overrides))
        found = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(found, dict)
        assert any(found[key] != run["config"][key] for key in found if key != "run"), "nothing would change"


def test_interventions_come_last_and_to_v1_to_v3_alone(good: Run) -> None:
    elsewhere = cause("gains", to_skills_not_practised=0.9)
    corruptions = [check("gain_std", 0.01), check("t6_response_conditional", 1.1), elsewhere]
    named = {"try_gain_floor", "try_q_matrix", "try_gain_response"}
    asked = {"gain_floor", "q_matrix", "gain_response"}
    for experiment in ("v0_scalar", "v1_per_skill", "v3_explicit", "v4_belief", *sorted(named)):
        report = ask(corrupted(good, experiment, *corruptions))
        tried = [advice.experiment for advice in report.advice if advice.stage == "intervention"]
        assert set(tried) == (set() if experiment in ("v0_scalar", "v4_belief") else named - {experiment})
        stages = [advice.stage for advice in report.advice if advice.stage != "confirm"]
        assert "intervention" not in stages[: len(stages) - len(tried)]
        assert not asked & {reason.rule for reason in report.unanswered}


def test_a_wide_readout_is_not_learnt_again(good: Run) -> None:
    corruptions = [check("prediction_range", 0.1), cause("reachable_range")]
    for experiment in ("v4_belief", "v4_belief_skill", "v4_monotone", "v4_items"):
        for advice in ask(corrupted(good, experiment, *corruptions)).advice:
            assert "model/readout=learnt" not in advice.overrides


def test_experiments_name_only_what_exists(good: Run) -> None:
    names = {path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml")}
    for rule in RULES:
        for one in rule.experiments:
            assert one.experiment is None or one.experiment in names
            assert one.label or one.experiment or one.sweep or one.module != "train", f"{rule.name}: a run needs a name"
    run = corrupted(good, "v1_per_skill", steer)
    seen = RunState(**run)
    for one in {id(one): one for rule in RULES for one in rule.experiments}.values():
        if one.module == "train" and not one.sweep:
            composed("train", f"experiment={one.experiment or 'v1_per_skill'}", *one.settings(seen))


def test_rules_are_silent_on_what_they_do_not_know(good: Run) -> None:
    """Checks, loss terms and parts from outside of gainkt: nothing is said of them, and nothing breaks."""
    run = corrupted(good, "v4_belief", WEAK, short_of_target, carries(gains=0.01), steer, items)
    custom = {**run["card"]["checks"][0], "name": "my_check", "title": "Mine", "level": "none", "verdict": "fail"}
    said = ask(run).plain()
    run["card"]["checks"].append(custom)
    assert ask(run).plain() == said
    next(f for f in run["diagnosis"]["findings"] if f["name"] == "gradients")["override"] = None
    assert "other_terms_steer" in {reason.rule for reason in ask(run).unanswered}
    for name in run["config"]["model"]:
        if isinstance(run["config"]["model"][name], dict) and name != "size":
            run["config"]["model"][name] = {"_target_": "mine.Part"}
    run["config"] |= {"optimizer": {"_target_": "mine.Adam"}, "loss": {"_target_": "mine.Loss"}, "schedule": {}}
    run["metrics"] = run["metrics"][["epoch"]]
    for level, value in (("none", 0.0), ("minimum", 100.0)):
        for entry in run["card"]["checks"]:
            entry.update(level=level, value=value, verdict="fail")
        for entry in run["diagnosis"]["findings"]:
            entry["stake"] = entry["stake"] or {"auc": 0.05, "nats": 0.01}
        assert ask(run).not_worth_chasing is not None
    advice = ask(run).advice
    assert "intervention" not in {entry.stage for entry in advice}, "they are for V1 to V3"
    assert all("None" not in " ".join(entry.overrides) for entry in advice)
    assert "optimizer.lr=0" not in {o for entry in advice for o in entry.overrides}
    run["card"]["checks"] = [custom]
    run["card"]["further"] = {}
    for entry in run["diagnosis"]["findings"]:
        entry["status"] = "cause"
    assert all(reason.rule for entry in ask(run).advice for reason in entry.reasons)
