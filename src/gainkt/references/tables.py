"""What a fitted reference says of some students, as tables that a run is held against."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog
from gainkt.evaluation.alignment import ReferenceTables
from gainkt.references.base import Reference, Students, ask


def reference_tables(reference: Reference, log: InteractionLog, students: Students) -> ReferenceTables:
    """Ask a reference about each step of some students of a log, and about its skills.

    Raises:
        ConfigError: the reference returns what cannot be used.
    """
    told, steps, names = ask(reference, log, students), log.steps_of(students), list(map(str, log.skill_names))
    student = np.repeat(students, log.lengths[students])
    minimum_M = np.minimum.reduceat(told.prediction.mastery_before_L, log.skill_offsets[:-1])
    rows = pd.DataFrame(
        {
            "student": log.students[student].astype(object),
            "step": (steps - log.offsets[student]).astype(np.int32),
            "probability": told.prediction.probability_M[steps],
            "ability": told.ability_M[steps],
            "static_ability": told.static_N[student],
            "reference_mastery": minimum_M[steps],
        }
    )
    rates = None if told.learn_rate_K is None else pd.Series(told.learn_rate_K, index=names)
    return ReferenceTables(reference.name, rows, pd.Series(told.difficulty_K, index=names), rates)
