"""Two processes train as one does at the same batch, write once, and go on from each other's checkpoints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

from conftest import TINY
from gainkt.errors import ConfigError
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable
from gainkt.training.processes import follows, num_processes, own_folder, require_strategy

Config = Callable[..., DictConfig]
# Histories are cut, and nothing is drawn within a batch.
ASKED = [*TINY, "model.size.dropout=0", "dataset.window_length=12", "trainer.max_epochs=2", "trajectories.write=false"]
NODE = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1"]


def start(arguments: list[str], cwd: Path, **more: str) -> subprocess.Popen:
    """A process of its own, which no launcher numbers but the one that it starts."""
    environment = {**os.environ, **more, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *arguments], cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen) -> str:
    error = process.communicate(timeout=240)[1]
    assert process.returncode == 0, error
    return error


@pytest.mark.slow  # processes that import torch
def test_two_machines_train_as_one_process_does(config: Config, tmp_path: Path) -> None:
    alone = train(config("v4_belief", *ASKED, "dataset.tokens_per_batch=256", f"run.dir={tmp_path / 'one'}"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run, settings = tmp_path / "two", ["trainer.num_nodes=2", "trainer.strategy=ddp", "dataset.tokens_per_batch=128"]
    command = [f"--master-port={port}", "-m", "gainkt.train", "experiment=v4_belief", *ASKED, *settings]
    nodes = [
        start(
            [*NODE, f"--node-rank={rank}", *command, f"hydra.run.dir={run if rank == 0 else tmp_path / 'junk'}"],
            tmp_path,
        )
        for rank in (0, 1)
    ]
    for node in nodes:
        ended(node)
    assert not (tmp_path / "junk").exists(), "the second process writes nothing"
    one, two = (pd.read_csv(folder / "metrics.csv") for folder in (alone.run.directory.path, run))
    losses = [name for name in one if name.startswith(("loss/", "train/", "val/", "test/"))]
    assert len(losses) > 30
    pd.testing.assert_frame_equal(one[losses], two[losses], rtol=1e-3, atol=1e-5)
    assert len(two) == 2


@pytest.mark.slow
def test_a_run_goes_on_in_two_processes(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, write = tmp_path / "run", MetricsTable.on_train_epoch_end

    def killed(*given: object) -> None:
        write(*given)  # type: ignore[arg-type]
        if given[1].current_epoch == 1:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MetricsTable, "on_train_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            train(config("v4_belief", *ASKED, f"run.dir={run}"))
    settings = [f"run.resume={run}", "trainer.devices=2", "trainer.strategy=ddp"]
    ended(start(["-m", "gainkt", "train", *settings], tmp_path))
    assert pd.read_csv(run / "metrics.csv")["epoch"].tolist() == [0, 1]
    assert (run / "results.json").is_file()
    assert "MEMBER: 1/2" in (run / "train.log").read_text()
    assert not list(run.glob("train_ddp*")), "one process writes"


def test_processes_are_counted() -> None:
    def asked(**settings: object) -> DictConfig:
        return OmegaConf.create({"devices": 1, "strategy": "auto", "accelerator": "cpu", **settings})

    found = [num_processes(asked(devices=devices)) for devices in (1, 2, "auto", "[0,1]", "0,1,2")]
    assert [*found, num_processes(asked(devices=2, num_nodes=3))] == [1, 2, 1, 2, 3, 6]
    require_strategy(asked(strategy="single_device"))
    require_strategy(asked(devices=2, strategy="ddp"))
    with pytest.raises(ConfigError, match=r"strategy=fsdp: 2 processes train by auto or ddp"):
        require_strategy(asked(devices=2, strategy="fsdp"))


def test_which_process_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert not follows()
    given = ["trainer.devices=2", "hydra.run.dir=there"]
    assert own_folder(given) == given
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert follows()
    assert own_folder(given)[0] == given[0]
    assert "there" not in own_folder(given)[1]
    assert own_folder(["seed=1"]) == ["seed=1"], "a job of its own"
    monkeypatch.setenv("RANK", "0")
    assert not follows()


def test_learnt_weights_take_one_process(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"schedule: \w+ learns weights .* trainer.devices=1"):
        train(config("v4_belief", *TINY, "schedule=uncertainty", "trainer.devices=2", f"run.dir={tmp_path}"))
