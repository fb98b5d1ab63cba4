"""Means, spreads and paired differences of many runs, and runs that were scored on other steps."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from gainkt.evaluation.leaderboard import Entry, leaderboard

AUDIT = {"passed": False, "guards": [{"name": "later_responses", "passed": False}]}


def table(label: str, seed: int, skill: float, students: int = 30, steps: int = 12) -> pd.DataFrame:
    """Predictions that know `skill` of what decides a response; the students and responses of a fold are the same."""
    world, own = np.random.default_rng(7), np.random.default_rng(seed)
    truth = world.normal(size=students * steps)
    response = (world.random(students * steps) < 1 / (1 + np.exp(-2 * truth))).astype(np.int8)
    p = 1 / (1 + np.exp(-skill * truth - own.normal(size=len(truth))))
    student = np.repeat([f"s{i}" for i in range(students)], steps)
    return pd.DataFrame({"student": student, "step": np.tile(range(steps), students), "response": response, label: p})


def entry(model: str, fold: int, seed: int | None, skill: float = 1.0, **more: object) -> Entry:
    made = table(model, 10 * fold + (seed or 0) + len(model), skill)
    return Entry("data", model, fold, seed, **{"digest": "same", "read": lambda: made, "seconds": 2.0, **more})


def test_figures_are_means_over_runs_and_those_of_scikit_learn() -> None:
    entries = [entry("good", fold, seed, 2.0) for fold in (0, 1) for seed in (0, 1)]
    entries += [entry("fitted", fold, None, 0.2, audits={"fitted": AUDIT}) for fold in (0, 1)]
    board = leaderboard(entries, "good", resamples=50)["datasets"][0]
    assert [row["model"] for row in board["rows"]] == ["good", "fitted"]
    good, fitted = board["rows"]
    of = {name: [e.read() for e in entries if e.model == name] for name in ("good", "fitted")}
    auc = {name: [roc_auc_score(t["response"], t[name]) for t in tables] for name, tables in of.items()}
    assert good["auc"] == pytest.approx(np.mean(auc["good"]), abs=1e-6)
    assert good["auc_sd"] == pytest.approx(np.std(auc["good"], ddof=1), abs=1e-6)
    wanted = np.mean([log_loss(t["response"], t["fitted"]) for t in of["fitted"]])
    assert fitted["log_loss"] == pytest.approx(wanted, abs=1e-6)
    wanted = np.mean([accuracy_score(t["response"], t["fitted"] >= 0.5) for t in of["fitted"]])
    assert fitted["accuracy"] == pytest.approx(wanted, abs=1e-6)
    # One without seeds stands against each of the baseline's.
    assert fitted["difference"]["pairs"] == 4
    assert fitted["difference"]["value"] == pytest.approx(np.mean(auc["fitted"]) - np.mean(auc["good"]), abs=1e-6)
    assert fitted["difference"]["interval"][1] < 0
    assert fitted["difference"]["holm"] < 0.01
    assert good["difference"] is None
    assert (good["audit"], fitted["audit"]) == (None, {"passed": False, "failed": ["later_responses"]})
    assert (good["runs"], good["steps"], good["seconds"], good["peak_mib"]) == (4, [360] * 4, 2.0, None)


def test_the_same_predictions_differ_by_nothing_and_p_is_corrected() -> None:
    same = table("a", 1, 1.0)
    entries = [entry("a", 0, 0, read=lambda: same), entry("b", 0, 0, read=lambda: same.rename(columns={"a": "b"}))]
    rows = {row["model"]: row for row in leaderboard([*entries, entry("c", 0, 0, 0.1)], "a")["datasets"][0]["rows"]}
    assert rows["b"]["difference"]["value"] == 0
    assert rows["b"]["difference"]["interval"] == (0, 0)
    assert rows["c"]["difference"]["holm"] == pytest.approx(min(1, 2 * rows["c"]["difference"]["p"]))


def test_other_steps_are_an_error_of_the_row_and_not_compared() -> None:
    entries = [entry("base", 0, 0), entry("other", 0, 0, digest="another"), entry("third", 0, 0)]
    rows = {row["model"]: row for row in leaderboard(entries, "base")["datasets"][0]["rows"]}
    assert rows["other"]["error"] == "fold 0: scored other steps (360) than base (360); not compared"
    assert (rows["other"]["auc"], rows["other"]["difference"], rows["other"]["runs"]) == (None, None, 0)
    assert rows["third"]["error"] is None
    # Where the baseline is the odd one it still decides; without one, most do.
    odd = [entry("base", 0, 0, digest="another"), entry("other", 0, 0), entry("third", 0, 0)]
    rows = {row["model"]: row for row in leaderboard(odd, "base")["datasets"][0]["rows"]}
    assert rows["base"]["error"] is None
    assert rows["other"]["error"] is not None
    board = leaderboard(odd, "nobody")["datasets"][0]
    assert board["baseline"] is None
    assert [row["model"] for row in board["rows"] if row["error"]] == ["base"]


def test_a_model_that_never_ran_is_a_row() -> None:
    failed = Entry("data", "peer", 0, 0, error="no module named peer")
    partly = [entry("half", 0, 0), Entry("data", "half", 1, 0, error="killed")]
    rows = {row["model"]: row for row in leaderboard([failed, *partly], "half")["datasets"][0]["rows"]}
    assert rows["peer"]["error"] == "fold 0: no module named peer"
    assert (rows["half"]["runs"], rows["half"]["of"], rows["half"]["error"]) == (1, 2, "fold 1: killed")
    alone = leaderboard([failed], "half")["datasets"][0]
    assert (alone["students"], alone["rows"][0]["auc"]) == (0, None)


def test_speeds_are_means_of_the_runs_that_tell_them() -> None:
    told = [
        {"interactions_a_second": 100.0, "seconds_to_best": None},
        {"interactions_a_second": 300.0, "seconds_to_best": 7.0},
    ]
    entries = [entry("a", 0, seed, speed=speed) for seed, speed in enumerate([*told, None])]
    (row,) = leaderboard(entries, "a")["datasets"][0]["rows"]
    assert (row["interactions_a_second"], row["seconds_to_best"]) == (200.0, 7.0)
    (row,) = leaderboard([entry("a", 0, 0)], "a")["datasets"][0]["rows"]
    assert (row["interactions_a_second"], row["seconds_to_best"]) == (None, None)
