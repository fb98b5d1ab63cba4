"""Overrides of `python -m gainkt.train`: those that a run was started with, and those of the commands after it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from gainkt.arguments import hydra_text
from gainkt.config import conf_dir, register_resolvers

OUTSIDE = "hydra.searchpath"
"""Config folders from outside of gainkt."""
FOLDERS = re.compile(r"hydra\.searchpath=\[('?file://[^',$\[\]]+'?,?)+\]")
"""Its form that only reads folders; others would import packages (pkg://)."""
Check = Callable[[Any], None]
MACHINE = ("run.root", "trainer.accelerator", "trainer.devices", "trainer.precision")
CARRIED = (OUTSIDE, "dataset", "seed", "logger", *MACHINE)
"""What goes along to another experiment: data, seed and machine."""
STATED = ("dataset.path", "dataset.fold", "seed")
"""What a command states even where it is the default."""
OWN = ("name", "run", "sweep", "logger", "hydra")
"""What belongs to one run, or is treated by itself."""


def compose_train(overrides: Sequence[str] = (), *, hydra: bool = False, config: str = "train") -> DictConfig:
    """Compose conf/train.yaml (or another), also from inside another Hydra command; with Hydra's settings where asked.

    Raises:
        HydraException: an override is not understood.
    """
    register_resolvers()
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            return compose(config, list(overrides), return_hydra_config=hydra)
    finally:
        GlobalHydra.instance().hydra = outer


def given() -> list[str]:
    """Return the overrides of the running Hydra command; `--config-dir` as an override too."""
    hydra = HydraConfig.get()
    sources = hydra.runtime.config_sources
    outside = [f"{s.schema}://{s.path}" for s in sources if s.provider.endswith("command-line")]
    return [*([f"{OUTSIDE}={hydra_text(outside)}"] if outside else []), *hydra.overrides.task]


def recompose(config: DictConfig, saved: Sequence[str] | None = None, check: Check = lambda content: None) -> list[str]:
    """Return overrides that make a config again, all but the run's folder.

    They are those that the run was started with or, where none were saved, the experiment that it is named after. What
    the config holds beyond them is set key by key: settings made in Python, and an experiment that has changed since.
    Settings that are newer than the run are left out and take their defaults.

    Args:
        config: resolved, as config.yaml holds it.
        saved: as given when the run was started; None where that is not known.
        check: of what they compose, as plain data; it raises where a command must not name that.

    Raises:
        HydraException: an override is not understood any more.
    """
    start = [*_named_after(config), *_data(config), *_loggers(config)] if saved is None else saved
    chosen = [o for o in start if _key(o) not in STATED and (_in(o, CARRIED) or not _in(o, ("run", "sweep", "hydra")))]
    chosen = [o for o in chosen if not _in(o, [OUTSIDE]) or FOLDERS.fullmatch(o)]
    composed = compose_train(chosen, hydra=True)
    with open_dict(composed):
        grid = composed.pop("hydra").sweeper.get("params")
    check(OmegaConf.to_container(composed))
    chosen += ["hydra.sweeper.params=null"] if grid else []  # a run of a grid: the grid alone would be refused
    plain: Any = OmegaConf.to_container(config, resolve=True)
    here = {**{key: value for key, value in plain.items() if key not in OWN[1:]}, "run": {"root": config.run.root}}
    # What follows from another setting comes second: it may have followed it already.
    chosen += [o for follows in (False, True) for o in _differences(here, composed, follows)]
    known = {_key(o) for o in chosen}
    values = {key: OmegaConf.select(config, key) for key in STATED if key not in known}
    return chosen + [f"{key}={hydra_text(value)}" for key, value in values.items() if value is not None]


def another(experiment: str, base: Sequence[str], config: DictConfig, check: Check = lambda content: None) -> list[str]:
    """Return the overrides of another experiment on the data, with the seed and on the machine of a run.

    Args:
        experiment: its name.
        base: the overrides that make the run's config again (recompose).
        config: the run's, resolved.
        check: as for recompose.
    """
    taken = [o for o in base if _in(o, CARRIED)]
    if any(_in(o, [OUTSIDE]) for o in taken):  # the run's experiment may be from outside, and may choose the data
        taken = [o for o in recompose(config, [f"experiment={experiment}", *taken], check) if _in(o, CARRIED)]
    return [f"experiment={experiment}", *taken]


def settings(overrides: Iterable[str]) -> list[str]:
    """Return those of a run's overrides that make it another variant than its experiment."""
    return [o for o in overrides if not _in(o, (*CARRIED, *OWN, "experiment"))]


def changed(overrides: Sequence[str], changes: Sequence[str]) -> list[str]:
    """Return overrides with some replaced or added; another option of a group drops the settings inside the old one."""
    defaults = OmegaConf.load(Path(conf_dir(), "train.yaml")).defaults
    groups = {str(next(iter(entry))) for entry in defaults if not isinstance(entry, str)} - {"experiment", "hydra"}
    kept = list(overrides)
    for key in map(_key, changes):
        inside = f"{key.replace('/', '.')}."
        kept = [o for o in kept if _key(o) != key and not (key in groups and _key(o).startswith(inside))]
    return [*kept, *changes]


def command_line(module: str, overrides: Iterable[str], *, sweep: bool = False) -> str:
    """Return a command that can be pasted into a shell."""
    return shlex.join(["python", "-m", f"gainkt.{module}", *(["-m"] if sweep else []), *overrides])


def _differences(
    here: Mapping[str, Any], there: DictConfig, follows: bool, path: str = "", is_argument: bool = False
) -> Iterator[str]:
    """Overrides that turn a composed config into that of a run; `there` is turned into it on the way.

    Args:
        here: the run's.
        there: as composed.
        follows: look also at what follows from another setting.
        path: of both, with a dot at its end.
        is_argument: whether both are an argument of something that a config describes.
    """
    found = {str(key): "???" if OmegaConf.is_missing(there, key) else there[key] for key in there}
    nodes = [key for key in here if isinstance(here[key], Mapping) and isinstance(found.get(key), DictConfig)]
    unlike = [key for key in here if key not in nodes and (key not in found or found[key] != here[key])]
    if not follows:
        unlike = [key for key in unlike if key not in found or not OmegaConf.is_interpolation(there, key)]
    with open_dict(there):
        # What the run lacks is newer than the run, unless something else stands here, or anything can (lr_scale).
        if unlike if "_target_" in there else is_argument:
            for key in sorted(found.keys() - here.keys()):
                del there[key]
                yield from ([f"{path}{key}=0"] if found[key] is None else [])  # Hydra does not see a null to delete
                yield f"~{path}{key}"
        for key in unlike:
            there[key] = here[key]
            yield f"{'' if key in found else '+'}{path}{key}={hydra_text(here[key])}"
    for key in nodes:
        yield from _differences(here[key], there[key], follows, f"{path}{key}.", "_target_" in there)


def _named_after(config: DictConfig) -> list[str]:
    """The experiment that a run is named after: v1_per_skill of v1_per_skill-no-decay."""
    names = [path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml")]
    named = [name for name in names if config.name == name or str(config.name).startswith(f"{name}-")]
    return [f"experiment={max(named, key=len)}"] if named else []


def _data(config: DictConfig) -> list[str]:
    """The options of a run's data set and split: those of its name, or of its reader and rule."""
    found = []
    for group, node, name in (("dataset", "read", "dataset.read.name"), ("dataset/split", "", "")):
        options = {path.stem: OmegaConf.load(path) for path in sorted(Path(conf_dir(), group).glob("*.yaml"))}
        wanted = OmegaConf.select(config, f"{group.replace('/', '.')}.{node}".strip(".") + "._target_")
        called = OmegaConf.select(config, name) if name else None
        reads = [
            option
            for option, content in options.items()
            if wanted is not None and OmegaConf.select(content, f"{node}._target_".strip(".")) == wanted
        ]
        chosen = called if called in options else next((one for one in ("csv", *reads) if one in reads), None)
        found += [f"{group}={chosen}"] if chosen else []
    return found


def _loggers(config: DictConfig) -> list[str]:
    """A run's loggers by name, since their settings hold its folder."""
    names = [str(name) for name in config.get("logger") or {} if Path(conf_dir(), "logger", f"{name}.yaml").is_file()]
    return [f"logger={hydra_text(names)}"] if names else []


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _in(override: str, parts: Iterable[str]) -> bool:
    """Tell whether an override is of one of some parts of the config, or inside it."""
    return any(_key(override) == part or _key(override).startswith((f"{part}.", f"{part}/")) for part in parts)
