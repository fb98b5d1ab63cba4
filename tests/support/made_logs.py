"""Logs written out by hand."""

import numpy as np

from gainkt.data.log import InteractionLog, offsets_of


def log_of(histories: list[list[tuple[list[int], int]]], num_skills: int = 1) -> InteractionLog:
    """A log of histories of (skills, response)."""
    steps = [step for history in histories for step in history]
    return InteractionLog(
        name="made",
        offsets=offsets_of(np.array([len(history) for history in histories])),
        responses=np.array([right for _, right in steps], dtype=np.uint8),
        skill_offsets=offsets_of(np.array([len(skills) for skills, _ in steps])),
        skills=np.array([k for skills, _ in steps for k in skills], dtype=np.int32),
        items=np.full(len(steps), -1, dtype=np.int32),
        students=np.array([f"s{i}" for i in range(len(histories))]),
        skill_names=np.array([f"k{k}" for k in range(num_skills)]),
        item_names=np.array([], dtype=np.str_),
        folds=np.full(len(histories), -2, dtype=np.int16),
    )
