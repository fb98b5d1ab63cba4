"""Vectors of skills and interactions, and difficulties of items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.data.batch import Batch


class SkillEmbedding(nn.Module):
    """The mean of the vectors of a step's skills, [B, T, D]; `variants` tables are told apart by an index.

        x[t] = mean over the step's skills k of (c[k] + d[item] u[k])

    The second part, where items are known, lets items of one skill differ along one direction by their difficulty d.
    Source: Ghosh et al., Context-aware attentive knowledge tracing, 2020 (Rasch model-based embeddings).
    """

    def __init__(self, num_skills: int, d_model: int, variants: int = 1, *, has_items: bool = False) -> None:
        """Draw c from N(0, 1/D), `variants` of them a skill, and so u where the data has items."""
        super().__init__()
        self.num_skills = num_skills
        self.table = nn.Embedding(num_skills * variants, d_model)
        nn.init.normal_(self.table.weight, std=d_model**-0.5)
        self.variation = nn.Embedding(num_skills * variants, d_model) if has_items else None
        if self.variation is not None:
            nn.init.normal_(self.variation.weight, std=d_model**-0.5)

    def forward(self, batch: Batch, difficulty_BT: Tensor, variant_BT: Tensor | None = None) -> Tensor:
        """Embed the skills of each step, in the given variant (its response, say)."""
        index = batch.skills_BTS
        if variant_BT is not None:
            index = index + self.num_skills * variant_BT[..., None].long()
        mean = mean_vector(self.table, index, batch)
        if self.variation is None:
            return mean
        return mean + difficulty_BT[..., None] * mean_vector(self.variation, index, batch)


def mean_vector(table: nn.Embedding, index_BTS: Tensor, batch: Batch) -> Tensor:
    """Mean over the filled slots of the vectors at `index`, [B, T, D]."""
    if index_BTS.shape[2] == 1:
        return table(index_BTS[..., 0])
    weight = batch.has_skill_BTS.to(table.weight.dtype)
    weight = weight / weight.sum(-1, keepdim=True).clamp_min(1)
    return torch.einsum("bts,btsd->btd", weight, table(index_BTS))


class InteractionEmbedding(nn.Module):
    """Context and value vectors of an interaction: one a skill and response in each of two tables."""

    def __init__(self, num_skills: int, d_model: int, *, has_items: bool) -> None:
        super().__init__()
        self.context = SkillEmbedding(num_skills, d_model, variants=2, has_items=has_items)
        self.value = SkillEmbedding(num_skills, d_model, variants=2, has_items=has_items)

    def forward(self, batch: Batch, difficulty_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Embed each step's skills and response: context and value, [B, T, D] each."""
        response = batch.response_BT
        return self.context(batch, difficulty_BT, response), self.value(batch, difficulty_BT, response)
