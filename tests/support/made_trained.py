"""Trained models that nobody trained: random weights, so that every part has its say."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from conftest import random_log
from gainkt.data.datamodule import Sizes
from gainkt.data.log import InteractionLog
from gainkt.overrides import compose_train
from gainkt.runs.bundle import Content
from gainkt.runs.folder import build_model
from gainkt.runs.trained import TrainedModel

SKILLS = tuple(f"k{i}" for i in range(7))
ITEMS = tuple(f"i{i}" for i in range(11))
"""As conftest.random_log names them."""
V4 = (
    "v4_belief",
    "v4_steady",
    "v4_belief_skill",
    "v4_items",
    "v4_items_attention",
    "v4_monotone",
    "v4_table",
    "v4_aligned",
)
SMALL = tuple(f"model.size.{x}" for x in ("d_model=16", "d_ff=16", "num_heads=2", "num_blocks=1"))


def content_with(experiment: str = "v4_belief", *overrides: str, seed: int = 0, **more: Any) -> Content:
    """What a bundle of a made-up run of an experiment holds."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        cfg = compose_train([f"experiment={experiment}", *SMALL, *overrides])
        network = build_model(cfg.model, Sizes(len(SKILLS), 1, len(ITEMS), SKILLS, ITEMS))
        weights = {name: x + 0.3 * torch.randn_like(x) for name, x in network.state_dict().items()}
    node = OmegaConf.to_container(cfg.model, resolve=True)
    return Content(experiment, node, weights, SKILLS, ITEMS, num_students=1, **more)


@cache
def trained(experiment: str = "v4_belief", *overrides: str, seed: int = 0) -> TrainedModel:
    return TrainedModel(content_with(experiment, *overrides, seed=seed))


def apart_items(log: InteractionLog) -> InteractionLog:
    """The log with another item at each step than at the one before it, so that no two rows are one answer."""
    return replace(log, items=(np.arange(log.num_steps) * 3 % len(ITEMS)).astype(np.int32))


def table_of(log: InteractionLog) -> pd.DataFrame:
    """A log as a table: student, skill (joined by ";"), item, correct."""
    owner = [name for name, length in zip(log.students, log.lengths, strict=True) for _ in range(length)]
    bounds = zip(log.skill_offsets[:-1], log.skill_offsets[1:], strict=True)
    skills = [";".join(log.skill_names[log.skills[a:b]]) for a, b in bounds]
    return pd.DataFrame(
        {"student": owner, "skill": skills, "item": log.item_names[log.items], "correct": log.responses.astype(int)}
    )


def steps_of(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The arguments of observe of each row, and the item with its skills."""
    for row in table.itertuples():
        yield {"skill": row.skill.split(";"), "item": row.item, "correct": row.correct}


def history(length: int, seed: int = 0) -> pd.DataFrame:
    log = apart_items(random_log(num_students=40, longest=length, seed=seed))
    table = table_of(log)
    return table.assign(student="x").head(length)
