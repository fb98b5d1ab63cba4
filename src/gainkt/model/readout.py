"""From practice to mastery to a prediction: learning curve and readout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.model.bounded import LEAST, BoundedFactory


def minimum(x_BTS: Tensor, has_skill_BTS: Tensor) -> Tensor:
    """The minimum over a step's skills, [B, T]: a step is answered well only if all its skills are mastered."""
    lowest = x_BTS.masked_fill(~has_skill_BTS, torch.inf).amin(-1)
    return torch.where(has_skill_BTS.any(-1), lowest, 0.0)


def soft_minimum(x_BTS: Tensor, has_skill_BTS: Tensor) -> Tensor:
    """A smooth minimum, -log(mean(exp(-x))), [B, T]; between minimum and mean, equal to x for one skill."""
    count = has_skill_BTS.sum(-1).clamp_min(1)
    lowest = -torch.logsumexp((-x_BTS).masked_fill(~has_skill_BTS, -torch.inf), -1) + count.log()
    return torch.where(has_skill_BTS.any(-1), lowest, 0.0)


def mean(x_BTS: Tensor, has_skill_BTS: Tensor) -> Tensor:
    """The mean over a step's skills, [B, T]."""
    return (x_BTS * has_skill_BTS).sum(-1) / has_skill_BTS.sum(-1).clamp_min(1)


REDUCTIONS = {"minimum": minimum, "soft_minimum": soft_minimum, "mean": mean}


class ThresholdReadout(nn.Module):
    """logit p2 = reduce over the step's skills of (m[k] - theta[k]) / temperature."""

    def __init__(
        self,
        num_skills: int,
        *,
        threshold: BoundedFactory,
        temperature: BoundedFactory,
        reduce: str,
    ) -> None:
        """Build the parameters.

        Raises:
            ConfigError: there is no such reduction.
        """
        super().__init__()
        self.threshold, self.temperature = threshold(num_skills), temperature(num_skills)
        self.reduce = _known(reduce)

    def forward(self, mastery_BTS: Tensor, batch: Batch) -> Tensor:
        """Logit of a right response to each step from the mastery of its skills before it, [B, T]."""
        margin = (mastery_BTS - self.threshold.at(batch.skills_BTS)) / self.temperature.at(batch.skills_BTS)
        return REDUCTIONS[self.reduce](margin, batch.has_skill_BTS)


class GuessSlipReadout(nn.Module):
    """p2 = minimum over the step's skills of guess[k] + (1 - slip[k] - guess[k]) m[k], less the item's difficulty.

    Mastery is read as the probability to know the skill, as in Bayesian knowledge tracing (Corbett & Anderson, 1995).
    """

    def __init__(self, num_skills: int, *, guess: BoundedFactory, slip: BoundedFactory, reduce: str) -> None:
        """Build the parameters.

        Raises:
            ConfigError: there is no such reduction.
        """
        super().__init__()
        self.guess, self.slip, self.reduce = guess(num_skills), slip(num_skills), _known(reduce)

    def forward(self, mastery_BTS: Tensor, batch: Batch) -> Tensor:
        """Logit of a right response to each step from the mastery of its skills before it, [B, T]."""
        guess, slip = self.guess.at(batch.skills_BTS), self.slip.at(batch.skills_BTS)
        right_BTS = guess + (1 - slip - guess) * mastery_BTS
        return REDUCTIONS[self.reduce](torch.logit(right_BTS.clamp(LEAST, 1 - LEAST)), batch.has_skill_BTS)


class MasteryReadout(nn.Module):
    """p2 = mastery, the minimum (or mean, of logits) over the step's skills: mastery is the chance of a right response.

    As in the Rasch model, where a student of ability theta masters a skill of difficulty b with sigmoid(theta - b).
    """

    def __init__(self, num_skills: int, *, reduce: str) -> None:
        """Keep how the skills of one step combine: minimum, soft_minimum or mean of their logits.

        Raises:
            ConfigError: there is no such reduction.
        """
        super().__init__()
        self.reduce = _known(reduce)

    def forward(self, mastery_BTS: Tensor, batch: Batch) -> Tensor:
        """Logit of a right response to each step from the mastery of its skills before it, [B, T]."""
        return REDUCTIONS[self.reduce](torch.logit(mastery_BTS.clamp(LEAST, 1 - LEAST)), batch.has_skill_BTS)


def _known(reduce: str) -> str:
    """Return the name of a reduction that exists."""
    if reduce not in REDUCTIONS:
        raise ConfigError(f"reduce={reduce}: no such reduction{nearest(reduce, REDUCTIONS)}")
    return reduce


def probability(logit: Tensor) -> Tensor:
    """Probability of a right response in float32, whatever the precision of the logit."""
    return F.sigmoid(logit.float())
