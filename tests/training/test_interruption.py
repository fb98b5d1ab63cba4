"""Ctrl-C and SIGTERM before, in and after training: an exit status, one line, and a run that goes on."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import gainkt.train
from conftest import TINY
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable

Config = Callable[..., DictConfig]
STAGES = {"before": "build_model", "in": "MetricsTable.on_train_epoch_end", "after": "judge"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_process_says_so(
    number: int,
    stage: str,
    config: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    handlers = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.getsignal(signal.SIGTERM)]
    run = tmp_path / "run"
    started = ["experiment=v1_per_skill", *TINY, f"hydra.run.dir={run}"]
    monkeypatch.setattr("sys.argv", ["gainkt", *started])
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    with monkeypatch.context() as patched:
        patched.setattr(f"gainkt.training.train.{STAGES[stage]}", lambda *given, **more: os.kill(os.getpid(), number))
        with pytest.raises(SystemExit) as end:
            gainkt.train.main()
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == [
        signal.default_int_handler,
        handlers[1],
    ], "handlers are left as they were found"
    signal.signal(signal.SIGINT, handlers[0])
    assert end.value.code == 128 + number
    said = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    word = "interrupted" if number == signal.SIGINT else re.escape("terminated (SIGTERM)")
    how = (
        "nothing is trained yet, start the run again" if stage == "before" else f"gainkt.train run.resume={run} goes on"
    )
    assert len(said) == 1
    assert re.fullmatch(rf"gainkt: {word}; .*{re.escape(how)}", said[0])
    assert (run / "results.json").exists() == (stage == "after")
    if number == signal.SIGTERM and stage != "before":
        assert train(config("v1_per_skill", f"run.resume={run}")).scorecard is not None
        assert (run / "results.json").is_file()


def test_sigterm_without_the_command_is_no_success(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning ends a training that is called from Python with exit status 0."""
    monkeypatch.setattr(MetricsTable, "on_train_epoch_end", lambda *given: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        train(config("v1_per_skill", "trainer.max_epochs=2"))
