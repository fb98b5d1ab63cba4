"""A run whose gains have become uniform fails, and no other does."""

from collections.abc import Callable
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import output_for, random_batch
from gainkt.errors import ConfigError
from gainkt.train import train
from gainkt.training.callbacks.gain_floor import GainFloor

Config = Callable[..., DictConfig]


def epoch(floor: GainFloor, number: int, gains: torch.Tensor) -> dict[str, float]:
    """Validate two batches with the given gains; return what is logged."""
    batch, logged = random_batch(), {}
    output = output_for(batch)
    output.gains_BTC = gains
    module = SimpleNamespace(
        device="cpu",
        model=lambda batch, state, every_skill: output,
        state_before=None,
        log=lambda name, value: logged.update({name: value}),
    )
    alone = SimpleNamespace(reduce=lambda sums, reduce_op: sums)
    trainer = SimpleNamespace(current_epoch=number, sanity_checking=False, strategy=alone)
    for index in range(2):
        floor.on_validation_batch_end(trainer, module, None, batch, index)
    floor.on_validation_epoch_end(trainer, module)
    return logged


def uniform_and_varied() -> tuple[torch.Tensor, torch.Tensor]:
    batch = random_batch()
    uniform = torch.full((*batch.valid_BT.shape, 7), 0.6)
    uniform[~batch.valid_BT] = torch.rand(7)  # padding that varies must not save it
    return uniform, torch.where(batch.valid_BT[..., None], output_for(batch).gains_BTC, 0.6)


def test_uniform_gains_end_the_run_after_the_patience() -> None:
    uniform, varied = uniform_and_varied()
    floor = GainFloor(floor=0.05, patience=2)
    epoch(floor, 0, uniform)
    epoch(floor, 1, varied)
    epoch(floor, 2, uniform)
    with pytest.raises(ValueError, match=r"epoch 3: std of gains over skills .* under the floor 0\.05 for 2 epoch"):
        epoch(floor, 3, uniform)


def test_varied_gains_go_on_and_the_std_is_the_mean_over_steps() -> None:
    _, varied = uniform_and_varied()
    floor = GainFloor(floor=0.05, patience=1)
    expected = varied[random_batch().valid_BT].std(-1, correction=0).mean()
    for number in range(3):
        assert epoch(floor, number, varied)["gain/std_over_skills"] == pytest.approx(float(expected), rel=1e-5)


def test_a_resumed_run_remembers_the_epochs_under_the_floor() -> None:
    uniform, _ = uniform_and_varied()
    floor, resumed = GainFloor(floor=0.05, patience=2), GainFloor(floor=0.05, patience=2)
    epoch(floor, 0, uniform)
    resumed.load_state_dict(floor.state_dict())
    with pytest.raises(ValueError, match="uniform"):
        epoch(resumed, 1, uniform)


def test_in_training(config: Config) -> None:
    result = train(config("try_gain_floor_fail", "trajectories.write=false"))
    measured = pd.read_csv(result.run.directory.metrics)["gain/std_over_skills"]
    assert (measured > 0.05).all()
    plain = train(config("v1_per_skill", "optimizer.weight_decay=0", "trajectories.write=false"))
    assert result.metrics == plain.metrics, "it only looks"
    over = ("callbacks.gain_floor.floor=0.45", "callbacks.gain_floor.patience=2")
    with pytest.raises(ValueError, match=r"epoch 1: .* under the floor 0\.45") as caught:
        train(config("try_gain_floor_fail", *over))
    assert "\n" not in str(caught.value)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"floor=0\.5"):
        GainFloor(floor=0.5, patience=1)
    with pytest.raises(ConfigError, match="patience=0"):
        GainFloor(floor=0.1, patience=0)
