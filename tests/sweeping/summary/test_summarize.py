"""A sweep's summary says what its runs say, finished or not, and its statistics agree with independent ones."""

import json
import runpy
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.image import imread
from scipy import stats

from gainkt.errors import ConfigError, DataError
from gainkt.sweeping.summary.report import summarize
from gainkt.sweeping.summary.runs import parse_overrides, read_runs
from gainkt.sweeping.summary.statistics import (
    E1,
    E2,
    add_scores,
    comparisons,
    correlations,
    describe,
    holm,
    importance,
    interval,
    paired_tests,
    pareto_front,
    rank,
    sensitivity,
    settings_table,
)

SCRIPT = Path(__file__).parents[3] / "scripts" / "summarize_sweep.py"
Figures = tuple[float, float]


def write_run(folder: Path, val: Figures, test: Figures, config: dict[str, Any] | None = None) -> None:
    """What train() leaves behind, as far as a summary reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        part: {f"encoder{n}_auc": value for n, value in enumerate(values, start=1)}
        for part, values in (("val", val), ("test", test))
    }
    results = {"name": "v", "selected": "late", "phases": {"early": {}, "late": {"epoch": 3, "figures": figures}}}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"name": "v", "seed": 0, "dataset": {"fold": 0}, **(config or {})}, sort_keys=False)
    )


def write_sweep(folder: Path, jobs: Sequence[tuple[list[str], str, Figures | None]]) -> Path:
    """A sweep of (overrides, state, both AUCs on validation); test lies .01 below."""
    entries = [{"number": n, "overrides": job[0], "folder": str(n)} for n, job in enumerate(jobs)]
    folder.mkdir(parents=True)
    (folder / "sweep.json").write_text(json.dumps({"sweep": "s", "overrides": [], "jobs": entries}))
    for number, (overrides, state, val) in enumerate(jobs):
        if state == "missing":
            continue
        place = folder / str(number)
        place.mkdir()
        error = "ValueError: loss term bce2 is not finite" if state == "failed" else None
        job = {"number": number, "overrides": overrides, "state": state, "error": error, "seconds": 2.0}
        (place / "job.json").write_text(json.dumps(job))
        if val is not None:
            write_run(place, val, (val[0] - 0.01, val[1] - 0.01))
    return folder


def grid(folder: Path) -> Path:
    """A full grid with known effects: E1 rises with beta alone, E2 with beta and, three times as much, with level."""
    jobs = [
        ([f"model.curve.beta={b}", f"model.curve.level={s}"], "done", (0.6 + 0.01 * b, 0.5 + 0.01 * b + 0.03 * s))
        for b, s in product((1, 2, 3), (1, 2, 3))
    ]
    return write_sweep(folder, jobs)


def test_a_sweep_half_done_is_listed_and_ranked_on_validation(tmp_path: Path) -> None:
    folder = write_sweep(
        tmp_path / "s",
        [
            (["loss.bce1=0.3"], "done", (0.70, 0.60)),
            (["loss.bce1=0.5"], "done", (0.74, 0.55)),
            (["loss.bce1=0.7"], "done", (0.69, 0.56)),
            (["loss.bce1=0.8"], "failed", None),
            (["loss.bce1=0.9"], "running", None),
            (["loss.bce1=1.0"], "missing", None),
        ],
    )
    # The worst run has the best test figures, which must not help it.
    write_run(folder / "2", (0.69, 0.56), (0.99, 0.99))
    summarize(folder)
    runs = pd.read_csv(folder / "runs.csv")
    assert list(runs.state) == ["done"] * 3 + ["failed", "running", "missing"]
    assert list(runs["loss.bce1"]) == [0.3, 0.5, 0.7, 0.8, 0.9, 1.0]
    assert runs["val/score_0.5"][0] == pytest.approx(1.0)
    assert runs["test/score_1"][0] == pytest.approx(0.69 + 0.59)
    content = json.loads((folder / "runs.json").read_text())
    assert content["states"] == {"done": 3, "failed": 1, "running": 1, "missing": 1}
    assert [row["number"] for row in content["ranking"]["0.5"]] == [1, 0, 2]
    assert [row["number"] for row in content["ranking"]["1"]] == [0, 1, 2]
    assert [row["number"] for row in content["pareto"]] == [1, 0]
    assert content["runs"][3]["error"] == "ValueError: loss term bce2 is not finite"
    assert content["runs"][3]["metrics"][E1] is None
    assert content["runs"][0]["overrides"]["loss.bce1"] == 0.3
    report = (folder / "report.md").read_text()
    assert "6 runs: 3 done, 1 failed, 1 running, 1 missing." in report
    assert "| 3 | failed | loss.bce1=0.8 | ValueError: loss term bce2 is not finite |" in report
    for name in ("tradeoff_loss.bce1", "pareto", "importance"):
        assert imread(folder / "figures" / f"{name}.png").std() > 0.05
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert f"(figures/{name}.png)" in report
    assert not list(folder.rglob(".*")), "a temporary file was left"


def test_the_name_may_be_swept(tmp_path: Path) -> None:
    runs = read_runs(write_sweep(tmp_path / "s", [(["name=a"], "done", (0.6, 0.5)), (["name=b"], "done", (0.7, 0.5))]))
    assert list(runs.table.columns).count("name") == 1
    summarize(tmp_path / "s")
    assert (tmp_path / "s" / "report.md").is_file()


def test_nothing_done_yet_and_one_run_alone(tmp_path: Path) -> None:
    waiting = write_sweep(tmp_path / "w", [(["seed=0"], "missing", None), (["seed=1"], "running", None)])
    summarize(waiting)
    assert "No run has finished" in (waiting / "report.md").read_text()
    assert json.loads((waiting / "runs.json").read_text())["states"] == {"missing": 1, "running": 1}
    alone = write_sweep(tmp_path / "a", [(["seed=0"], "done", (0.7, 0.6))])
    summarize(alone, alpha=1)
    assert list(json.loads((alone / "runs.json").read_text())["ranking"]) == ["1"]


def test_folders_of_older_sweeps_are_read_by_what_differs(tmp_path: Path) -> None:
    for number, (weight, seed) in enumerate(product((0.2, 0.4), (0, 1))):
        config = {"seed": seed, "loss": {"bce1": weight, "bce2": 1 - weight}, "run": {"dir": f"x/{number}"}}
        write_run(tmp_path / str(number), (0.7 + weight / 100 + seed / 1000, 0.6), (0.7, 0.6), config)
    runs = read_runs(tmp_path)
    assert runs.parameters == ["loss.bce1", "loss.bce2", "seed"]
    assert runs.moving_together == {"loss.bce2": "loss.bce1"}
    assert runs.swept == ["loss.bce1"]
    assert list(runs.table.number) == [0, 1, 2, 3]
    (tmp_path / "0" / "provenance.json").write_text(
        json.dumps({"command": "python -m gainkt.train experiment=v loss.bce1=0.2 seed=0"})
    )
    hydras = tmp_path / "1" / ".hydra"
    hydras.mkdir()
    (hydras / "overrides.yaml").write_text("[loss.bce1=0.2, +seed=1]")
    assert {"experiment", "loss.bce1", "seed"} <= set(read_runs(tmp_path).settings)


def test_what_cannot_be_summarised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no such folder"):
        summarize(tmp_path / "x")
    with pytest.raises(DataError, match="holds no run"):
        summarize(tmp_path)
    with pytest.raises(ConfigError, match="alpha=-1"):
        summarize(tmp_path, alpha=-1)
    folder = write_sweep(tmp_path / "s", [(["seed=0"], "done", None), (["seed=1"], "done", (0.7, 0.6))])
    summarize(folder)
    assert "results.json is missing" in (folder / "report.md").read_text()
    (folder / "1" / "results.json").write_text("{")
    with pytest.raises(ConfigError, match=r"results\.json: is damaged"):
        summarize(folder)
    (folder / "1" / "results.json").unlink()
    (folder / "0" / "config.yaml").write_text("a: [")
    with pytest.raises(DataError, match=r"config\.yaml: is not YAML"):
        summarize(folder)
    monkeypatch.setattr(sys, "argv", ["summarize_sweep", str(tmp_path / "x")])
    assert runpy.run_path(str(SCRIPT))["main"]() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_overrides_are_read_as_hydra_writes_them() -> None:
    assert parse_overrides(["+a.b=1e-3", "c=lstm", "d=true", "e=0.5", "~f", "++g=null", "h=[1,2]"]) == {
        "a.b": 1e-3,
        "c": "lstm",
        "d": True,
        "e": 0.5,
        "g": None,
        "h": "[1,2]",
    }


def test_statistics_of_a_grid_with_known_effects(tmp_path: Path) -> None:
    runs = add_scores(read_runs(grid(tmp_path / "g")), [0.5, 1.0])
    assert rank(runs, 0.5).number.iloc[0] == 8
    spread = describe(runs).set_index("metric").loc[E2]
    assert spread["mean"] == pytest.approx(0.58)
    assert spread["std"] == pytest.approx(runs.table[E2].std(ddof=1))
    assert (spread["min"], spread["max"]) == pytest.approx((0.54, 0.62))
    related = correlations(runs).set_index(["parameter", "metric"])
    assert related.loc[("model.curve.beta", E1), "pearson"] == pytest.approx(1)
    assert related.loc[("model.curve.level", E1), "pearson"] == pytest.approx(0, abs=1e-9)
    assert related.loc[("model.curve.level", E2), "pearson"] == pytest.approx(0.9**0.5)
    shares = importance(runs, [E1, E2]).set_index(["metric", "parameter"])
    # Without interaction the shares of a full grid are the squared effects, 1 to 9, and leave nothing over.
    assert shares.loc[(E2, "model.curve.beta"), "share"] == pytest.approx(0.1)
    assert shares.loc[(E2, "model.curve.level"), "share"] == pytest.approx(0.9)
    assert shares.loc[(E1, "model.curve.level"), "share"] == pytest.approx(0, abs=1e-12)
    assert shares.loc[(E1, "model.curve.level"), "by_chance"] == pytest.approx(2 / 8)
    narrow = sensitivity(add_scores(runs, [10.0]), 10.0, share=0.3).set_index("parameter")
    assert narrow.loc["model.curve.level", "share_of_range"] == 0
    assert narrow.loc["model.curve.beta", "share_of_range"] == 1


def test_importance_of_a_parameter_with_values_of_its_own_in_every_run(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rate, noise = draw.uniform(0, 1, 200), draw.uniform(0, 1, 200)
    jobs = [([f"lr={x}", f"dropout={z}"], "done", (0.7, 0.5 + 0.1 * x)) for x, z in zip(rate, noise, strict=True)]
    shares = importance(add_scores(read_runs(write_sweep(tmp_path / "r", jobs)), [0.5]), [E2]).set_index("parameter")
    assert list(shares.levels) == [4, 4]
    assert shares.share["lr"] > 0.9
    assert shares.share["dropout"] < 4 * shares.by_chance["dropout"]


def test_pareto_front_agrees_with_its_definition() -> None:
    points = pd.DataFrame(np.random.default_rng(1).integers(0, 12, (80, 2)) / 10, columns=["a", "b"])
    points.loc[5, "a"] = np.nan
    front = pareto_front(points)
    for place, (a, b) in enumerate(points.to_numpy()):
        beaten = any((x >= a and y >= b) and (x > a or y > b) for x, y in points.dropna().to_numpy())
        assert front[place] == (place != 5 and not beaten)


def test_intervals_and_paired_tests_agree_with_scipy(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    jobs, values = [], {}
    for weight, seed, fold in product((0.3, 0.5, 0.7), (0, 1), range(4)):
        e2 = 0.6 + 0.01 * weight + 0.02 * fold + draw.normal(0, 0.001)
        values[weight, seed, fold] = e2
        jobs.append(([f"loss.bce1={weight}", f"seed={seed}", f"dataset.fold={fold}"], "done", (0.7, e2)))
    runs = add_scores(read_runs(write_sweep(tmp_path / "s", jobs[:-1])), [0.5])  # one run of .7 is missing
    table = settings_table(runs, [E2], 0.5).set_index("setting")
    assert dict(table.n) == {"loss.bce1=0.7": 7, "loss.bce1=0.5": 8, "loss.bce1=0.3": 8}
    of_3 = pd.Series([v for (w, _, _), v in values.items() if w == 0.3])
    expected = stats.t.interval(0.95, 7, of_3.mean(), stats.sem(of_3))
    assert tuple(table.loc["loss.bce1=0.3", ["low", "high"]]) == pytest.approx(expected)
    compared = comparisons(runs, [E2], 0.5)
    assert len(compared) == 3
    row = compared[(compared["first"] == "loss.bce1=0.5") & (compared["second"] == "loss.bce1=0.3")].to_dict("records")[
        0
    ]
    pair = [[values[w, s, f] for s, f in product((0, 1), range(4))] for w in (0.5, 0.3)]
    assert row["t_p"] == pytest.approx(stats.ttest_rel(*pair).pvalue)
    assert row["wilcoxon_p"] == pytest.approx(stats.wilcoxon(*pair).pvalue)
    assert sorted(compared.n) == [7, 7, 8]
    assert (compared.t_p_holm >= compared.t_p).all()


def test_holm_and_degenerate_differences() -> None:
    assert holm(pd.Series([0.01, 0.04, 0.03, np.nan])).tolist()[:3] == pytest.approx([0.03, 0.06, 0.06])
    assert holm(pd.Series([0.5, 0.9])).max() == 1.0
    assert paired_tests(np.zeros(5)) == (1.0, 1.0)
    assert np.isnan(paired_tests(np.full(5, 0.01))[0])
    assert paired_tests(np.array([0.0, 0.01, 0.01, -0.02]))[1] > 0.1
    assert np.isnan(interval(pd.Series([1.0]))).all()


def test_a_share_of_the_loss_and_parts_of_the_users_own_are_parameters_and_metrics_like_any_other(
    tmp_path: Path,
) -> None:
    """Nothing in the summary is a list of names: `loss.bce_loss_weight`, a term `my_term`, a check `my_check`."""
    shares = (0.3, 0.5, 0.7)
    jobs = [([f"loss.bce_loss_weight={w}"], "done", (0.7 + 0.1 * w, 0.6 - 0.1 * w)) for w in shares]
    folder = write_sweep(tmp_path / "s", jobs)
    for number, share in enumerate(shares):
        weights = {"bce_loss_weight": share, "bce1": share, "bce2": 1 - share}
        write_run(folder / str(number), jobs[number][2], (0.7, 0.6), {"loss": weights | {"my_term": 0.1}})
        table = pd.DataFrame({"epoch": [2, 3], "loss/my_term": [9.0, share], "weight/bce1": share, "val/x": 0.0})
        table.to_csv(folder / str(number) / "metrics.csv", index=False)
        card = {"checks": [{"name": "my_check", "value": share**2}, {"name": "not_measurable", "value": None}]}
        (folder / str(number) / "scorecard.json").write_text(json.dumps(card))
    summarize(folder)
    content = json.loads((folder / "runs.json").read_text())
    assert content["parameters"] == ["loss.bce_loss_weight"]
    assert [row["loss.bce_loss_weight"] for row in content["ranking"]["0.5"]] == [0.7, 0.5, 0.3]
    assert {row["parameter"] for row in content["importance"]} == {"loss.bce_loss_weight"}
    assert [row["parameter"] for row in content["sensitivity"]] == ["loss.bce_loss_weight"]
    related = {row["metric"]: row for row in content["correlations"]}
    assert related[E1]["pearson"] == pytest.approx(1)
    for metric in ("loss/my_term", "weight/bce1", "scorecard/my_check"):
        assert related[metric]["spearman"] == pytest.approx(1), "of the selected epoch"
    assert related[E2]["spearman_p"] == pytest.approx(0)
    runs = pd.read_csv(folder / "runs.csv")
    assert list(runs["loss/my_term"]) == list(shares)
    assert list(runs["scorecard/my_check"]) == pytest.approx([w**2 for w in shares])
    report = (folder / "report.md").read_text()
    for name in (
        "scorecard/my_check",
        "loss/my_term",
        "## Ranking by E1 + 0.5 E2",
        "`loss.bce_loss_weight` (3 values)",
    ):
        assert name in report
    assert (folder / "figures" / "tradeoff_loss.bce_loss_weight.png").is_file()

    # Without records the configs tell: what follows from the share is left aside.
    for name in ("sweep.json", *(f"{n}/job.json" for n in range(3))):
        (folder / name).unlink()
    found = read_runs(folder)
    assert found.swept == ["loss.bce_loss_weight"]
    assert found.moving_together == {f"loss.bce{n}": "loss.bce_loss_weight" for n in (1, 2)}


def test_the_command_writes_heat_maps_of_a_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = grid(tmp_path / "g")
    monkeypatch.setattr(sys, "argv", ["summarize_sweep", str(folder), "--alpha", "2"])
    assert runpy.run_path(str(SCRIPT))["main"]() == 0
    assert f"report: {folder / 'report.md'}" in capsys.readouterr().out
    assert (folder / "figures" / "heatmap_model.curve.beta_model.curve.level.png").stat().st_size > 5000
    assert "Ranking by E1 + 2 E2" in (folder / "report.md").read_text()
