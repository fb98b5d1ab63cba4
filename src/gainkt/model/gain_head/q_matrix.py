"""Q matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.bounded import Bounded
from gainkt.model.gain_head.base import SkillOutput
from gainkt.model.size import Size


class QMatrixGain(nn.Module):
    """V1's gain, started on the Q-matrix: g[t, k] = sigmoid(w[k] . v[t] + b[k] + c (1 if k in S[t], else -1)).

    w starts next to 0 and b at 0, so that gains start at sigmoid(c) and sigmoid(-c); c is learnt and may leave again.
    """

    def __init__(self, num_skills: int, size: Size, *, strength: float = 2.0) -> None:
        """Start c at `strength` logits.

        Raises:
            ConfigError: strength is not positive.
        """
        super().__init__()
        if not strength > 0:
            raise ConfigError(f"strength={strength}: must be above 0, or practised skills gain less")
        self.output = SkillOutput(size.d_model, num_skills, 0.01, 0.0)
        self.strength = Bounded(1, mean=strength, per_skill=False)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        strength = self.strength()
        prior = torch.where(axis.practised(batch.has_skill_BTS), strength, -strength)
        return torch.sigmoid(self.output(value_BTD, axis).float() + prior)
