"""Encoders: embeddings of what happened, and causal streams over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.batch import Batch
from gainkt.errors import ConfigError


@dataclass(frozen=True)
class Size:
    """Sizes that the parts of a model share."""

    d_model: int
    """Width of the streams, D."""
    num_heads: int
    """Attention heads; divides d_model into heads of even width."""
    num_blocks: int
    """Blocks stacked in a stream."""
    d_ff: int
    """Hidden width of feed-forward layers and heads."""
    dropout: float
    """Dropout probability, in [0, 1)."""

    def __post_init__(self) -> None:
        """Check that the sizes fit together."""
        for name in ("d_model", "num_heads", "num_blocks", "d_ff"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.size.{name}={getattr(self, name)}: must be 1 or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"model.size.dropout={self.dropout}: a probability, at least 0 and below 1")
        if self.d_model % (2 * self.num_heads):
            raise ConfigError(
                f"model.size.num_heads={self.num_heads}: must divide model.size.d_model={self.d_model} into heads of "
                f"even width; choose a d_model that is a multiple of {2 * self.num_heads}"
            )


class SkillEmbedding(nn.Module):
    """The mean of the vectors of a step's skills, [B, T, D]; `variants` tables are told apart by an index."""

    def __init__(self, num_skills: int, d_model: int, variants: int = 1) -> None:
        """Draw the vectors from N(0, 1/D): `variants` of them a skill."""
        super().__init__()
        self.num_skills = num_skills
        self.table = nn.Embedding(num_skills * variants, d_model)
        nn.init.normal_(self.table.weight, std=d_model**-0.5)

    def forward(self, batch: Batch, variant_BT: Tensor | None = None) -> Tensor:
        """Embed the skills of each step, in the given variant (its response, say)."""
        index = batch.skills_BTS
        if variant_BT is not None:
            index = index + self.num_skills * variant_BT[..., None].long()
        if index.shape[2] == 1:
            return self.table(index[..., 0])
        weight = batch.has_skill_BTS.to(self.table.weight.dtype)
        weight = weight / weight.sum(-1, keepdim=True).clamp_min(1)
        return torch.einsum("bts,btsd->btd", weight, self.table(index))


class InteractionEmbedding(nn.Module):
    """Context and value vectors of an interaction: one a skill and response in each of two tables."""

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Build the two tables."""
        super().__init__()
        self.context = SkillEmbedding(num_skills, d_model, variants=2)
        self.value = SkillEmbedding(num_skills, d_model, variants=2)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed each step's skills and response: context and value, [B, T, D] each."""
        return self.context(batch, batch.response_BT), self.value(batch, batch.response_BT)


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


class AttentionBlock(nn.Module):
    """Causal attention: context gives queries and keys, value gives values; both have residuals and norms."""

    def __init__(self, size: Size) -> None:
        """Build projections, norms and the context's feed-forward layer."""
        super().__init__()
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
        # Padding stands on the right, so the causal mask alone keeps it out of every real step.
        # No dropout on the attention weights: it would rule out the fused kernels, which never hold a [T, T] matrix.
        mixed = F.scaled_dot_product_attention(rotate(query), rotate(key), value, is_causal=True)
        mixed = self.dropout(self.out(mixed.transpose(1, 2).reshape(b, t, d)))
        context_BTD = self.context_norm(context_BTD + mixed)
        value_BTD = self.value_norm(value_BTD + mixed)
        return self.out_norm(context_BTD + self.feed_forward(context_BTD)), value_BTD


class AttentionStream(nn.Module):
    """History to state by stacked causal attention blocks."""

    def __init__(self, num_skills: int, size: Size) -> None:
        """Build the embeddings and `size.num_blocks` blocks."""
        super().__init__()
        self.embedding = InteractionEmbedding(num_skills, size.d_model)
        self.blocks = nn.ModuleList(AttentionBlock(size) for _ in range(size.num_blocks))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return context and value after each step, [B, T, D] each; `[:, t]` depends on steps 0..t only."""
        context, value = self.embedding(batch)
        for block in self.blocks:
            context, value = block(context, value)
        return context, value


class LSTMStream(nn.Module):
    """History to state by an LSTM over embeddings of the interactions; its output is context and value at once."""

    def __init__(self, num_skills: int, size: Size, *, num_layers: int = 1) -> None:
        """Build the embedding and `num_layers` layers of width D."""
        super().__init__()
        self.embedding = SkillEmbedding(num_skills, size.d_model, variants=2)
        self.lstm = nn.LSTM(size.d_model, size.d_model, num_layers, batch_first=True)
        self.dropout = nn.Dropout(size.dropout)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return context and value after each step, [B, T, D], the same tensor; `[:, t]` depends on steps 0..t only."""
        state, _ = self.lstm(self.embedding(batch, batch.response_BT))
        state = self.dropout(state)
        return state, state


class ResponseHead(nn.Module):
    """Encoder 1's read-out: logit[t] = MLP([context[t-1], value[t-1], embedding of the skills of step t])."""

    def __init__(self, num_skills: int, size: Size) -> None:
        """Build the embedding of the step to come and the MLP."""
        super().__init__()
        self.next_skills = SkillEmbedding(num_skills, size.d_model)
        self.mlp = nn.Sequential(
            nn.Linear(3 * size.d_model, size.d_ff),
            nn.ReLU(),
            nn.Dropout(size.dropout),
            nn.Linear(size.d_ff, 1),
        )

    def forward(self, context_before_BTD: Tensor, value_before_BTD: Tensor, batch: Batch) -> Tensor:
        """Logit of a right response to each step, [B, T]."""
        known = torch.cat([context_before_BTD, value_before_BTD, self.next_skills(batch)], dim=-1)
        return self.mlp(known).squeeze(-1)
