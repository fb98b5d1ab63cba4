"""A dialect: one line a student, `ann 3+ 5- 3+`: skill 3 right, skill 5 wrong, skill 3 right."""

from pathlib import Path

import numpy as np

from gainkt.data.log import InteractionLog, offsets_of
from gainkt.errors import DataError


def read_lines(path: Path, *, right: str) -> InteractionLog:
    students, lengths, names, responses = [], [], [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        student, *steps = line.split()
        if len(steps) < 2:
            raise DataError(f"{path}, line {number}: student {student!r} has {len(steps)} steps; give 2 or more")
        students.append(student)
        lengths.append(len(steps))
        names += [step[:-1] for step in steps]
        responses += [step[-1] == right for step in steps]
    skill_names, skills = np.unique(names, return_inverse=True)
    return InteractionLog(
        name=path.stem,
        offsets=offsets_of(lengths),
        responses=np.array(responses, dtype=np.uint8),
        skill_offsets=np.arange(len(skills) + 1),
        skills=skills.astype(np.int32),
        items=np.full(len(skills), -1, dtype=np.int32),
        students=np.array(students),
        skill_names=skill_names,
        item_names=np.array([], dtype=np.str_),
        folds=np.full(len(students), -2, dtype=np.int16),
    )
