"""Errors of settings name the full key as it is typed, at any depth; parts come with plain containers."""

import errno
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from conftest import TINY, composed
from gainkt.config import build, check_keys, one_line
from gainkt.errors import ConfigError
from gainkt.overrides import compose_train
from gainkt.train import train

Config = Callable[..., DictConfig]
BAD = [
    ["model.curve.beta.mean=-3"],
    ["model.curve.saturation.high=-1"],
    ["model/gain_head=floored", "+model.gain_head.head.dropout=2"],
    ["model.gain_head.dropout=1.5"],
    ["model/gain_head=experts", "model.gain_head.hidden=0"],
    ["model.size.num_heads=3"],
    ["model.readout.temperature.low=5"],
    ["model.readout.reduce=least"],
    ["model/velocity=inferred", "model.velocity.fastest=0.5"],
    ["model.velocity.mean=-1"],
    ["schedule=inverse_warmup", "schedule.split=1.5"],
    ["schedule=gradient_norm", "schedule.memory=1.0"],
    ["callbacks=[default,skill_curriculum]", "callbacks.curriculum.shape=square"],
    ["callbacks.stop.patience=0"],
    ["callbacks.select.mode=largest"],
    ["optimizer.final_lr=2.0"],
    ["dataset.tokens_per_batch=1"],
    ["dataset.read.num_skills=0"],
    ["dataset.split.test_share=2.0"],
]


@pytest.mark.parametrize("overrides", BAD, ids=lambda overrides: overrides[-1])
def test_an_error_names_the_full_key(config: Config, overrides: list[str]) -> None:
    key = overrides[-1].lstrip("+").partition("=")[0]
    cfg = config("v1_per_skill", *overrides, "trajectories.write=false")
    with pytest.raises(ConfigError) as error:
        train(cfg)
    assert str(error.value).count(key) == 1, error.value


@pytest.mark.parametrize(
    "overrides",
    [
        ["experiment=v4_belief", *TINY],
        ["experiment=[v4_belief,sweep_bce_weight]", "loss.bce1=0.4", "logger=[wandb,tensorboard]"],
        ["experiment=l23_per_step", "seed=3", "reference=bkt", "~callbacks.stop", "+trainer.limit_val_batches=1"],
    ],
)
def test_tests_compose_what_hydra_composes(overrides: list[str]) -> None:
    """The tests' short cuts give the config that an untouched Hydra gives."""
    code = (
        "import sys; from omegaconf import OmegaConf; from gainkt.overrides import compose_train;"
        "print(OmegaConf.to_yaml(compose_train(sys.argv[1:])))"
    )
    untouched = subprocess.run([sys.executable, "-c", code, *overrides], capture_output=True, text=True, check=True)
    for cfg in (composed("train", *overrides), compose_train(overrides)):
        assert OmegaConf.to_yaml(cfg) == untouched.stdout.rstrip("\n") + "\n"
    assert OmegaConf.to_yaml(composed("train", *overrides, "seed=4")) != untouched.stdout, "a value makes a difference"


def test_a_part_is_completed_later_and_gets_plain_containers(config: Config) -> None:
    cfg = config("v1_per_skill")
    made = build(cfg.optimizer)
    assert isinstance(made, partial)
    assert type(made.keywords["betas"]) is list
    assert type(made.keywords["lr_scale"]) is dict


def test_what_a_constructor_raises_names_its_node() -> None:
    cfg = OmegaConf.create({"optimizer": {"_target_": "gainkt.training.optimizers.adam"}})
    with pytest.raises(ConfigError, match=r"optimizer: cannot be built \(TypeError: .*num_steps"):
        build(cfg.optimizer)
    with pytest.raises(ConfigError, match=r"part._target_=gainkt.nothing.Here: cannot be imported"):
        check_keys(OmegaConf.create({"part": {"_target_": "gainkt.nothing.Here"}}))
    with pytest.raises(ConfigError, match=r"part\.lr: a value is missing"):
        build(OmegaConf.create({"part": {"_target_": "gainkt.training.optimizers.adam", "lr": "???"}}).part)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.ENOENT, "No such file"),
        (errno.EACCES, "Permission denied"),
        (errno.EISDIR, "Is a directory"),
        (errno.EMFILE, "ulimit -n"),
    ],
)
def test_space_is_asked_for_where_there_is_none(number: int, said: str) -> None:
    text = one_line(OSError(number, os.strerror(number), "some/file"))
    assert text.startswith(f"some/file: {os.strerror(number)}")
    assert said in text
    assert ("free space" in text) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert one_line(OSError(number, os.strerror(number))).startswith(("disk: ", "system: "))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("name=(a", 'name="(a"'),
        ("x=[a=b,1,null,c d(]", 'x=["a=b",1,null,"c d("]'),
        ("++x=(a", '++x="(a"'),
        ("++references.m={overrides: [reference=pfa]}", 'references.m={overrides: ["reference=pfa"]}'),
        ("x=['a,b',c=d]", None),
        ("x={a: /tmp/b (1).csv}", None),
        ("x={é: 1}", None),
    ],
)
def test_what_the_grammar_does_not_take_is_shown_as_it_does(typed: str, said: str | None) -> None:
    with pytest.raises(HydraException) as caught:
        compose_train([typed])
    told = one_line(caught.value)
    assert told.startswith(
        f"{typed.removeprefix('++' if 'ref' in typed else '')}: Hydra's grammar does not take this value; quote "
    )
    if said is None:
        assert told.endswith("quote the names and texts in it, and for the shell the whole")
        return
    assert shlex.split(told.split("for the shell as well: ")[1]) == [said]
    OverridesParser.create().parse_override(said)


def test_what_is_no_setting_is_said() -> None:
    with pytest.raises(HydraException) as caught:
        compose_train(["foo"])
    assert one_line(caught.value) == "foo: no setting; give key=value"


def test_a_key_that_cannot_be_typed_is_said() -> None:
    with pytest.raises(HydraException) as caught:
        compose_train(["datasets.é.path=a"])
    assert one_line(caught.value).startswith("datasets.é.path: Hydra's grammar takes no such key; a file does")
