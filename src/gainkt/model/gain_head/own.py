"""Own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.axis import SkillAxis
from gainkt.model.gain_head.base import SkillOutput
from gainkt.model.size import Size


class OwnAndTransferGain(nn.Module):
    """V4's gains: sigmoid(u[k] . v[t] + a[k]) for the practised skills, sigmoid(w[k] . v[t] + b[k]) for the others.

    a starts in the middle, so that gains may tell skills apart either way: gains and the curve's steepness trade off. b
    starts so low that a step hardly moves the skills it does not practise; `gain_sparsity` keeps it so.
    """

    def __init__(self, num_skills: int, size: Size, *, own_bias: float = 0.0, transfer_bias: float = -4.0) -> None:
        """Start the biases of own gains at `own_bias` logits, of transfer gains at `transfer_bias`."""
        super().__init__()
        self.own = SkillOutput(size.d_model, num_skills, None, 0.0)
        nn.init.constant_(self.own.linear.bias, own_bias)
        self.transfer = SkillOutput(size.d_model, num_skills, 0.01, 0.0)
        nn.init.constant_(self.transfer.linear.bias, transfer_bias)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        practised = axis.practised(batch.has_skill_BTS)
        logit = torch.where(practised, self.own(value_BTD, axis), self.transfer(value_BTD, axis))
        return torch.sigmoid(logit.float())


class OwnAndMatrixGain(nn.Module):
    """V4's readable alternative: g[t, j] = max over practised k of own[t, k] M[k, j] for skills j not practised.

    own is as in OwnAndTransferGain; M in (0, 1) says what share of a gain on skill k reaches skill j.
    """

    def __init__(self, num_skills: int, size: Size, *, own_bias: float = 0.0, transfer_bias: float = -4.0) -> None:
        """Start the biases of own gains at `own_bias` logits, every entry of M at sigmoid(transfer_bias)."""
        super().__init__()
        self.own = SkillOutput(size.d_model, num_skills, None, 0.0)
        nn.init.constant_(self.own.linear.bias, own_bias)
        self.matrix = nn.Parameter(torch.full((num_skills, num_skills), transfer_bias))

    def transfer(self) -> Tensor:
        """M, [K, K]: from the row's skill to the column's."""
        return torch.sigmoid(self.matrix)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        own, practised = torch.sigmoid(self.own(value_BTD, axis).float()), axis.practised(batch.has_skill_BTS)
        share, spread = self.transfer(), torch.zeros_like(own)
        for slot in range(batch.skills_BTS.shape[2]):
            gain = own.gather(2, axis.column_BTS[..., slot, None]) * batch.has_skill_BTS[..., slot, None]
            spread = torch.maximum(spread, gain * share[batch.skills_BTS[..., slot, None], axis.skills_BC[:, None]])
        return torch.where(practised, own, spread)
