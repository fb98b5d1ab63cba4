"""Every option of every config group composes, is built and trains a step; every key says what it means."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from lightning import Trainer
from made_folders import made_run
from omegaconf import DictConfig

from conftest import TINY, composed
from gainkt.config import build, check_keys, conf_dir
from gainkt.data.datamodule import KTDataModule
from gainkt.runs.folder import build_datamodule, build_model
from gainkt.train import train
from gainkt.training.module import GainKTModule
from gainkt.training.settings import check_settings
from gainkt.training.train import _start_loss

Config = Callable[..., DictConfig]
CONF = Path(conf_dir())
PIECES = ("base", "alignment")
"""Of other options, none by themselves."""
PARTS = [
    f"model/{path.parent.name}={path.stem}" for path in sorted(CONF.glob("model/*/*.yaml")) if path.stem not in PIECES
]
RASCH = ["reference=rasch", "model/readiness=ability", "model/curve=rasch"]
LOSSES, SCHEDULES = (
    [
        f"{group}={path.stem}"
        for group in groups
        for path in sorted((CONF / group).glob("*.yaml"))
        if path.stem not in PIECES
    ]
    for groups in (("reference", "loss"), ("schedule",))
)
FITTING = {
    "model/gain_head=scalar": ["model/receivers=practised"],
    "loss=aligned": ["reference=bkt"],
    "loss=l23": RASCH,
    "schedule=lambda_warmup": ["loss=l23", *RASCH],
    "schedule=lambda_published": ["loss=l23", *RASCH],
}


@pytest.fixture(scope="module")
def datamodule() -> KTDataModule:
    made = build_datamodule(composed("train", *TINY).dataset)
    made.setup()
    return made


@pytest.mark.parametrize("option", [*PARTS, *LOSSES])
def test_every_option_trains_a_step(option: str, datamodule: KTDataModule, tmp_path: Path) -> None:
    """Without what a whole run does around it, which is the same for all; experiments have whole runs (test_train)."""
    own = [option, *FITTING.get(option, [])]
    if option == "loss=distilled":
        own.append(f"distillation.teachers={made_run(tmp_path / 'teacher').directory.path}")
    cfg = composed("train", "experiment=v1_per_skill", *TINY, f"run.root={tmp_path}", *own)
    check_settings(cfg)
    check_keys(cfg)
    model, loss = build_model(cfg.model, datamodule.sizes), build(cfg.loss)
    _start_loss(loss, model, cfg, datamodule)
    module = GainKTModule(model, loss, build(cfg.optimizer), gradient_every=0)
    before = copy.deepcopy(module.state_dict())
    trainer = Trainer(accelerator="cpu", fast_dev_run=True, enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(module, datamodule=datamodule)
    assert any(not torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert 0 < trainer.callback_metrics["val/encoder2_auc"] < 1


@pytest.mark.parametrize("option", SCHEDULES)
def test_every_schedule_trains(config: Config, option: str) -> None:
    quick = ("trajectories.write=false", "gradient_every=0", "+trainer.limit_train_batches=1")
    result = train(config("v1_per_skill", option, *FITTING.get(option, []), *quick))
    assert 0 < result.metrics["val/encoder2_auc"] < 1


def test_every_key_has_a_comment() -> None:
    bare = []
    for path in CONF.rglob("*.yaml"):
        if path.parent.name in ("experiment", "debug", "hydra"):
            continue
        lines = path.read_text().splitlines()
        if any(line.startswith("defaults:") for line in lines) and path.parent != CONF:
            continue  # says only what differs from a base, where the key's comment stands
        for number, line in enumerate(lines):
            key, _, value = line.split("#")[0].strip().partition(":")
            structural = key.startswith(("_", "-")) or key == "defaults" or value.strip()[:9] in ("", "{_target_")
            if key and not structural and "#" not in line and not lines[number - 1].lstrip().startswith("#"):
                bare.append(f"{path.relative_to(CONF)}:{number + 1}: {line.strip()}")
    assert not bare, "\n".join(bare)


def test_only_experiments_and_debug_presets_are_global() -> None:
    for path in CONF.rglob("*.yaml"):
        assert ("@package _global_" in path.read_text()) == (path.parent.name in ("experiment", "debug")), path


def test_an_option_starts_from_options_of_its_own_group_and_says_nothing_twice() -> None:
    """`defaults: [base]` inside a group: what stands in the base is not repeated."""
    for path in sorted(CONF.rglob("*.yaml")):
        content = yaml.safe_load(path.read_text()) or {}
        if "defaults" not in content or path.parent in (CONF, CONF / "experiment", CONF / "dataset"):
            continue  # a data set names each of its columns
        base: dict[str, Any] = {}
        for name in own_options(content.pop("defaults")):
            assert (path.parent / f"{name}.yaml").is_file(), path
            base |= leaves(whole(path.parent / f"{name}.yaml"))
        repeated = {key for key, value in leaves(content).items() if base.get(key, ...) == value}
        assert not repeated, f"{path}: {repeated}"


def whole(path: Path) -> dict[str, Any]:
    """An option together with those that it starts from."""
    content = yaml.safe_load(path.read_text())
    merged: dict[str, Any] = {}
    for name in own_options(content.pop("defaults", [])):
        merged |= leaves(whole(path.parent / f"{name}.yaml"))
    return merged | leaves(content)


def own_options(defaults: list[Any]) -> list[str]:
    """Options of the same group in a defaults list."""
    return [name for name in defaults if isinstance(name, str) and name != "_self_"]


def leaves(node: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {path.rstrip("."): node}
    return {key: value for name, part in node.items() for key, value in leaves(part, f"{path}{name}.").items()}


def test_debug_fast_goes_through_everything_in_one_batch_an_epoch(config: Config) -> None:
    result = train(config("v3_inverse_warmup", "debug=fast"))
    assert result.trainer.num_training_batches == 1
    assert result.run.phases == ["encoder2_first", "joint"], "every phase of a schedule has an epoch"
    assert result.run.config.name == "debug"
    assert result.scorecard is not None


def test_debug_overfit_overfits_a_batch(config: Config) -> None:
    steps = ("trainer.max_epochs=40", "optimizer.lr=0.03", "dataset.tokens_per_batch=120")
    result = train(config("v1_per_skill", "debug=overfit", *steps))
    table = pd.read_csv(result.run.directory.metrics)
    assert table["train/encoder1_auc"].iloc[-1] > 0.99
    assert table["train/encoder2_auc"].iloc[-1] > table["train/encoder2_auc"].iloc[0] + 0.1


def test_debug_profile_writes_a_table(config: Config) -> None:
    result = train(config("v1_per_skill", "debug=profile"))
    assert "training_step" in (result.run.directory.path / "fit-profile.txt").read_text()
