"""A log in the shape of EdNet, for benchmarks: 131 million interactions of 784,000 students on 13,169 items."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from gainkt.data.log import InteractionLog, offsets_of

STUDENTS, INTERACTIONS, SKILLS, ITEMS = 784_000, 131_000_000, 188, 13_169
PIECE = 1 << 22


def write_log(folder: Path, students: int, interactions: int, skills: int = SKILLS, items: int = ITEMS) -> None:
    """Write a log whose students' lengths are spread as EdNet's (log-normal), each item on one skill; by pieces."""
    draw = np.random.default_rng(0)
    lengths = np.exp(draw.normal(0.0, 1.3, students))
    lengths = np.maximum(2, (lengths * interactions / lengths.sum()).astype(np.int64))
    offsets = offsets_of(lengths)
    total = int(offsets[-1])
    easy, able = draw.normal(0.8, 0.8, items), draw.normal(0.0, 0.8, students)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        kinds = {"responses": np.uint8, "skill_offsets": np.int64, "skills": np.int32, "items": np.int32}
        columns: dict[str, Any] = {
            name: open_memmap(Path(temporary, name), "w+", kind, (total + (name == "skill_offsets"),))
            for name, kind in kinds.items()
        }
        columns["skill_offsets"][-1] = total
        for first in range(0, total, PIECE):
            step = np.arange(first, min(first + PIECE, total))
            item = draw.integers(items, size=len(step), dtype=np.int32)
            logit = easy[item] + able[np.searchsorted(offsets, step, side="right") - 1]
            values = (draw.random(len(step)) < 1 / (1 + np.exp(-logit)), step, item % skills, item)
            for column, value in zip(columns.values(), values, strict=True):
                column[first : first + len(step)] = value
        InteractionLog(
            name="EdNet-shaped",
            offsets=offsets,
            students=np.arange(students).astype(np.str_),
            skill_names=np.arange(skills).astype(np.str_),
            item_names=np.arange(items).astype(np.str_),
            folds=np.full(students, -2, dtype=np.int16),
            **columns,
        ).save(folder)
