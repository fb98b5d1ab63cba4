"""Histories that were recorded, told to an estimator answer by answer, all students at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gainkt.data.log import InteractionLog, spans
from gainkt.references.base import Opportunities, Students
from gainkt.tutoring.classroom import Record
from gainkt.tutoring.estimator.base import Answers, Estimator, Flags, Floats


@dataclass(frozen=True)
class Told:
    """What an estimator says along the slots of a log, [L] each; NaN for students left out."""

    before_L: Floats
    """Estimate of the slot's skill before the step."""
    after_L: Floats
    """The same after it."""


def steps_of(log: InteractionLog, students: Students, estimator: Estimator) -> Iterator[tuple[Answers, Flags]]:
    """Start an estimator with some students, and give their answers step by step, and which slots hold a skill.

    The longest histories stand first, so that who has answered all stands at the end. Whoever asks for the steps tells
    the estimator of each.
    """
    lengths, offsets = log.lengths[students], log.offsets[students]
    order = np.argsort(-lengths, kind="stable")
    lengths, offsets = lengths[order], offsets[order]
    estimator.start(len(lengths), None)
    for t in range(int(lengths[0]) if len(lengths) else 0):
        rows = np.arange(int(np.searchsorted(-lengths, -t, side="left")))
        step = offsets[rows] + t
        counts = np.diff(log.skill_offsets)[step]
        skills = np.full((len(rows), counts.max()), -1, dtype=np.int64)
        held = np.arange(skills.shape[1]) < counts[:, None]
        skills[held] = log.skills[spans(log.skill_offsets[:-1][step], counts)]
        yield Answers(rows, skills, log.items[step], log.responses[step] == 1), held


def replay(log: InteractionLog, students: Students, estimator: Estimator, *, chance: bool = False) -> Told:
    """Tell an estimator the histories of some students, and ask it of each step's skills before and after the step.

    Args:
        log: skills and items numbered as the estimator was fitted.
        students: places in the log.
        estimator: fitted.
        chance: ask for the chance of a right answer, not for mastery.
    """
    asked = estimator.chance if chance else estimator.mastery
    before, after = (np.full(len(log.skills), np.nan) for _ in range(2))
    longest_first = np.asarray(students)[np.argsort(-log.lengths[students], kind="stable")]
    for first in range(0, len(longest_first), estimator.together):
        some = longest_first[first : first + estimator.together]
        for t, (answers, held) in enumerate(steps_of(log, some, estimator)):
            step = log.offsets[some[answers.rows]] + t
            slots = spans(log.skill_offsets[:-1][step], held.sum(1))
            # An empty slot is asked about a skill that there is.
            known = np.where(held, answers.skills, answers.skills[:, :1])
            before[slots] = asked(answers.rows, known)[held]
            estimator.observe(answers)
            after[slots] = asked(answers.rows, known)[held]
    return Told(before, after)


def recorded(log: InteractionLog, students: Students, score_L: Floats, mastered_L: Flags) -> Record:
    """Lay out scores and truth along the courses (a student and a skill) of some students."""
    found = Opportunities.of(log, students)
    return Record(found.key_A, score_L[found.slot_A], mastered_L[found.slot_A])
