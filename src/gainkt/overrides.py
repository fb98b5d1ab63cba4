"""The overrides that make a run's config again: read off the config itself, whatever command line or script made it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from gainkt.config import conf_dir, register_resolvers

CARRIED = ("dataset", "seed", "logger", "run.root", "trainer.accelerator", "trainer.devices", "trainer.precision")
"""What goes along to another experiment: data, seed and machine."""
SAID = ("dataset.path", "dataset.fold", "seed")
"""What a command says even where it is the default."""
OWN = ("name", "run", "logger", "hydra")
"""What belongs to one run, or is treated by itself."""
ABSENT = object()
PLAIN = re.compile(r"[A-Za-z_./][\w./-]*")
WORDS = re.compile(r"(?i)(true|false|null|nan|inf)")


def compose_train(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose conf/train.yaml, also from inside another Hydra command.

    Raises:
        HydraException: an override is not understood.
    """
    register_resolvers()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            return compose("train", list(overrides))
    finally:
        GlobalHydra.instance().hydra = outer


def experiments() -> list[str]:
    """Return the names of all experiments."""
    return sorted(path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml"))


def recompose(config: DictConfig) -> list[str]:
    """Return overrides of `python -m gainkt.train` that make a config again, all but its folder.

    The experiment is the one that the run is named after, or else the one that differs least; each group's option is
    the one that differs least; what still differs is set key by key. Settings that are newer than the run are left out
    and take their defaults.

    Args:
        config: resolved, as config.yaml holds it.
    """
    experiment = _experiment(config)
    chosen = [] if experiment is None else [f"experiment={experiment}"]
    chosen += _groups(config, chosen)
    for interpolated in (False, True):  # what follows from another setting comes second: it may have followed it
        composed = compose_train(chosen)
        chosen += [
            override
            for key, override in _differences(config, composed)
            if interpolated or not _is_interpolation(composed, key)
        ]
    said = {_key(override) for override in chosen}
    for key in SAID:
        value = OmegaConf.select(config, key)
        if value is not None and key not in said:
            chosen.append(f"{key}={_text(value)}")
    if OmegaConf.select(config, "name") != compose_train(chosen).name:
        chosen.append(f"name={_text(config.name)}")
    return chosen


def carried(overrides: Iterable[str]) -> list[str]:
    """Return those of a run's overrides that go along to another experiment."""
    return [o for o in overrides if any(_key(o) == part or _key(o).startswith(f"{part}.") for part in CARRIED)]


def settings(overrides: Iterable[str]) -> list[str]:
    """Return those of a run's overrides that make it another variant than its experiment."""
    return [o for o in overrides if _key(o) not in (*OWN, "experiment") and not carried([o])]


def changed(overrides: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return overrides with some replaced or added; another option of a group drops the settings inside the old one."""
    kept = list(overrides)
    for change in changes:
        key = _key(change)
        inside = f"{key.replace('/', '.')}." if key in _group_names() else None
        kept = [o for o in kept if _key(o) != key and not (inside and _key(o).startswith(inside))]
    return [*kept, *changes]


def command_line(module: str, overrides: Iterable[str], *, sweep: bool = False) -> str:
    """Return a command that can be pasted into a shell."""
    words = ["python", "-m", f"gainkt.{module}", *(["-m"] if sweep else []), *overrides]
    return " ".join(map(shlex.quote, words))


def _experiment(config: DictConfig) -> str | None:
    """The experiment that a run is named after (v1_per_skill, v1_per_skill-no-decay), or else the closest one."""
    names = experiments()
    named = [name for name in names if config.name == name or str(config.name).startswith(f"{name}-")]
    if named:
        return max(named, key=len)
    candidates: list[str | None] = [None, *names]
    return min(candidates, key=lambda name: len(_unlike(config, name)))


def _unlike(config: DictConfig, experiment: str | None) -> list[str]:
    """Keys at which an experiment differs from a config, the data aside."""
    here = _flat(config)
    there = _flat(compose_train([] if experiment is None else [f"experiment={experiment}"]))
    keys = {key for key in here.keys() | there.keys() if not key.startswith((*OWN, "dataset", "seed"))}
    return [key for key in keys if here.get(key, ABSENT) != there.get(key, ABSENT)]


def _group_names() -> list[str]:
    entries = OmegaConf.load(Path(conf_dir(), "train.yaml")).defaults
    names = [str(next(iter(entry))) for entry in entries if not isinstance(entry, str)]
    return [name for name in names if name not in ("experiment", "hydra")]


def _groups(config: DictConfig, chosen: Sequence[str]) -> list[str]:
    """Options that fit a config better than those composed."""
    here, there = _flat(config), _flat(compose_train(chosen))
    options: list[str] = []
    for group in _group_names():
        path = group.replace("/", ".")
        target = _under(here, path)
        names = sorted(file.stem for file in Path(conf_dir(), group).glob("*.yaml"))
        current = _distance(target, _under(there, path))
        if group == "logger" or len(names) < 2 or not any(current):
            continue
        tried = {name: _under(_flat(compose_train([*chosen, f"{group}={name}"])), path) for name in names}
        best = min(names, key=lambda name: _distance(target, tried[name]))
        if _distance(target, tried[best]) < current:
            options.append(f"{group}={best}")
    loggers = [str(name) for name in OmegaConf.select(config, "logger") or {}]
    if loggers and all(Path(conf_dir(), "logger", f"{name}.yaml").is_file() for name in loggers):
        options.append(f"logger={loggers[0] if len(loggers) == 1 else '[' + ','.join(loggers) + ']'}")
    return options


def _distance(target: Mapping[str, Any], option: Mapping[str, Any]) -> tuple[int, int]:
    """Keys at which they differ, and how many of these the target lacks, which no override can say."""
    keys = {key for key in target.keys() | option.keys() if option.get(key) != "???"}
    unlike = [key for key in keys if target.get(key, ABSENT) != option.get(key, ABSENT)]
    return len(unlike), sum(key not in target for key in unlike)


def _differences(config: DictConfig, composed: DictConfig) -> Iterator[tuple[str, str]]:
    """Key and override of all that differs, the run's own matters aside."""
    here, there = _flat(config), _flat(composed)
    for key, value in here.items():
        own = key.partition(".")[0] in OWN and key != "run.root"
        if own or value == there.get(key, ABSENT) or (value == {} and OmegaConf.select(composed, key) is not None):
            continue
        yield key, f"{'' if key in there else '+'}{key}={_text(value)}"
    for key in sorted(there.keys() - here.keys()):
        if _in_free_mapping(composed, key):
            yield key, f"~{key}"


def _in_free_mapping(composed: DictConfig, key: str) -> bool:
    """Tell whether a key is an entry of an argument (lr_scale) rather than an argument, which has a default."""
    parent, _, _ = key.rpartition(".")
    owner, _, _ = parent.rpartition(".")
    node, above = (OmegaConf.select(composed, path) if path else None for path in (parent, owner))
    return (
        isinstance(above, DictConfig)
        and "_target_" in above
        and isinstance(node, DictConfig)
        and "_target_" not in node
    )


def _is_interpolation(config: DictConfig, key: str) -> bool:
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and last in node and OmegaConf.is_interpolation(node, last)


def _flat(config: Any, *, resolve: bool = True) -> dict[str, Any]:
    """Leaves of a config by dotted path; lists and empty mappings are leaves."""
    return dict(_leaves(OmegaConf.to_container(config, resolve=resolve, throw_on_missing=False), ""))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, Mapping) or (path and not node):
        yield path, node
        return
    for key, value in node.items():
        yield from _leaves(value, f"{path}.{key}".lstrip("."))


def _under(leaves: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The leaves inside a node, by their path from there."""
    return {key.removeprefix(f"{path}."): value for key, value in leaves.items() if key.startswith(f"{path}.")}


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _text(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, str) and not (PLAIN.fullmatch(value) and not WORDS.fullmatch(value)):
        quoted = value.replace("\\", "\\\\").replace("'", "\\'") if "'" in value or value.endswith("\\") else value
        return f"'{quoted}'"
    return str(value)
