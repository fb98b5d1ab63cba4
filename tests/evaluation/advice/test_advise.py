"""What a report says of a run: in which order, what is left out, and how it is shown."""

import shlex
from io import StringIO

import pytest
from made_runs import CEILING, OWN_GAIN, WEAK, Run, ask, carries, cause, check, corrupted, good_run, lead, setting
from rich.console import Console

from gainkt.evaluation.advice.advise import advise
from gainkt.evaluation.advice.rules import STAGES
from gainkt.evaluation.advice.run_state import RunState
from gainkt.overrides import command_line
from gainkt.reporting.advice_view import advice_view, command_lines


@pytest.fixture(scope="module")
def good() -> Run:
    return good_run()


def test_a_good_run_is_confirmed_and_a_middling_one_has_nothing(good: Run) -> None:
    assert good["card"]["level"] in ("target", "optimal")
    report = ask(good)
    assert [[reason.rule for reason in advice.reasons] for advice in report.advice if advice.sweep] == [["confirm"]]
    assert {advice.stage for advice in report.advice} <= {"refine", "confirm"}
    run = corrupted(good, "v4_belief", carries(gains=0.05), lambda run: run["card"].update(level="minimum"))
    assert ask(run).advice == ()


def test_folds_are_those_of_the_data(good: Run) -> None:
    run = corrupted(good, "v4_belief", setting("dataset.split", {"_target_": "gainkt.data.splits.GivenFolds"}))
    assert "seed=0,1,2" in ask(run).advice[-1].overrides
    assert len(ask(run).advice[-1].overrides) == 1, "the number of folds is not known"
    run["card"]["protocol"]["data"] = "assist2015, 5 given folds, held-out test set"
    assert ask(run).advice[-1].overrides == ("dataset.fold=0,1,2,3,4", "seed=0,1,2")


def test_what_is_out_of_reach_is_named_and_not_chased(good: Run) -> None:
    beyond = {"ceiling": 0.25, "out_of_reach": dict.fromkeys(("minimum", "target", "optimal"), "> 0.3 asked, 0.25")}
    run = corrupted(good, "v4_monotone", check("mastery_response_correlation", 0.24, verdict="out_of_reach", **beyond))
    report = ask(run)
    spoken = {reason.rule for advice in report.advice for reason in advice.reasons}
    assert "below_ceiling" not in spoken | {reason.rule for reason in report.unanswered}
    assert any("Mastery-response correlation" in entry["what"] for entry in report.not_worth_chasing)
    t1 = check("t1_gain_differentiation", 0.07, "minimum", "pass", **CEILING)
    assert "small_gains" not in {r.rule for a in ask(corrupted(good, "v4_belief", t1)).advice for r in a.reasons}


def test_gains_whose_sizes_are_needed_are_needed_although_the_permutation_costs_little(good: Run) -> None:
    for sizes, is_needed in ((0.07, True), (0.013, False), (0.001, False)):
        report = ask(corrupted(good, "v4_belief", carries(gains=0.011, gain_sizes=sizes)))
        said = {reason.rule for advice in report.advice for reason in advice.reasons}
        assert ("gains_not_needed" in said) != is_needed
        assert ("only_counting" in said) == (sizes < 0.005)
        assert any("permuted gains" in entry["what"] for entry in report.not_worth_chasing) == is_needed
    merged = [advice for advice in report.advice if "only_counting" in {reason.rule for reason in advice.reasons}]
    assert [len(advice.reasons) for advice in merged] == [2], "one experiment answers both"
    assert "each gain at its mean costs 0.001 AUC (0.005 asked)" in merged[0].reasons[1].seen


def test_scorecards_older_than_gain_sizes_are_read(good: Run) -> None:
    run = corrupted(good, "v4_belief", check("mastery_response_correlation", 0.29, **CEILING), carries(gains=0.04))
    del run["card"]["carries"]["gain_sizes"]
    run["card"]["level"] = "minimum"
    advice = next(a for a in ask(run).advice if a.reasons[0].rule == "below_ceiling")
    assert advice.experiment == "v4_belief_skill"


def test_nothing_else_is_advised_while_a_run_is_not_sound(good: Run) -> None:
    report = ask(corrupted(good, "v1_per_skill", WEAK, check("stability", False), cause("saturation")))
    assert [advice.stage for advice in report.advice] == ["sound"]
    assert report.unanswered == ()


def test_order_is_by_stage_then_stake_and_reasons_merge(good: Run) -> None:
    run = corrupted(good, "v1_per_skill", WEAK, cause("saturation"), cause("gains", to_skills_not_practised=0.9))
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
    run = corrupted(good, "v4_belief", cause("gains", to_skills_not_practised=0.6), carries(gains=0.01))
    next(f for f in run["diagnosis"]["findings"] if f["name"] == "gains")["stake"] = {"auc": 0.0, "nats": 1e-5}
    told = [(advice.stage, advice.reasons[0].rule) for advice in ask(run).advice]
    assert told.index(("refine", "gains_not_needed")) < told.index(("refine", "gains_elsewhere"))


def test_without_diagnosis_and_metrics_the_scorecard_still_speaks(good: Run) -> None:
    run = corrupted(good, "v1_per_skill", WEAK, lead(0.72, 0.15))
    report = advise(RunState(run["card"], None, run["config"]))
    assert [advice.stage for advice in report.advice][:2] == ["starved", "structure"]


def test_the_view_says_all_and_commands_survive_it(good: Run) -> None:
    content = ask(corrupted(good, "v4_monotone", WEAK, carries(gains=0.01))).plain()
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
    for part in ("What next?", "every experiment that the rules know", "Without a diagnosis", "a=1"):
        assert part in said
    command = content["advice"][0]["command"]
    lines = command_lines(command, 60)
    assert len(lines) > 2
    assert all(line in said for line in command_lines(command, 90))
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(command)
    nothing = content | {"advice": [], "unanswered": [], "not_worth_chasing": []}
    console.print(advice_view(nothing))
    assert "Nothing applies" in console.export_text()
