"""The command line of a sweep: what a resumed one was started with, and a grid that lacks --multirun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.conf import HydraConf
from omegaconf import DictConfig

from gainkt.errors import ConfigError
from gainkt.sweeping.folder import SweepFolder

RESUME = "sweep.resume="


def resumed_arguments(arguments: Sequence[str]) -> list[str]:
    """Replace `sweep.resume=<folder>` on a command line by what that sweep was started with.

    Hydra's own settings, the launcher among them, may be given anew; the sweep's may be repeated, but not changed.

    Raises:
        ConfigError: the folder is not that of a sweep, or other settings are given.
    """
    given = [a for a in arguments if a.startswith(RESUME)]
    folder = given[-1].removeprefix(RESUME).strip("'\"") if given else ""
    multirun = {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments)
    if folder in ("", "null") or not multirun:
        return list(arguments)
    sweep = SweepFolder(Path(folder).expanduser().resolve())
    plan = sweep.plan
    rest = [a for a in arguments if not a.startswith(RESUME)]
    flags = [a for a in rest if a.startswith("-")]
    own = [a for a in rest if a not in flags and _is_hydras(a)]
    typed = [a for a in rest if a not in flags and not _is_hydras(a)]
    if typed and sorted(typed) != sorted(plan["overrides"]):
        new = [a for a in typed if a not in plan["overrides"]]
        found = f"{' '.join(new)} is new" if new else f"only {len(typed)} of {len(plan['overrides'])} are given"
        raise ConfigError(
            f"{RESUME}{folder}: a resumed sweep keeps the settings it was started with, and {found}; "
            "leave out all settings, or start a new sweep"
        )
    again = {_key(a) for a in own}
    kept = [a for a in plan["hydra"] if _key(a) not in again]
    return [*flags, *plan["overrides"], *kept, *own, f"hydra.sweep.dir={quoted(str(sweep.path))}"]


def quoted(text: str) -> str:
    """Write a text so that Hydra's grammar reads it as it stands."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def refuse_a_grid_alone(cfg: DictConfig, hydra_cfg: HydraConf) -> None:
    """Check, in a single run, that no sweep was meant.

    Raises:
        ConfigError: the experiment is a grid, or a sweep was to be resumed, without --multirun.
    """
    if cfg.sweep.resume:
        raise ConfigError(f"{RESUME}{cfg.sweep.resume}: a sweep is taken up again with --multirun (-m)")
    if hydra_cfg.sweeper.params:
        grid = " ".join(f"{key}={values}" for key, values in hydra_cfg.sweeper.params.items())
        raise ConfigError(f"the experiment is a grid ({grid}); add --multirun (-m) to run it")


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


def _is_hydras(argument: str) -> bool:
    return _key(argument).startswith(("hydra.", "hydra/"))
