"""A run on disk: its folder, where it came from, and the way back from it to a model."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gainkt import __version__
from gainkt.config import build
from gainkt.data.datamodule import KTDataModule, Sizes
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.files import write_json, write_whole
from gainkt.masking import masked
from gainkt.model import GainKT
from gainkt.runs.received import read_config

OWNER = ".run.lock"
"""File by whose lock a training process holds its run's folder."""
TABLES_AND_REPORTS = (
    *(f"{table}.parquet" for table in ("predictions", "trajectories", "mastery", "skills")),
    *("scorecard.json", "diagnosis.json", "alignment.json", "alignment.png", "figures/*.png"),
)
MADE = (
    *("provenance.json", "results.json", "metrics.csv", "config.yaml", "sizes.json", "training.png", "students.png"),
    *("checkpoints/last.ckpt", "checkpoints/best-*.ckpt", "tensorboard/events.out.tfevents.*"),
    *TABLES_AND_REPORTS,
    *(f"evaluation/*/{name}" for name in TABLES_AND_REPORTS),
)
"""What a run and the reports on it write; provenance.json is written last and removed first, so that a folder without
it holds no run."""
PACKAGES = ("torch", "lightning", "hydra-core", "omegaconf", "torchmetrics", "numpy", "pandas")


@dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps what."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.path / "config.yaml"

    @property
    def sizes(self) -> Path:
        """Sizes and vocabularies of the training data."""
        return self.path / "sizes.json"

    @property
    def provenance(self) -> Path:
        """Code, packages, data and command that made the run."""
        return self.path / "provenance.json"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def results(self) -> Path:
        """Figures of each phase's best checkpoint."""
        return self.path / "results.json"

    @property
    def checkpoints(self) -> Path:
        """last.ckpt and best-<phase>.ckpt."""
        return self.path / "checkpoints"

    def best(self, phase: str) -> Path:
        """The best checkpoint of a phase."""
        return self.checkpoints / f"best-{phase}.ckpt"

    @property
    def is_begun(self) -> bool:
        """Whether a run stands here; one that was killed before provenance.json stood can be started anew."""
        return any(path.exists() for path in (self.provenance, self.metrics, self.results)) or any(
            self.checkpoints.glob("*.ckpt")
        )

    def require_free(self) -> None:
        """Check that no run stands here.

        Raises:
            ConfigError: one does.
        """
        if self.is_begun:
            raise ConfigError(
                f"{self.path}: holds a run already; take it up again with run.resume, choose another folder, or start "
                "over in it with run.overwrite=true, which removes what that run wrote"
            )

    def require_whole(self) -> None:
        """Check that what was written before training stands.

        Raises:
            ConfigError: a part is missing.
        """
        for needed in (self.config, self.sizes, self.provenance):
            if not needed.is_file():
                raise ConfigError(
                    f"{needed}: is missing; the folder was removed or emptied while the run was at work; start it again"
                )

    def clear(self) -> None:
        """Remove what a run and the reports on it wrote, and nothing that a link leads to."""
        for pattern in MADE:
            for path in self.path.glob(pattern):
                parents = path.relative_to(self.path).parents
                if not any((self.path / parent).is_symlink() for parent in parents if parent.name):
                    path.unlink()

    def create(self, cfg: DictConfig, datamodule: KTDataModule, overrides: Sequence[str] | None = None) -> None:
        """Write what is known before training: config, sizes and provenance; `overrides` as given, None if unknown.

        Provenance comes last: a folder without it is not begun.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        if datamodule.path is not None:
            # The run is read again from other folders than the one it was started in.
            cfg.dataset.path = str(datamodule.path.resolve())
        write_whole(self.config, lambda building: OmegaConf.save(cfg, building, resolve=True))
        write_json(self.sizes, asdict(datamodule.sizes))
        write_json(self.provenance, provenance(cfg, datamodule, overrides))


def provenance(cfg: DictConfig, datamodule: KTDataModule, overrides: Sequence[str] | None = None) -> dict[str, Any]:
    """Return what one needs to make the run again, or to see why it differs."""
    return {
        "gainkt": __version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
        "data": {
            "name": datamodule.log_.name,
            "digest": datamodule.log_.digest,
            "protocol": datamodule.protocol,
            "account": datamodule.account,
        },
        "seed": cfg.seed,
        "overrides": None if overrides is None else [masked(override) for override in overrides],
        "command": " ".join([Path(sys.executable).name, *map(masked, sys.orig_argv[1:])]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the source tree and whether it was changed since; None outside a checkout."""
    here = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        state = subprocess.run(
            [*command, "status", "--porcelain", str(here)], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": head.stdout.strip(), "dirty": bool(state.stdout.strip())}


def build_model(cfg: DictConfig, sizes: Sizes) -> GainKT:
    """Build the model of a config for data of the given sizes."""
    return build(cfg, num_skills=sizes.num_skills, num_students=sizes.num_students, num_items=sizes.num_items)


def build_datamodule(cfg: DictConfig) -> KTDataModule:
    """Build the datamodule of a `dataset` config."""
    return build(cfg)


def references_of(cfg: DictConfig) -> Path:
    """Folder in which the reference models fitted for runs are kept, shared by the runs of one root."""
    return Path(cfg.run.root) / "references"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain tensors and containers.

    Raises:
        ConfigError: it is missing, or cannot be read whole.
    """
    if not path.is_file():
        found = [p.name for p in path.parent.glob("*.ckpt")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such checkpoint{nearest(path.name, found)}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its archive reader or unpickler does
        raise ConfigError(
            f"{path}: cannot be read ({type(error).__name__}: {str(error).splitlines()[0]}); the file is truncated or "
            "not a gainkt checkpoint; use another of the run's checkpoints"
        ) from error


def load_weights(model: GainKT, checkpoint: Mapping[str, Any], source: Path) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        ConfigError: the checkpoint is of a model with other parts or sizes.
    """
    prefix = "model."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        here = tuple(own[name].shape) if name in own else "absent"
        there = tuple(weights[name].shape) if name in weights else "absent"
        if here != there:
            raise ConfigError(
                f"{source}: {name} is {there} in the checkpoint and {here} in the model; "
                "take the config and data that the checkpoint was trained with"
            )
    model.load_state_dict(weights)


@dataclass(frozen=True)
class Run:
    """A run read back from its folder."""

    directory: RunDirectory
    config: DictConfig
    sizes: Sizes

    @cached_property
    def results(self) -> dict[str, Any]:
        """Figures of each phase's best checkpoint, as training left them; empty if it did not finish."""
        return json.loads(self.directory.results.read_text()) if self.directory.results.is_file() else {}

    @cached_property
    def overrides(self) -> list[str] | None:
        """Overrides as given when the run was started; None where they were not saved."""
        file = self.directory.provenance
        saved = json.loads(file.read_text()).get("overrides") if file.is_file() else None
        return [str(override) for override in saved] if isinstance(saved, list) else None

    def require_same_data(self, datamodule: KTDataModule) -> None:
        """Check that the run's own data is what it was when training started.

        Raises:
            DataError: it has changed, so that skills and students would be confused.
            ConfigError: the run does not say what it was.
        """
        if not self.directory.provenance.is_file():
            raise ConfigError(f"{self.directory.provenance}: is missing, and with it the digest of the run's data")
        known = json.loads(self.directory.provenance.read_text())["data"]["digest"]
        if datamodule.log_.digest != known:
            raise DataError(
                f"{datamodule.path or datamodule.log_.name}: the data has changed since the run started (digest "
                f"{datamodule.log_.digest}, then {known}); restore it, or score the run on it with dataset=..."
            )

    @property
    def phases(self) -> list[str]:
        """Phases that have a best checkpoint, in the order in which they were trained."""
        schedule = build(self.config.schedule)
        names = [name for name, _ in schedule.phases(self.config.trainer.max_epochs)]
        return [name for name in names if self.directory.best(name).is_file()]

    def choose_phase(self, phase: str | None = None) -> str:
        """Return the phase, or the last one where None.

        Raises:
            ConfigError: the run has no best checkpoint of it.
        """
        if not self.phases:
            raise ConfigError(f"{self.directory.path}: no best checkpoint yet; the first epoch did not finish")
        if phase is not None and phase not in self.phases:
            raise ConfigError(f"phase={phase}: the run has no best checkpoint of it{nearest(phase, self.phases)}")
        return phase or self.phases[-1]

    def model(self, phase: str | None = None) -> GainKT:
        """Return the best model of a phase, the last one if none is named, ready to predict.

        Raises:
            ConfigError: there is no such phase, or its checkpoint cannot be read.
        """
        path = self.directory.best(self.choose_phase(phase))
        model = build_model(self.config.model, self.sizes)
        load_weights(model, read_checkpoint(path), path)
        return model.eval()


def load_run(directory: str | Path, trust: Iterable[str] = ()) -> Run:
    """Read a run back from its folder, which may have come from anybody: see `gainkt.runs.received`.

    Args:
        directory: the run's folder.
        trust: packages that its config may name besides gainkt.

    Raises:
        ConfigError: the folder is not that of a run, is damaged, or names code that it may not.
    """
    run = RunDirectory(Path(directory).expanduser())
    for needed in (run.config, run.sizes):
        if not needed.is_file():
            raise ConfigError(
                f"{run.path}: not the folder of a run ({needed.name} is missing); a run's folder lies "
                "under outputs/<name>/ and is printed when training ends"
            )
    config = read_config(run.config, trust)
    sizes = json.loads(run.sizes.read_text())
    for names in ("skill_names", "item_names"):
        sizes[names] = tuple(sizes[names])
    return Run(run, config, Sizes(**sizes))
