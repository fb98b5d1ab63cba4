"""Hydra as it is, without work that it does again for each of the hundreds of configs that tests compose."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

CHECKOUT = Path(__file__).resolve().parents[2]


def speed_up(patch: pytest.MonkeyPatch) -> None:
    """Parse each config file once, put the same options together once, and map choices only where they are read."""
    for source in Plugins.instance().discover(ConfigSource):  # classes as Hydra uses them, not as an import finds them
        if source.scheme() not in ("file", "pkg"):
            continue
        patch.setattr(source, "load_config", _once(source.load_config))
    whole = defaults_list._create_interpolation_map

    def if_needed(overrides: Any, entries: list[Any], self_added: bool) -> DictConfig:
        is_needed = any(entry.is_interpolation() for entry in entries)
        return whole(overrides, entries, self_added) if is_needed else OmegaConf.create()

    patch.setattr(defaults_list, "_create_interpolation_map", if_needed)
    patch.setattr(defaults_list, "_create_defaults_list", _listed_once(defaults_list._create_defaults_list))
    merged = _merged_once(ConfigLoaderImpl._compose_config_from_defaults_list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", merged)


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


def _places(repo: IConfigRepository) -> tuple[tuple[str, str], ...] | None:
    """Where configs are looked for; None where that is a folder that a test may write to."""
    places = tuple((source.scheme(), source.path.removeprefix("file://")) for source in repo.get_sources())
    fixed = (scheme != "file" or Path(path).resolve().is_relative_to(CHECKOUT) for scheme, path in places)
    return places if all(fixed) else None


def _listed_once(listed: Any) -> Any:
    known: dict[Any, bytes] = {}

    def list_once(repo: IConfigRepository, name: str | None, overrides: Overrides, **settings: bool) -> Any:
        options = overrides.override_choices, overrides.deletions, overrides.append_group_defaults
        key = _places(repo), name, pickle.dumps(options), tuple(settings.values())
        if key[0] is None:
            return listed(repo, name, overrides, **settings)
        if key not in known:
            values, overrides.config_overrides = overrides.config_overrides, []
            known[key] = pickle.dumps((listed(repo, name, overrides, **settings), vars(overrides)))
            overrides.config_overrides = values
        found, state = pickle.loads(known[key])
        vars(overrides).update(state | {"config_overrides": overrides.config_overrides})
        return found

    return list_once


def _merged_once(merged: Any) -> Any:
    known: dict[Any, bytes] = {}

    def merge_once(loader: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        key = _places(repo), repr(defaults)
        if key[0] is None:
            return merged(loader, defaults, repo)
        if key not in known:
            known[key] = pickle.dumps(merged(loader, defaults, repo))
        return pickle.loads(known[key])

    return merge_once
