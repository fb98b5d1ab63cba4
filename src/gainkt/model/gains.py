"""Gain heads: what a step adds to each skill; and receivers: which skills may take it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.encoders import Size
from gainkt.model.parameters import Bounded
from gainkt.model.skill_axis import SkillAxis


class NoGain(nn.Module):
    """Practice teaches nothing: g = 0 for every skill, as theories without learning have it (Rasch)."""

    def __init__(self, num_skills: int, size: Size) -> None:
        """Take the sizes that every gain head takes; none is needed."""
        super().__init__()

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Zeros, [B, T, C]."""
        return value_BTD.new_zeros(*value_BTD.shape[:2], axis.size)


class ScalarGain(nn.Module):
    """V0's gain, one number a step for every skill: g[t, k] = sigmoid(mean over D of relu(v[t])).

    No parameters of its own. v is layer-normed, so the number can hardly leave .585-.60 whatever is learnt.
    """

    def __init__(self, num_skills: int, size: Size) -> None:
        """Take the sizes that every gain head takes; none is needed."""
        super().__init__()

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        return left_over(value_BTD)[..., None].expand(-1, -1, axis.size)


def left_over(value_BTD: Tensor) -> Tensor:
    """The research line's reported "gain", sigmoid(mean over D of relu(v)), [B, T]; a probe, read by no V1-V3 model."""
    return torch.sigmoid(torch.relu(value_BTD.float()).mean(-1))


class SkillOutput(nn.Module):
    """A linear map to one logit a skill, computed for the columns in use only."""

    def __init__(self, width: int, num_skills: int, weight_std: float | None, bias_std: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, num_skills)
        if weight_std is not None:
            nn.init.normal_(self.linear.weight, std=weight_std)
        # std 0 gives zeros: the same draw for every setting, so that a seed means the same model.
        nn.init.normal_(self.linear.bias)
        with torch.no_grad():
            self.linear.bias.mul_(bias_std)

    def forward(self, x_BTD: Tensor, axis: SkillAxis) -> Tensor:
        """Logits of the columns' skills, [B, T, C]."""
        if axis.is_all:
            return self.linear(x_BTD)
        weight_BCD = self.linear.weight[axis.skills_BC]
        return torch.baddbmm(self.linear.bias[axis.skills_BC][:, None], x_BTD, weight_BCD.transpose(1, 2))


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

        Args:
            num_skills: K.
            size: sizes that the parts of the model share.
            weight_std: weights start at N(0, weight_std); PyTorch's uniform draw where None.
            bias_std: biases start at N(0, bias_std).
            dropout: probability that an entry of v is left out while training, in [0, 1); `size.dropout` is not used.

        Raises:
            ConfigError: dropout is out of range.
        """
        super().__init__()
        if not 0 <= dropout < 1:
            raise ConfigError(f"model.gain_head.dropout={dropout}: a probability, at least 0 and below 1")
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
        self.output = SkillOutput(size.d_ff, num_skills, None, 0.0)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        return torch.sigmoid(self.output(self.hidden(value_BTD), axis).float())


class SkillAttentionGain(nn.Module):
    """Gains by attention over skills: g[t, k] = sigmoid(q(v[t]) . e[k] / sqrt(D) + mean over S[t] of sim[s, k]).

    sim is a learnt skill-to-skill bias, started at 0.
    """

    def __init__(self, num_skills: int, size: Size) -> None:
        """Build the query, the skills' keys e and the similarity."""
        super().__init__()
        self.scale = size.d_model**-0.5
        self.query = nn.Linear(size.d_model, size.d_model)
        self.keys = nn.Parameter(torch.randn(num_skills, size.d_model))
        self.similarity = nn.Parameter(torch.zeros(num_skills, num_skills))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        keys_BCD = self.keys[axis.skills_BC].expand(len(batch), -1, -1)
        score = self.scale * torch.bmm(self.query(value_BTD), keys_BCD.transpose(1, 2))
        # One slot at a time: [B, T, S, C] at once would multiply memory by the most skills that an item has.
        count = batch.has_skill_BTS.sum(-1, keepdim=True).clamp_min(1)
        for slot in range(batch.skills_BTS.shape[2]):
            bias = self.similarity[batch.skills_BTS[..., slot, None], axis.skills_BC[:, None]]
            score = score + bias * batch.has_skill_BTS[..., slot, None] / count
        return torch.sigmoid(score.float())


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
            raise ConfigError(f"model.gain_head.strength={strength}: must be above 0, or practised skills gain less")
        self.output = SkillOutput(size.d_model, num_skills, 0.01, 0.0)
        self.strength = Bounded(1, mean=strength, per_skill=False)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        strength = self.strength()
        prior = torch.where(axis.practised(batch.has_skill_BTS), strength, -strength)
        return torch.sigmoid(self.output(value_BTD, axis).float() + prior)


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


class Practised(nn.Module):
    """Only the skills that the step practises receive its gain."""

    def forward(self, gains_BTC: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains received, [B, T, C]."""
        return gains_BTC * axis.practised(batch.has_skill_BTS)


class AllSkills(nn.Module):
    """Every skill receives the step's gain for it."""

    def forward(self, gains_BTC: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains received, [B, T, C]."""
        return gains_BTC * batch.valid_BT[..., None]
