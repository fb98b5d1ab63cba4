"""Every question of the diagnosis finds its cause where it was put, and none where there is none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_tables import Tables as Made
from made_tables import good_tables
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as sk_log_loss
from sklearn.metrics import roc_auc_score

from gainkt.evaluation.diagnosis.diagnosis import QUESTIONS, changes, diagnose
from gainkt.evaluation.diagnosis.headroom import Tables
from gainkt.evaluation.statistics.logistic import fit_logistic, log_loss, sigmoid
from gainkt.files import write_json
from gainkt.reporting.diagnosis_figures import FIGURES, save_figures
from gainkt.reporting.diagnosis_table import diagnosis_view

METRICS = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "gradient/bce2_at_gain_head": [3.0, 3.0, 3.0],
        "gradient/gain_variance_at_gain_head": [1.0, np.nan, 0.0],
        "gradient/bce2_at_encoder2": [2.0, 2.0, 2.0],
        "gradient/gain_variance_at_encoder2": [2.0, np.nan, 0.0],
        "parameter/curve.beta_mean": [2.5, 2.4, 2.3],
        "parameter/curve.beta_std": [0.0, 0.1, 0.2],
        "parameter/velocity.gamma_mean": [1.1, 1.0, 0.9],
        "parameter/velocity.gamma_std": [0.0, 0.0, 0.0],
    }
)


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    METRICS.to_csv(tmp_path / "metrics.csv", index=False)
    return tmp_path / "metrics.csv"


def ask(made: Made, name: str, metrics: Path | None = None) -> dict[str, Any]:
    found = diagnose(made.predictions, made.trajectories, made.skills, metrics)
    return next(finding for finding in found["findings"] if finding["name"] == name)


def test_a_good_model_has_none_of_the_causes(metrics: Path) -> None:
    made = good_tables()
    found = diagnose(made.predictions, made.trajectories, made.skills, metrics)
    assert [f["name"] for f in found["findings"]] == [q.name for q in QUESTIONS]
    assert {f["name"]: f["status"] for f in found["findings"]} == {q.name: "fine" for q in QUESTIONS}
    assert found["changes"] == []
    assert all(f["advice"] is None for f in found["findings"])
    assert found["protocol"]["trajectories_complete"]


def test_reachable_range_of_the_published_parameters() -> None:
    made = good_tables()
    made.skills = made.skills.assign(saturation=0.7, threshold=0.85, temperature=1.0, offset=1.5)
    made.predictions["p2"] = np.float32(0.4)
    found = ask(made, "reachable_range")
    m0 = 0.7 / (1 + np.exp(1.5))
    assert found["measured"]["pooled"] == pytest.approx([sigmoid(m0 - 0.85), sigmoid(-0.15)])
    assert found["measured"]["pooled"][1] == pytest.approx(0.46, abs=0.005)
    right = made.skills["responses_right"].to_numpy()
    out = (right > sigmoid(-0.15)) | (right < sigmoid(m0 - 0.85))
    assert found["measured"]["skills_out_of_reach"] == out.sum()
    assert (found["status"] == "cause") == (found["measured"]["steps_out_of_reach"] > 0.5)
    y = made.predictions.loc[made.predictions["scored"], "response"].to_numpy()
    expected = sk_log_loss(y, np.full(len(y), 0.4)) - sk_log_loss(y, np.full(len(y), y.mean()))
    assert found["stake"]["nats"] == pytest.approx(expected, abs=1e-5)


def test_inferred_parts_widen_the_range() -> None:
    made = good_tables()
    made.skills = made.skills.assign(saturation=0.01, threshold=0.9, temperature=1.0)
    found = ask(made, "reachable_range")
    assert found["measured"]["predictions_beyond_the_range"] > 0.5
    assert found["status"] == "fine"
    assert "inferred parts" in found["verdict"]


def test_saturation_by_step() -> None:
    made = good_tables()
    late = made.predictions["step"] >= 4
    made.predictions["saturated_practised"] = np.where(late, 1.0, 0.25)
    found = ask(made, "saturation")
    shares = {bin_["steps"]: bin_["practised"] for bin_ in found["measured"]["by_step"]}
    assert shares == {"0": 0.25, "1": 0.25, "2": 0.25, "3": 0.25, "4": 1, "5-9": 1, "10-19": 1, "20+": 1}
    assert (found["status"], found["measured"]["half_saturated_from_step"]) == ("cause", "4")
    assert found["override"].startswith("model.velocity.mean=")
    fits = found["measured"]["velocity_that_fits"]
    offset, beta = made.skills["offset"].mean(), made.skills["beta"].mean()
    practice = found["measured"]["median_practice"]
    assert fits == pytest.approx(offset / beta / practice, rel=1e-5)
    made.skills["experience"] = 0.3
    fits = ask(made, "saturation")["measured"]["velocity_that_fits"]
    assert fits == pytest.approx(offset / beta / (0.3 * np.log1p(practice / 0.3)), rel=1e-5)


def test_gains_that_go_elsewhere() -> None:
    made = good_tables()
    made.predictions["gain_mean"] = made.predictions["gain_practised"]  # every skill gets as much
    found = ask(made, "gains")
    assert found["measured"]["to_skills_not_practised"] == pytest.approx(1 - 1 / 8, abs=1e-4)
    assert (found["status"], found["override"]) == ("cause", "model/receivers=practised")


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_gains_alike_after_right_and_wrong(spread: float) -> None:
    made = good_tables()
    draw = np.random.default_rng(0)
    made.predictions["gain_practised"] = np.float32(0.5 + spread * draw.uniform(-1, 1, len(made.predictions)))
    found = ask(made, "gains")
    assert (found["status"], found["override"]) == ("cause", "loss.bce1=0.3 loss.bce2=0.7")
    made.predictions["left_over"] = made.predictions["gain_practised"]
    assert ask(made, "gains")["override"] == "model/gain_head=linear"


def test_the_left_over_beside_the_gain() -> None:
    made = good_tables()
    found = ask(made, "left_over")
    assert found["measured"]["left_over"]["mean"] == pytest.approx(0.6)
    assert found["measured"]["left_over"]["std"] == pytest.approx(0, abs=1e-6)
    assert found["measured"]["gain"]["std"] > 0.1
    assert "would have been reported" in found["verdict"]
    made.predictions["left_over"] = made.predictions["gain_practised"]
    found = ask(made, "left_over")
    assert (found["status"], found["override"]) == ("cause", "model/gain_head=linear")


def test_wrong_skill_is_noticed() -> None:
    made = good_tables()
    clean = ask(made, "wrong_skill")["measured"]
    assert clean["mastery_mismatches"] == clean["p2_mismatches"] == 0
    assert clean["steps_checked"] == made.predictions["scored"].sum()
    before = made.predictions["mastery"].copy()
    # The mastery and prediction of the skill practised last, as the research line had it.
    last = made.predictions.groupby("student")["skills"].shift()
    rows = made.predictions.merge(
        made.trajectories.assign(step=made.trajectories["step"] + 1)[["student", "step", "skill", "mastery"]],
        left_on=["student", "step", last.rename("skill")],
        right_on=["student", "step", "skill"],
        how="left",
        suffixes=("", "_last"),
    )
    assert len(rows) == len(made.predictions)
    made.predictions["mastery"] = rows["mastery_last"].fillna(before).astype(np.float32)
    made.predictions["p2"] = np.float32(sigmoid((made.predictions["mastery"].to_numpy() - 0.5) / 0.1))
    found = ask(made, "wrong_skill")
    moved = (np.abs(made.predictions["mastery"] - before) > 1e-3) & made.predictions["scored"]
    assert found["measured"]["mastery_mismatches"] == moved.sum() > 1000
    assert found["status"] == "cause"
    assert found["stake"]["auc"] > 0.05


def test_difficulties_of_items_are_no_wrong_skill() -> None:
    made = good_tables()
    difficulty = np.random.default_rng(0).normal(0, 0.5, len(made.predictions)).astype(np.float32)
    margin = (made.predictions["mastery"].to_numpy() - 0.5) / 0.1
    made.predictions["p2"] = np.float32(sigmoid(margin - difficulty))
    assert ask(made, "wrong_skill")["status"] == "cause", "p2 that nothing explains"
    made.predictions["item_difficulty"] = difficulty
    found = ask(made, "wrong_skill")
    assert found["measured"]["p2_mismatches"] == 0
    assert found["status"] != "cause"


def test_steps_that_cut_trajectories_lack_are_counted() -> None:
    made = good_tables()
    some = made.predictions["student"].unique()[:5]
    made.trajectories = made.trajectories[made.trajectories["student"].isin(some)].copy()
    found = diagnose(made.predictions, made.trajectories, made.skills)
    measured = found["findings"][-1]["measured"]
    assert measured["steps_not_in_trajectories"] == 115 * 35
    assert measured["steps_checked"] == 5 * 35
    assert measured["mastery_mismatches"] == 0
    assert not found["protocol"]["trajectories_complete"]


def test_gradient_shares(tmp_path: Path, metrics: Path) -> None:
    measured = ask(good_tables(), "gradients", metrics)["measured"]
    assert measured["gain_head"]["first"] == {"epoch": 0, "bce2": 0.75, "gain_variance": 0.25}
    assert measured["gain_head"]["middle"] == {"epoch": 1, "bce2": 1.0, "gain_variance": 0.0}
    assert measured["encoder2"]["first"]["bce2"] == 0.5
    METRICS.assign(**{"gradient/gain_variance_at_gain_head": [1.0, 5.0, 9.0]}).to_csv(metrics)
    found = ask(good_tables(), "gradients", metrics)
    assert (found["status"], found["override"]) == ("cause", "loss.gain_variance=0.0")
    assert found["stake"] is None


def test_parameters_and_skills_that_start_alike(metrics: Path) -> None:
    made = good_tables()
    found = ask(made, "parameters", metrics)
    assert found["measured"]["ends"]["beta"] == {
        "first_mean": 2.5,
        "first_std": 0.0,
        "last_mean": 2.3,
        "last_std": 0.2,
    }
    assert found["status"] == "fine"
    made.skills["offset"] = np.float32(1.5)
    made.predictions["p2"] = np.float32(np.random.default_rng(0).uniform(0.4, 0.6, len(made.predictions)))
    found = ask(made, "parameters", metrics)
    assert (found["status"], found["override"]) == ("cause", "model.curve.offset.per_skill=true")


def test_what_is_not_there_is_not_measured() -> None:
    made = good_tables()
    made.skills["threshold"] = np.nan
    found = {f["name"]: f for f in diagnose(made.predictions, made.trajectories, made.skills, None)["findings"]}
    unmeasured = {name for name, f in found.items() if f["status"] == "unmeasured"}
    assert unmeasured == {"reachable_range", "gradients", "parameters", "wrong_skill"}
    assert "threshold" in found["reachable_range"]["verdict"]
    assert "metrics.csv" in found["gradients"]["verdict"]
    made.predictions["scored"] = False
    with pytest.raises(ValueError, match="no scored step"):
        diagnose(made.predictions, made.trajectories, made.skills)


def test_logistic_regression_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(500, 3)) * [1, 20, 0.1]
    y = (draw.random(500) < sigmoid(x @ [1, 0.05, -8] + 0.5)).astype(float)
    expected = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000).fit(x / x.std(0), y).predict_proba(x / x.std(0))
    fitted = fit_logistic(x, y)
    np.testing.assert_allclose(sigmoid(fitted), expected[:, 1], atol=1e-4)
    assert log_loss(fitted, y) == pytest.approx(sk_log_loss(y, expected[:, 1]), abs=1e-6)


def test_headroom_is_what_the_hidden_information_adds() -> None:
    made = good_tables()
    tables = Tables(made.predictions, made.trajectories, made.skills, None)
    y = tables.response
    assert tables.headroom(np.zeros(len(y)), "nothing").auc == pytest.approx(0, abs=1e-6)
    told = tables.headroom(y, "the answer")
    assert told.auc == pytest.approx(1 - roc_auc_score(y, tables.logit), abs=1e-9)
    alone = log_loss(fit_logistic(tables.logit[:, None], y), y)
    assert told.nats == pytest.approx(alone, abs=0.02), "all of the log loss"


def test_own_history_and_skill_level_by_hand() -> None:
    predictions = pd.DataFrame(
        {
            "student": ["x"] * 4 + ["y"] * 2,
            "step": [0, 1, 2, 3, 0, 1],
            "skills": ["a", "b", "a;b", "a", "a", "b"],
            "response": [1, 0, 1, 0, 1, 1],
            "scored": [False, True, True, True, False, True],
        }
    )
    skills = pd.DataFrame({"skill": ["b", "a"]})
    tables = Tables(predictions, pd.DataFrame(), skills, None)
    rights = [[0], [1, 0], [1 + 1], [0]]  # before x1, x2 (a, b), x3, y1
    wrongs = [[0], [0, 1], [0], [0]]
    np.testing.assert_allclose(
        tables.own_history,
        [[np.mean(np.log1p(r)), np.mean(np.log1p(w))] for r, w in zip(rights, wrongs, strict=True)],
    )
    base = 5 / 7  # of the (step, skill) entries
    of_a_to_x, of_b_to_x, of_b_to_y = (1 + 2 * base) / 3, (1 + 2 * base) / 3, (1 + 2 * base) / 4
    expected = [of_b_to_x, min(of_a_to_x, of_b_to_x), of_a_to_x, of_b_to_y]
    np.testing.assert_allclose(sigmoid(tables.skill_level), expected)


def test_changes_stand_by_stake_and_merge() -> None:
    def cause(name: str, override: str, auc: float | None, nats: float = 0.0) -> dict[str, Any]:
        stake = None if auc is None else {"auc": auc, "nats": nats, "basis": ""}
        return {"name": name, "status": "cause", "advice": name, "override": override, "stake": stake}

    found = changes(
        [
            cause("a", "x=1", 0.0, 0.1),
            cause("b", "y=1", None),
            cause("c", "z=1", 0.02),
            cause("d", "w=1", 0.0001, 0.2),
            cause("e", "z=1", 0.05),
            {**cause("f", "v=1", 0.9), "status": "fine"},
        ]
    )
    assert [change["override"] for change in found] == ["z=1", "w=1", "x=1", "y=1"]
    assert (found[0]["because"], found[0]["auc"]) == (["c", "e"], 0.05)


def test_report_and_figures(tmp_path: Path, metrics: Path) -> None:
    made = good_tables()
    made.predictions["saturated_practised"] = 1.0
    made.predictions["gain_mean"] = made.predictions["gain_practised"]
    found = diagnose(made.predictions, made.trajectories, made.skills, metrics)
    write_json(tmp_path / "diagnosis.json", found)
    assert json.loads((tmp_path / "diagnosis.json").read_text()) == found
    console = Console(width=100, record=True, file=(tmp_path / "printed").open("w"))
    console.print(diagnosis_view(found))
    text = console.export_text()
    assert "…" not in text
    for expected in ("CAUSE", "model/receivers=practised", "10-19", "gain_variance", "gamma"):
        assert expected in text
    paths = save_figures(found, tmp_path / "figures")
    assert {path.name for path in paths} == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    assert all(path.stat().st_size > 5000 for path in paths)
    without = diagnose(made.predictions, made.trajectories, made.skills)
    assert len(save_figures(without, tmp_path / "fewer")) == 4
    Console(file=(tmp_path / "printed").open("w")).print(diagnosis_view(without))
