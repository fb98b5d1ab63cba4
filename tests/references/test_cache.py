"""A model is fitted once for the same data, fold and settings, and from training students only."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from conftest import composed, random_log
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.data.splits import SeededFolds
from gainkt.errors import ConfigError
from gainkt.references import BKT, PFA, Rasch
from gainkt.references import cache as module
from gainkt.references.cache import fit_of, fitted, settings_of

MODELS = {"rasch": Rasch, "bkt": BKT, "bkt_forgetting": BKT, "pfa": PFA}
RASCH = {"_target_": "gainkt.references.rasch.Rasch.fit", "_partial_": True, "ability_sd": 1.0}


def data(log: InteractionLog | None = None, fold: int = 0) -> KTDataModule:
    log = random_log(num_students=60) if log is None else log
    datamodule = KTDataModule(read=lambda: log, split=SeededFolds(), fold=fold)
    datamodule.setup()
    return datamodule


def option(name: str, *overrides: str) -> Any:
    return composed("reference", f"reference={name}", *overrides).reference


def test_the_same_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, path = fitted(RASCH, data(), tmp_path)
    assert path is not None
    assert path.parent == tmp_path
    assert path.name.startswith("rasch-")
    # A fit would fail from here on.
    monkeypatch.setattr("gainkt.references.rasch.fit_jointly", None)
    same = (RASCH, RASCH | {"ability_sd": 1}, RASCH | {"max_iterations": 100}, OmegaConf.create(RASCH))
    for cfg in same:
        again, where = fitted(cfg, data(), tmp_path)
        assert where == path
        assert isinstance(again, Rasch)
        np.testing.assert_array_equal(again.parameters.difficulty, first.difficulties(data().log_))
    with pytest.raises(TypeError):
        fitted(RASCH, data())  # without a folder nothing is read back


def test_what_may_differ_is_fitted_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = random_log(num_students=60)
    responses = log.responses.copy()
    responses[0] ^= 1
    bkt = {"_target_": "gainkt.references.bkt.BKT.fit", "_partial_": True, "max_iterations": 2}
    paths = [
        fitted(RASCH, data(), tmp_path)[1],
        fitted(RASCH, data(fold=1), tmp_path)[1],
        fitted(RASCH, data(replace(log, responses=responses)), tmp_path)[1],
        fitted(RASCH | {"ability_sd": 1.1}, data(), tmp_path)[1],
        fitted(RASCH | {"ability_sd": None}, data(), tmp_path)[1],
        fitted(bkt, data(), tmp_path)[1],
        fitted(bkt | {"forgets": True}, data(), tmp_path)[1],
    ]
    monkeypatch.setattr(module, "FORMAT", "gainkt-fitted-next")
    paths.append(fitted(RASCH, data(), tmp_path)[1])
    assert len(set(paths)) == len(paths) == len(list(tmp_path.iterdir()))


@pytest.mark.parametrize("name", MODELS)
def test_only_training_students_are_read(name: str, tmp_path: Path) -> None:
    datamodule = data()
    log, split = datamodule.log_, datamodule.split
    changed = replace(log, responses=log.responses.copy())
    changed.responses[log.steps_of(np.concatenate([split.valid, split.test]))] ^= 1
    cfg = option(name)
    one, two = (fitted(cfg, d, tmp_path)[1] for d in (datamodule, data(changed)))
    assert one is not None
    assert two is not None
    assert one != two
    assert one.read_bytes() == two.read_bytes()
    changed.responses[log.steps_of(split.train[:1])] ^= 1
    three = fitted(cfg, data(replace(changed)), tmp_path)[1]
    assert three is not None
    assert three.read_bytes() != one.read_bytes()


@pytest.mark.parametrize("spoil", [lambda text: "", lambda text: text[: len(text) // 2], lambda text: "[1, 2]"])
def test_a_damaged_file_is_fitted_again_with_a_warning(
    spoil: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, path = fitted(RASCH, data(), tmp_path)
    assert path is not None
    whole = path.read_text()
    path.write_text(spoil(whole))
    with caplog.at_level(logging.WARNING):
        fitted(RASCH, data(), tmp_path)
    assert f"{path}: damaged" in caplog.text
    assert path.read_text() == whole
    caplog.clear()
    fitted(RASCH, data(), tmp_path)
    assert not caplog.records
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", MODELS)
def test_every_option_says_all_settings_at_their_defaults(name: str) -> None:
    cfg = option(name)
    fit = fit_of(cfg)
    assert fit.func.__self__ is MODELS[name]  # type: ignore[attr-defined]
    defaults = settings_of(fit_of({"_target_": cfg["_target_"], "_partial_": True}))
    assert set(fit.keywords) == set(defaults)
    changed = {key for key, value in fit.keywords.items() if value != defaults[key]}
    assert changed == ({"forgets"} if name == "bkt_forgetting" else set())


def test_none_and_bad_options_are_named(tmp_path: Path) -> None:
    assert OmegaConf.to_container(option("none")) == {}
    with pytest.raises(ConfigError, match=r"reference=none: no model is chosen"):
        fitted(option("none"), data(), tmp_path)
    with pytest.raises(ConfigError, match=r"reference\.ability: .* did you mean 'ability_sd'"):
        fitted(RASCH | {"ability": 2.0}, data(), tmp_path)
    with pytest.raises(ConfigError, match=r"ability_sd=-1"):
        fitted(RASCH | {"ability_sd": -1.0}, data(), tmp_path)
    with pytest.raises(ConfigError, match=r"not a fit"):
        fitted({"_target_": "builtins.dict", "_partial_": True}, data(), tmp_path)
    assert not list(tmp_path.iterdir())
