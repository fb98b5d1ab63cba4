"""Kinds of settings: whether a value of a config is one that a constructor's annotation asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf

from gainkt.errors import ConfigError

PLAIN = (int, float, bool, str, NoneType)


def check_kinds(path: str, node: DictConfig, target: Callable[..., Any]) -> None:
    """Compare the settings of a part with the annotations of its constructor; what has none may be anything.

    Args:
        path: of the node, as it is typed.
        node: with a `_target_`.
        target: what it names.

    Raises:
        ConfigError: a value, at any depth, is of another kind; or it is not a number (nan).
    """
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):
        return  # annotations that only a type checker can follow
    parameters = inspect.signature(target).parameters
    any_other = next((name for name, p in parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD), "")
    for key in map(str, node):
        if key in ("_target_", "_partial_") or OmegaConf.is_missing(node, key):
            continue
        name = key if key in parameters else any_other
        # A default is right by itself, whatever a library's annotation says of it.
        default = parameters[key].default if key in parameters else inspect.Parameter.empty
        if name in hints and not (type(node[key]) is type(default) and node[key] == default):
            _require(f"{path}.{key}", node[key], hints[name])


def _require(path: str, value: Any, hint: Any) -> None:
    if isinstance(value, float) and value != value:
        raise ConfigError(f"{path}={value}: is not a number")
    kinds = _kinds(hint)
    if any(_fits(value, kind) for kind in kinds):
        return
    if isinstance(value, DictConfig | ListConfig) and "_target_" not in value:  # an entry may be what does not fit
        for kind in kinds:
            for key, entry, inner in _entries(value, kind):
                _require(f"{path}.{key}", entry, inner)
    names: dict[type, str] = {DictConfig: "settings by name", ListConfig: "a list"}
    found = names.get(type(value), type(value).__name__)
    raise ConfigError(f"{path}={value}: must be {' or '.join(map(_words, kinds))}, found {found}")


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a value is of one kind, or of one of which a config cannot tell."""
    origin = get_origin(kind) or kind
    if origin is Literal:
        return value in get_args(kind)
    if not isinstance(origin, type) or origin is object:
        return True
    if origin in PLAIN:
        return (type(value) is origin or (type(value) is int and origin is float)) and value == value
    if isinstance(value, DictConfig) and "_target_" in value:
        return True
    if _holds(value, origin):
        inner = get_args(kind)
        if origin is tuple and inner and inner[-1] is not ... and len(value) != len(inner):
            return False
        return all(any(_fits(entry, one) for one in _kinds(each)) for _, entry, each in _entries(value, kind))
    if isinstance(value, str) and hasattr(origin, "__fspath__"):  # a Path is made of text
        return True
    try:
        return isinstance(value, origin) and not (isinstance(value, str) and issubclass(origin, Sequence))
    except TypeError:  # a protocol that is not asked for at run time
        return True


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)


def _holds(value: Any, origin: type) -> bool:
    """Tell whether a node becomes the dictionary or list that is asked for."""
    if isinstance(value, DictConfig):
        return issubclass(dict, origin)
    return isinstance(value, ListConfig) and (issubclass(list, origin) or origin is tuple)


def _entries(value: Any, kind: Any) -> list[tuple[Any, Any, Any]]:
    """Key, value and annotation of each entry of a dictionary or list; none where there is no annotation of them."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if not inner or not isinstance(origin, type) or not _holds(value, origin):
        return []
    if isinstance(value, DictConfig):
        return [(key, value[key], inner[1]) for key in value if not OmegaConf.is_missing(value, key)]
    each = inner if origin is tuple and inner[-1] is not ... else (inner[0],) * len(value)
    return [(place, value[place], each[min(place, len(each) - 1)]) for place in range(len(value))]


def _words(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if not isinstance(origin, type) or origin in PLAIN:
        return "null" if origin is NoneType else getattr(origin, "__name__", str(origin))
    if issubclass(dict, origin) and issubclass(origin, Mapping):
        return "settings by name"
    inner = get_args(kind)
    if origin is tuple and inner and inner[-1] is not ...:
        return f"a list of {len(inner)}"
    if origin is tuple or (issubclass(list, origin) and issubclass(origin, Sequence)):
        return "a list"
    return "a part, which has a _target_"
