"""What a fitted reference says of some students, as tables that a run is held against."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog
from gainkt.evaluation.alignment import ReferenceTables
from gainkt.references.base import Reference, Students, ask


def reference_tables(reference: Reference, log: InteractionLog, students: Students) -> ReferenceTables:
    """Ask a reference about each step of some students of a log, and about its skills."""
    names, rates = list(map(str, log.skill_names)), reference.learn_rates(log)
    return ReferenceTables(
        reference.name,
        reference_rows(reference, log, students),
        pd.Series(reference.difficulties(log), index=names),
        None if rates is None else pd.Series(rates, index=names),
    )


def reference_rows(reference: Reference, log: InteractionLog, students: Students) -> pd.DataFrame:
    """What a reference says of each step of some students, as `gainkt.evaluation.alignment` wants it."""
    told, steps = ask(reference, log, students), log.steps_of(students)
    student = np.repeat(students, log.lengths[students])
    minimum_M = np.minimum.reduceat(told.prediction.mastery_before_L, log.skill_offsets[:-1])
    return pd.DataFrame(
        {
            "student": log.students[student].astype(object),
            "step": (steps - log.offsets[student]).astype(np.int32),
            "probability": told.prediction.probability_M[steps],
            "ability": told.ability_M[steps],
            "static_ability": told.static_N[student],
            "reference_mastery": minimum_M[steps],
        }
    )
