"""Jobs side by side: on Ray's CPU slots, on shares of simulated GPUs, and as submitit's processes."""

import os
from collections.abc import Iterator

import pytest
import torch
from sweeping_help import Sweep, calls, states, sweep_here  # noqa: F401

from gainkt.errors import ConfigError
from gainkt.sweeping.launchers import _asks, node_slots, num_cores, set_threads

RAY = ("hydra/launcher=ray", "hydra.launcher.ray.init.num_cpus=2")


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """Leave this process's threads as they were."""
    before = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    yield
    torch.set_num_threads(before[0])
    os.environ.pop("OMP_NUM_THREADS", None)
    if before[1] is not None:
        os.environ["OMP_NUM_THREADS"] = before[1]


def test_ray_on_two_cpu_slots_survives_a_dead_worker(sweep: Sweep) -> None:
    pytest.importorskip("ray")
    status, printed, errors, folder = sweep(*RAY, "hydra.launcher.ray.init.num_gpus=0", "name=a,die,fail,b")
    assert status == 1
    assert states(folder) == ["done", "failed", "failed", "done"]
    assert sorted(calls(folder)) == [0, 1, 2, 3], "a job whose process died is not started again"
    assert "process ended without a result" in folder.jobs[1].record["error"]
    assert "job 1 failed (name=die)" in printed
    assert "2 of 4 jobs failed" in errors
    for job in folder.jobs:
        assert job.record["threads"] == max(num_cores() // 2, 1)
        assert job.record["gpu"] is None


def test_ray_shares_gpus(sweep: Sweep) -> None:
    pytest.importorskip("ray")
    simulated = ("hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.remote.num_gpus=0.5")
    status, _, errors, folder = sweep(*RAY, *simulated, "name=four", "seed=0,1,2,3")
    assert status == 0, errors
    records = [job.record for job in folder.jobs]
    assert sorted(record["gpu"] for record in records) == ["0", "0", "1", "1"]
    assert max(r["started"] for r in records) < min(r["ended"] for r in records), "four at a time on two GPUs"
    assert {record["threads"] for record in records} == {max(num_cores() // 4, 1)}


def test_submitit_here_survives_a_dead_process(sweep: Sweep) -> None:
    pytest.importorskip("submitit")
    status, _, _, folder = sweep("hydra/launcher=submitit_local", "name=a,die")
    assert status == 1
    assert states(folder) == ["done", "failed"]
    assert sorted(calls(folder)) == [0, 1]
    assert "process ended without a result" in folder.jobs[1].record["error"]
    assert folder.jobs[0].record["threads"] == max(num_cores() // 2, 1)
    assert folder.plan["hydra"] == ["hydra/launcher=submitit_local"], "a resumed sweep takes the same launcher"


def test_slurm_where_there_is_none(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    status, _, errors, _ = sweep("hydra/launcher=submitit_slurm", "seed=0,1")
    assert status == 1
    assert "gainkt: error: hydra/launcher=submitit_slurm" in errors


@pytest.mark.parametrize(
    ("node", "num_cpus", "num_gpus", "slots"),
    [
        ({"CPU": 2.0}, 1, 0, 2),
        ({"CPU": 16.0, "GPU": 2.0}, 0, 1, 2),
        ({"CPU": 16.0, "GPU": 2.0}, 0, 0.3, 6),
        ({"CPU": 4.0, "GPU": 8.0}, 1, 1, 4),
        ({"CPU": 16.0, "GPU": 8.0}, 0, 2, 4),
        ({"CPU": 2.0}, 1, 1, 0),
    ],
)
def test_slots_of_a_machine(node: dict[str, float], num_cpus: float, num_gpus: float, slots: int) -> None:
    assert node_slots(node, num_cpus, num_gpus) == slots


def test_what_a_job_asks_for_where_it_is_left_open() -> None:
    left_open = {"num_gpus": None, "num_cpus": None, "max_calls": None, "max_retries": 0}
    assert _asks(left_open, [{"CPU": 2.0}]) == {"num_gpus": 0, "num_cpus": 1, "max_calls": 0, "max_retries": 0}
    gpu = {"num_gpus": 1, "num_cpus": 0, "max_calls": 1, "max_retries": 0}
    assert _asks(left_open, [{"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}]) == gpu
    with pytest.raises(ConfigError, match="num_gpus=1 fit on no machine"):
        _asks({**left_open, "num_gpus": 1}, [{"CPU": 2.0}])


def test_threads() -> None:
    set_threads(3)
    assert torch.get_num_threads() == 3
    assert os.environ["OMP_NUM_THREADS"] == "3"
    set_threads(0)
    assert torch.get_num_threads() == 1
    os.environ["SLURM_CPUS_PER_TASK"] = "1"
    try:
        assert num_cores() == 1
    finally:
        del os.environ["SLURM_CPUS_PER_TASK"]
