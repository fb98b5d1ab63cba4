"""Frozen parts stay as they are, to the bit, while the others learn."""

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from gainkt.errors import ConfigError
from gainkt.runs.folder import read_checkpoint
from gainkt.train import RunResult, train
from gainkt.training.callbacks.loss_schedule import LossScheduleCallback
from gainkt.training.schedules import Constant

Config = Callable[..., DictConfig]
BOTH = ("v1_per_skill", "schedule=inverse_warmup", "schedule.first={bce1:0.5,bce2:0.5}", "trajectories.write=false")


def moved(result: RunResult, first: str) -> set[str]:
    """Parts of the model that changed in the second of two epochs."""
    folder = result.run.directory
    before = read_checkpoint(folder.best(first))
    after = read_checkpoint(folder.checkpoints / "last.ckpt")
    assert (before["epoch"], after["epoch"]) == (0, 1)
    old, new = before["state_dict"], after["state_dict"]
    return {name.split(".")[1] for name in old if not torch.equal(old[name], new[name])}


def test_a_frozen_part_does_not_move_though_adam_has_momentum_and_decay(config: Config) -> None:
    free = train(config(*BOTH))
    assert {"encoder1", "encoder2", "gain_head", "curve"} <= moved(free, "encoder2_first")
    held = train(config(*BOTH, "+schedule.frozen.joint=[encoder2,curve]", "gradient_every=1"))
    assert {"encoder1", "gain_head"} <= moved(held, "encoder2_first")
    assert not {"encoder2", "curve"} & moved(held, "encoder2_first")
    table = pd.read_csv(held.run.directory.metrics)
    assert table["gradient/bce2_at_encoder2"].iloc[0] > 0
    assert table["gradient/bce2_at_encoder2"].iloc[1] == 0
    assert all(p.requires_grad for p in held.module.model.encoder2.parameters()), "frozen after the run"


def test_a_part_thaws_and_what_its_config_fixes_stays_fixed(config: Config) -> None:
    result = train(
        config(*BOTH, "+schedule.frozen.encoder2_first=[encoder2,curve]", "model.curve.saturation.learn=false")
    )
    assert {"encoder2", "curve"} <= moved(result, "encoder2_first")
    curve = result.module.model.curve
    assert curve.beta.raw.requires_grad
    assert not curve.saturation.raw.requires_grad
    assert float(curve.saturation().std(correction=0)) == 0


def test_encoder1_waits_in_the_experiment_that_freezes_it(config: Config) -> None:
    result = train(config("try_frozen_encoder1", "trajectories.write=false"))
    parts = moved(result, "encoder1")
    assert {"encoder2", "gain_head"} <= parts
    assert not {"encoder1", "response_head"} & parts


def test_an_unknown_part(config: Config) -> None:
    with pytest.raises(ConfigError, match="schedule frozen=encoder_2: the model has no such part; did you mean"):
        train(config(*BOTH, "+schedule.frozen.joint=[encoder_2]"))


def test_nothing_left_to_learn(config: Config) -> None:
    alone = "schedule.first={bce1:1,bce2:0}"
    with pytest.raises(ConfigError, match="every part that bce1 would train is frozen"):
        train(config(*BOTH, alone, "+schedule.frozen.encoder2_first=[encoder1,response_head]"))


def test_a_state_from_before_schedules_had_one_is_read() -> None:
    callback = LossScheduleCallback(Constant())
    callback.load_state_dict({"phase": "train"})
    assert callback.phase == "train"
    assert callback.state_dict() == {"phase": "train", "schedule": {}}
