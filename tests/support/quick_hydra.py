"""Hydra as it is, without work that it does again for each of the hundreds of configs that tests compose."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf


def speed_up(patch: pytest.MonkeyPatch) -> None:
    """Parse each config file once, and map choices only for defaults lists that interpolate them."""
    for source in Plugins.instance().discover(ConfigSource):  # classes as Hydra uses them, not as an import finds them
        if source.scheme() not in ("file", "pkg"):
            continue
        patch.setattr(source, "load_config", _once(source.load_config))
    whole = defaults_list._create_interpolation_map

    def if_needed(overrides: Any, entries: list[Any], self_added: bool) -> DictConfig:
        is_needed = any(entry.is_interpolation() for entry in entries)
        return whole(overrides, entries, self_added) if is_needed else OmegaConf.create()

    patch.setattr(defaults_list, "_create_interpolation_map", if_needed)


def _once(load: Any) -> Any:
    known: dict[tuple[str, ...], bytes] = {}

    def load_once(source: ConfigSource, config_path: str) -> ConfigResult:
        path = source.path.removeprefix("file://"), source._normalize_file_name(config_path)
        try:
            changed = str(Path(*path).stat().st_mtime_ns)
        except OSError:
            changed = ""  # inside a package
        key = (source.provider, *path, changed)
        if key not in known:
            known[key] = pickle.dumps(load(source, config_path))
        return pickle.loads(known[key])

    return load_once
