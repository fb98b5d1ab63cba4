"""EduStudio's two figures of diagnosed mastery, for whoever compares with it: agreement with answers, identifiability.

They are made for models that give each student one mastery a skill. Of a knowledge tracing model that is mastery at the
end of the student's history, which has seen the answers that it is held against, as a diagnosis fitted to them has.

Source: EduStudio (Wu et al., Frontiers of Computer Science, 2025), github.com/HFUT-LEC/EduStudio:
edustudio/evaltpl/interpretability_evaltpl.py (revision 6eec637) and identifiability_evaltpl.py (071d9e9).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import pdist

from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.breakdowns import ordered_pairs
from gainkt.evaluation.statistics.measurable import Unmeasurable

MOST_STUDENTS = 2_000
"""Students with the same answers whose pairs are all looked at; of more, so many are drawn by a seed."""


def degree_of_agreement(skill_N: Array, item_N: Array, mastery_N: Array, right_N: Array) -> dict[str, Any]:
    """Degree of agreement (DOA): of two who answered the same item, has the one who was right the higher mastery?

        DOA[k] = sum of [m[i, k] > m[j, k]] / sum of [m[i, k] != m[j, k]],    both over the items of skill k and the
                                                                            pairs of who was right, i, and wrong, j

    and DOA is its mean over the skills that have such a pair (EduStudio's `doa_all`). Each answer counts, repeated ones
    too; pairs of equal mastery do not. Mastery that has nothing to do with the answers has .5. O(N log N).

    Args:
        skill_N: skill of each answer, from 0; an answer on several skills has a row a skill.
        item_N: item of each answer, from 0.
        mastery_N: the student's mastery of the skill.
        right_N: 1 right, 0 wrong.

    Returns:
        value, skills and pairs that it rests on.

    Raises:
        Unmeasurable: there is no such pair.
    """
    items = int(item_N.max(initial=0)) + 1
    cell, group_N = np.unique(skill_N.astype(np.int64) * items + item_N, return_inverse=True)
    above, tied, pairs = ordered_pairs(group_N, mastery_N, right_N, len(cell))
    above_K, apart_K = (np.bincount(cell // items, x) for x in (above, pairs - tied))
    known = apart_K > 0
    if not known.any():
        raise Unmeasurable("no item was answered right by one student and wrong by another of unequal mastery")
    return {
        "value": float((above_K[known] / apart_K[known]).mean()),
        "skills": int(known.sum()),
        "pairs": int(apart_K.sum()),
    }


def identifiability(
    student_N: Array, item_N: Array, right_N: Array, mastery_SK: csr_array, seed: int = 0
) -> dict[str, Any]:
    """Identifiability score (IDS): do students with the same answers have the same mastery? 1 where they always do.

        IDS = number of pairs / sum over pairs i < i' with R[i] = R[i'] of (1 + sum over k of |m[i, k] - m[i', k]|)^2

    R[i] says which items student i answered, and how the last time. Order and number of answers are no part of it,
    though a tracing model may go by both: two students with the same history have the same mastery in a model
    without parameters of students, whatever this score is.

    Args:
        student_N: student of each answer, from 0; a student's answers in order.
        item_N: item of each answer, from 0.
        right_N: 1 right, 0 wrong.
        mastery_SK: mastery of each student and skill; skills that a student did not meet are left out of the sum.
        seed: of the draw where more than `MOST_STUDENTS` have the same answers.

    Returns:
        value, and the pairs and patterns of answers that it rests on.

    Raises:
        Unmeasurable: no two students have the same answers.
    """
    draw, items = np.random.default_rng(seed), int(item_N.max(initial=0)) + 1
    # The last answer of each student and item is the first of the rows turned round.
    cell, last = np.unique((student_N.astype(np.int64) * items + item_N)[::-1], return_index=True)
    answer = 2 * (cell % items) + (right_N[::-1][last] > 0)
    # A pattern is the sum of its answers' random numbers (Zobrist, 1970): two are taken for one at odds of 2^-64.
    words = draw.integers(2**64, size=2 * items, dtype=np.uint64)
    who, first = np.unique(cell // items, return_index=True)
    pattern = np.add.reduceat(words[answer], first) if len(who) else np.zeros(0, dtype=np.uint64)
    order = np.argsort(pattern, kind="stable")
    groups = np.split(who[order], np.flatnonzero(np.diff(pattern[order])) + 1)
    pairs, squares, patterns = 0, 0.0, 0
    for group in groups:
        if len(group) < 2:
            continue
        some = group if len(group) <= MOST_STUDENTS else np.sort(draw.choice(group, MOST_STUDENTS, replace=False))
        mastery = mastery_SK[some]
        distance = pdist(mastery[:, np.unique(mastery.indices)].toarray(), "cityblock")
        pairs, patterns, squares = pairs + len(distance), patterns + 1, squares + float(np.square(1 + distance).sum())
    if not pairs:
        raise Unmeasurable("no two students answered the same items in the same way")
    return {"value": pairs / squares, "pairs": pairs, "patterns": patterns}
