"""Gain heads in which skills have, mix or share experts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model.axis import SkillAxis
from gainkt.model.size import Size


def of_columns(table: Tensor, axis: SkillAxis) -> Tensor:
    """Rows of a table [K, ...] for the columns in use: [C, ...] where they are all skills, else [B, C, ...]."""
    return table if axis.is_all else table[axis.skills_BC]


def _uniform(*shape: int, width: int) -> nn.Parameter:
    """PyTorch's starting draw of a linear map that reads `width` numbers, U(-1/sqrt(width), 1/sqrt(width))."""
    return nn.Parameter(torch.empty(shape).uniform_(-(width**-0.5), width**-0.5))


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise ConfigError(f"{name}={count}: must be 1 or more")


class ExpertGain(nn.Module):
    """An expert a skill, sharing nothing: g[t, k] = sigmoid(a[k] . relu(W[k] v[t] + c[k]) + b[k]).

    The hidden layers of all columns are held at once: `hidden` times the memory of a linear head.
    """

    def __init__(self, num_skills: int, size: Size, *, hidden: int) -> None:
        """Build K experts with `hidden` hidden units each.

        Raises:
            ConfigError: hidden is under 1.
        """
        super().__init__()
        _check_count("hidden", hidden)
        self.hidden_weight = _uniform(num_skills, hidden, size.d_model, width=size.d_model)
        self.hidden_bias = _uniform(num_skills, hidden, width=size.d_model)
        self.weight = _uniform(num_skills, hidden, width=hidden)
        self.bias = nn.Parameter(torch.zeros(num_skills))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        # The experts' hidden units side by side make one matrix product of all of them.
        side_by_side = value_BTD @ of_columns(self.hidden_weight, axis).flatten(-3, -2).mT
        side_by_side = torch.relu(side_by_side + of_columns(self.hidden_bias, axis).flatten(-2)[..., None, :])
        hidden_BTCH = side_by_side.unflatten(-1, (axis.size, -1))
        logit = (hidden_BTCH * of_columns(self.weight, axis)[..., None, :, :]).sum(-1)
        return torch.sigmoid((logit + of_columns(self.bias, axis)[..., None, :]).float())


class MixtureGain(nn.Module):
    """Linear experts mixed anew at each step: g[t] = sigmoid(sum over m of gate[t, m] (W[m] v[t] + b[m])).

    gate[t] = softmax(U v[t] + u) over the experts, the same for every skill.
    """

    def __init__(self, num_skills: int, size: Size, *, experts: int) -> None:
        """Build the gate and `experts` experts, each as LinearGain starts.

        Raises:
            ConfigError: experts is under 1.
        """
        super().__init__()
        _check_count("experts", experts)
        self.gate = nn.Linear(size.d_model, experts)
        self.weight = _uniform(num_skills, experts, size.d_model, width=size.d_model)
        self.bias = nn.Parameter(torch.zeros(num_skills, experts))

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        gate_BTM = self.gate(value_BTD).softmax(-1)
        # Copies of v weighted by the gate: the sum over experts is one matrix product, with no [B, T, M, C] between.
        gated = (gate_BTM[..., None] * value_BTD[..., None, :]).flatten(2)
        logit = gated @ of_columns(self.weight, axis).flatten(-2).mT + gate_BTM @ of_columns(self.bias, axis).mT
        return torch.sigmoid(logit.float())


class GroupedGain(nn.Module):
    """Groups of skills that gain together: g[t, k] = sigmoid(sum over j of a[k, j] q[j](v[t]) + s[k]).

    q is linear, one output a group; a[k] = softmax(z[k]) says to which groups skill k belongs; s shifts a skill.
    """

    def __init__(self, num_skills: int, size: Size, *, groups: int) -> None:
        """Build the groups, and skills that start at random between them: z from N(0, 1), s = 0.

        Raises:
            ConfigError: groups is under 1.
        """
        super().__init__()
        _check_count("groups", groups)
        self.group = nn.Linear(size.d_model, groups)
        self.membership = nn.Parameter(torch.randn(num_skills, groups))
        self.shift = nn.Parameter(torch.zeros(num_skills))

    def assignment(self) -> Tensor:
        """Share of each group in each skill, a, [K, groups]; rows sum to 1."""
        return self.membership.softmax(-1)

    def forward(self, value_BTD: Tensor, axis: SkillAxis, batch: Batch) -> Tensor:
        """Gains in [0, 1], [B, T, C]."""
        logit = self.group(value_BTD) @ of_columns(self.assignment(), axis).mT
        return torch.sigmoid((logit + of_columns(self.shift, axis)[..., None, :]).float())
