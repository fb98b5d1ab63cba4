"""Encoders: causal streams over what happened."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model.embeddings import InteractionEmbedding, SkillEmbedding
from gainkt.model.size import Size


def rotate(x_BHTd: Tensor) -> Tensor:
    """Turn each pair of features by an angle proportional to the step, so that attention sees distances.

    Positions are computed, not learnt, and only differences enter: the length of a sequence is not capped.
    Source: Su et al., RoFormer: enhanced transformer with rotary position embedding, 2021.
    """
    steps, half = x_BHTd.shape[-2], x_BHTd.shape[-1] // 2
    frequency = 10_000.0 ** (-torch.arange(half, device=x_BHTd.device, dtype=torch.float32) / half)
    angle = torch.arange(steps, device=x_BHTd.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x_BHTd.dtype), angle.sin().to(x_BHTd.dtype)
    a, b = x_BHTd[..., :half], x_BHTd[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Rotary(nn.Module):
    """Attention that sees distances by turning queries and keys (`rotate`)."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()

    def forward(self, query_BHTd: Tensor, key_BHTd: Tensor, value_BHTd: Tensor) -> Tensor:
        """Mix the values of each step and those before it."""
        # Padding stands on the right, so the causal mask alone keeps it out of every real step.
        # No dropout on the attention weights: it would rule out the fused kernels, which never hold a [T, T] matrix.
        return F.scaled_dot_product_attention(rotate(query_BHTd), rotate(key_BHTd), value_BHTd, is_causal=True)


class Decay(nn.Module):
    """Distance-aware attention: score[i, j] = q[i] . k[j] / sqrt(d) - a (i - j), a > 0 learnt for each head.

    What lies far back counts less, as memory fades. In training [B, H, T, T] weights are held: a learnt bias rules out
    the fused kernel on the CPU.
    Source: Press et al., Train short, test long, 2022 (the bias); Ghosh et al., 2020 (the decay is learnt).
    """

    def __init__(self, num_heads: int) -> None:
        """Start the heads' rates at 1/2, 1/8, ..., from short to long memory."""
        super().__init__()
        rate = 2.0 ** -(1 + 2 * torch.arange(num_heads, dtype=torch.float32))
        self.raw = nn.Parameter(torch.log(torch.expm1(rate)))

    def forward(self, query_BHTd: Tensor, key_BHTd: Tensor, value_BHTd: Tensor) -> Tensor:
        """Mix the values of each step and those before it."""
        step = torch.arange(query_BHTd.shape[2], device=query_BHTd.device)
        distance = step[:, None] - step
        bias = -F.softplus(self.raw)[:, None, None] * distance
        bias = bias.masked_fill(distance < 0, -torch.inf).to(query_BHTd.dtype)
        return F.scaled_dot_product_attention(query_BHTd, key_BHTd, value_BHTd, attn_mask=bias[None])


class AttentionBlock(nn.Module):
    """Causal attention: context gives queries and keys, value gives values; both have residuals and norms."""

    def __init__(self, size: Size, distance: Callable[[int], nn.Module]) -> None:
        """Build projections, norms and the context's feed-forward layer."""
        super().__init__()
        self.attend = distance(size.num_heads)
        self.num_heads = size.num_heads
        self.query_key = nn.Linear(size.d_model, 2 * size.d_model)
        self.value = nn.Linear(size.d_model, size.d_model)
        self.out = nn.Linear(size.d_model, size.d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(size.d_model, size.d_ff),
            nn.ReLU(),
            nn.Dropout(size.dropout),
            nn.Linear(size.d_ff, size.d_model),
        )
        self.context_norm, self.value_norm, self.out_norm = (nn.LayerNorm(size.d_model) for _ in range(3))
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, context_BTD: Tensor, value_BTD: Tensor) -> tuple[Tensor, Tensor]:
        """Return context and value after the block, [B, T, D] each."""
        b, t, d = context_BTD.shape
        query, key = self.query_key(context_BTD).view(b, t, 2, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        value = self.value(value_BTD).view(b, t, self.num_heads, -1).transpose(1, 2)
        mixed = self.attend(query, key, value)
        mixed = self.dropout(self.out(mixed.transpose(1, 2).reshape(b, t, d)))
        context_BTD = self.context_norm(context_BTD + mixed)
        value_BTD = self.value_norm(value_BTD + mixed)
        return self.out_norm(context_BTD + self.feed_forward(context_BTD)), value_BTD


class AttentionStream(nn.Module):
    """History to state by stacked causal attention blocks."""

    def __init__(
        self, num_skills: int, size: Size, *, has_items: bool, distance: Callable[[int], nn.Module] = Rotary
    ) -> None:
        """Build the embeddings and `size.num_blocks` blocks, which see distances as `distance` says."""
        super().__init__()
        self.embedding = InteractionEmbedding(num_skills, size.d_model, has_items=has_items)
        self.blocks = nn.ModuleList(AttentionBlock(size, distance) for _ in range(size.num_blocks))

    def forward(self, batch: Batch, difficulty_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return context and value after each step, [B, T, D] each; `[:, t]` depends on steps 0..t only."""
        context, value = self.embedding(batch, difficulty_BT)
        for block in self.blocks:
            context, value = block(context, value)
        return context, value


class SharedStream(nn.Module):
    """As Encoder 2: no stream of its own, the values of Encoder 1's, which the losses of both heads then shape."""

    def __init__(self, num_skills: int, size: Size, *, has_items: bool) -> None:
        super().__init__()


class LSTMStream(nn.Module):
    """History to state by an LSTM over embeddings of the interactions; its output is context and value at once."""

    def __init__(self, num_skills: int, size: Size, *, has_items: bool, num_layers: int) -> None:
        """Build the embedding and `num_layers` layers of width D."""
        super().__init__()
        self.embedding = SkillEmbedding(num_skills, size.d_model, variants=2, has_items=has_items)
        self.lstm = nn.LSTM(size.d_model, size.d_model, num_layers, batch_first=True)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, batch: Batch, difficulty_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return context and value after each step, [B, T, D], the same tensor; `[:, t]` depends on steps 0..t only."""
        state, _ = self.lstm(self.embedding(batch, difficulty_BT, batch.response_BT))
        state = self.dropout(state)
        return state, state
