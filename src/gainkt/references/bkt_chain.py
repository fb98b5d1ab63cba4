"""BKT's hidden chain: a skill is known or not; the filter, the smoother and one step of expectation-maximisation.

    P(L_1) = prior        P(L_n+1) = P(L_n | r_n) (1 - forget) + (1 - P(L_n | r_n)) learn
    P(r_n = 1) = P(L_n) (1 - slip) + (1 - P(L_n)) guess

The loops run over the number of an opportunity, one short vector operation for all sequences that get so far. The
chain is also a product of 2 x 2 matrices, which an associative scan takes in log2(n) passes; but a scan does
O(A log n) work where the blocks of `Opportunities` need O(A), and most sequences are short (ASSISTments 2015: 130
opportunities at most, 5.5 on average).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gainkt.references.opportunities import Opportunities

_TINY = 1e-300
"""Least divisor: a state that became impossible in float64 stays impossible instead of NaN."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """Chances of each skill, float64 [K] in (0, 1)."""

    prior: Tensor
    """Known before the first opportunity."""
    learn: Tensor
    """Becomes known by an opportunity, if it was not."""
    forget: Tensor
    """Is lost by an opportunity, if it was known; 0 in plain BKT."""
    guess: Tensor
    """A right response though it is not known."""
    slip: Tensor
    """A wrong response though it is known."""

    def at(self, skills: Tensor) -> Parameters:
        """Chances of the given skills."""
        return Parameters(*(getattr(self, name)[skills] for name in NAMES))


NAMES = tuple(field.name for field in fields(Parameters))


@dataclass(frozen=True, eq=False)
class Followed:
    """Beliefs at each opportunity, [A]. Known and not known are kept apart: 1 - p would lose what is small."""

    right: Tensor
    """Chance of a right response, before it is seen."""
    known_before: Tensor
    unknown_before: Tensor
    known_given: Tensor
    """The response being known, before the opportunity teaches anything."""
    unknown_given: Tensor
    known_after: Tensor
    """The opportunity being over: what the next one starts from."""
    seen: Tensor
    """Chance of the response that was given."""


def follow(parameters: Parameters, opportunities: Opportunities) -> Followed:
    """Filter all sequences: what is believed at each opportunity from the responses so far.

    Source: Corbett and Anderson 1995, equations 1 and 2, with forgetting as in pyBKT (Badrinath et al. 2021).
    """
    at, right = parameters.at(opportunities.skill_A), opportunities.right_A
    if_known, if_unknown = torch.where(right, 1 - at.slip, at.slip), torch.where(right, at.guess, 1 - at.guess)
    known_before, unknown_before, known_given, unknown_given, known_after, seen = (
        torch.empty_like(if_known) for _ in range(6)
    )
    prior = at.prior[: opportunities.num_sequences]
    known, unknown = prior, 1 - prior
    for block in opportunities.blocks():
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
    return Followed(
        right=known_before * (1 - at.slip) + unknown_before * at.guess,
        known_before=known_before,
        unknown_before=unknown_before,
        known_given=known_given,
        unknown_given=unknown_given,
        known_after=known_after,
        seen=seen,
    )


def expected_counts(
    parameters: Parameters, opportunities: Opportunities, followed: Followed
) -> dict[str, tuple[Tensor, Tensor]]:
    """How often each chance came true and how often not, in expectation given whole histories; ([K], [K]) a name.

    Source: Baum et al. 1970, with the smoother in the form of Rauch, Tung and Striebel.
    """
    at, right = parameters.at(opportunities.skill_A), opportunities.right_A
    known, unknown = followed.known_given.clone(), followed.unknown_given.clone()
    learnt, not_learnt, lost, kept = (torch.zeros_like(known) for _ in range(4))
    blocks = list(opportunities.blocks())
    for block, later in zip(blocks[-2::-1], blocks[:0:-1], strict=True):
        # Sequences that go on stand first; the others end here and keep their filtered belief.
        here = slice(block.start, block.start + later.stop - later.start)
        to_known = known[later] / followed.known_before[later].clamp_min(_TINY)
        to_unknown = unknown[later] / followed.unknown_before[later].clamp_min(_TINY)
        learnt[here] = unknown[here] * at.learn[here] * to_known
        not_learnt[here] = unknown[here] * (1 - at.learn[here]) * to_unknown
        lost[here] = known[here] * at.forget[here] * to_unknown
        kept[here] = known[here] * (1 - at.forget[here]) * to_known
        known[here], unknown[here] = lost[here] + kept[here], learnt[here] + not_learnt[here]

    first, size = slice(0, opportunities.num_sequences), len(parameters.prior)

    def count(of: Tensor, where: slice = slice(None)) -> Tensor:
        return torch.bincount(opportunities.skill_A[where], of[where], minlength=size)

    return {
        "prior": (count(known, first), count(unknown, first)),
        "learn": (count(learnt), count(not_learnt)),
        "forget": (count(lost), count(kept)),
        "guess": (count(unknown * right), count(unknown * ~right)),
        "slip": (count(known * ~right), count(known * right)),
    }


def maximise(
    counts: dict[str, tuple[Tensor, Tensor]],
    expected: Parameters,
    strength: float,
    bounds: dict[str, tuple[float, float]],
) -> Parameters:
    """Return the most probable chances given expected counts, a Beta prior and bounds.

    chance = (yes + strength * expected) / (yes + no + strength), brought within the bounds. The penalised
    likelihood is concave in each chance by itself, so that the nearest bound is where it is largest.
    """
    found = {}
    for name, (yes, no) in counts.items():
        low, high = bounds[name]
        chance = (yes + strength * getattr(expected, name)) / (yes + no + strength)
        found[name] = chance.clamp(low, high)
    return Parameters(**found)


def log_posterior(parameters: Parameters, seen: Tensor, expected: Parameters, strength: float) -> float:
    """Log-likelihood of the responses plus the log of the Beta priors, up to a constant: what each step raises."""
    total = seen.log().sum()
    for name in NAMES:
        chance, mean = getattr(parameters, name), getattr(expected, name)
        total = total + strength * (torch.xlogy(mean, chance) + torch.xlogy(1 - mean, 1 - chance)).sum()
    return float(total)
