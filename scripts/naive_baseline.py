"""The research line's way of training, for benchmarks: the same model computed the straightforward way.

Same parameters, same results (tests/test_benchmark.py); what differs is how they are computed:

- every window is padded to 200 steps, 64 windows a batch;
- attention forms the [T, T] scores, masks them, takes their softmax and drops weights out;
- gains have a column for every skill, practice is summed by a Python loop over steps, and the curve of every
  skill is computed at each of them.

The loop keeps a list and stacks it: writing into slices of one tensor would make backward quadratic in T.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainkt.data.batch import Batch, shift
from gainkt.model import GainKT
from gainkt.model.axis import all_skills
from gainkt.model.belief import Moments
from gainkt.model.encoder import AttentionBlock, AttentionStream, rotate


@dataclass(slots=True)
class NaiveOutput:
    """What the loss reads."""

    logit1_BT: Tensor
    """Encoder 1's logit of a right response to each step."""
    logit2_BT: Tensor
    """Encoder 2's."""
    mastery_BTK: Tensor
    """Mastery of every skill after each step."""


class NaiveGainKT(nn.Module):
    """Runs a GainKT's own parts, weights included, the straightforward way."""

    def __init__(self, model: GainKT, attention_dropout: float | None = None) -> None:
        """Take the parts of `model`.

        Args:
            model: with attention encoders, as in V0-V3.
            attention_dropout: probability of dropping an attention weight; the model's own where None.
        """
        super().__init__()
        self.model = model
        self.attention_dropout = attention_dropout

    def forward(self, batch: Batch) -> NaiveOutput:
        """Predict each step from the steps before it."""
        m = self.model
        difficulty1, difficulty2 = m.items1(batch), m.items2(batch)
        context1, value1 = self._stream(m.encoder1, batch, difficulty1)
        logit1 = m.response_head(shift(context1), shift(value1), batch, difficulty1)
        _, value = self._stream(m.encoder2, batch, difficulty2)
        axis = all_skills(batch, m.num_skills)
        gains = m.gain_head(value, axis, batch)
        gains = m.receivers(gains.float(), axis, batch)
        with torch.autocast(value.device.type, enabled=False):
            velocity = m.velocity(batch, Moments.before_steps(value))[:, 0]
            practice = torch.zeros_like(gains[:, 0])
            curve = []
            for t in range(gains.shape[1]):
                practice = practice + gains[:, t]
                curve.append(m.curve(practice, axis.skills_BC, velocity, practice.new_zeros(1)))
            mastery = torch.stack(curve, dim=1)
            # Before the first step practice is 0; never scored, but kept the same.
            first = m.curve(torch.zeros_like(practice), axis.skills_BC, velocity, practice.new_zeros(1))[:, None]
            before = shift(mastery, first).gather(2, batch.skills_BTS)
            logit2 = m.readout(before, batch) - difficulty2
        return NaiveOutput(logit1.float(), logit2, mastery)

    def _stream(self, stream: nn.Module, batch: Batch, difficulty_BT: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(stream, AttentionStream)
        context, value = stream.embedding(batch, difficulty_BT)
        for block in stream.blocks:
            assert isinstance(block, AttentionBlock)
            context, value = self._block(block, context, value)
        return context, value

    def _block(self, block: AttentionBlock, context: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """AttentionBlock.forward with an explicit [T, T] mask, softmax and dropout of the weights."""
        b, t, d = context.shape
        query, key = block.query_key(context).view(b, t, 2, block.num_heads, -1).permute(2, 0, 3, 1, 4)
        values = block.value(value).view(b, t, block.num_heads, -1).transpose(1, 2)
        query, key = rotate(query), rotate(key)
        score = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        later = torch.ones(t, t, dtype=torch.bool, device=score.device).triu(1)
        weight = score.masked_fill(later, -torch.inf).softmax(-1)
        p = block.dropout.p if self.attention_dropout is None else self.attention_dropout
        weight = F.dropout(weight, p, self.training and p > 0)
        mixed = block.dropout(block.out((weight @ values).transpose(1, 2).reshape(b, t, d)))
        context = block.context_norm(context + mixed)
        value = block.value_norm(value + mixed)
        return block.out_norm(context + block.feed_forward(context)), value


def pad_to(batch: Batch, length: int) -> Batch:
    """Return the batch padded on the right to `length` steps."""
    more = length - batch.valid_BT.shape[1]
    assert more >= 0
    return Batch(
        student_B=batch.student_B,
        trained_student_B=batch.trained_student_B,
        start_B=batch.start_B,
        skills_BTS=F.pad(batch.skills_BTS, (0, 0, 0, more)),
        has_skill_BTS=F.pad(batch.has_skill_BTS, (0, 0, 0, more)),
        item_BT=F.pad(batch.item_BT, (0, more), value=-1),
        response_BT=F.pad(batch.response_BT, (0, more)),
        valid_BT=F.pad(batch.valid_BT, (0, more)),
        scored_BT=F.pad(batch.scored_BT, (0, more)),
    )
