"""Curve."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.model.bounded import BoundedFactory


class SigmoidCurve(nn.Module):
    """The learning curve m = M_sat[k] sigmoid(beta[k] gamma P - offset[k] + o): in (0, M_sat), rising with P."""

    def __init__(
        self, num_skills: int, *, beta: BoundedFactory, saturation: BoundedFactory, offset: BoundedFactory
    ) -> None:
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
        super().__init__(num_skills, beta=beta, saturation=saturation, offset=offset)
        self.experience = experience(num_skills)

    def worth(self, practice: Tensor, skills: Tensor) -> Tensor:
        """W(P) = E log(1 + P / E)."""
        experience = self.experience.at(skills)
        return experience * torch.log1p(practice / experience)

    def freshness(self, practice: Tensor, skills: Tensor) -> Tensor:
        """1 / (1 + P / E)."""
        return 1 / (1 + practice / self.experience.at(skills))
