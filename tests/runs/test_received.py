"""What is read from disk never decides what runs: targets, interpolations and aliases in a received config."""

import copy
import json
import shutil
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from gainkt.errors import ConfigError
from gainkt.runs.folder import load_run
from gainkt.runs.received import check_targets, is_part, named_by_conf, packages_of, read_config

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_247a8fe"
FOREIGN = [
    "torch.utils.collect_env.run",
    "pandas.read_pickle",
    "torch.load",
    "joblib.load",
    "numpy.load",
    "sympy.sympify",
    "os.system",
    "builtins.eval",
    "subprocess.run",
    "payload.Part",
    "lightning.pytorch.callbacks.LambdaCallback",
    "gainkt_evil.Part",
    # Inside gainkt, but no part: a module's own imports, a function that writes, a door, a way around the list.
    "gainkt.model.curve.torch.load",
    "gainkt.model.gainkt.torch.hub.load",
    "gainkt.data.log.np.load",
    "gainkt.files.write_json",
    "gainkt.files.write_whole",
    "gainkt.train.main",
    "gainkt.config.build",
    "gainkt.runs.folder.RunDirectory",
    "gainkt.sweeping.launchers.Local",
    "hydra_plugins.gainkt_sweeping.LocalLauncher",
    "gainkt.references.bkt.BKT.save",
    "gainkt.model.._evil.Part",
    "gainkt.model./etc/passwd.Part",
    "gainkt",
    "",
    7,
    None,
]
PLACES = ["schedule", "model.curve.beta", "callbacks.mine", "dataset.read", "trainer.logger", "loss.alignment"]


@pytest.fixture
def received(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "run"))


@cache
def config_of(folder: Path) -> DictConfig:
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    return config


def edit(folder: Path, key: str, value: object) -> None:
    """Set a key of the run's config, which is that of the fixture."""
    config = copy.deepcopy(config_of(FIXTURE))
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    # JSON is YAML too, and is written in a tenth of the time.
    (folder / "config.yaml").write_text(json.dumps(OmegaConf.to_container(config)))


@pytest.mark.parametrize("target", FOREIGN, ids=str)
def test_foreign_targets_are_refused(received: Path, target: object, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = received / "ran"
    (received / "payload.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Part: ...\n")
    monkeypatch.syspath_prepend(str(received))
    for place in PLACES:
        edit(received, place, {"_target_": target, "command": f"touch {mark}"})
        with pytest.raises(ConfigError, match=rf"{place}\._target_="):
            load_run(received)
    assert not mark.exists()
    assert "payload" not in sys.modules


def test_targets_in_lists_are_found(received: Path) -> None:
    edit(received, "trainer.plugins", [{"a": [{"_target_": "os.system"}]}])
    with pytest.raises(ConfigError, match=r"trainer\.plugins\[0\]\.a\[0\]\._target_=os\.system.*trust=\[os\]"):
        load_run(received)


def test_what_is_trusted_is_allowed(received: Path) -> None:
    edit(received, "callbacks.mine", {"_target_": "my_package.Mine"})
    with pytest.raises(ConfigError, match=r"trust=\[my_package\]"):
        load_run(received)
    assert load_run(received, ["my_package"]).config.callbacks.mine._target_ == "my_package.Mine"
    with pytest.raises(ConfigError, match="my_package"):
        load_run(received, ["my_pack", "package"])


def test_parts_of_gainkt_are_allowed() -> None:
    assert is_part("gainkt.model.gain_head.linear.MLPGain")
    assert {"lightning.Trainer", "gainkt.losses.prediction.bce1"} <= named_by_conf(), "on its own line, and in one"
    check_targets({"x": {"_target_": "gainkt.training.schedules.Constant"}}, "here")
    assert packages_of({"x": [{"_target_": "a.b.C"}], "_target_": "gainkt.y"}) == {"a", "gainkt"}


def test_no_resolver_is_evaluated(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    for value in ("${oc.env:SECRET_TOKEN}", "a ${seed} b"):
        edit(received, "name", value)
        with pytest.raises(ConfigError, match=r"name=.*not evaluated"):
            load_run(received)


def test_an_alias_bomb_is_refused_at_once(received: Path) -> None:
    lines = ['a0: &a0 ["x","x","x","x","x","x","x","x","x"]']
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (received / "config.yaml").write_text("\n".join(lines))
    begun = time.monotonic()
    with pytest.raises(ConfigError, match="aliases"):
        load_run(received)
    assert time.monotonic() - begun < 1


def test_any_depth_is_refused_and_ends_no_process(received: Path) -> None:
    for text in ("[" * 300_000, "[" * 101 + "]" * 101):
        (received / "config.yaml").write_text(text)
        with pytest.raises(ConfigError, match="more than 100 levels deep"):
            read_config(received / "config.yaml")


def test_it_reads_what_omegaconf_does(received: Path) -> None:
    edit(received, "seed", 3)
    extra = "\nextra: {small: 1e-05, dated: 2026-11-27, off: off, none: null, 7: [1, .5, 0x1f, '1', ~, -.inf]}\n"
    text = OmegaConf.to_yaml(OmegaConf.load(received / "config.yaml")) + extra
    (received / "config.yaml").write_text(text)
    expected = OmegaConf.load(received / "config.yaml").extra
    assert read_config(received / "config.yaml").extra == expected
    assert (expected.small, expected.dated) == (1e-5, "2026-11-27")


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "a: [", "\x00", "!!python/object/apply:os.system [id]", "a: 1\na: 2", "7"]
)
def test_damaged_configs_end_in_one_line(received: Path, text: str) -> None:
    (received / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml: ") as caught:
        read_config(received / "config.yaml")
    assert "\n" not in str(caught.value)
