"""A search runs as many trials as asked for over all its processes, selects on validation and survives failures."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pandas as pd
import pytest
from matplotlib.image import imread
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from conftest import TINY, composed
from gainkt.config import conf_dir
from gainkt.errors import ConfigError, ReportError
from gainkt.files import write_json
from gainkt.runs.received import named_by_conf
from gainkt.search import main, search
from gainkt.sweeping.search import trials
from gainkt.sweeping.search.space import as_override, read_space
from gainkt.sweeping.search.study import LOST, OBJECTIVES, SURPLUS, Settings, next_trial, open_study, release_lost
from gainkt.sweeping.search.trials import SearchResult
from gainkt.sweeping.summary.statistics import E1, E2
from gainkt.training.callbacks.report_to_trial import ReportToTrial, reporting

Search = Callable[..., SearchResult]
Train = Callable[[DictConfig], Any]


@pytest.fixture
def run_search(tmp_path: Path) -> Search:
    """Search as the command would: run_search("study.trials=4") on a tiny V1."""

    def run(*overrides: str) -> SearchResult:
        asked = ["experiment=v1_per_skill", *TINY, f"run.root={tmp_path}", "study.name=s", "study.trials=4", *overrides]
        return search(composed("search", *asked), asked)

    return run


def pretend(
    monkeypatch: pytest.MonkeyPatch, behave: Train | None = None, *, compose_each: bool = False, draw: bool = False
) -> list[float]:
    """Replace training: E1 rises and E2 falls with the weight of bce1, test the other way; returns weights seen."""
    seen: list[float] = []

    def quickly(overrides: list[str]) -> DictConfig:
        return composed("train", *(o for o in overrides if o.startswith("loss.")))

    if not compose_each:
        monkeypatch.setattr(trials, "_compose", quickly)

    def train(cfg: DictConfig, overrides: Sequence[str]) -> Any:
        weight = float(cfg.loss.bce1)
        seen.append(weight)
        if behave is not None:
            behave(cfg)
        metrics = {E1: 0.6 + 0.1 * weight, E2: 0.6 - 0.3 * weight}
        metrics |= {"test/encoder1_auc": 0.9 - 0.1 * weight, "test/encoder2_auc": 0.3 + 0.5 * weight}
        return SimpleNamespace(metrics=metrics)

    monkeypatch.setattr(trials, "train", train)
    monkeypatch.setattr(trials, "summarize_or_say_why", lambda *_: None)
    if not draw:
        monkeypatch.setattr(trials, "save_both", lambda *_: None)
    return seen


def settings(folder: Path, **changed: Any) -> Settings:
    """Settings of a study that stops after four trials."""
    values: dict[str, Any] = {
        "name": "s",
        "dir": str(folder),
        "storage": None,
        "objective": "score",
        "alpha": 0.5,
        "trials": 4,
        "sampler": "random",
        "startup": 2,
        "population": 4,
        "seed": 0,
        "pruner": "none",
        "prune_after": 1,
        "lost_after": 3600.0,
    }
    return Settings(**values | changed)


def test_real_trials_are_trained_pruned_and_summarised(run_search: Search) -> None:
    result = run_search(
        "study.trials=5", "study.startup=1", "study.prune_after=0", "trainer.max_epochs=3", "study.sampler=random"
    )
    table = result.trials
    assert set(table.state) == {"complete", "pruned"}
    assert (table[table.state == "pruned"].epochs <= 3).all()
    complete = table[table.state == "complete"]
    assert result.best == complete.number.iloc[complete["val/score_0.5"].argmax()]
    figures = json.loads((result.folder / str(result.best) / "results.json").read_text())
    best = complete[complete.number == result.best].iloc[0]
    assert figures["phases"]["train"]["figures"]["val"]["encoder2_auc"] == best[E2]
    assert best["loss.bce1"] + best["loss.bce2"] == pytest.approx(1)
    assert list(pd.read_csv(result.folder / "trials.csv").number) == list(table.number)
    assert imread(result.folder / "pareto.png").std() > 0.05

    # A trial is a run like any other: what its config names for the search is a part that may be read again.
    config = OmegaConf.load(result.folder / str(result.best) / "config.yaml")
    assert config.callbacks.report._target_ in named_by_conf()
    assert (result.folder / str(result.best) / "output.txt").is_file()
    assert (result.folder / "report.md").is_file()

    # The command that is printed composes to the config of the trial, but for where it runs and what it writes.
    words = shlex.split(result.command or "")
    assert words[:3] == ["python", "-m", "gainkt.train"]
    cfg = composed("train", *words[3:])
    assert cfg.loss.bce1 == best["loss.bce1"]
    assert cfg.trajectories.write is True
    assert "report" not in cfg.callbacks

    states = json.loads((result.folder / "runs.json").read_text())["states"]
    assert states == {"done": len(complete), "pruned": len(table) - len(complete)}


def test_selection_is_on_validation_and_the_study_goes_on(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch)
    first = run_search("study.objective=e1")
    assert len(seen) == 4
    best = first.trials.set_index("number").loc[first.best]
    assert best["loss.bce1"] == max(seen)
    assert best["test/encoder1_auc"] == first.trials["test/encoder1_auc"].min()
    again = run_search("study.objective=e1", "study.trials=6")
    assert len(seen) == 6
    assert list(again.trials.number) == list(range(6))
    assert list(again.trials["loss.bce1"]) == seen
    run_search("study.objective=e1", "study.trials=6")
    assert len(seen) == 6


def test_the_same_seed_proposes_the_same(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch)
    for name in ("a", "b"):
        run_search(f"study.name={name}", "study.startup=2")
    assert seen[:4] == seen[4:]
    assert len(set(seen)) == 4
    run_search("study.name=c", "study.seed=1")
    assert seen[8:] != seen[:4]


@pytest.mark.parametrize("sampler", ["nsga2", "tpe"])
def test_a_pair_gives_a_front(
    run_search: Search, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sampler: str
) -> None:
    pretend(monkeypatch, draw=True)
    caplog.set_level("INFO")
    result = run_search("study.objective=pair", f"study.sampler={sampler}", "study.population=3", "study.trials=9")
    assert len(result.front) == 9, "E1 and E2 pull apart: every trial is on the front"
    assert result.front[E1].is_monotonic_decreasing
    assert result.best == result.trials.number.iloc[result.trials["val/score_0.5"].argmax()]
    assert len(pd.read_csv(result.folder / "pareto.csv")) == 9
    assert (result.folder / "pareto.pdf").read_bytes().startswith(b"%PDF")
    assert "Optuna has none for pairs" in caplog.text


def test_a_failed_trial_is_recorded_and_counts(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def behave(cfg: DictConfig) -> None:
        calls.append(cfg.run.dir)
        if len(calls) == 2:
            raise RuntimeError("CUDA out of memory\nand more")

    pretend(monkeypatch, behave)
    result = run_search()
    assert list(result.trials.state) == ["complete", "failed", "complete", "complete"]
    assert result.trials.error[1] == "RuntimeError: CUDA out of memory and more"
    job = json.loads((result.folder / "1" / "job.json").read_text())
    assert (job["state"], job["error"]) == ("failed", "RuntimeError: CUDA out of memory and more")
    assert f"loss.bce1={float(result.trials['loss.bce1'][1])!r}" in job["overrides"]

    def fail(cfg: DictConfig) -> None:
        raise ValueError("no such data")

    pretend(monkeypatch, fail)
    with pytest.raises(ConfigError, match="all 4 trials failed; the last said: no such data"):
        run_search("study.name=t")


def test_a_trial_whose_report_fails_is_trained(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(cfg: DictConfig) -> None:
        figures = {
            "val": {"encoder1_auc": 0.7, "encoder2_auc": 0.6},
            "test": {"encoder1_auc": 0.5, "encoder2_auc": 0.4},
        }
        results = {"selected": "train", "phases": {"train": {"epoch": 1, "figures": figures}}}
        write_json(Path(cfg.run.dir) / "results.json", results)
        raise ReportError("the run is trained, but the scorecard failed")

    pretend(monkeypatch, behave)
    result = run_search("study.trials=1")
    assert list(result.trials.state) == ["complete"]
    assert list(result.trials[E1]) == [0.7]
    assert "the scorecard failed" in result.trials.error[0]
    job = json.loads((result.folder / "0" / "job.json").read_text())
    assert job["state"] == "done"
    assert "the scorecard failed" in job["error"]


def test_an_interrupted_trial_is_tried_again(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(cfg: DictConfig) -> None:
        if len(seen) == 2:
            raise KeyboardInterrupt

    seen = pretend(monkeypatch, behave)
    with pytest.raises(KeyboardInterrupt):
        run_search()
    result = run_search()
    assert len(seen) == 5
    assert seen[2] == seen[1], "the values of the interrupted trial come next"
    assert list(result.trials.state) == ["complete"] * 4


def test_processes_that_share_a_study_start_no_trial_too_many(tmp_path: Path) -> None:
    one, two = (open_study(settings(tmp_path), {"a": 1}) for _ in range(2))
    taken = [next_trial(study, settings(tmp_path)) for study in (one, two, one, two)]
    assert [trial.number for trial in taken if trial] == [0, 1, 2, 3]
    assert next_trial(one, settings(tmp_path)) is None

    # A process that had looked before the others started theirs finds that its trial is one too many.
    late = open_study(settings(tmp_path), {"a": 1})
    with pytest.MonkeyPatch.context() as patch:
        from gainkt.sweeping.search import study as module

        true, looks = module.counted, []

        def outdated(of: optuna.Study) -> list[FrozenTrial]:
            looks.append(0)
            return [] if len(looks) == 1 else true(of)

        patch.setattr(module, "counted", outdated)
        assert next_trial(late, settings(tmp_path)) is None
    assert late.trials[4].user_attrs[SURPLUS] is True
    assert len(true(late)) == 4


def test_trials_of_a_dead_process_are_taken_over(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    study = open_study(chosen, {"a": 1})
    trial = next_trial(study, chosen)
    assert trial is not None
    x = trial.suggest_float("x", 0, 1)
    assert release_lost(study, chosen) == [], "this process is alive"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    trial.set_user_attr("pid", gone.pid)
    other = open_study(chosen, {"a": 1})
    again = next_trial(other, chosen)
    assert again is not None
    assert other.trials[0].state == TrialState.FAIL
    assert other.trials[0].user_attrs[LOST] is True
    assert again.suggest_float("x", 0, 1) == x
    # On another machine silence tells.
    again.set_user_attr("host", "elsewhere")
    assert release_lost(other, chosen) == []
    again.set_user_attr("seen", 0.0)
    assert release_lost(other, chosen) == [again.number]


def test_storage_may_be_a_database(run_search: Search, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch)
    url = f"study.storage='sqlite:///{tmp_path}/study.db'"
    assert len(run_search(url, "study.trials=2").trials) == 2
    assert len(run_search(url, "study.trials=3").trials) == 3
    with pytest.raises(ConfigError, match=r"study\.storage=nosuch://x: cannot be opened"):
        run_search("study.storage='nosuch://x'")


def test_a_study_keeps_what_it_was_started_with(run_search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    run_search()
    with pytest.raises(ConfigError, match=r"study\.name=s: was started with objective score, not e2"):
        run_search("study.objective=e2")
    with pytest.raises(ConfigError, match="was started with overrides"):
        run_search("optimizer.lr=0.1")
    with pytest.raises(ConfigError, match="was started with space"):
        run_search("search.loss.bce1.high=0.5")


def test_pruning_reports_single_objectives_and_is_silent_outside_a_search(tmp_path: Path) -> None:
    trainer: Any = SimpleNamespace(callback_metrics={E1: 0.7, E2: 0.6}, current_epoch=3)
    callback: Any = ReportToTrial()
    module = SimpleNamespace()
    callback.on_train_epoch_end(trainer, module)
    reports: list[tuple[float, int]] = []

    class Trial:
        def set_user_attr(self, name: str, value: Any) -> None:
            assert name in ("seen", "epochs")

        def report(self, value: float, step: int) -> None:
            reports.append((value, step))

        def should_prune(self) -> bool:
            return len(reports) == 2

    with reporting(Trial(), settings(tmp_path, objective="pair").values):
        callback.on_train_epoch_end(trainer, module)
    assert reports == []
    with reporting(Trial(), settings(tmp_path).values):
        callback.on_train_epoch_end(trainer, module)
        with pytest.raises(optuna.TrialPruned, match="after epoch 3"):
            callback.on_train_epoch_end(trainer, module)
    assert reports == [(1.0, 3)] * 2
    values = [settings(tmp_path, objective=name, alpha=2).values({E1: 0.7, E2: 0.6}) for name in OBJECTIVES]
    assert values == [(0.7,), (0.6,), (1.9,), (0.7, 0.6)]


BAD = {
    "study.objective=both": r"study\.objective=both: choose one of e1, e2, score, pair",
    "study.sampler=grid": r"study\.sampler=grid: choose one of tpe",
    "study.trials=0": r"study\.trials=0: must be 1 or more",
    "+search.loss.bce11={low:0,high:1}": r"search\.loss\.bce11: no such key in the config; did you mean 'loss\.bce1'",
    "~search": "the space is empty",
}


@pytest.mark.parametrize("override", BAD)
def test_what_cannot_be_searched(run_search: Search, override: str) -> None:
    with pytest.raises(ConfigError, match=BAD[override]):
        run_search(*(["search.loss=null"] if override == "~search" else [override]))


def test_a_search_is_no_sweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["search", "-m", "study.trials=1,2"])
    with pytest.raises(SystemExit):
        main()
    assert "a search is no sweep; leave out -m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": {"low": 1}}, "give both"),
        ({"a": {"low": 2, "high": 1}}, "low no greater than high"),
        ({"a": {"low": 0, "high": 1, "log": True}}, "log=true needs low over 0"),
        ({"a": {"low": 0, "high": 1, "choices": [1]}}, "either low and high, or choices"),
        ({"a": {"choices": []}}, "is empty"),
        ({"a": {"low": 0, "hihg": 1}}, "did you mean 'high'"),
        ({"a": {"complement": "b"}}, "names before it"),
        ({"a": 3}, r"search\.a=3"),
    ],
)
def test_bad_spaces(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_space(content)


def test_spaces_nest_or_dot_and_write_what_hydra_reads() -> None:
    space = read_space(
        {
            "loss.bce1": {"low": 0.2, "high": 0.8},
            "model": {"size": {"num_blocks": {"low": 1, "high": 3}}, "encoder2": {"choices": ["lstm", None, True]}},
            "optimizer": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}},
            "loss.bce2": {"complement": "loss.bce1"},
        }
    )
    trial = optuna.trial.FixedTrial(
        {"loss.bce1": 0.7, "model.size.num_blocks": 2, "model.encoder2": None, "optimizer.lr": 2e-4}
    )
    chosen = space.suggest(trial)
    assert chosen["loss.bce2"] == 0.3
    assert [as_override(*item) for item in chosen.items()] == [
        "loss.bce1=0.7",
        "model.size.num_blocks=2",
        "model.encoder2=null",
        "optimizer.lr=0.0002",
        "loss.bce2=0.3",
    ]
    assert as_override("a", True) == "a=true"
    assert as_override("model/encoder2", "lstm") == "model/encoder2=lstm"


@pytest.mark.parametrize("path", sorted(Path(conf_dir(), "search").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_space_that_ships_fits_its_experiment(
    run_search: Search, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    pretend(monkeypatch, compose_each=True)
    experiment = path.stem if path.stem.startswith("v4") else "v1_per_skill"
    result = run_search(f"search={path.stem}", f"experiment={experiment}", "study.trials=2")
    assert list(result.trials.state) == ["complete"] * 2


@pytest.mark.slow
def test_two_real_processes_share_a_study(tmp_path: Path) -> None:
    asked = ["experiment=v1_per_skill", *TINY, f"run.root={tmp_path}", "study.trials=5", "study.pruner=none"]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "gainkt.search", *asked],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    folder = tmp_path / "v1_per_skill" / "search-bce_weight"
    table = pd.read_csv(folder / "trials.csv")
    assert len(table) == 5
    assert table["loss.bce1"].nunique() == 5
    assert len(list(folder.glob("*/results.json"))) == 5
    assert any("best (trial" in text for text in said)
