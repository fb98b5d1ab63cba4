"""Bayesian Knowledge Tracing: a skill is known or not, learnt by practice, and seen through guesses and slips.

    P(L_1) = prior        P(L_n+1) = P(L_n | r_n) (1 - forget) + (1 - P(L_n | r_n)) learn
    P(r_n = 1) = P(L_n) (1 - slip) + (1 - P(L_n)) guess

The loops run over the number of an opportunity, one short vector operation for all sequences that get so far. The
chain is also a product of 2 x 2 matrices, which an associative scan takes in log2(n) passes; but a scan does
O(A log n) work where the blocks of `pack` need O(A), and most sequences are short (ASSISTments 2015: 130
opportunities at most, 5.5 on average).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy.special import xlogy

from gainkt.data.log import InteractionLog
from gainkt.errors import ConfigError, nearest
from gainkt.references.base import (
    Floats,
    Ints,
    Opportunities,
    Prediction,
    Reference,
    Students,
    chosen_of,
    logit,
    spread,
    trained_on,
)

logger = logging.getLogger(__name__)

COMBINE = {"product": np.multiply, "minimum": np.minimum}
_EDGE = 1e-3
"""Distance that every chance keeps from 0 and 1, so that no history is impossible."""
_TINY = 1e-300
"""Smallest divisor: a state that became impossible in float64 stays impossible instead of NaN."""


class Chances(NamedTuple):
    """Chances of each skill, float64 [K] in (0, 1)."""

    prior: Floats
    """Known before the first opportunity."""
    learn: Floats
    """Becomes known by an opportunity, if it was not."""
    forget: Floats
    """Is lost by an opportunity, if it was known; 0 in plain BKT."""
    guess: Floats
    """A right response though it is not known."""
    slip: Floats
    """A wrong response though it is known."""

    def at(self, skills: Ints) -> Chances:
        """Chances of the given skills."""
        return Chances(*(values[skills] for values in self))


START = Chances(*np.array([[0.4], [0.15], [0.05], [0.25], [0.1]]))
"""Where fitting starts, and what the fit common to all skills is drawn to."""


@dataclass(frozen=True, eq=False)
class BKTPrediction(Prediction):
    """What BKT says about a log; `mastery_before_L` is P(L), the chance that the slot's skill is known."""

    right_L: Floats
    """Chance of a right response if the slot's skill were the only one of the step."""
    mastery_after_L: Floats
    """P(L) after the step: its response is counted, and what it may have taught or lost."""


@dataclass(frozen=True, eq=False)
class BKT(Reference):
    """Chances of every skill: prior, learn, forget (where it was fitted), guess, slip.

    A step with several skills counts as one opportunity of each, and its response as evidence on each by itself,
    although a wrong one may be due to another skill: an approximation, which keeps skills independent. Its
    prediction is the minimum of its skills' chances of a right response, or their product (all must succeed, each by
    itself), which is too low where the skills of one item are guessed at or slipped on together: on ASSISTments 2009
    test AUC is .712 with the minimum and .700 with the product.
    """

    combine: str
    """minimum or product."""
    responses: int
    """Opportunities in the training data."""
    log_likelihood: float
    """Mean log-likelihood of an opportunity in training, nats."""
    iterations: int
    """Steps of expectation-maximisation that the skills took."""

    learning: ClassVar[str | None] = "learn"

    def __post_init__(self) -> None:
        """Check the way of combining, too."""
        super().__post_init__()
        if self.combine not in COMBINE:
            raise ConfigError(f"combine={self.combine}: no such way{nearest(self.combine, COMBINE)}")

    @classmethod
    def fit(
        cls,
        log: InteractionLog,
        students: Students,
        *,
        forgets: bool = False,
        combine: str = "minimum",
        max_guess: float = 0.5,
        max_slip: float = 0.5,
        strength: float = 5.0,
        tolerance: float = 1e-6,
        max_iterations: int = 500,
    ) -> Self:
        """Fit by expectation-maximisation: first one set of chances for all skills, then each skill's from there.

        Deterministic. Guess and slip are kept apart (max_guess + max_slip <= 1, so that 1 - slip >= guess), for
        without it the states may swap names and mastery would fall by learning.

        Args:
            log: the data; only the given students are read.
            students: places of the training students in the log.
            forgets: fit a chance to forget too; 0 otherwise.
            combine: how a step's skills make one prediction, minimum or product.
            max_guess: largest chance to guess, in (0, 1).
            max_slip: largest chance to slip, in (0, 1).
            strength: opportunities that the common chances weigh for each skill's own, > 0.
            tolerance: nats an opportunity; fitting stops when a step gains less.
            max_iterations: steps at most, at least 1.

        Raises:
            ConfigError: a setting is out of range.
            DataError: there is nothing to fit on.

        Source: Corbett and Anderson 1995; bounds as in Baker, Corbett and Aleven 2008.
        """
        if combine not in COMBINE:
            raise ConfigError(f"combine={combine}: no such way{nearest(combine, COMBINE)}")
        for name, value in (("max_guess", max_guess), ("max_slip", max_slip)):
            if not _EDGE <= value < 1:
                raise ConfigError(f"{name}={value}: must lie in [{_EDGE:g}, 1)")
        if max_guess + max_slip > 1:
            raise ConfigError(
                f"max_guess={max_guess}, max_slip={max_slip}: must sum to 1 at most, or a student who knows the skill "
                "could be less likely to answer right than one who does not"
            )
        if not strength > 0:
            raise ConfigError(f"strength={strength}: must be above 0, so that skills with little data stay finite")
        if max_iterations < 1:
            raise ConfigError(f"max_iterations={max_iterations}: give at least 1")
        opportunities = Opportunities.of(log, trained_on(log, students, "BKT"))
        size, edges = len(opportunities.slot_A), (_EDGE, 1 - _EDGE)
        bounds = (edges, edges, edges if forgets else (0.0, 0.0), (_EDGE, max_guess), (_EDGE, max_slip))

        def climb(opportunities: Opportunities, expected: Chances) -> tuple[Chances, Floats, int]:
            found, followed = expected, follow(expected, opportunities)
            reached, iterations, gained = log_posterior(found, followed.seen, expected, strength), 0, np.inf
            while gained >= tolerance and iterations < max_iterations:
                found = maximise(expected_counts(found, opportunities, followed), expected, strength, bounds)
                followed, last = follow(found, opportunities), reached
                reached = log_posterior(found, followed.seen, expected, strength)
                iterations, gained = iterations + 1, (reached - last) / size
            if gained >= tolerance:
                logger.warning("BKT: still gaining %.2g nats an opportunity; raise max_iterations", gained)
            return found, followed.seen, iterations

        # In bounds, so that a chance that no data speaks of keeps to them too.
        start = Chances(*(values.clip(*limits) for values, limits in zip(START, bounds, strict=True)))
        as_one = opportunities._replace(skill_A=np.zeros_like(opportunities.skill_A))
        common, _, _ = climb(as_one, start)
        own, seen, iterations = climb(opportunities, common.at(np.zeros(log.num_skills, dtype=np.int64)))
        names = [name for name in Chances._fields if forgets or name != "forget"]
        return cls(
            pd.DataFrame(own._asdict(), index=log.skill_names.astype(object))[names],
            {name: float(getattr(common, name)[0]) for name in names},
            combine=combine,
            responses=size,
            log_likelihood=float(np.log(seen).mean()),
            iterations=iterations,
        )

    @property
    def name(self) -> str:
        """What it is called in results."""
        return "BKT with forgetting" if self.common.get("forget") else "BKT"

    def predict(self, log: InteractionLog, students: Students | None = None) -> BKTPrediction:
        """Follow some students, all of them where None; a skill unseen in training has the common chances."""
        opportunities = Opportunities.of(log, chosen_of(log, students))
        followed = follow(chances_of(self.of(log)), opportunities)

        right, before, after = (
            spread(values, opportunities.slot_A, len(log.skills))
            for values in (followed.right, followed.known_before, followed.known_after)
        )
        probability = COMBINE[self.combine].reduceat(right, log.skill_offsets[:-1]) if len(right) else right
        return BKTPrediction(probability, before, right_L=right, mastery_after_L=after)

    def difficulty_of(self, parameters: pd.DataFrame) -> Floats:
        """Return -logit of prior (1 - slip) + (1 - prior) guess, [K]."""
        chances = chances_of(parameters)
        return -logit(chances.prior * (1 - chances.slip) + (1 - chances.prior) * chances.guess)


def chances_of(parameters: pd.DataFrame) -> Chances:
    """Chances of the skills of a table, 0 where none was fitted."""
    return Chances(*parameters.reindex(columns=list(Chances._fields), fill_value=0.0).to_numpy().T)


class Followed(NamedTuple):
    """Beliefs at each opportunity, [A]. Known and not known are kept apart: 1 - p would lose what is small."""

    right: Floats
    """Chance of a right response, before it is seen."""
    known_before: Floats
    unknown_before: Floats
    known_given: Floats
    """The response being known, before the opportunity teaches anything."""
    unknown_given: Floats
    known_after: Floats
    """The opportunity being over: what the next one starts from."""
    seen: Floats
    """Chance of the response that was given."""


def follow(chances: Chances, opportunities: Opportunities) -> Followed:
    """Filter all sequences: what is believed at each opportunity from the responses so far.

    Source: Corbett and Anderson 1995, equations 1 and 2, with forgetting as in pyBKT (Badrinath et al. 2021).
    """
    at, right = chances.at(opportunities.skill_A), opportunities.right_A
    if_known, if_unknown = np.where(right, 1 - at.slip, at.slip), np.where(right, at.guess, 1 - at.guess)
    known_before, unknown_before, known_given, unknown_given, known_after, seen = (
        np.empty_like(if_known) for _ in range(6)
    )
    known, unknown = at.prior, 1 - at.prior
    for block in opportunities.blocks:
        size = block.stop - block.start
        known, unknown = known[:size], unknown[:size]
        known_before[block], unknown_before[block] = known, unknown
        known, unknown = known * if_known[block], unknown * if_unknown[block]
        total = known + unknown
        known, unknown = known / total, unknown / total
        seen[block], known_given[block], unknown_given[block] = total, known, unknown
        learn, forget = at.learn[block], at.forget[block]
        known, unknown = known * (1 - forget) + unknown * learn, unknown * (1 - learn) + known * forget
        known_after[block] = known
    predicted = known_before * (1 - at.slip) + unknown_before * at.guess
    return Followed(predicted, known_before, unknown_before, known_given, unknown_given, known_after, seen)


def expected_counts(
    chances: Chances, opportunities: Opportunities, followed: Followed
) -> tuple[tuple[Floats, Floats], ...]:
    """How often each chance came true and how often not, in expectation given whole histories; ([K], [K]) a chance.

    Source: Baum et al. 1970, with the smoother in the form of Rauch, Tung and Striebel.
    """
    at, right, blocks = chances.at(opportunities.skill_A), opportunities.right_A, opportunities.blocks
    known, unknown = followed.known_given.copy(), followed.unknown_given.copy()
    learnt, not_learnt, lost, kept = (np.zeros_like(known) for _ in range(4))
    for block, later in zip(blocks[-2::-1], blocks[:0:-1], strict=True):
        # Sequences that go on stand first; the others end here and keep their filtered belief.
        here = slice(block.start, block.start + later.stop - later.start)
        to_known = known[later] / followed.known_before[later].clip(_TINY)
        to_unknown = unknown[later] / followed.unknown_before[later].clip(_TINY)
        learnt[here] = unknown[here] * at.learn[here] * to_known
        not_learnt[here] = unknown[here] * (1 - at.learn[here]) * to_unknown
        lost[here] = known[here] * at.forget[here] * to_unknown
        kept[here] = known[here] * (1 - at.forget[here]) * to_known
        known[here], unknown[here] = lost[here] + kept[here], learnt[here] + not_learnt[here]

    def count(of: Floats, where: slice = slice(None)) -> Floats:
        found = np.bincount(opportunities.skill_A[where], of[where], minlength=len(chances.prior))
        return found.astype(np.float64, copy=False)

    return (
        (count(known, blocks[0]), count(unknown, blocks[0])),
        (count(learnt), count(not_learnt)),
        (count(lost), count(kept)),
        (count(unknown * right), count(unknown * ~right)),
        (count(known * ~right), count(known * right)),
    )


def maximise(
    counts: tuple[tuple[Floats, Floats], ...],
    expected: Chances,
    strength: float,
    bounds: tuple[tuple[float, float], ...],
) -> Chances:
    """Return the most probable chances given expected counts, a Beta prior and bounds.

    chance = (yes + strength * expected) / (yes + no + strength), brought within the bounds. The penalised
    likelihood is concave in each chance by itself, so that the nearest bound is where it is largest.
    """
    rows = zip(counts, expected, bounds, strict=True)
    return Chances(
        *(((yes + strength * mean) / (yes + no + strength)).clip(*limits) for (yes, no), mean, limits in rows)
    )


def log_posterior(chances: Chances, seen: Floats, expected: Chances, strength: float) -> float:
    """Log-likelihood of the responses plus the log of the Beta priors, up to a constant: what each step raises."""
    pairs = zip(chances, expected, strict=True)
    priors = sum((xlogy(mean, chance) + xlogy(1 - mean, 1 - chance)).sum() for chance, mean in pairs)
    return float(np.log(seen).sum() + strength * priors)
