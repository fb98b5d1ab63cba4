"""The curriculum on skills: hard ones wait in training, and are always scored."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import loss_with, output_for, random_batch
from gainkt.errors import ConfigError
from gainkt.losses import Loss
from gainkt.train import train
from gainkt.training.callbacks.skill_curriculum import SkillCurriculum, easiest_first

Config = Callable[..., DictConfig]
RATES = np.array([0.5, 0.9, 0.2, 0.7, 0.6, 0.1, 0.8, 0.7])
"""Easiest first: 1, 6, 3, 7, 4, 0, 2, 5."""


def at(epoch: int, curriculum: SkillCurriculum, loss: Loss) -> dict[str, float]:
    """Start an epoch of five; return what is logged."""
    logged: dict[str, float] = {}
    module = SimpleNamespace(loss=loss, device="cpu", log=lambda name, value, **_: logged.update({name: value}))
    trainer = SimpleNamespace(current_epoch=epoch, max_epochs=5, datamodule=SimpleNamespace(skill_rates=lambda: RATES))
    curriculum.on_fit_start(trainer, module)
    curriculum.on_train_epoch_start(trainer, module)
    return logged


def test_easiest_first() -> None:
    assert easiest_first(RATES).tolist() == [1, 6, 3, 7, 4, 0, 2, 5]


def test_the_share_grows_to_all_skills() -> None:
    curriculum, loss = SkillCurriculum(knots=[[0.0, 0.25], [0.5, 1.0]], shape="linear"), loss_with(bce2=1.0)
    expected = [{1, 6}, {1, 6, 3, 7, 4}, set(range(8)), set(range(8)), set(range(8))]
    for epoch, skills in enumerate(expected):
        logged = at(epoch, curriculum, loss)
        assert set(loss.terms["bce2"].skills_K.nonzero()[:, 0].tolist()) == skills
        assert logged["curriculum/share_of_skills"] == pytest.approx([0.25, 0.625, 1, 1, 1][epoch])


def test_hard_skills_give_encoder2_no_gradient_at_first_and_encoder1_theirs() -> None:
    batch = random_batch(s=2)
    batch.skills_BTS = torch.where(batch.has_skill_BTS, torch.tensor([2, 5]), 0)
    curriculum, loss = SkillCurriculum(knots=[[0.0, 0.25], [0.5, 1.0]], shape="linear"), loss_with(bce1=1.0, bce2=1.0)
    sizes = []
    for epoch in (0, 4):
        at(epoch, curriculum, loss)
        output = output_for(batch, 8)
        logits = [output.logit1_BT.requires_grad_(), output.logit2_BT.requires_grad_()]
        values = loss(output, batch, loss.weights)
        gradients = torch.autograd.grad(values["bce1"] + values["bce2"], logits)
        sizes.append([float(g.abs().sum()) for g in gradients])
    assert sizes[0][1] == 0
    assert sizes[0][0] == sizes[1][0] > 0
    assert sizes[1][1] > 0


def test_a_step_of_an_easy_and_a_hard_skill_waits_for_the_hard_one() -> None:
    batch = random_batch(s=2)
    batch.has_skill_BTS = batch.valid_BT[..., None].expand(-1, -1, 2)
    batch.skills_BTS = torch.where(batch.has_skill_BTS, torch.tensor([1, 5]), 0)
    loss = loss_with(bce2=1.0)
    at(0, SkillCurriculum(knots=[[0.0, 0.25], [1.0, 1.0]], shape="linear"), loss)
    assert float(loss(output_for(batch, 8), batch, loss.weights)["bce2"]) == 0


def test_validation_is_over_all_skills(config: Config) -> None:
    still = ("optimizer.lr=1e-12", "trajectories.write=false")
    tables = [
        pd.read_csv(train(config(experiment, *still)).run.directory.metrics)
        for experiment in ("v1_per_skill", "try_skill_curriculum")
    ]
    assert tables[1]["curriculum/share_of_skills"].tolist() == [0.25, 1.0]
    assert tables[0]["val/encoder2_auc"].tolist() == pytest.approx(tables[1]["val/encoder2_auc"].tolist(), abs=1e-6)
    losses = [table["loss/bce2"].tolist() for table in tables]
    assert abs(losses[0][0] - losses[1][0]) > 1e-3, "training is over the easy ones"
    assert losses[0][1] == pytest.approx(losses[1][1], abs=1e-5)


def test_bad_knots() -> None:
    with pytest.raises(ConfigError, match="never be learnt"):
        SkillCurriculum(knots=[[0.0, 0.2], [1.0, 0.8]], shape="linear")
    with pytest.raises(ConfigError, match="over 0"):
        SkillCurriculum(knots=[[0.0, 0.0], [1.0, 1.0]], shape="linear")
    with pytest.raises(ConfigError, match="moments"):
        SkillCurriculum(knots=[[0.5, 0.2], [0.2, 1.0]], shape="linear")
    with pytest.raises(ConfigError, match="shape=square"):
        SkillCurriculum(knots=[[0.0, 1.0]], shape="square")
