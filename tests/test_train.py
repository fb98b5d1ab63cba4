"""Runs from config to disk: every experiment, best checkpoints, resume, loggers, evaluation."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from made_folders import made_run
from omegaconf import DictConfig, OmegaConf

import gainkt.train
from conftest import EXPERIMENTS, TINY, composed
from gainkt.errors import ConfigError, DataError
from gainkt.evaluate import evaluate
from gainkt.runs.folder import load_run, read_checkpoint
from gainkt.train import train
from gainkt.training.callbacks.early_stopping import PhaseEarlyStopping

Config = Callable[..., DictConfig]
QUIET = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


UNJUDGED = "trajectories.write=false"
"""Leaves out the tables of a run and what judges them, where a test looks at neither."""


def evaluation(*overrides: str) -> DictConfig:
    return composed("evaluate", *overrides)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains(config: Config, experiment: str, tmp_path: Path) -> None:
    learns = experiment in ("v4_distilled", "v4_steady_distilled")
    teachers = [made_run(tmp_path / str(seed), seed=seed).directory.path for seed in (1, 2) if learns]
    more = [f"distillation.teachers=[{','.join(map(str, teachers))}]"] if learns else []
    result = train(config(experiment, UNJUDGED, *more))
    folder = result.run.directory
    for path in (folder.config, folder.sizes, folder.provenance, folder.metrics, folder.results):
        assert path.is_file()
    table = pd.read_csv(folder.metrics)
    assert list(table.epoch) == [0, 1]
    for column in (
        "phase",
        "train/encoder1_auc",
        "val/encoder1_auc",
        "val/encoder2_auc",
        "test/encoder2_auc",
    ):
        assert column in table
    active = [name for name, weight in result.module.weights.items() if weight]
    for name in active:
        raw, weighted = table[f"loss/{name}"].iloc[-1], table[f"weighted_loss/{name}"].iloc[-1]
        assert weighted == pytest.approx(table[f"weight/{name}"].iloc[-1] * raw, rel=1e-4, abs=1e-9)
        assert table[f"gradient/{name}_at_gain_head"].iloc[-1] >= 0
    # l_23's head has no stream of its own, and is read from a state that it moves only once it has left its start.
    own = "gradient/l_21_at_curve" if "l_21" in active else "gradient/bce2_at_encoder2"
    assert active == ["bce1"] or table[own].iloc[-1] > 0
    assert table["gradient/norm_max"].iloc[-1] > 0
    assert all(math.isfinite(value) for value in result.metrics.values())


def test_the_best_checkpoint_reproduces_its_figures(config: Config) -> None:
    result = train(config("v3_inverse_warmup", "trainer.max_epochs=4", UNJUDGED))
    table = pd.read_csv(result.run.directory.metrics)
    assert result.run.phases == ["encoder2_first", "joint"]
    for phase in result.run.phases:
        entry = result.results["phases"][phase]
        row = table[table.epoch == entry["epoch"]].iloc[0]
        assert row.phase == phase
        of_phase = table[table.phase == phase]
        assert row["val/combined_score"] == of_phase["val/combined_score"].max(), "not the best of its phase"
        for name, value in entry["figures"]["val"].items():
            assert row[f"val/{name}"] == pytest.approx(value, abs=1e-12), name
        for part, key in (("test", "test"), ("valid", "val")):
            asked = (f"run={result.run.directory.path}", f"split={part}", f"phase={phase}", "device=cpu", UNJUDGED)
            again = evaluate(evaluation(*asked))
            assert again.results["phases"][phase]["figures"][part] == entry["figures"][key]


def test_a_phase_without_encoder1_leaves_it_alone(config: Config) -> None:
    cfg = config("v3_inverse_warmup", UNJUDGED)
    result = train(cfg)
    first = read_checkpoint(result.run.directory.best("encoder2_first"))["state_dict"]
    torch.manual_seed(0)
    fresh = train(config("v3_inverse_warmup", "trainer.max_epochs=2", "optimizer.lr=1e-12", UNJUDGED))
    start = read_checkpoint(fresh.run.directory.best("encoder2_first"))["state_dict"]
    for name in first:
        if name.startswith(("model.encoder1", "model.response_head")):
            torch.testing.assert_close(first[name], start[name])
    assert any(not torch.allclose(first[n], start[n]) for n in first if n.startswith("model.encoder2"))


def test_a_seed_means_a_run(config: Config) -> None:
    one, two, other = (train(config("v1_per_skill", f"seed={seed}", UNJUDGED)) for seed in (0, 0, 1))
    assert one.metrics == two.metrics
    assert one.metrics != other.metrics
    assert one.run.directory.path != two.run.directory.path


def test_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed with SIGKILL in the middle of an epoch, then resumed: the same weights, to the bit."""
    settings = [
        *TINY,
        "experiment=v3_inverse_warmup",
        "trainer.max_epochs=6",
        "dataset.read.num_students=500",
        UNJUDGED,
    ]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = [sys.executable, "-m", "gainkt.train", *settings]
    victim = subprocess.Popen([*command, f"hydra.run.dir={cut}"], env=QUIET, stdout=subprocess.DEVNULL)
    table = cut / "metrics.csv"
    deadline = time.monotonic() + 120
    while not (table.exists() and len(table.read_text().splitlines()) > 2):
        assert time.monotonic() < deadline, "the run made no progress"
        assert victim.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    time.sleep(0.05)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    done = len(pd.read_csv(table))
    assert done < 6, "killed too late to show anything"
    train(composed("train", *settings, f"run.dir={whole}"))
    train(composed("train", f"run.resume={cut}"))
    ends = [read_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, cut)]
    assert ends[0]["epoch"] == ends[1]["epoch"] == 5
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name
    results = [json.loads((folder / "results.json").read_text()) for folder in (whole, cut)]
    assert results[0] == results[1]
    tables = [pd.read_csv(folder / "metrics.csv") for folder in (whole, cut)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.setattr("sys.argv", ["gainkt", f"run.resume={cut}", "loss.bce1=0.5"])
    with pytest.raises(SystemExit) as end:
        gainkt.train.main()
    assert end.value.code == 1
    assert "leave out loss.bce1=0.5" in capsys.readouterr().err


def test_early_stopping_counts_within_a_phase(config: Config) -> None:
    still = ("optimizer.lr=1e-12", "callbacks.stop.patience=2", UNJUDGED)
    cfg = config("v3_inverse_warmup", "trainer.max_epochs=12", *still)
    table = pd.read_csv(train(cfg).run.directory.metrics)
    assert (table.phase == "encoder2_first").sum() == 6, "a phase that another follows runs its length"
    assert (table.phase == "joint").sum() == 3, "the first epoch of a phase is its first best"
    with pytest.raises(ConfigError, match="patience=0"):
        PhaseEarlyStopping(monitor="val/encoder1_auc", mode="max", patience=0)


def test_a_run_that_stopped_early_stays_stopped(config: Config) -> None:
    still = ("optimizer.lr=1e-12", "callbacks.stop.patience=1", UNJUDGED)
    cfg = config("v1_per_skill", "trainer.max_epochs=9", *still)
    first = train(cfg)
    last = first.run.directory.checkpoints / "last.ckpt"
    before, epochs = last.read_bytes(), len(pd.read_csv(first.run.directory.metrics))
    assert epochs < 9
    again = train(config("v1_per_skill", f"run.resume={first.run.directory.path}/"))
    assert last.read_bytes() == before
    assert len(pd.read_csv(first.run.directory.metrics)) == epochs
    assert again.metrics == first.metrics


def test_moved_data_is_found_and_changed_data_is_not_scored_by_mistake(config: Config, tmp_path: Path) -> None:
    rows = "".join(f"s{i // 6},{'ab'[i % 2]},{(i * 7 % 5) % 2}\n" for i in range(240))
    path = tmp_path / "data.csv"
    path.write_text("student,skill,correct\n" + rows)
    small = [o for o in TINY if not o.startswith("dataset.read")]
    data = ["dataset=csv", f"dataset.path={path}", UNJUDGED]
    result = train(config("v1_per_skill", *small, *data, tiny=False))
    folder, moved = result.run.directory.path, tmp_path / "elsewhere (1)" / "data.csv"
    moved.parent.mkdir()
    path.rename(moved)
    with pytest.raises(DataError, match="no such file"):
        train(config("v1_per_skill", f"run.resume={folder}"))
    again = train(config("v1_per_skill", f"run.resume={folder}", f"dataset.path='{moved}'"))
    assert again.metrics == result.metrics
    scored = evaluate(evaluation(f"run={folder}", f"path='{moved}'", UNJUDGED))
    assert scored.results["phases"]["train"]["figures"]["test"] == result.results["phases"]["train"]["figures"]["test"]
    moved.write_text("student,skill,correct\n" + rows.replace(",a,", ",z,"))
    for action in (
        lambda: evaluate(evaluation(f"run={folder}", f"path='{moved}'")),
        lambda: train(config("v1_per_skill", f"run.resume={folder}", f"dataset.path='{moved}'")),
    ):
        with pytest.raises(DataError, match="the data has changed since the run started"):
            action()


def test_evaluating_again_gives_the_same_scorecard(config: Config) -> None:
    result = train(config("v1_per_skill"))
    again = evaluate(evaluation(f"run={result.run.directory.path}", "device=cpu"))
    assert again.scorecard is not None
    assert again.scorecard["checks"] == result.scorecard["checks"]


@pytest.mark.parametrize("carries", [True, False])
def test_histories_cut_into_windows_keep_their_curves(config: Config, carries: bool) -> None:
    cut = ("dataset.window_length=12", "dataset.window_context=4", f"dataset.carry_state={carries}")
    result = train(config("v1_per_skill", *cut))
    rows = pd.read_parquet(result.run.directory.path / "trajectories.parquet")
    assert rows.window.max() > 0
    restarts = rows.sort_values("step").groupby(["student", "skill"]).practice.diff() < 0
    assert restarts.any() != carries, "practice goes on over a cut, unless every window starts anew"
    t3 = next(check for check in result.scorecard["checks"] if check["name"] == "t3_monotonicity")
    assert t3["value"] == 0


@pytest.mark.parametrize("monitor", ["test/encoder1_auc", "weighted_loss/bce1"])
def test_selection_never_looks_at_test_or_moving_totals(config: Config, monitor: str) -> None:
    with pytest.raises(ConfigError, match="unweighted validation metric"):
        train(config("v1_per_skill", f"callbacks.select.monitor={monitor}"))


def test_unknown_monitor_names_the_nearest(config: Config) -> None:
    with pytest.raises(ConfigError, match="did you mean 'val/encoder2_auc'"):
        train(config("v1_per_skill", "callbacks.select.monitor=val/encoder2_au"))


def test_checkpoints_hold_plain_containers(config: Config) -> None:
    result = train(config("v1_per_skill", UNJUDGED))
    for path in result.run.directory.checkpoints.iterdir():
        torch.load(path, weights_only=True)


def test_provenance_tells_how_to_make_the_run_again(config: Config) -> None:
    result = train(config("v1_per_skill", "seed=4", UNJUDGED))
    told = json.loads(result.run.directory.provenance.read_text())
    assert told["seed"] == 4
    assert told["data"]["digest"] == result.datamodule.log_.digest
    assert told["packages"]["torch"] == torch.__version__
    assert OmegaConf.load(result.run.directory.config).seed == 4


def test_a_full_disk_leaves_the_last_checkpoint(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config("v1_per_skill", "trainer.max_epochs=4", UNJUDGED)
    save, calls = torch.save, []

    def failing_save(content: object, path: Path) -> None:
        calls.append(path)
        if len(calls) == 3:
            Path(path).write_bytes(b"half")
            raise RuntimeError("[enforce fail at inline_container.cc:603] . unexpected pos 64 vs 0")
        save(content, path)

    monkeypatch.setattr("gainkt.training.callbacks.checkpoint.torch.save", failing_save)
    with pytest.raises(OSError, match="is the disk full"):
        train(cfg)
    run = load_run(cfg.run.dir)
    assert read_checkpoint(run.directory.checkpoints / "last.ckpt")["epoch"] == 1
    assert not [p for p in run.directory.checkpoints.iterdir() if p.name.startswith(".")], "half-written file left"
    assert run.model() is not None


def test_tensorboard_and_wandb_together(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    result = train(config("v1_per_skill", "logger=[wandb,tensorboard]", "logger.wandb.offline=true", UNJUDGED))
    folder = result.run.directory.path
    assert list((folder / "tensorboard").glob("events.*"))
    assert list((folder / "wandb").glob("offline-run-*/*.wandb"))
    import wandb

    assert wandb.run is None, "finish() was not called"


def test_wandb_is_not_imported_unless_asked_for() -> None:
    code = "import sys, gainkt.train, gainkt.evaluate; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=QUIET).returncode == 0
