"""The running average: by hand, as what is scored and kept, and through an interruption."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from gainkt.averaging import RunningAverage, move_average
from gainkt.callbacks import PhaseCheckpoint
from gainkt.errors import ConfigError
from gainkt.run import read_checkpoint
from gainkt.train import train

Config = Callable[..., DictConfig]
ASKED = ("v1_per_skill", "callbacks=[default,averaging]", "trainer.max_epochs=3")


def test_average_by_hand() -> None:
    for updates, share in ((0, 0.9), (8, 0.5), (10**6, 0.002)):
        averages = [torch.tensor([2.0, 3.0]), torch.tensor(1.0)]
        move_average(averages, [torch.tensor([8.0, 3.0]), torch.tensor(2.0)], updates, decay=0.998)
        torch.testing.assert_close(averages[0], torch.tensor([2 + 6 * share, 3.0]))
        torch.testing.assert_close(averages[1], torch.tensor(1 + share))
    with pytest.raises(ConfigError, match=r"decay=1\.0"):
        RunningAverage(decay=1.0)


def test_the_average_is_what_is_scored_and_kept(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights of every step are watched, move_average here, and held against the checkpoint."""
    seen: dict[str, torch.Tensor] = {}
    steps = 0
    update = RunningAverage.on_train_batch_end

    def watch(self: Any, trainer: Any, module: Any, *args: Any) -> None:
        nonlocal steps
        for name, weight in module.state_dict().items():
            d = (
                min(0.998, (1 + steps) / (10 + steps)) if steps else 0.0
            )  # the first update takes the weights as they are
            seen[name] = d * seen.get(name, 0.0) + (1 - d) * weight
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


def test_it_goes_with_targets_and_a_curriculum(config: Config) -> None:
    """Buffers come and go with other parts; the average is of weights."""
    result = train(
        config(
            "v4_aligned",
            "callbacks=[default,averaging,skill_curriculum]",
            "loss.difficulty_prior=0.1",
            "trainer.max_epochs=2",
        )
    )
    assert math.isfinite(result.metrics["val/encoder2_auc"])
    start = result.module.loss.prior.prior_K
    assert torch.isfinite(start).all()
    assert start.unique().numel() > 1
