"""Every option of every config group composes, is built and trains a step; every key says what it means."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from gainkt.config import conf_dir
from gainkt.train import train

Config = Callable[..., DictConfig]
CONF = Path(conf_dir())
PARTS = [f"model/{path.parent.name}={path.stem}" for path in sorted(CONF.glob("model/*/*.yaml"))]
RASCH = ["reference=rasch", "model/readiness=ability", "model/curve=rasch"]
GROUPS = [
    f"{group}={path.stem}"
    for group in ("reference", "loss", "schedule")
    for path in sorted((CONF / group).glob("*.yaml"))
]
FITTING = {
    "model/gain_head=scalar": ["model/receivers=practised"],
    "loss=aligned": ["reference=bkt"],
    "loss=l23": RASCH,
    "schedule=lambda_warmup": ["loss=l23", *RASCH],
    "schedule=lambda_published": ["loss=l23", *RASCH],
}
SMALL = ["model.size.d_model=16", "model.size.num_heads=2", "model.size.num_blocks=1", "model.size.d_ff=16"]


@pytest.mark.parametrize("option", [*PARTS, *GROUPS])
def test_every_option_trains(config: Config, option: str) -> None:
    result = train(
        config("v1_per_skill", option, *FITTING.get(option, []), *SMALL, "trajectories.write=false", "gradient_every=0")
    )
    assert 0 < result.metrics["val/encoder2_auc"] < 1


def test_every_key_has_a_comment() -> None:
    bare = []
    for path in CONF.rglob("*.yaml"):
        if path.parent.name in ("experiment", "hydra"):
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            key, _, value = line.split("#")[0].strip().partition(":")
            structural = key.startswith(("_", "-")) or key == "defaults" or not value.strip()
            if key and not structural and "#" not in line and not lines[number - 1].lstrip().startswith("#"):
                bare.append(f"{path.relative_to(CONF)}:{number + 1}: {line.strip()}")
    assert not bare, "\n".join(bare)


def test_only_experiments_are_global_and_leaves_have_no_defaults() -> None:
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        assert ("@package _global_" in text) == (path.parent.name == "experiment"), path
        entries = OmegaConf.load(path).get("defaults", [])
        if path.parent not in (CONF, CONF / "experiment"):
            beside = [
                entry if isinstance(entry, str) else f"{next(iter(entry))}/{next(iter(entry.values()))}"
                for entry in entries
            ]
            assert all(entry == "_self_" or (path.parent / f"{entry}.yaml").is_file() for entry in beside), path
        else:
            assert entries, path
