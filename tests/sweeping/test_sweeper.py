"""A sweep one job after the other: failures stay their own, what is done stays done, a kill leaves a readable state."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sweeping_help import Start, Sweep, calls, start_elsewhere, states, sweep_here  # noqa: F401

import gainkt.train
from conftest import TINY
from gainkt.config import conf_dir
from gainkt.errors import ConfigError
from gainkt.files import claimed
from gainkt.sweeping.grids import Grid
from gainkt.sweeping.jobs import SweepFolder
from gainkt.sweeping.summary.report import summarize


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def test_a_failure_is_recorded_and_stops_no_other(sweep: Sweep) -> None:
    status, printed, errors, folder = sweep("name=a,fail,b", "seed=0,3")
    assert status == 1
    assert states(folder) == ["done", "done", "failed", "failed", "done", "done"]
    assert calls(folder) == [0, 1, 2, 3, 4, 5]
    assert "job 2 failed (name=fail seed=0): RuntimeError: no luck at all" in printed
    assert "4 of 6 done, 2 failed, 0 running" in printed
    assert "best val/combined_score 4.0000 (name=a seed=3)" in printed
    summary = [line for line in errors.splitlines() if line.startswith("gainkt: error:")]
    assert len(summary) == 1
    assert "2 of 6 jobs failed: 2 (name=fail seed=0): RuntimeError: no luck at all; 3 (" in summary[0]
    assert f"-m sweep.resume={folder.path}" in summary[0]
    record = folder.jobs[3].record
    assert record["overrides"] == ["name=fail", "seed=3"]
    assert record["error"] == "RuntimeError: no luck at all"
    assert (record["number"], record["gpu"], record["threads"]) == (3, None, torch.get_num_threads())
    assert record["seconds"] >= 0
    assert record["started"] <= record["ended"]  # in milliseconds, which a job may end in
    assert "Traceback" in (folder.jobs[3].folder / "train.log").read_text()
    assert (folder.jobs[0].folder / "output.txt").read_text() == "job 0\n", "jobs print into their own folders"


def test_resume_runs_what_is_missing_or_failed_and_no_more(sweep: Sweep) -> None:
    *_, folder = sweep("name=a,fail,b")
    (folder.jobs[2].folder / "job.json").unlink()
    left_over = folder.jobs[1].folder / "metrics.csv"
    left_over.write_text("of the first attempt")
    status, printed, _, _ = sweep("sweep.resume=sweep")
    assert status == 1
    assert "(2 of 3 jobs to run)" in printed
    assert calls(folder) == [0, 1, 2, 1, 2]
    assert not left_over.exists()
    assert states(folder) == ["done", "failed", "done"]
    status, _, errors, _ = sweep("sweep.resume=sweep", "name=a,fail,b")
    assert status == 1, "the same settings may be repeated"
    assert calls(folder) == [0, 1, 2, 1, 2, 1]
    status, _, errors, _ = sweep("sweep.resume=sweep", "seed=7")
    assert status == 1
    assert "keeps the settings it was started with, and seed=7 is new" in errors
    assert len(calls(folder)) == 6


def test_a_finished_sweep_is_not_run_again(sweep: Sweep) -> None:
    status, *_, folder = sweep("seed=0,1")
    assert status == 0
    assert (folder.path / "summarised").exists()
    status, printed, _, _ = sweep("sweep.resume=sweep")
    assert status == 0
    assert "(0 of 2 jobs to run)" in printed
    assert calls(folder) == [0, 1]
    status, _, errors, _ = sweep("seed=0,1,2")
    assert status == 1
    assert "holds a sweep with other settings" in errors


def test_two_sweeps_do_not_share_a_folder_and_a_running_job_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    *_, folder = sweep("name=a,fail")
    with claimed(tmp_path / "sweep"):
        status, _, errors, _ = sweep("sweep.resume=sweep")
    assert (status, "another process is at work here" in errors) == (1, True)
    with claimed(folder.jobs[1].folder):
        status, _, errors, _ = sweep("sweep.resume=sweep")
    assert (status, "the job is still running" in errors) == (1, True)
    assert calls(folder) == [0, 1]


def test_an_unknown_key_stops_the_sweep_before_it_starts(sweep: Sweep) -> None:
    status, _, errors, folder = sweep("seed=0,1", "loss.bce11=3")
    assert (status, "did you mean 'loss.bce1'" in errors) == (1, True)
    assert not folder.path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_sweep_is_readable_and_resumed(sweep: Sweep, start: Start, tmp_path: Path, number: int) -> None:
    process = start("name=a,wait,b")
    folder = SweepFolder(tmp_path / "sweep")
    wait_for(lambda: folder.planned and states(folder) == ["done", "running", "waiting"])
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    record = json.loads((folder.path / "1" / "job.json").read_text())
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number
        assert "interrupted with 1 of 3 jobs done" in errors
        assert (record["state"], record["error"]) == ("failed", "interrupted")
    else:
        assert record["state"] == "running"
    assert states(folder)[2] == "waiting"
    (folder.path / "go").touch()
    assert sweep("sweep.resume=sweep")[0] == 0
    assert states(folder) == ["done"] * 3
    assert calls(folder) == [0, 1, 1, 2]


def test_training_in_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    small = [o for o in TINY if "max_epochs" not in o]
    argv = ["-m", "experiment=sweep_bce_weight", *small, "trainer.max_epochs=1", "loss.bce_loss_weight=0.3,-1"]
    monkeypatch.setattr(
        "sys.argv", ["gainkt", *argv, "gradient_every=0", "trajectories.write=false", "hydra.sweep.dir=here"]
    )
    with pytest.raises(SystemExit):
        gainkt.train.main()
    folder = SweepFolder(tmp_path / "here")
    assert states(folder) == ["done", "failed"]
    assert "loss.bce_loss_weight=-1: Encoder 1's share" in folder.jobs[1].record["error"]
    config = (folder.jobs[0].folder / "config.yaml").read_text()
    assert "bce2: 0.7\n" in config, "the two weights add up to 1"
    assert "group: sweep_bce_weight/here" in config
    assert "job: loss.bce_loss_weight=0.3" in config
    assert (folder.jobs[0].folder / "results.json").is_file()


@pytest.mark.parametrize("experiment", ["sweep_bce_weight", "sweep_learning_curve", "sweep_phase", "seeds_folds"])
def test_a_grid_alone_says_what_to_do(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gainkt", f"experiment={experiment}", "hydra.run.dir=run"])
    with pytest.raises(SystemExit):
        gainkt.train.main()
    assert "add --multirun (-m)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("experiment", "jobs", "first"),
    [
        ("sweep_bce_weight", 6, ["loss.bce_loss_weight=0.3"]),
        ("[sweep_bce_weight,v4_belief]", 6, ["loss.bce_loss_weight=0.3"]),
        ("sweep_phase", 9, ["schedule.split=0.4", "loss.bce2=0.2"]),
        ("[v4_belief,seeds_folds]", 25, ["seed=0", "dataset.fold=0"]),
    ],
)
def test_ready_made_grids(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, experiment: str, jobs: int, first: list[str]
) -> None:
    monkeypatch.setattr(Grid, "_launch", lambda *_: None)
    flags = (f"--config-path={conf_dir()}", "--config-name=train")
    *said, folder = sweep(*flags, f"experiment={experiment}")
    assert len(folder.jobs) == jobs, said
    assert len({job.overrides for job in folder.jobs}) == jobs
    assert set(folder.jobs[0].overrides) == {*first, f"experiment={experiment}"}


def plan_of(folder: Path, *jobs: object) -> None:
    """Write a sweep.json of one job a folder, all with the same settings."""
    entries = [{"number": n, "overrides": [f"seed={n}"], "folder": place} for n, place in enumerate(jobs)]
    folder.mkdir(exist_ok=True)
    (folder / "sweep.json").write_text(
        json.dumps({"sweep": "s", "overrides": ["seed=0"], "hydra": [], "jobs": entries})
    )


@pytest.mark.parametrize("place", ["../precious", "..", ".", "sub/0", "7", "", "{absolute}", "link"])
def test_a_received_plan_does_not_decide_what_is_removed(sweep: Sweep, tmp_path: Path, place: str) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years of work")
    (precious / "job.json").write_text("{}")
    folder = tmp_path / "sweep"
    plan_of(folder, "0" if place == "link" else place.format(absolute=precious))
    if place == "link":
        (folder / "0").symlink_to(precious)
    status, _, errors, _ = sweep("sweep.resume=sweep")
    message = [line for line in errors.splitlines() if line.startswith("gainkt: error:")]
    assert status == 1
    assert len(message) == 1
    assert f"{folder / 'sweep.json'}: the folder of job 0 is" in message[0]
    with pytest.raises(ConfigError, match=r"sweep\.json: the folder of job 0 is"):
        summarize(folder)
    assert sorted(path.name for path in precious.iterdir()) == ["job.json", "thesis.tex"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("hydra.callbacks.x._target_=os.system", "not taken from disk"),
        ("hydra.launcher._target_=os.system", "not taken from disk"),
        ("hydra.sweeper._target_=os.system", "not taken from disk"),
        ("hydra.job_logging.handlers.x.()=os.system", "not taken from disk"),
        ("hydra.searchpath=[pkg://payload]", "not taken from disk"),
        ("hydra.searchpath=['file:///tmp','pkg://payload']", "not taken from disk"),
        ("hydra.searchpath=[file:///tmp]", "not taken from disk; give it with the command"),
        # Among the settings of the sweep and its jobs, too.
        ("+hydra.callbacks.x={_target_:torch.utils.collect_env.run}", "not taken from disk"),
        ("++hydra.job_logging.handlers.x.()=os.system", "not taken from disk"),
        ("+logger@hydra.callbacks=wandb", "not taken from disk"),
        ("+hydra.searchpath=[file:///tmp]", "not taken from disk"),
        ("run.resume=../precious", "not taken from disk"),
        ("++run={resume:../precious}", "not taken from disk"),
        ("+x={_target_:os.system,command:ls}", "x._target_=os.system: neither a part of gainkt"),
        ("+x._target_=payload.Part", "x._target_=payload.Part: neither a part of gainkt"),
        ("+x=${oc.env:HOME}", "resolvers are not evaluated"),
    ],
)
def test_a_received_plan_does_not_decide_what_runs(sweep: Sweep, tmp_path: Path, setting: str, words: str) -> None:
    folder = tmp_path / "sweep"
    own = not setting.startswith("hydra.")
    plan_of(folder, "0")
    plan = json.loads((folder / "sweep.json").read_text())
    if own:
        plan["overrides"].append(setting)
        plan["jobs"][0]["overrides"].append(setting)
    else:
        plan["hydra"].append(setting)
    (folder / "sweep.json").write_text(json.dumps(plan))
    status, _, errors, _ = sweep("sweep.resume=sweep")
    message = [line for line in errors.splitlines() if line.startswith("gainkt: error:")]
    assert (status, len(message)) == (1, 1)
    assert f"{folder / 'sweep.json'}: " in message[0]
    assert words in message[0]
    assert not (folder / "0").exists(), "nothing was started"
    if "payload" in setting and own:
        assert sweep("sweep.resume=sweep", "trust=[payload]")[0] == 0, "the user may trust a package by name"


def test_only_what_a_job_left_is_removed(sweep: Sweep, tmp_path: Path) -> None:
    plan_of(tmp_path / "sweep", "0")
    notes = tmp_path / "sweep" / "0" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("not of a job")
    status, _, errors, _ = sweep("sweep.resume=sweep")
    assert (status, f"{notes.parent}: holds files, but none that a job of a sweep writes" in errors) == (1, True)
    assert notes.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"sweep": "s", "overrides": [], "jobs": [{"number": 0}]}'])
def test_what_is_no_plan(sweep: Sweep, tmp_path: Path, content: str) -> None:
    assert "not the folder of a sweep" in sweep("sweep.resume=sweep")[2]
    (tmp_path / "sweep").mkdir(exist_ok=True)
    (tmp_path / "sweep" / "sweep.json").write_text(content)
    assert f"{tmp_path / 'sweep' / 'sweep.json'}: not the plan of a sweep" in sweep("sweep.resume=sweep")[2]


def test_a_sweep_of_247a8fe_is_resumed(sweep: Sweep, tmp_path: Path) -> None:
    """Its files as they were written then: two jobs done, one that was running when it was killed, one waiting."""
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "sweep_247a8fe", tmp_path / "sweep")
    folder = SweepFolder(tmp_path / "sweep")
    assert states(folder) == ["done", "done", "running", "waiting"]
    before = folder.jobs[0].record
    (folder.path / "go").touch()
    status, printed, errors, _ = sweep("sweep.resume=sweep")
    assert (status, "(2 of 4 jobs to run)" in printed) == (0, True), errors
    assert states(folder) == ["done"] * 4
    assert calls(folder) == [0, 1, 2, 2, 3]
    assert folder.jobs[0].record == before
    assert folder.jobs[2].record.keys() == before.keys()
