"""Gain heads that tell the skills that a step practises from the others: V4's, and V1's started on the Q-matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.bounded import Bounded
from gainkt.model.gain_head.base import SkillOutput
from gainkt.model.size import Size


class OwnAndTransferGain(nn.Module):
    """V4's gains: sigmoid(u[k] . v[t] + a[k]) for the practised skills, sigmoid(w[k] . v[t] + b[k]) for the others.

    a starts in the middle, so that gains may tell skills apart either way: gains and the curve's steepness trade off. b
    starts so low that a step hardly moves the skills it does not practise; `gain_sparsity` keeps it so.
    """

    def __init__(self, num_skills: int, size: Size, *, own_bias: float, transfer_bias: float) -> None:
        """Start the biases of own gains at `own_bias` logits, of transfer gains at `transfer_bias`."""
        super().__init__()
        self.own = SkillOutput(size.d_model, num_skills, bias=own_bias)
        self.transfer = SkillOutput(size.d_model, num_skills, 0.01, bias=transfer_bias)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        practised = axis.practised(batch.has_skill_BTS)
        logit = torch.where(practised, self.own(value_BTD, axis), self.transfer(value_BTD, axis))
        return torch.sigmoid(logit.float())


class OwnAndTopicGain(nn.Module):
    """V4's gains with transfer of low rank, whose sum over all K skills costs nothing that grows with steps x K.

        g[t, k] = sigmoid(u[k] . v[t] + a[k]) for the practised skills, sum over r of s[t, r] c[k, r] for the others
        s[t] = softmax(W v[t]),  c[k, r] in (0, 1)

    A step is a mixture of R topics, and a topic brings each skill its share; c starts at sigmoid(transfer_bias).
    """

    def __init__(self, num_skills: int, size: Size, *, own_bias: float, transfer_bias: float, topics: int) -> None:
        """Start the biases of own gains at `own_bias` logits, the topics' shares at `transfer_bias` logits.

        Raises:
            ConfigError: topics is under 1.
        """
        super().__init__()
        if topics < 1:
            raise ConfigError(f"topics={topics}: must be 1 or more")
        self.own = SkillOutput(size.d_model, num_skills, bias=own_bias)
        self.mixture = nn.Linear(size.d_model, topics)
        self.share = nn.Parameter(transfer_bias + 0.01 * torch.randn(num_skills, topics))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        share_BCR = torch.sigmoid(self.share[axis.skills_BC])
        transfer = self._topics(value_BTD) @ share_BCR.transpose(1, 2)
        own = torch.sigmoid(self.own(value_BTD, axis).float())
        return torch.where(axis.practised(batch.has_skill_BTS), own, transfer)

    def others(self, value_BTD: Tensor, batch: Batch) -> Tensor:
        """Summed gains of all skills that the step does not practise, [B, T]."""
        share_KR, topics_BTR = torch.sigmoid(self.share), self._topics(value_BTD)
        own_BTS = (topics_BTR[:, :, None] * share_KR[batch.skills_BTS]).sum(-1) * batch.has_skill_BTS
        return topics_BTR @ share_KR.sum(0) - own_BTS.sum(-1)

    def _topics(self, value_BTD: Tensor) -> Tensor:
        return torch.softmax(self.mixture(value_BTD).float(), -1)


class OwnAndMatrixGain(nn.Module):
    """V4's readable alternative: g[t, j] = max over practised k of own[t, k] M[k, j] for skills j not practised.

    own is as in OwnAndTransferGain; M in (0, 1) says what share of a gain on skill k reaches skill j.
    """

    def __init__(self, num_skills: int, size: Size, *, own_bias: float, transfer_bias: float) -> None:
        """Start the biases of own gains at `own_bias` logits, every entry of M at sigmoid(transfer_bias)."""
        super().__init__()
        self.own = SkillOutput(size.d_model, num_skills, bias=own_bias)
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


class OwnTableGain(nn.Module):
    """Gains read off a table: sigmoid(a[r[t], k]) for practised skills, sigmoid(w[k] . v[t] + b[k]) for the others.

    An own gain depends on the skill and on the response r[t] in {0, 1} alone: what is known of the student can only go
    into velocity and readiness. b starts so low that a step hardly moves the skills it does not practise;
    `gain_sparsity` keeps it so. Numbers in a table have far to go: give the head 20 times the learning rate.
    """

    def __init__(
        self,
        num_skills: int,
        size: Size,
        *,
        right_bias: float,
        wrong_bias: float,
        transfer_bias: float,
    ) -> None:
        """Start own gains at `right_bias` or `wrong_bias` logits by the response, transfer gains at `transfer_bias`."""
        super().__init__()
        self.table = nn.Parameter(torch.tensor([wrong_bias, right_bias])[:, None].repeat(1, num_skills))
        self.transfer = SkillOutput(size.d_model, num_skills, 0.01, bias=transfer_bias)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        wrong, right = self.table[:, axis.skills_BC][:, :, None]
        own = torch.where(batch.response_BT[..., None] > 0.5, right, wrong)
        practised = axis.practised(batch.has_skill_BTS)
        return torch.sigmoid(torch.where(practised, own, self.transfer(value_BTD, axis)).float())


class QMatrixGain(nn.Module):
    """V1's gain, started on the Q-matrix: g[t, k] = sigmoid(w[k] . v[t] + b[k] + c (1 if k in S[t], else -1)).

    w starts next to 0 and b at 0, so that gains start at sigmoid(c) and sigmoid(-c); c is learnt and may leave again.
    """

    def __init__(self, num_skills: int, size: Size, *, strength: float) -> None:
        """Start c at `strength` logits.

        Raises:
            ConfigError: strength is not positive.
        """
        super().__init__()
        if not strength > 0:
            raise ConfigError(f"strength={strength}: must be above 0, or practised skills gain less")
        self.output = SkillOutput(size.d_model, num_skills, 0.01)
        self.strength = Bounded(1, mean=strength, per_skill=False)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        strength = self.strength()
        prior = torch.where(axis.practised(batch.has_skill_BTS), strength, -strength)
        return torch.sigmoid(self.output(value_BTD, axis).float() + prior)
