"""What `gainkt teach` does: who is taught or told, by which estimators, and what is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from gainkt.config import build, check_keys, listed
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError
from gainkt.files import plain, write_json, write_whole
from gainkt.names import visible
from gainkt.runs.folder import Run, build_datamodule, load_run, place_data
from gainkt.runs.trained import TrainedModel, load
from gainkt.tutoring.estimator.base import Earlier
from gainkt.tutoring.experiment import Plan, estimators_of, is_simulated, school_of, teach_schools
from gainkt.tutoring.logs import left_out
from gainkt.tutoring.stopping import Chance


@dataclass(frozen=True)
class _Given:
    """Runs, each with its model and its own data, and other data, None where only the runs' are asked for."""

    runs: Sequence[Run]
    models: Sequence[TrainedModel]
    data: Sequence[KTDataModule]
    other: KTDataModule | None

    def named(self, places: Sequence[int]) -> dict[str, TrainedModel]:
        """Models of some runs by name; by name and folder where several of these share one."""
        names = [str(self.runs[place].config.name) for place in places]
        return {
            name if names.count(name) == 1 else f"{name} {self.runs[place].directory.path.name}": self.models[place]
            for name, place in zip(names, places, strict=True)
        }


def teach_config(cfg: DictConfig) -> tuple[dict[str, Any], Path | None]:
    """Teach, or tell real histories, as a config composed from conf/teach.yaml says.

    Returns:
        What was found, as plain data, and the folder it was written to, None where nothing is written.

    Raises:
        ConfigError: nobody is to be taught, a setting is out of range, or runs do not go together.
        DataError: the data cannot be used, or has skills that a model does not know.
    """
    _check(cfg)
    check_keys(cfg)
    runs = [load_run(hydra.utils.to_absolute_path(one), cfg.trust or ()) for one in listed(cfg.run)]
    dataset = cfg.get("dataset")
    if not runs and dataset is None:
        raise ConfigError("teach: nobody to teach; give run=<folder>, or dataset=simulated")
    models = [load(run.directory.path, phase=cfg.phase, trust=cfg.trust or ()) for run in runs]
    other = None if dataset is None else build_datamodule(dataset)
    given = _Given(runs, models, [_own_data(run, cfg.path) for run in runs], other)
    simulated = all(is_simulated(one) for one in ([other] if other is not None else given.data))
    content = (_taught if simulated and not (runs and other is not None) else _told)(cfg, given)
    courses = content.pop("courses_table", None)
    content = plain(content)
    if cfg.output is None:
        return content, None
    folder = Path(hydra.utils.to_absolute_path(cfg.output))
    write_json(folder / "teach.json", content)
    if courses is not None:
        write_whole(folder / "teach.parquet", lambda building: courses.to_parquet(building, index=False))
    return content, folder


def _check(cfg: DictConfig) -> None:
    for key, low in (("students", 2), ("limit", 2), ("resamples", 1)):
        if not isinstance(cfg[key], int) or cfg[key] < low:
            raise ConfigError(f"{key}={cfg[key]}: give a whole number, at least {low}")
    for key in ("mastered", "target", "left_out"):
        if not isinstance(cfg[key], float) or not 0 < cfg[key] < 1:
            raise ConfigError(f"{key}={cfg[key]}: must lie in (0, 1)")


def _own_data(run: Run, path: str | None) -> KTDataModule:
    place_data(run.config.dataset, path)
    datamodule = build_datamodule(run.config.dataset)
    run.require_same_data(datamodule)
    return datamodule


def _taught(cfg: DictConfig, given: _Given) -> dict[str, Any]:
    if given.other is not None:
        schools = [school_of(given.other, {})]
    else:
        by_data: dict[str, list[int]] = {}
        for place, datamodule in enumerate(given.data):
            by_data.setdefault(datamodule.log_.digest, []).append(place)
        schools = [school_of(given.data[some[0]], given.named(some)) for some in by_data.values()]
    plan = Plan(
        stopping=build(cfg.stopping),
        sequencing=build(cfg.sequencing),
        **{key: cfg[key] for key in ("students", "limit", "mastered", "target", "seed", "resamples")},
    )
    return teach_schools(schools, cfg.get("estimators"), plan, tuple(cfg.reads), cfg.controls)


def _told(cfg: DictConfig, given: _Given) -> dict[str, Any]:
    if not given.runs:
        raise ConfigError("teach: real histories are told to estimators fitted on a run's training students; give run=")
    first = given.data[0]
    for run, datamodule in zip(given.runs, given.data, strict=True):
        if datamodule.log_.digest != first.log_.digest:
            raise ConfigError(f"run={visible(run.directory.path, 200)}: trained on other data than the first run")
    told = first if given.other is None else given.other
    if told is not first:
        told.conform(given.runs[0].sizes.skill_names, given.runs[0].sizes.item_names)
    named = given.named(range(len(given.runs)))
    estimators = estimators_of(cfg.get("estimators"), named, tuple(cfg.reads), cfg.controls)
    found = left_out(
        Earlier(first.log_, first.students("train")),
        told.log_,
        told.students(cfg.split),
        estimators,
        share=cfg.left_out,
        chance=isinstance(build(cfg.stopping), Chance),
        seed=cfg.seed,
        resamples=cfg.resamples,
    )
    return {**found, "protocol": told.protocol, "split": cfg.split}
