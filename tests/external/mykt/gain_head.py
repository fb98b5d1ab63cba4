"""Gains that depend on the skill and the response alone."""

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.size import Size


class ResponseGain(nn.Module):
    """g[t, k] = sigmoid(a[r[t], k]), r the response."""

    def __init__(self, num_skills: int, size: Size, *, start: float) -> None:
        super().__init__()
        if not -10 < start < 10:
            raise ConfigError(f"start={start}: a logit between -10 and 10")
        self.table = nn.Parameter(torch.full((2, num_skills), start))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        wrong, right = self.table[:, axis.skills_BC][:, :, None]
        return torch.sigmoid(torch.where(batch.response_BT[..., None] > 0.5, right, wrong))
