"""Encoders: causal streams over what happened.

An encoder is built as `encoder(num_skills, size, has_items=...)` and called as `encoder(batch, difficulty_BT)`; it
returns context and value after each step, [B, T, D] each. One that goes on from an earlier window has two more methods:

    start(num_students) -> Share            what it keeps of students before their first step
    resume(batch, difficulty_BT, past: Share | None) -> (context, value, after)

where `after(rows)` is its Share of the windows at `rows` (all where None) after each one's last step, made when called.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from gainkt.data.batch import Batch
from gainkt.model.embeddings import InteractionEmbedding, SkillEmbedding
from gainkt.model.size import Size
from gainkt.model.state import Share, last_columns

After = Callable[[Tensor | None], Share]
"""Makes a stream's share of the state after a batch, of the given rows or all."""


def rotate(x_BHTd: Tensor, first: int = 0) -> Tensor:
    """Turn each pair of features by an angle proportional to the step, so that attention sees distances.

    Positions are computed, not learnt, and only differences enter: the length of a sequence is not capped. The first
    column has position `first`.
    Source: Su et al., RoFormer: enhanced transformer with rotary position embedding, 2021.
    """
    steps, half = x_BHTd.shape[-2], x_BHTd.shape[-1] // 2
    frequency = 10_000.0 ** (-torch.arange(half, device=x_BHTd.device, dtype=torch.float32) / half)
    angle = torch.arange(first, first + steps, device=x_BHTd.device, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos().to(x_BHTd.dtype), angle.sin().to(x_BHTd.dtype)
    a, b = x_BHTd[..., :half], x_BHTd[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Rotary(nn.Module):
    """Attention that sees distances by turning queries and keys (`rotate`)."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()

    def forward(
        self, query_BHTd: Tensor, key_BHNd: Tensor, value_BHNd: Tensor, seen_BTN: Tensor | None = None
    ) -> Tensor:
        """Mix the values of each step and those before it.

        Args:
            query_BHTd: of the window's steps.
            key_BHNd: of the context's steps and, last, the window's.
            value_BHNd: of the same.
            seen_BTN: bool, which of them a step attends to; itself and those before it where None, N = T then.
        """
        # Padding stands on the right, so the causal mask alone keeps it out of every real step.
        # No dropout on the attention weights: it would rule out the fused kernels, which never hold a [T, T] matrix.
        query, key = rotate(query_BHTd, key_BHNd.shape[2] - query_BHTd.shape[2]), rotate(key_BHNd)
        if seen_BTN is None:
            return F.scaled_dot_product_attention(query, key, value_BHNd, is_causal=True)
        return F.scaled_dot_product_attention(query, key, value_BHNd, attn_mask=seen_BTN[:, None])


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

    def forward(
        self, query_BHTd: Tensor, key_BHNd: Tensor, value_BHNd: Tensor, seen_BTN: Tensor | None = None
    ) -> Tensor:
        """Mix the values of each step and those before it; arguments as of `Rotary`."""
        step = torch.arange(key_BHNd.shape[2], device=query_BHTd.device)
        distance = step[-query_BHTd.shape[2] :, None] - step
        bias = -F.softplus(self.raw)[:, None, None] * distance
        bias = bias.masked_fill(distance < 0, -torch.inf).to(query_BHTd.dtype)[None]
        if seen_BTN is not None:
            bias = bias.masked_fill(~seen_BTN[:, None], -torch.inf)
        return F.scaled_dot_product_attention(query_BHTd, key_BHNd, value_BHNd, attn_mask=bias)


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

    def forward(
        self, context_BTD: Tensor, value_BTD: Tensor, past: tuple[Tensor, Tensor] | None, seen_BTN: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Return context and value after the block, [B, T, D] each, and keys and values of all steps, [B, N, D] each.

        Args:
            context_BTD: before the block.
            value_BTD: before the block.
            past: keys and values of the steps before the window.
            seen_BTN: bool, to which steps of past and window each step attends; None without a past.
        """
        b, t, d = context_BTD.shape
        query, key = self.query_key(context_BTD).view(b, t, 2, d).unbind(2)
        value = self.value(value_BTD)
        if past is not None:
            key, value = (torch.cat([old.to(x.dtype), x], 1) for old, x in zip(past, (key, value), strict=True))
        heads = (x.view(b, x.shape[1], self.num_heads, -1).transpose(1, 2) for x in (query, key, value))
        # A way of attending that knows no past still takes three arguments.
        mixed = self.attend(*heads) if seen_BTN is None else self.attend(*heads, seen_BTN)
        mixed = self.dropout(self.out(mixed.transpose(1, 2).reshape(b, t, d)))
        context_BTD = self.context_norm(context_BTD + mixed)
        value_BTD = self.value_norm(value_BTD + mixed)
        return self.out_norm(context_BTD + self.feed_forward(context_BTD)), value_BTD, (key, value)


class AttentionStream(nn.Module):
    """History to state by stacked causal attention blocks.

    Over the cut of a long history each block keeps keys and values of the last `context` steps.
    """

    def __init__(
        self,
        num_skills: int,
        size: Size,
        *,
        has_items: bool,
        distance: Callable[[int], nn.Module] = Rotary,
        context: int = 256,
    ) -> None:
        """Build the embeddings and `size.num_blocks` blocks, which see distances as `distance` says."""
        super().__init__()
        self.embedding = InteractionEmbedding(num_skills, size.d_model, has_items=has_items)
        self.blocks = nn.ModuleList(AttentionBlock(size, distance) for _ in range(size.num_blocks))
        self.context, self.width = context, size.d_model

    def forward(self, batch: Batch, difficulty_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return context and value after each step, [B, T, D] each; `[:, t]` depends on steps 0..t only."""
        return self.resume(batch, difficulty_BT, None)[:2]

    def start(self, num_students: int) -> Share:
        """No keys and values of students before their first step."""
        nothing = self.embedding.context.table.weight.new_zeros(num_students, 0, self.width)
        kept = {f"{what}{number}": nothing for number in range(len(self.blocks)) for what in ("key", "value")}
        return Share({}, kept, torch.zeros(num_students, dtype=torch.long, device=nothing.device))

    def resume(self, batch: Batch, difficulty_BT: Tensor, past: Share | None) -> tuple[Tensor, Tensor, After]:
        """Go on from the steps before; see the module."""
        seen = None if past is None or not past.width else self._seen(batch, past)
        context, value = self.embedding(batch, difficulty_BT)
        kept: dict[str, Tensor] = {}
        for number, block in enumerate(self.blocks):
            names = f"key{number}", f"value{number}"
            before = None if seen is None or past is None else (past.context[names[0]], past.context[names[1]])
            context, value, both = block(context, value, before, seen)
            kept |= dict(zip(names, both, strict=True))
        return context, value, lambda rows: self._after(batch, past, kept, rows)

    @staticmethod
    def _seen(batch: Batch, past: Share) -> Tensor:
        """To which steps each step attends, bool [B, T, N]: those of the past that exist, and those up to itself."""
        steps, width = batch.valid_BT.shape[1], past.width
        column = torch.arange(width + steps, device=batch.valid_BT.device)
        there = column >= width - past.steps_B.clamp_max(width)[:, None]
        return there[:, None] & (column <= width + column[:steps, None])

    def _after(self, batch: Batch, past: Share | None, kept: dict[str, Tensor], rows: Tensor | None) -> Share:
        is_one = past is not None and past.width == self.context and batch.valid_BT.shape[1] == 1
        if past is not None and rows is None and is_one and batch.valid_BT.all():  # the oldest step goes
            return Share({}, {name: x[:, 1:] for name, x in kept.items()}, past.steps_B + 1)
        at = slice(None) if rows is None else rows
        count = batch.valid_BT[at].sum(1)
        width = 0 if past is None else past.width
        steps = count if past is None else past.steps_B[at] + count
        keep = min(self.context, width + batch.valid_BT.shape[1])
        # What stands before the first step is 0, as in any state.
        there = torch.arange(keep, device=count.device) >= keep - steps[:, None]
        context = {
            name: last_columns(x[at], width + count, keep) * there[..., None].to(x.dtype) for name, x in kept.items()
        }
        return Share({}, context, steps)


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
        return self.resume(batch, difficulty_BT, None)[:2]

    def start(self, num_students: int) -> Share:
        """Hidden and cell state of 0, [B, layers, D] each."""
        zeros = self.embedding.table.weight.new_zeros(num_students, self.lstm.num_layers, self.lstm.hidden_size)
        steps = torch.zeros(num_students, dtype=torch.long, device=zeros.device)
        return Share({"hidden": zeros, "cell": zeros}, {}, steps)

    def resume(self, batch: Batch, difficulty_BT: Tensor, past: Share | None) -> tuple[Tensor, Tensor, After]:
        """Go on from the steps before; see the module."""
        embedded = self.embedding(batch, difficulty_BT, batch.response_BT)
        before = None
        if past is not None:
            pair = (past.student[name].transpose(0, 1).to(embedded.dtype) for name in ("hidden", "cell"))
            before = next(pair).contiguous(), next(pair).contiguous()
        state, last = self.lstm(embedded, before)
        state = self.dropout(state)
        return state, state, lambda rows: self._after(batch, past, embedded, last, rows)

    def _after(
        self, batch: Batch, past: Share | None, embedded: Tensor, last: tuple[Tensor, Tensor], rows: Tensor | None
    ) -> Share:
        at = slice(None) if rows is None else rows
        count = batch.valid_BT[at].sum(1)
        hidden, cell = (x.transpose(0, 1)[at] for x in last)
        if bool((count < batch.valid_BT.shape[1]).any()):
            # The cell state is known at the last column only; shorter windows are run again, each to its own end.
            old = self.start(len(count)).student if past is None else {n: x[at] for n, x in past.student.items()}
            before = tuple(old[name].transpose(0, 1).to(embedded.dtype).contiguous() for name in ("hidden", "cell"))
            packed = pack_padded_sequence(
                embedded[at], count.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False
            )
            again = (x.transpose(0, 1) for x in self.lstm(packed, before)[1])
            moved = (count > 0)[:, None, None]
            hidden, cell = (
                torch.where(moved, new, x.to(new.dtype)) for new, x in zip(again, old.values(), strict=True)
            )
        steps = count if past is None else past.steps_B[at] + count
        return Share({"hidden": hidden, "cell": cell}, {}, steps)
