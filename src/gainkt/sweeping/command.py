"""The command line of a sweep: what a resumed one was started with, and what a single run must not be given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gainkt.arguments import quoted
from gainkt.errors import ConfigError
from gainkt.masking import MASK, masked
from gainkt.sweeping.jobs import PLAN, SweepFolder
from gainkt.training.processes import SETTINGS, num_processes

RESUME = "sweep.resume="
TRUST = "trust="
FROM_DISK = re.compile(
    r"hydra/launcher=\w+|hydra\.(launcher|sweeper\.params|sweep)\.(?!.*_target_)[^=]+=.*|hydra\.mode=MULTIRUN", re.S
)
"""What a sweep.json may set of Hydra, which starts callbacks, loggers and other code at the word of its config.

Folders of configs (`hydra.searchpath`, `--config-dir`) are not among it: an option in them sets what it likes of Hydra.
"""
NOT_FROM_DISK = re.compile(r"[+~]*(hydra\b|[^=]*@:?\W*(_global_\W*)?hydra\b|run\.resume\b|run=)")
"""Settings of a sweep and its jobs that only a command may make: Hydra's own, and which run goes on."""


def resumed_arguments(arguments: Sequence[str]) -> list[str]:
    """Replace `sweep.resume=<folder>` on a command line by what that sweep was started with.

    Hydra's own settings, the launcher among them, may be given anew; the sweep's may be repeated, but not changed.

    Raises:
        ConfigError: the folder is not that of a sweep, other settings are given, or it sets what disk may not decide.
    """
    given = [a for a in arguments if a.startswith(RESUME)]
    folder = given[-1].removeprefix(RESUME).strip("'\"") if given else ""
    if folder in ("", "null") or not {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments):
        return list(arguments)
    sweep = SweepFolder(Path(folder).expanduser().resolve())
    rest = [a for a in arguments if a not in given]
    flags = [a for a in rest if a.startswith("-")]
    hydras = [a for a in rest if _key(a).startswith(("hydra.", "hydra/"))]
    trusted = [a for a in rest if a.startswith(TRUST)]
    typed = [a for a in rest if a not in (*flags, *hydras, *trusted)]
    known = [a for a in sweep.plan["overrides"] if _key(a) != "trust"]  # whom to trust is said by the command
    planned = with_secrets(known, typed, sweep.path / PLAN)
    typed = [a for a in typed if masked(a) == a]
    if typed and sorted(typed) != sorted(a for a in planned if masked(a) == a):
        new = " ".join(a for a in typed if a not in planned)
        found = f"{new} is new" if new else f"only {len(typed)} of {len(planned)} are given"
        raise ConfigError(
            f"{RESUME}{folder}: a resumed sweep keeps the settings it was started with, and {found}; "
            "leave out all settings, or start a new sweep"
        )
    file = sweep.path / PLAN
    kept = with_secrets([a for a in sweep.plan.get("hydra", []) if _key(a) not in map(_key, hydras)], (), file)
    for setting in kept:
        if not FROM_DISK.fullmatch(setting.lstrip("+")):
            raise ConfigError(f"{file}: {setting}: not taken from disk; give it with the command")
    for setting in (*planned, *(setting for job in sweep.jobs for setting in job.overrides)):
        if NOT_FROM_DISK.match(setting) or _key(setting) == "trust":
            raise ConfigError(f"{file}: {setting}: not taken from disk; start a new sweep")
        if re.search(r"\$\{[^}]*:", setting):
            raise ConfigError(f"{file}: {setting}: resolvers are not evaluated in what is read from disk")
    return [*flags, *planned, *trusted, *kept, *hydras, f"hydra.sweep.dir={quoted(str(sweep.path))}"]


def with_secrets(planned: Sequence[str], typed: Sequence[str], file: Path) -> list[str]:
    """Return settings in which those that are masked on disk stand as they are typed again.

    Raises:
        ConfigError: one is not.
    """
    secrets = {masked(setting): setting for setting in typed}
    for setting in planned:
        if MASK in setting and setting not in secrets:
            raise ConfigError(f"{file}: {setting}: a secret, which is not kept on disk; give it with the command")
    return [secrets.get(setting, setting) for setting in planned]


def no_multirun(arguments: Sequence[str]) -> list[str]:
    """Return the command line of a search, which is not to be swept.

    Raises:
        ConfigError: it asks for that.
    """
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("search: a search is no sweep; leave out -m and start the command once a processor")
    return list(arguments)


MAY_CHANGE = ("run.resume", "trust", "dataset.path", *SETTINGS)
"""What a resumed run may be given."""


def refuse_conflicts(cfg: DictConfig) -> None:
    """Stop before work that would go wrong: a sweep on several devices, a grid alone, overrides that are not read.

    Raises:
        ConfigError: with the way out.
    """
    hydra_cfg = HydraConfig.get()
    if hydra_cfg.mode == RunMode.MULTIRUN:
        require_one_device(cfg.trainer)
    else:
        refuse_a_grid_alone(cfg, hydra_cfg)
    extra = [
        o for o in hydra_cfg.overrides.task if o.lstrip("+").partition("=")[0] not in MAY_CHANGE and masked(o) == o
    ]
    if cfg.run.resume and extra:
        raise ConfigError(
            f"run.resume={cfg.run.resume}: a resumed run keeps the settings it was started with; leave out "
            f"{' '.join(extra)} (dataset.path may follow the data, the trainer's devices may differ, and secrets are "
            "given again), or start a new run"
        )


def refuse_a_grid_alone(cfg: DictConfig, hydra_cfg: HydraConf) -> None:
    """Check, in a single run, that no sweep was meant.

    Raises:
        ConfigError: the experiment is a grid, or a sweep was to be resumed, without --multirun.
    """
    if cfg.sweep.resume:
        raise ConfigError(f"{RESUME}{cfg.sweep.resume}: a sweep is resumed with --multirun (-m)")
    if hydra_cfg.sweeper.params:
        grid = " ".join(f"{key}={values}" for key, values in hydra_cfg.sweeper.params.items())
        raise ConfigError(f"the experiment is a grid ({grid}); add --multirun (-m) to run it")


def require_one_device(trainer: DictConfig) -> None:
    """Check that a job of a sweep would take one device; a sweep gives each device a job of its own.

    Raises:
        ConfigError: it would take several, or start processes of its own.
    """
    if num_processes(trainer) > 1 or trainer.strategy not in ("auto", "single_device"):
        raise ConfigError(
            f"trainer.devices={trainer.devices} trainer.strategy={trainer.strategy} under --multirun (every process "
            "would start the sweep again): a job takes one device; set trainer.devices=1 and give each GPU a job of "
            "its own (-m hydra/launcher=ray)"
        )


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")
