"""Settings that cannot be used are refused before anything is read, in one line with the full key."""

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from conftest import EXPERIMENTS
from gainkt.errors import ConfigError
from gainkt.training.settings import check_settings
from gainkt.training.train import train

Config = Callable[..., DictConfig]
REFUSED = (
    "seed=1.5",
    "callbacks.stop=1.5",
    "callbacks.stop=null",
    "trajectories=x",
    "scorecard.checks=nan",
    "model.receivers=null",
    "model.receivers=maybe",
    "dataset.path=maybe",
    "loss.terms.skill_contrast=null",
    "loss.bce1=x",
    "loss.bce1=inf",
    "optimizer.lr=nan",
    "optimizer.lr_scale=null",
    "model.size.num_blocks=999999999999",
    "model.size.d_ff=999999999999",
    "model.curve.beta=maybe",
    "loss.bce_loss_weight=[x]",
    "loss.bce_loss_weight=nan",
    "loss.bce_loss_weight=2",
    "trajectories=null",
    "run=x",
    "sweep=1",
    "model.curve=1.5",
    "model.gain_head=x",
    "dataset.read=1.5",
    "dataset.split=x",
    "seed=-1",
    "seed=true",
    "gradient_every=-1",
    "gradient_every=0.5",
    "diagnose=perhaps",
    "trajectories.write=maybe",
    "trajectories.students=0",
    "trajectories.students=-3",
    "trajectories.students=1.5",
    "trajectories.seed=-1",
    "trainer.max_epochs=-1",
    "trainer.max_epochs=0",
    "trainer.max_epochs=1.5",
    "trainer.max_epochs=null",
    "trainer.num_nodes=0",
    "trainer.num_nodes=999999999999",
    "optimizer.betas=[]",
    "name=[]",
    "name={a:1}",
    "trainer.precision=64-true",
    "trainer.precision=16-mixed",
    "dataset.fold=99",
    "dataset.fold=-1",
    "dataset.fold=0.5",
    "dataset.tokens_per_batch=-5",
    "dataset.tokens_per_batch=0.5",
    "dataset.window_length=1.5",
    "dataset.window_context=-1",
    "dataset.split.num_folds=2.5",
    "+dataset.read.name=../../x",
    "+dataset.read.name=a/b",
    "name=../../x",
    "name=/x",
    "model.gain_head._partial_=maybe",
    "model.gain_head._partial_=false",
    "optimizer._partial_=false",
    "dataset.read._partial_=false",
    "+model._partial_=true",
    "+trainer._partial_=true",
    "+schedule._partial_=true",
    "+loss._partial_=true",
    "+loss._partial_=null",
)


@pytest.mark.parametrize("override", REFUSED)
def test_a_setting_is_refused_by_its_full_key(config: Config, override: str) -> None:
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^{key}=") as found:
        train(config("v1_per_skill", override))
    assert "\n" not in str(found.value)


def test_an_lstm_has_no_mixed_precision_on_a_cpu(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"^trainer\.precision=bf16-mixed: .*LSTM"):
        train(config("v1_per_skill", "model/encoder2=lstm", "trainer.precision=bf16-mixed"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_passes(config: Config, experiment: str) -> None:
    check_settings(config(experiment))
