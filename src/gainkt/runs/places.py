"""Where what a config from disk names may write: in the run's own folder, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gainkt.errors import ConfigError

LIGHTNING = "lightning.pytorch"
WRITERS = {
    f"{LIGHTNING}.loggers.TensorBoardLogger": "save_dir name version sub_dir prefix log_graph default_hp_metric "
    "flush_secs max_queue purge_step",
    f"{LIGHTNING}.loggers.WandbLogger": "save_dir project group name tags offline id log_model entity notes job_type "
    "prefix checkpoint_name",
    f"{LIGHTNING}.profilers.SimpleProfiler": "dirpath filename extended",
}
"""Settings of those that write. They take others too: some of W&B send the run, and its key, to another host."""
FOLDERS = ("save_dir", "dirpath")
NAMES = ("version", "sub_dir", "filename")
HERE = "${run.dir}"


def write_here(saved: DictConfig, folder: Path, source: str, trust: Iterable[str] = ()) -> None:
    """Have loggers and the profiler of a run that is resumed write into its folder, wherever it was moved.

    Args:
        saved: the run's config, which is changed.
        folder: the run's.
        source: the config's file, for errors.
        trust: packages whose parts may be set as the config likes.

    Raises:
        ConfigError: one would write elsewhere in spite of that, or has a setting that disk may not decide.
    """
    for _, node in _writers(saved):
        for name in FOLDERS:
            if node.get(name):
                was, home = Path(str(node[name])), Path(saved.run.dir)
                inside = was.is_relative_to(home) and ".." not in was.parts
                node[name] = str(folder / was.relative_to(home)) if inside else str(folder)
    _check(saved, source, trust)


def require_here(cfg: DictConfig, source: str, trust: Iterable[str] = ()) -> None:
    """Check that loggers and the profiler of a config that is composed of settings from disk write to the run's folder.

    Raises:
        ConfigError: one would write elsewhere, or has a setting that disk may not decide.
    """
    for key, node in _writers(cfg):
        for name, value in OmegaConf.to_container(node, resolve=False).items():  # type: ignore[union-attr]
            if name in FOLDERS and value not in (None, HERE):
                raise ConfigError(f"{source}: {key}.{name}={value}: leads out of the run's folder; start a new sweep")
    _check(cfg, source, trust)


def _writers(cfg: DictConfig) -> list[tuple[str, DictConfig]]:
    nodes: list[tuple[str, Any]] = [(f"logger.{name}", node) for name, node in (cfg.get("logger") or {}).items()]
    nodes.append(("trainer.profiler", cfg.trainer.get("profiler")))
    return [(key, node) for key, node in nodes if isinstance(node, DictConfig)]


def _check(cfg: DictConfig, source: str, trust: Iterable[str]) -> None:
    for key, node in _writers(cfg):
        target = str(node.get("_target_"))
        known = WRITERS.get(target)
        if known is None or target.partition(".")[0] in trust:
            continue
        for name in map(str, node):
            what = f"{source}: {key}.{name}={node[name]}"
            if name not in ("_target_", *known.split()):
                raise ConfigError(
                    f"{what}: not taken from disk; if you know who wrote it and trust it, add trust=[lightning] to "
                    "the command"
                )
            is_name = name in NAMES or (name == "name" and target.endswith("TensorBoardLogger"))
            if is_name and _leads_away(node[name]):
                raise ConfigError(f"{what}: leads out of the run's folder; give a name, without '..', '~' or '$'")


def _leads_away(name: Any) -> bool:
    text = "" if name is None else str(name)
    return text.startswith(("/", "~")) or "$" in text or ".." in Path(text).parts
