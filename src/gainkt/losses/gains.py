"""Loss terms without parameters of their own: cross-entropy, and what gains and curves should look like."""

from __future__ import annotations

from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.losses.base import Term, every_skill, masked_mean, penalty, sums_others
from gainkt.model import Output
from gainkt.model.readout import mean

LEAST_VARIANCE = 1e-8
"""Variance under which a correlation counts as that of a constant, so that it stays finite."""


@penalty
@every_skill
def gain_variance(output: Output, batch: Batch) -> Tensor:
    """- mean over valid steps of the variance over skills of the gains; lower is more varied."""
    return -masked_mean(output.gains_BTC.var(-1, correction=0), batch.valid_BT)


@penalty
@every_skill
def skill_contrast(output: Output, batch: Batch) -> Tensor:
    """- variance over skills of the mean gain of each skill over valid steps."""
    total = (output.gains_BTC * batch.valid_BT[..., None]).sum((0, 1))
    return -(total / batch.valid_BT.sum().clamp_min(1)).var(correction=0)


@penalty
@sums_others
def gain_sparsity(output: Output, batch: Batch) -> Tensor:
    """Mean over valid steps of the summed gains of the skills that the step does not practise (L1)."""
    if output.others_BT is not None:
        return masked_mean(output.others_BT, batch.valid_BT)
    others = ~output.axis.practised(batch.has_skill_BTS)
    return masked_mean((output.gains_BTC * others).sum(-1), batch.valid_BT)


def gain_response_correlation(output: Output, batch: Batch) -> Tensor:
    """- Pearson correlation over valid steps of the gain, mean over the step's own skills, with its response.

    In [-1, 1]; 0 where gains or responses do not vary.
    """
    has_skill_BTS, valid = batch.has_skill_BTS, batch.valid_BT
    own_BTS = output.axis.read(output.gains_BTC) * has_skill_BTS
    gain_BT = own_BTS.sum(-1) / has_skill_BTS.sum(-1).clamp_min(1)
    x_BT, y_BT = (z - masked_mean(z, valid) for z in (gain_BT, batch.response_BT))
    variances = masked_mean(x_BT**2, valid).clamp_min(LEAST_VARIANCE) * masked_mean(y_BT**2, valid).clamp_min(
        LEAST_VARIANCE
    )
    return -masked_mean(x_BT * y_BT, valid) / variances.sqrt()


@penalty
def readiness_size(output: Output, batch: Batch) -> Tensor:
    """Mean over scored steps of the squared readiness for the step's skills, mean over them, in logits^2.

    -log of a normal prior around the average student: what practice can explain is left to practice.
    """
    squares_BTS = output.belief.readiness(output.axis.slots(batch.skills_BTS)).square().expand(batch.skills_BTS.shape)
    return masked_mean(mean(squares_BTS, batch.has_skill_BTS), batch.scored_BT)


@penalty
def belief_movement(output: Output, batch: Batch) -> Tensor:
    """What a step changes in the belief about skills that it does not practise, in logits^2.

        mean over t of (log gamma[t + 1] - log gamma[t])^2 + mean over k not in S[t] of (o[t + 1, k] - o[t, k])^2

    gamma[t] and o[t] are believed before step t; k are the skills of the columns. -log of a normal prior:
    one answer on one skill says little of the others. 0 where a velocity is fixed and readiness follows from the skill.
    """
    both = batch.valid_BT[:, 1:] & batch.valid_BT[:, :-1]
    velocity, readiness = output.belief.velocity, output.belief.readiness(output.axis.columns())
    moves = both.new_zeros((), dtype=velocity.dtype)
    if velocity.shape[1] > 1:
        moves = moves + masked_mean(velocity.log().diff(dim=1).square().mean(-1), both)
    if readiness.shape[1] > 1:
        squares = readiness.diff(dim=1).square()
        if readiness.shape[2] > 1:
            others = ~output.axis.practised(batch.has_skill_BTS)[:, :-1]
            squares = (squares * others).sum(-1, keepdim=True) / others.sum(-1, keepdim=True).clamp_min(1)
        moves = moves + masked_mean(squares.squeeze(-1), both)
    return moves


@penalty
def item_shrinkage(output: Output, batch: Batch) -> Tensor:
    """Mean over items of their squared difficulties, in logits^2, both encoders' together; 0 without items.

    Each item counts once, so rare ones are held closest to their skills. The same weight holds the items of a data set
    with more steps an item more strongly: `gainkt.losses.priors.ItemPrior` does not.
    """
    penalties = [penalty for penalty in output.item_penalties if penalty is not None]
    return sum(penalties, start=batch.response_BT.new_zeros(()))


class BetaSpread(Term):
    """max(0, target - std over skills of beta)^2: asks the curves' steepness to differ between skills."""

    encoder = 0

    def __init__(self, *, target: float) -> None:
        super().__init__()
        self.target = target

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """Penalty, 0 once the spread is reached."""
        return (self.target - output.beta_K.std(correction=0)).clamp_min(0) ** 2
