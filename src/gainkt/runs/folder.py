"""A run on disk: its folder, where it came from, and the way back from it to a model."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf

from gainkt import __version__
from gainkt.config import build
from gainkt.data.datamodule import KTDataModule, Sizes
from gainkt.digests import DIGESTS, exists, held_to, opened, read_json, read_table, watch
from gainkt.errors import ConfigError, DataError, nearest
from gainkt.files import claimed, write_json, write_whole
from gainkt.masking import masked, masked_content
from gainkt.model import GainKT
from gainkt.model.typical import with_typical_skills
from gainkt.names import visible
from gainkt.overrides import command_line
from gainkt.runs.received import WAY_OUT, read_config

OWNER = ".run.lock"
"""File by whose lock a training process holds its run's folder."""
TEACHERS = "teachers.parquet"
"""What the teachers of a distilled run say of its training steps."""
TABLES_AND_REPORTS = (
    *(f"{table}.parquet" for table in ("predictions", "trajectories", "mastery", "movement", "skills")),
    *("scorecard.json", "diagnosis.json", "alignment.json", "alignment.png", "report.html"),
    *("figures/*.png", "figures/*.pdf"),
)
MADE = (
    *("provenance.json", "results.json", "metrics.csv", "config.yaml", "sizes.json", "training.png", "students.png"),
    *("checkpoints/last.ckpt", "checkpoints/best-*.ckpt", "tensorboard/events.out.tfevents.*"),
    TEACHERS,
    *TABLES_AND_REPORTS,
    *(f"evaluation/*/{name}" for name in TABLES_AND_REPORTS),
    *("teach.json", "teach.parquet", "teach.png"),
    DIGESTS,
)
"""What a run and the reports on it write; provenance.json is written last and removed first, so that a folder without
it holds no run."""
CHECKPOINT = {
    **dict.fromkeys(("epoch", "global_step"), int),
    **dict.fromkeys(("state_dict", "loops", "callbacks"), dict),
    **dict.fromkeys(("optimizer_states", "lr_schedulers"), list),
}
"""What a checkpoint holds, so that a run is scored by it and goes on from it."""
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

    @contextmanager
    def writing(self, folder: Path | None = None) -> Iterator[None]:
        """Hold the run's folder while a report is written; one that goes to another folder needs no hold.

        Raises:
            ConfigError: another process holds it.
        """
        if folder is not None and not folder.resolve().is_relative_to(self.path.resolve()):
            yield
            return
        with claimed(self.path, OWNER, "wait for it to end, or have this written elsewhere: output=<folder>"):
            yield

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
        watch(self.path)
        if datamodule.path is not None:
            # The run is read again from other folders than the one it was started in.
            cfg.dataset.path = str(datamodule.path.resolve())
        kept = OmegaConf.create(masked_content(OmegaConf.to_container(cfg, resolve=True)))
        write_whole(self.config, lambda building: OmegaConf.save(kept, building))
        write_json(self.sizes, asdict(datamodule.sizes))
        write_json(self.provenance, provenance(cfg, datamodule, overrides))


def way_out(path: Path) -> str:
    """How a file in a run's folder is made again, for what is said where it cannot be read."""
    home = path.parent.parent.parent if path.parent.parent.name == "evaluation" else path.parent
    if path.name in ("results.json", "metrics.csv"):
        return f"`{command_line('train', [f'run.resume={shlex.quote(str(home))}'])}` writes it again"
    run = f"run={shlex.quote(str(home))}"
    if path.name in ("diagnosis.json", "alignment.json"):
        return f"`{command_line('diagnose' if path.name[0] == 'd' else 'align', [run])}` writes it again"
    if path.name in TABLES_AND_REPORTS:
        output = [f"output={shlex.quote(str(home))}"] if home == path.parent else []
        return f"`{command_line('evaluate', [run, *output])}` writes it again"
    return WAY_OUT


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


def place_data(dataset: DictConfig, path: str | None) -> None:
    """Say where a run's data lies now, if it has moved.

    Raises:
        ConfigError: it does not lie there, or no longer where it lay.
    """
    if path is not None:
        dataset.path = str(Path(to_absolute_path(path)))
    place = None if OmegaConf.is_missing(dataset, "path") else dataset.get("path")
    if place is not None and not Path(place).expanduser().exists():
        raise ConfigError(f"{visible(place, 200)}: the data is not there; path= says where it lies now")


def build_datamodule(cfg: DictConfig) -> KTDataModule:
    """Build the datamodule of a `dataset` config."""
    return build(cfg)


def references_of(cfg: DictConfig, home: Path | None = None) -> Path:
    """Folder in which the reference models fitted for runs are kept, shared by the runs of one root.

    Args:
        cfg: of a run; its root counts where the command said it.
        home: the run's folder where it was read from disk: what stands there names no folder to write to. The fits are
            those beside it (`<root>/<name>/<run>`) where there are some, else the run's own.
    """
    if home is None:
        return Path(cfg.run.root) / "references"
    shared = home.parent.parent / "references"
    return shared if shared.is_dir() else home / "references"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as plain tensors and containers.

    Raises:
        ConfigError: it is missing, or cannot be read whole.
    """
    if not path.is_file():
        found = [p.name for p in path.parent.glob("*.ckpt")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such checkpoint{nearest(path.name, found)}")
    way = "use another of the run's checkpoints, put it back from a copy, or train again"
    with opened(path, way) as file:
        try:
            # torch does not look at the checksums that it writes.
            if zipfile.ZipFile(file).testzip() is not None:
                raise ValueError("a checksum is wrong")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
            for key, kind in CHECKPOINT.items():
                if not isinstance(content[key], kind):
                    raise TypeError(f"{key} is a {type(content[key]).__name__}")
        except Exception as error:  # torch raises whatever its archive reader or unpickler does
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ConfigError(
                f"{path}: cannot be read ({reason}); the file is damaged or not a gainkt checkpoint; {way}"
            ) from error
    return content


def load_weights(model: GainKT, checkpoint: Mapping[str, Any], source: Path) -> None:
    """Put a checkpoint's weights into a model.

    Raises:
        ConfigError: the checkpoint is of a model with other parts or sizes.
    """
    prefix = "model."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    require_fit(model, weights, source)
    with held_to(source, "use another of the run's checkpoints", RuntimeError):
        model.load_state_dict(weights)


def require_fit(model: GainKT, weights: Mapping[str, Any], source: Path) -> None:
    """Check that weights are those of a model by names and shapes.

    Raises:
        ConfigError: they are of a model with other parts or sizes.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        here = tuple(own[name].shape) if name in own else "absent"
        there = tuple(weights[name].shape) if name in weights else "absent"
        if here != there:
            raise ConfigError(
                f"{source}: {name} is {there} in the checkpoint and {here} in the model; "
                "take the config and data that the checkpoint was trained with"
            )


@dataclass(frozen=True)
class Run:
    """A run read back from its folder."""

    directory: RunDirectory
    config: DictConfig
    sizes: Sizes

    @cached_property
    def results(self) -> dict[str, Any]:
        """Figures of each phase's best checkpoint, as training left them; empty if it did not finish.

        Raises:
            ConfigError: results.json is damaged.
        """
        path = self.directory.results
        if not path.is_file():
            return {}
        content = read_json(path, way_out(path), {"name": str, "protocol": str, "selected": str, "phases": dict})
        with held_to(path, way_out(path)):
            for phase in {content["selected"], *content["phases"]}:
                figures = content["phases"][phase]["figures"]
                [float(value) for part in ("val", "test") for value in figures[part].values()]
                if not isinstance(content["phases"][phase]["epoch"], int):
                    raise TypeError(f"phases.{phase}.epoch is no number")
        return content

    @property
    def metrics(self) -> pd.DataFrame | None:
        """metrics.csv, one row an epoch; None where no epoch has ended.

        Raises:
            ConfigError: it is damaged, or vanished.
        """
        path = self.directory.metrics
        return read_table(path, way_out(path), ("epoch", "phase")) if exists(path, way_out(path)) else None

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What provenance.json says; empty where it is missing.

        Raises:
            ConfigError: it is damaged.
        """
        path = self.directory.provenance
        return read_json(path, way_out(path), {}) if exists(path, way_out(path)) else {}

    @property
    def overrides(self) -> list[str] | None:
        """Overrides as given when the run was started; None where they were not saved."""
        saved = self.provenance.get("overrides")
        return [str(override) for override in saved] if isinstance(saved, list) else None

    def require_same_data(self, datamodule: KTDataModule) -> None:
        """Check that the run's own data is what it was when training started.

        Raises:
            DataError: it has changed, so that skills and students would be confused.
            ConfigError: the run does not say what it was.
        """
        path = self.directory.provenance
        if not exists(path, way_out(path)):
            raise ConfigError(f"{path}: is missing, and with it the digest of the run's data; {way_out(path)}")
        with held_to(path, way_out(path)):
            known = self.provenance["data"]["digest"]
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

    def untrained(self, phase: str | None = None) -> tuple[int, ...]:
        """Return the encoders, of 1 and 2, that nothing was fitted to up to a phase, the last one where None."""
        found = self.results.get("phases", {}).get(phase or self.results.get("selected"), {})
        return tuple(found.get("untrained", ()))

    def model(self, phase: str | None = None, unknown_skills: int = 0) -> GainKT:
        """Return the best model of a phase, the last one if none is named, ready to predict.

        Args:
            phase: whose best checkpoint.
            unknown_skills: skills that it is given beside those it was trained on (gainkt.model.typical).

        Raises:
            ConfigError: there is no such phase, or its checkpoint cannot be read.
        """
        path = self.directory.best(self.choose_phase(phase))
        model = build_model(self.config.model, self.sizes)
        load_weights(model, read_checkpoint(path), path)
        if unknown_skills:
            num_skills = self.sizes.num_skills
            wider = build_model(self.config.model, replace(self.sizes, num_skills=num_skills + unknown_skills))
            model = with_typical_skills(model, wider, num_skills)
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
    # Reference models are kept for the runs of one root, which a folder that was moved may not name.
    if not run.path.resolve().is_relative_to(Path(config.run.root).resolve()):
        config.run.root = str(run.path.resolve().parent)
    return Run(run, config, _read_sizes(run.sizes))


def _read_sizes(path: Path) -> Sizes:
    kinds = dict.fromkeys(("num_skills", "num_students", "num_items"), int)
    content = read_json(path, way_out(path), {**kinds, "skill_names": list, "item_names": list})
    with held_to(path, way_out(path)):
        for names, number in (("skill_names", "num_skills"), ("item_names", "num_items")):
            content[names] = tuple(content[names])
            if len(content[names]) != content[number] or not all(isinstance(name, str) for name in content[names]):
                raise ValueError(f"{names} are not {content[number]} names")
        return Sizes(**content)
