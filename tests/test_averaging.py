"""The running average: by hand, as what is scored and kept, and through an interruption."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from gainkt.averaging import RunningAverage, averaged
from gainkt.callbacks import PhaseCheckpoint
from gainkt.errors import ConfigError
from gainkt.run import read_checkpoint
from gainkt.train import train

Config = Callable[..., DictConfig]
ASKED = ("v1_per_skill", "callbacks=[default,averaging]", "trainer.max_epochs=3")


def test_average_by_hand() -> None:
    weight, average = torch.tensor(8.0), torch.tensor(2.0)
    assert averaged(average, weight, 0, decay=0.998) == pytest.approx(2 + 0.9 * 6)
    assert averaged(average, weight, 8, decay=0.998) == pytest.approx(2 + 0.5 * 6)
    assert averaged(average, weight, 10**6, decay=0.998) == pytest.approx(2 + 0.002 * 6)
    with pytest.raises(ConfigError, match=r"decay=1\.0"):
        RunningAverage(decay=1.0)


def test_the_average_is_what_is_scored_and_kept(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of every step are watched, averaged here, and held against the checkpoint."""
    seen: dict[str, torch.Tensor] = {}
    steps = 0
    update = RunningAverage.on_train_batch_end

    def watch(self: Any, trainer: Any, module: Any, *args: Any) -> None:
        nonlocal steps
        for name, weight in module.state_dict().items():
            # The first update takes the weights as they are.
            seen[name] = averaged(seen[name], weight, steps, decay=0.998) if steps else weight.clone()
        steps += 1
        update(self, trainer, module, *args)

    monkeypatch.setattr(RunningAverage, "on_train_batch_end", watch)
    result = train(config(*ASKED))
    kept = read_checkpoint(result.run.directory.checkpoints / "last.ckpt")
    assert steps > 3
    moved = [name for name, value in kept["current_model_state"].items() if not torch.equal(value, seen[name])]
    assert moved, "the last step's weights are not the average"
    for name, value in kept["state_dict"].items():
        torch.testing.assert_close(value, seen[name], msg=name)
    entry = result.results["phases"][result.results["selected"]]
    again = torch.load(result.run.directory.best(result.results["selected"]), weights_only=True)["state_dict"]
    model = result.run.model().state_dict()
    assert all(torch.equal(value, again[f"model.{name}"]) for name, value in model.items())
    table = pd.read_csv(result.run.directory.metrics).set_index("epoch")
    for name, value in entry["figures"]["val"].items():
        assert table.loc[entry["epoch"], f"val/{name}"] == pytest.approx(value, abs=1e-12), name


def test_a_resumed_run_goes_on_with_both(config: Config) -> None:
    whole = train(config(*ASKED))

    class Killed(Exception):
        pass

    cut = config(*ASKED)
    save = PhaseCheckpoint.on_train_epoch_end

    def die(self: Any, trainer: Any, module: Any) -> None:
        save(self, trainer, module)
        if trainer.current_epoch == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PhaseCheckpoint, "on_train_epoch_end", die)
        with pytest.raises(Killed):
            train(cut)
    resumed = train(config(*ASKED, f"run.resume={cut.run.dir}"))
    ends = [read_checkpoint(r.run.directory.checkpoints / "last.ckpt") for r in (whole, resumed)]
    for part in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in ends[0][part].items():
            assert torch.equal(value, ends[1][part][name]), (part, name)
    assert whole.results == resumed.results
