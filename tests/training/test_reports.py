"""What follows a training: where it fails, the metrics stand, and the error says what makes it without training."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import gainkt.train
from conftest import TINY, composed
from gainkt.errors import ReportError
from gainkt.evaluate import evaluate
from gainkt.runs.folder import load_run
from gainkt.train import train

Config = Callable[..., DictConfig]


def fail(*given: object, **more: object) -> None:
    raise MemoryError


def test_results_come_first(
    config: Config,
    tmp_path: Path,
    pictures: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    run = tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["gainkt", "experiment=v1_per_skill", *TINY, f"hydra.run.dir={run}"])
    with monkeypatch.context() as patched:
        patched.setattr("gainkt.training.train.judge", fail)
        with pytest.raises(SystemExit) as end:
            gainkt.train.main()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gainkt: error:")]
    assert end.value.code == 1
    assert len(said) == 1
    assert "the scorecard failed (MemoryError), `python -m gainkt.evaluate run=" in said[0]
    assert (run / "training.png").is_file(), "what does not need the scorecard is made"
    results, last = (run / "results.json").read_bytes(), (run / "checkpoints" / "last.ckpt").read_bytes()
    again = evaluate(composed("evaluate", f"run={run}", "trajectories.students=5"))
    assert again.scorecard is not None
    with monkeypatch.context() as patched:
        patched.setattr("gainkt.training.train.save_figure", fail)
        patched.setattr("gainkt.training.train.diagnose_run", fail)
        patched.setattr("gainkt.training.train._config_of", lambda cfg, overrides: (diagnosing(run), True, False))
        with pytest.raises(ReportError, match=r"the pictures failed .* the diagnosis failed"):
            train(config("v1_per_skill", f"run.resume={run}"))
    assert (run / "scorecard.json").is_file()
    assert (run / "results.json").read_bytes() == results
    assert (run / "checkpoints" / "last.ckpt").read_bytes() == last, "trained again"


def diagnosing(run: Path) -> DictConfig:
    saved = load_run(run).config
    saved.run.dir, saved.diagnose = str(run), True
    return saved
