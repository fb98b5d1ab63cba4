"""Config: where conf/ lies, what a key may be called, and errors of one line."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import pkgutil
import re
import shlex
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    OverrideParseException,
)
from hydra.types import RunMode
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gainkt.arguments import ADDED, quote_text, quoted
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.interruption import ended_in_one_line, interruptible
from gainkt.kinds import check_kinds
from gainkt.masking import masked
from gainkt.names import printed, require_folder

T = TypeVar("T")


def conf_dir() -> str:
    """Return the folder of the config groups: beside the package where installed, at the top of a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return str(folder)
    raise ConfigError(f"{package / 'conf'}: the config groups are missing; install gainkt again")


def _run_dir(root: str, name: str, resume: str | None) -> str:
    """Folder of a run: the one that is resumed, or a new one that no other run shares."""
    if resume:
        return str(Path(resume).expanduser().resolve())
    return str(
        Path(root) / require_folder(str(name), "name") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{uuid.uuid4().hex[:8]}"
    )


def register_resolvers() -> None:
    """Make `${run_dir:root,name,resume}`, `${folder:name,key}` and `${one_minus:weight}` known to OmegaConf."""
    OmegaConf.register_new_resolver("run_dir", _run_dir, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("folder", lambda name, key="name": require_folder(str(name), key), replace=True)
    OmegaConf.register_new_resolver("one_minus", lambda weight: round(1 - weight, 12), replace=True)


def listed(given: Any) -> list[str]:
    """Return what a setting such as `run=[a,b,c]` or `run=a` lists; nothing where it is null."""
    return [] if given is None else [str(x) for x in given] if isinstance(given, ListConfig | list) else [str(given)]


def run_of(cfg: DictConfig) -> str:
    """Return the place of the one run that a command reads, `run=`, absolute.

    Raises:
        ConfigError: several are given.
    """
    if isinstance(cfg.run, ListConfig):
        raise ConfigError(f"run=[{','.join(listed(cfg.run))}]: one run here; predict, evaluate and teach take several")
    return to_absolute_path(str(cfg.run))


def check_keys(cfg: DictConfig) -> None:
    """Check every key of a node with a `_target_` against what its constructor takes.

    Raises:
        ConfigError: a key that the constructor does not know, or a value of another type than it takes.
    """
    for path, node in _targets(cfg, ""):
        target = _locate(str(node["_target_"]), path)
        try:
            parameters = inspect.signature(target).parameters
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}._target_={node['_target_']}: takes no settings by name ({error})") from error
        takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        for key in map(str, node):
            # A constructor that takes any keyword checks them itself.
            if not takes_more and key not in {"_target_", "_partial_", *parameters}:
                raise ConfigError(
                    f"{path}.{key}: {node['_target_']} takes no such setting{nearest(key, parameters)}; "
                    f"where an experiment sets it for another part, ~{path}.{key} leaves it out"
                )
        check_kinds(path, node, target)


def require_flags(cfg: DictConfig, name: str) -> None:
    """Check that a key of nodes with a `_target_` is true or false wherever it stands.

    Raises:
        ConfigError: it is something else.
    """
    for path, node in _targets(cfg, ""):
        if not isinstance(node.get(name, False), bool):
            raise ConfigError(f"{path}.{name}={node[name]}: must be true or false")


def build(cfg: DictConfig, **sizes: Any) -> Any:
    """Build the object that a config node describes, its parts first; plain lists and dictionaries go into it.

    A part with `_partial_: true` is left for others to complete. An error of a constructor names its own arguments
    (`dropout=2: a probability`); the path of the node is put before them, so that it names keys as they are typed.

    Args:
        cfg: a node with a `_target_`.
        sizes: arguments that the config does not know.

    Raises:
        ConfigError: a value is missing, or the constructor refuses it.
        DataError: as the constructor raises it.
    """
    content = OmegaConf.to_container(cfg, resolve=True)
    return _build(content, str(cfg._get_full_key(None) or ""), sizes)


def _build(node: Any, path: str, sizes: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_build(entry, f"{path}.{place}", {}) for place, entry in enumerate(node)]
    if node == "???":
        raise ConfigError(f"{path}: a value is missing; give {path}=...")
    if not isinstance(node, dict):
        return node
    settings = {key: _build(node[key], f"{path}.{key}".lstrip("."), {}) for key in node if str(key)[:1] != "_"}
    if "_target_" not in node:
        return settings
    part = Part(_locate(node["_target_"], path), **settings | sizes)
    part.path = path
    return part if node.get("_partial_") else part.build()


class Part(functools.partial):
    """A constructor or function with settings from the config, whose errors name the full keys of these."""

    path: str
    """Of its node."""

    def __call__(self, /, *sizes: Any, **more: Any) -> Any:
        """Complete the part."""
        if inspect.isclass(self.func):
            return self.build(*sizes, **more)
        try:
            return super().__call__(*sizes, **more)
        except ConfigError as error:
            raise self._named(error) from None

    def build(self, *sizes: Any, **more: Any) -> Any:
        """Build the object.

        Raises:
            ConfigError: its constructor fails, whatever it raises.
            DataError: as the constructor raises it.
        """
        try:
            return super().__call__(*sizes, **more)
        except ConfigError as error:
            raise self._named(error) from None
        except DataError:
            raise
        except Exception as error:  # a constructor of a user's or a library's raises what it likes
            raise ConfigError(f"{self.path}: cannot be built ({type(error).__name__}: {error})") from error

    def _named(self, error: ConfigError) -> ConfigError:
        """Return the error with full keys for the arguments that it names: `x=...` anywhere, `x` at its beginning."""
        if error.is_named or not self.path:
            return error
        names = "|".join({**inspect.signature(self.func).parameters, **self.keywords})
        named = ConfigError(re.sub(rf"(^({names})\b|(?<![\w./])({names})(?==))", rf"{self.path}.\1", str(error)))
        named.is_named = str(named) != str(error)
        return named


def _targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    if not isinstance(node, DictConfig) or node._is_missing() or node._is_none():
        return
    if "_target_" in node:
        yield path, node
    for key in node:
        if not OmegaConf.is_missing(node, key) and OmegaConf.is_config(node._get_node(key)):
            yield from _targets(node[key], f"{path}.{key!s}".lstrip("."))


def _locate(target: str, path: str) -> Callable[..., Any]:
    """Return what a `_target_` names: a class, a function, or a method of a class (`my_package.models.Mine.fit`)."""
    try:
        return pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}._target_={target}: cannot be imported ({error})") from error


def user_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that a user can cause; Lightning's among them where it is loaded, which takes seconds."""
    lightning = sys.modules.get("lightning.fabric.utilities.exceptions")
    of_lightning = () if lightning is None else (lightning.MisconfigurationException,)
    return (ValueError, OSError, HydraException, OmegaConfBaseException, *of_lightning)


def run_main(main: Callable[[], None], arguments: Callable[[Sequence[str]], list[str]] = list) -> None:
    """Run a Hydra command; what a user can cause ends in one line on standard error.

    The exit status is 1 after an error, 130 after Ctrl-C and 143 after SIGTERM. Set GAINKT_DEBUG=1 to see the traceback
    instead.

    Args:
        main: the command.
        arguments: what the command line stands for.
    """
    register_resolvers()
    # conf/hydra/launcher takes the place of what the launchers' own plugins register under the same names.
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/.*' is validated against ConfigStore schema")
    # Hydra would print a report of its own and exit; with this it lets the exception through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with interruptible():
        if _debugging():
            sys.argv[1:] = quote_text(arguments(sys.argv[1:]))
            main()
            return
        with ended_in_one_line():
            try:
                sys.argv[1:] = quote_text(arguments(sys.argv[1:]))
                main()
            except user_errors() as error:
                _fail(error)


def one_line_errors(task: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """Wrap a Hydra task so that a single run ends in one line; in a sweep Hydra collects the jobs' errors itself."""

    @functools.wraps(task)
    def run(cfg: DictConfig) -> T:
        try:
            return task(cfg)
        except user_errors() as error:
            if _debugging() or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            _fail(error)

    return run


def _debugging() -> bool:
    return bool(os.environ.get("GAINKT_DEBUG"))


def _fail(error: BaseException) -> NoReturn:
    if isinstance(error, BrokenPipeError):  # whoever read the output has seen enough, as `| head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    print(f"gainkt: error: {one_line(error)}", file=sys.stderr)
    sys.exit(1)


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong, with the nearest valid key or option where one was unknown."""
    error = _own(error)
    text = str(error)
    if isinstance(error, (ConfigCompositionException, OverrideParseException, HydraException)):
        text = _composition(error)
    if isinstance(error, OSError) and error.strerror:
        place = error.filename if error.filename is not None else "disk" if error.errno in FULL else "system"
        text = f"{place}: {error.strerror}{WAY_OUT.get(error.errno, '')}"
    return masked(" ".join(printed(text).split()))


FULL = (errno.ENOSPC, errno.EDQUOT)
WAY_OUT: dict[int | None, str] = {
    **dict.fromkeys(FULL, "; free space, or choose another folder"),
    errno.EACCES: "; choose another folder, or have its owner give you the right",
    errno.EPERM: "; choose another folder, or have its owner give you the right",
    errno.EROFS: "; choose another folder",
    errno.EMFILE: "; raise the limit of open files (ulimit -n)",
    errno.ENFILE: "; close other programs, or raise the system's limit of open files",
    errno.ENAMETOOLONG: "; choose a shorter name",
}
"""What to do about an error of the operating system, by its number; the others speak for themselves."""


def _own(error: BaseException) -> BaseException:
    """Return the error of gainkt's own that OmegaConf wrapped, as those of resolvers are; else the error itself."""
    inner: BaseException | None = error
    while isinstance(inner, OmegaConfBaseException):
        inner = inner.__cause__ or inner.__context__
    return inner if isinstance(inner, ConfigError | DataError) else error


def said(error: Exception) -> str:
    """One line about an error; its kind too where it is none that a user causes."""
    known = isinstance(error, user_errors()) or type(error).__name__ == "TrialPruned"
    return one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"


def _composition(error: BaseException) -> str:
    """Reword Hydra's errors about unknown options and keys."""
    text = str(error)
    if isinstance(error, OverrideParseException):
        typed = re.sub(rf"^\+\+(?={ADDED}|reference\.)", "", error.override)
        name, equals, value = typed.partition("=")
        if not equals:
            return f"{typed}: no setting; give key=value"
        if not re.fullmatch(r"[+~]*[\w.@/:$-]+", name, re.ASCII):
            return (
                f"{name}: Hydra's grammar takes no such key; a file does (--config-dir=<folder> --config-name=<file>)"
            )
        shown = _LIST.sub(_quoted_entries, value) if value[:1] in ("[", "{") else _in_quotes(value)
        told = f"{name}={value}: Hydra's grammar does not take this value; quote "
        if shown == value:
            return f"{told}the names and texts in it, and for the shell the whole"
        return f"{told}it, for the shell as well: {shlex.quote(f'{name}={shown}')}"
    option = re.search(r"Could not find '([^']+)/([^'/]+)'\s+Available options in '[^']+':\s+(.*)", text, re.S)
    if option:
        group, name, listed = option.groups()
        known = [line.strip() for line in listed.splitlines() if re.fullmatch(r"\s*[\w./-]+\s*", line)]
        return f"{group}={name}: no such option{nearest(name, known)}"
    key = re.search(r"Could not override '([^']+)'", text) or re.search(r"full_key: (\S+)", text)
    if key:
        return f"{key[1]}: no such key in the config{nearest(key[1], known_keys())}; --cfg job prints all of it"
    return text


_LIST = re.compile(r"\[([^\[\]{}'\"]*)\]")
"""A list of texts without quotes, also within a mapping."""
_TAKEN = re.compile(r"[\w.+-]*", re.ASCII)
"""What stands in a list as it is."""


def _quoted_entries(found: re.Match[str]) -> str:
    entries = (text.strip() for text in found[1].split(","))
    return f"[{','.join(text if _TAKEN.fullmatch(text) else _in_quotes(text) for text in entries)}]"


def _in_quotes(value: str) -> str:
    """A value in quotes as Hydra's grammar has them; double ones where it can be, which a shell's single ones hold."""
    return quoted(value) if '"' in value or value.endswith("\\") else f'"{value}"'


def known_keys() -> list[str]:
    """Return every key, dotted, of the config that the command line composes."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    command = Path(sys.argv[0]).stem
    name = command if Path(conf_dir(), f"{command}.yaml").is_file() else "train"
    groups = [word for word in sys.argv[1:] if Path(conf_dir(), word.partition("=")[0]).is_dir() and "=" in word]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        try:
            cfg = compose(name, groups)
        except (HydraException, OmegaConfBaseException):
            cfg = compose(name)

    def walk(node: Any, path: str) -> Iterator[str]:
        if path:
            yield path
        if isinstance(node, DictConfig):
            for key in map(str, node):
                yield from walk(node._get_node(key), f"{path}.{key}".lstrip("."))

    return list(walk(cfg, ""))
