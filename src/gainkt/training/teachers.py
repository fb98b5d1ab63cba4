"""What the teachers of a run say of its training students: asked once before training, and kept in the run's folder."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from omegaconf import DictConfig

from gainkt.config import listed
from gainkt.data.datamodule import KTDataModule
from gainkt.digests import exists, held_to, read_table
from gainkt.errors import ConfigError
from gainkt.files import write_whole
from gainkt.losses import Loss
from gainkt.losses.distillation import Distillation, Teachers
from gainkt.runs.bundle import content_of
from gainkt.runs.ensemble import require_alike
from gainkt.runs.folder import TEACHERS, load_run, way_out
from gainkt.runs.members import LOGITS, logits_of, mean_logits, require_same_parts
from gainkt.runs.predict import pick_device
from gainkt.runs.trained import TrainedModel

log = logging.getLogger(__name__)


def teachers_of(cfg: DictConfig, loss: Loss, datamodule: KTDataModule, home: Path | None = None) -> Teachers | None:
    """Return what the teachers that a config names say; the folders stand in the config in full then.

    Args:
        cfg: of a run; `distillation.teachers` are folders of runs.
        loss: whose terms learn from them.
        datamodule: the data; teachers have seen the responses of its training part, and of no other.
        home: folder of a run that is resumed, which has what they said.

    Returns:
        None where the config names no teachers.

    Raises:
        ConfigError: no term learns from them, they do not go together, or were trained on other parts of the data.
        DataError: they were trained on other data.
    """
    places = [str(place) for place in _folders(cfg)]
    if not places:
        return None
    if not loss.needs_teachers:
        raise ConfigError("distillation.teachers: no term learns from them; give loss.distillation2 a weight")
    cfg.distillation.teachers = places
    where, own = _training_steps(datamodule)
    path = None if home is None else home / TEACHERS
    if path is not None and exists(path, way_out(path)):
        said = read_table(path, way_out(path), ("student", "step", *LOGITS))
        with held_to(path, way_out(path)):
            if not (said[["student", "step"]].equals(own) and np.isfinite(said[[*LOGITS]].to_numpy()).all()):
                raise ValueError("it is of other steps, or a logit is not finite")
    else:
        said = own.merge(_asked(places, cfg, loss, datamodule), on=["student", "step"], validate="1:1")
        assert len(said) == len(own), "a training step that no batch has"
    flat = np.full((len(LOGITS), datamodule.log_.num_steps), np.nan, dtype=np.float32)
    flat[:, where] = said[[*LOGITS]].to_numpy().T
    return Teachers(datamodule.log_, *flat)


def require_apart(cfg: DictConfig, folder: Path) -> None:
    """Check that a run does not take the folder of one of its teachers.

    Raises:
        ConfigError: it does.
    """
    if folder.resolve() in _folders(cfg):
        raise ConfigError(f"{folder}: is the folder of a teacher, which this run would replace; give another run.dir")


def _folders(cfg: DictConfig) -> list[Path]:
    teachers = listed((cfg.get("distillation") or {}).get("teachers"))
    return [Path(one).expanduser().resolve() for one in teachers]


def _asked(places: list[str], cfg: DictConfig, loss: Loss, datamodule: KTDataModule) -> pd.DataFrame:
    """Mean logits of teachers over the training part."""
    terms = (term for name, term in loss.terms.items() if loss.weights[name])
    asked = {term.teacher_encoder for term in terms if isinstance(term, Distillation)}
    runs = [load_run(place, cfg.get("trust") or ()) for place in places]
    require_alike([TrainedModel(content_of(run)) for run in runs], places, trained=False)
    device = pick_device("cpu" if cfg.trainer.accelerator == "cpu" else "auto")
    tables = []
    for place, run in zip(places, runs, strict=True):
        require_same_parts(run, datamodule)
        if wrong := asked.intersection(run.untrained()):
            raise ConfigError(
                f"{place}: its Encoder {min(wrong)} was not trained, and is to teach; give other runs, or set "
                "teacher_encoder of the term that learns from it"
            )
        tables.append(logits_of(run.model(), datamodule, "train", device))
    log.info("distillation: %d teachers were asked about %d training steps", len(runs), len(tables[0]))
    return mean_logits(tables)[["student", "step", *LOGITS]]


def _training_steps(datamodule: KTDataModule) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Flat places in the log of the steps that training sees, and their students and numbers.

    A student of a single answer scores nothing and stands in no batch.
    """
    data = datamodule.log_
    train = datamodule.split.train[data.lengths[datamodule.split.train] > 1]
    where, student = data.steps_of(train), np.repeat(train, data.lengths[train])
    return where, pd.DataFrame({"student": student, "step": where - data.offsets[student]}).astype(np.int32)


def keep_teachers(teachers: Teachers, datamodule: KTDataModule, folder: Path) -> None:
    """Write what teachers said of the training steps into a run's folder, for when it is resumed."""
    where, table = _training_steps(datamodule)
    table = table.assign(**{name: getattr(teachers, f"{name}_M").numpy()[where] for name in LOGITS})
    write_whole(folder / TEACHERS, lambda building: table.to_parquet(building, index=False))
