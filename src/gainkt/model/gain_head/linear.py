"""Linear."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.gain_head.base import SkillOutput
from gainkt.model.size import Size


class LinearGain(nn.Module):
    """V1's gain: g[t, k] = sigmoid(w[k] . Dropout(v[t]) + b[k])."""

    def __init__(
        self,
        num_skills: int,
        size: Size,
        *,
        weight_std: float | None = None,
        bias_std: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        """Build the map.

        Raises:
            ConfigError: dropout is out of range.
        """
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"dropout={dropout}: a probability, at least 0 and below 1")
        self.dropout = nn.Dropout(dropout)
        self.output = SkillOutput(size.d_model, num_skills, weight_std, bias_std)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        return torch.sigmoid(self.output(self.dropout(value_BTD), axis).float())


class MLPGain(nn.Module):
    """A gain head with a hidden layer: g[t] = sigmoid(Linear(Dropout(ReLU(Linear(v[t])))))."""

    def __init__(self, num_skills: int, size: Size) -> None:
        """Build a hidden layer of `size.d_ff`."""
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(size.d_model, size.d_ff), nn.ReLU(), nn.Dropout(size.dropout))
        self.output = SkillOutput(size.d_ff, num_skills)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        return torch.sigmoid(self.output(self.hidden(value_BTD), axis).float())
