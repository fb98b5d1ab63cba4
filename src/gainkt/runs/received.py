"""Configs that come from disk: read as plain data, and held to the code that may run.

What is read never decides what runs. A folder may have come from anybody, so a config that lies in one may name, as a
`_target_`, the parts of gainkt, what gainkt's own config groups name of Lightning, and what packages hold that the user
of the command trusts by name. This is decided by the text of the config, before anything that it names is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from gainkt.config import conf_dir
from gainkt.digests import held_to, opened
from gainkt.errors import ConfigError
from gainkt.runs.moved import at_new_places

PACKAGE = Path(__file__).resolve().parents[1]
WAY_OUT = "put it back from a copy of the run, or train again"
GROUPS = ("name", "seed", "run", "dataset", "model", "loss", "schedule", "optimizer", "trainer", "callbacks")
"""Keys that a run's config has."""
ROOMS = ("model", "losses", "references", "data", "simulation", "evaluation")
"""Rooms whose classes are parts of a run; functions, and what training has, only where a config group names them."""
OF_SEARCHES = "gainkt.training.callbacks.report_to_trial.ReportToTrial"
"""What a search adds to its runs."""
DEEPEST = 100
"""Levels of a config, of which gainkt writes ten at most."""
READER: Any = get_yaml_loader()
"""Reads YAML as OmegaConf.load does: 1e-5 is a number, and no key stands twice."""
if yaml.__with_libyaml__:

    class _Fast(yaml.cyaml.CParser, READER):
        """The same, parsed by libyaml in a fifteenth of the time."""

        def __init__(self, stream: Any) -> None:
            yaml.cyaml.CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    READER = _Fast


def read_config(path: Path, trust: Iterable[str] = ()) -> DictConfig:
    """Read a config that a run left, without evaluating or importing anything.

    Args:
        path: config.yaml of a run, of this or of an earlier version.
        trust: names of the packages that the config may name besides gainkt.

    Raises:
        ConfigError: the file is damaged, would grow when it is read, asks for an interpolation, or names code that it
            may not.
    """
    try:
        with opened(path, WAY_OUT) as file:
            text = file.read().decode("utf-8")
        _require_bounded(text, path)
        content = yaml.load(text, Loader=READER)
        if not isinstance(content, dict) or not content:
            raise ConfigError(f"{path}: not a run's config: it holds no settings")
        if lacking := [key for key in GROUPS if content.get(key) is None]:
            raise ConfigError(f"{path}: not a run's config: it lacks {', '.join(lacking)}")
        with held_to(path, WAY_OUT):
            content = at_new_places(content)
        for key, value in leaves(content):
            if isinstance(value, str) and "${" in value:
                raise ConfigError(f"{path}: {key}={value}: interpolations are not evaluated in what is read from disk")
        check_targets(content, str(path), trust)
        return OmegaConf.create(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: cannot be read as a run's config ({type(error).__name__}: {reason})") from error


def _require_bounded(text: str, path: Path) -> None:
    """Check that YAML is no larger when it is read than it is as text, and not deeper than functions may call another.

    Raises:
        ConfigError: it is.
    """
    depth = 0
    for event in yaml.parse(text, Loader=READER):
        # An alias is text that stands for other text; a few of them, one in the other, fill any memory.
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases are not read from disk; gainkt never writes them")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ConfigError(f"{path}: not a run's config: it is nested more than {DEEPEST} levels deep")


def check_targets(content: Any, source: str, trust: Iterable[str] = ()) -> None:
    """Check each `_target_` of plain config content against what may run.

    Raises:
        ConfigError: one that may not, with its key and the way to allow it.
    """
    trusted = set(trust)
    for key, target in leaves(content):
        if key.rpartition(".")[2] != "_target_" or str(target).partition(".")[0] in trusted:
            continue
        if not (isinstance(target, str) and (target in named_by_conf() or is_part(target))):
            package, kind = str(target).partition(".")[0], "neither a part of gainkt nor of a trusted package"
            way = f"if you know who wrote it and trust it, add trust=[{package}] to the command"
            if package == "gainkt":
                kind, way = "not a part of gainkt that a config names", "put the file back from a copy"
            raise ConfigError(f"{source}: {key}={target}: {kind}, so it is not imported; {way}")


def packages_of(content: Any) -> set[str]:
    """Return the packages that plain config content names: what the user of a command trusts by writing it."""
    return {str(x).partition(".")[0] for key, x in leaves(content) if key.rpartition(".")[2] == "_target_"}


def is_part(target: str) -> bool:
    """Tell whether a target is a class that a module of gainkt's rooms of parts defines; nothing is imported."""
    module, _, name = target.rpartition(".")
    words = module.split(".")
    if len(words) < 3 or words[0] != "gainkt" or words[1] not in ROOMS or not all(map(str.isidentifier, words)):
        return False
    file = PACKAGE.joinpath(*words[1:]).with_suffix(".py")
    return file.is_file() and name in _classes(file)


@cache
def named_by_conf() -> frozenset[str]:
    """Targets that gainkt's own config groups name, those of sweeps aside."""
    pattern = re.compile(r"(?:^|[-{,])\s*_target_:\s*([\w.]+)", re.M)
    texts = (path.read_text(encoding="utf-8") for path in Path(conf_dir()).rglob("*.yaml"))
    found = {x for text in texts for x in pattern.findall(text) if not x.startswith("hydra_plugins.")}
    return frozenset({OF_SEARCHES, *found})


@cache
def _classes(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef))


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Go through plain config content: each value that is no container, with its dotted key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from leaves(value, f"{path}[{number}]")
    else:
        yield path, node
