"""From practice to mastery to a prediction: learning curve and readout."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.model.parameters import Bounded

BoundedFactory = Callable[[int], Bounded]

LEAST = 1e-6
"""Distance that a probability keeps from 0 and 1, so that its logit is finite."""


class SigmoidCurve(nn.Module):
    """The learning curve m = M_sat[k] sigmoid(beta[k] gamma P - offset[k] + o): in (0, M_sat), rising with P."""

    def __init__(
        self, num_skills: int, *, beta: BoundedFactory, saturation: BoundedFactory, offset: BoundedFactory
    ) -> None:
        """Build the parameters.

        Args:
            num_skills: K.
            beta: steepness per unit of practice, > 0.
            saturation: level M_sat that mastery tends to, in (0, 1].
            offset: inflection; practice offset / (beta gamma) brings mastery to half of M_sat.
        """
        super().__init__()
        self.beta, self.saturation, self.offset = beta(num_skills), saturation(num_skills), offset(num_skills)

    def forward(self, practice: Tensor, skills: Tensor, velocity: Tensor, readiness: Tensor) -> Tensor:
        """Mastery after the given practice of the given skills, in the shape they broadcast to.

        Args:
            practice: accumulated gains P, >= 0.
            skills: the skills' numbers.
            velocity: gamma > 0 of the student.
            readiness: o of the student, 0 for the average one.
        """
        return self.saturation.at(skills) * self._level(practice, skills, velocity, readiness)

    def slope(self, practice: Tensor, skills: Tensor, velocity: Tensor, readiness: Tensor) -> Tensor:
        """What practice adds to mastery at that point, dm/dP = M_sat beta gamma W'(P) s (1 - s), s = m / M_sat."""
        level = self._level(practice, skills, velocity, readiness)
        height = self.saturation.at(skills) * self.beta.at(skills) * velocity * self.freshness(practice, skills)
        return height * level * (1 - level)

    def worth(self, practice: Tensor, skills: Tensor) -> Tensor:
        """W(P), what the practice so far is worth, >= 0, in units of practice at the start: here itself."""
        return practice

    def freshness(self, practice: Tensor, skills: Tensor) -> Tensor:
        """W'(P), what further practice is worth, in (0, 1]."""
        return torch.ones_like(practice)

    def _level(self, practice: Tensor, skills: Tensor, velocity: Tensor, readiness: Tensor) -> Tensor:
        """Share of M_sat reached, in (0, 1)."""
        worth = self.worth(practice, skills)
        return torch.sigmoid(self.beta.at(skills) * velocity * worth - self.offset.at(skills) + readiness)


class PowerCurve(SigmoidCurve):
    """A learning curve along which the odds of mastery grow as a power of practice: each unit is worth less.

        m = M_sat[k] sigmoid(beta[k] gamma W(P) - offset[k] + o),   W(P) = E[k] log(1 + P / E[k])
        m / (M_sat[k] - m) = exp(o - offset[k]) (1 + P / E[k]) ^ (beta[k] gamma E[k])

    E is the experience, in units of practice, that students bring along: practice counts in full at the start, and
    further practice half as much once practice equals E. As E grows the curve becomes SigmoidCurve's.

    Source: the power law of practice with prior experience (Newell and Rosenbloom, 1981), on the odds of mastery.
    """

    def __init__(
        self,
        num_skills: int,
        *,
        beta: BoundedFactory,
        saturation: BoundedFactory,
        offset: BoundedFactory,
        experience: BoundedFactory,
    ) -> None:
        """Build the parameters.

        Args:
            num_skills: K.
            beta: steepness per unit of practice at the start, > 0.
            saturation: level M_sat that mastery tends to, in (0, 1].
            offset: a skill's initial mastery is M_sat sigmoid(-offset).
            experience: E, units of practice, > 0.
        """
        super().__init__(num_skills, beta=beta, saturation=saturation, offset=offset)
        self.experience = experience(num_skills)

    def worth(self, practice: Tensor, skills: Tensor) -> Tensor:
        """W(P) = E log(1 + P / E)."""
        experience = self.experience.at(skills)
        return experience * torch.log1p(practice / experience)

    def freshness(self, practice: Tensor, skills: Tensor) -> Tensor:
        """1 / (1 + P / E)."""
        return 1 / (1 + practice / self.experience.at(skills))


def minimum(x_BTS: Tensor, has_skill_BTS: Tensor) -> Tensor:
    """The least over a step's skills, [B, T]: a step is answered well only if all its skills are mastered."""
    least = x_BTS.masked_fill(~has_skill_BTS, torch.inf).amin(-1)
    return torch.where(has_skill_BTS.any(-1), least, 0.0)


def soft_minimum(x_BTS: Tensor, has_skill_BTS: Tensor) -> Tensor:
    """A smooth least, -log(mean(exp(-x))), [B, T]; between least and mean, equal to x for one skill."""
    count = has_skill_BTS.sum(-1).clamp_min(1)
    least = -torch.logsumexp((-x_BTS).masked_fill(~has_skill_BTS, -torch.inf), -1) + count.log()
    return torch.where(has_skill_BTS.any(-1), least, 0.0)


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
        reduce: str = "minimum",
    ) -> None:
        """Build the parameters.

        Args:
            num_skills: K.
            threshold: mastery theta at which a right response is as likely as not, in (0, 1).
            temperature: mastery that takes the logit from 0 to 1, > 0.
            reduce: how the skills of one step combine: minimum, soft_minimum or mean.

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
    """p2 = least over the step's skills of guess[k] + (1 - slip[k] - guess[k]) m[k], shifted by the item's difficulty.

    Mastery is read as the probability to know the skill, as in Bayesian knowledge tracing (Corbett & Anderson, 1995).
    """

    def __init__(
        self, num_skills: int, *, guess: BoundedFactory, slip: BoundedFactory, reduce: str = "minimum"
    ) -> None:
        """Build the parameters.

        Args:
            num_skills: K.
            guess: probability of a right response without mastery, in (0, .5).
            slip: probability of a wrong response with full mastery, in (0, .5).
            reduce: how the skills of one step combine: minimum, soft_minimum or mean (of logits).

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
    """p2 = mastery, the least (or mean, of logits) over the step's skills: mastery is the chance of a right response.

    As in the Rasch model, where a student of ability theta masters a skill of difficulty b with sigmoid(theta - b).
    """

    def __init__(self, num_skills: int, *, reduce: str = "mean") -> None:
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
        raise ConfigError(f"model.readout.reduce={reduce}: no such reduction{nearest(reduce, REDUCTIONS)}")
    return reduce


def probability(logit: Tensor) -> Tensor:
    """Probability of a right response in float32, whatever the precision of the logit."""
    return F.sigmoid(logit.float())
