"""Attention that fades with distance, embeddings with items, and Encoder 1's read-outs."""

import pytest
import torch

from conftest import random_batch
from gainkt.model import Size
from gainkt.model.embeddings import SkillEmbedding
from gainkt.model.encoder import AttentionStream, Decay
from gainkt.model.item_difficulty import RaschDifficulty
from gainkt.model.response_head import MLPHead, SkillHead

SIZE = Size(d_model=16, num_heads=2, num_blocks=1, d_ff=16, dropout=0.0)


def test_decay_weighs_steps_by_distance() -> None:
    attend = Decay(num_heads=2)
    with torch.no_grad():
        attend.raw.copy_(torch.log(torch.expm1(torch.tensor([0.5, 2.0]))))
    same = torch.zeros(1, 2, 5, 8)
    value = torch.eye(5)[None, None].expand(1, 2, 5, 5)  # what comes out are the attention weights
    weights = attend(same, same, value)[0]
    for head, rate in enumerate((0.5, 2.0)):
        for now in range(5):
            expected = torch.softmax(-rate * (now - torch.arange(now + 1.0)), 0)
            torch.testing.assert_close(weights[head, now, : now + 1], expected)
            assert (weights[head, now, now + 1 :] == 0).all()


def test_decay_is_learnt() -> None:
    torch.manual_seed(0)
    stream, batch = AttentionStream(7, SIZE, has_items=False, distance=Decay), random_batch()
    stream(batch, torch.zeros_like(batch.response_BT))[1][:, -1].square().sum().backward()
    rate = stream.blocks[0].attend.raw
    assert (rate.grad.abs() > 0).all()


def test_items_move_an_embedding_along_one_direction_of_their_skill() -> None:
    embedding, batch = SkillEmbedding(7, 16, has_items=True), random_batch(s=1)
    none = torch.zeros_like(batch.response_BT)
    base, once, twice = (embedding(batch, none + d) for d in (0.0, 1.0, 2.0))
    torch.testing.assert_close(twice - base, 2 * (once - base))
    torch.testing.assert_close(once - base, embedding.variation(batch.skills_BTS[..., 0]))


def test_shrinkage_counts_each_item_once() -> None:
    items = RaschDifficulty(5)
    with torch.no_grad():
        items.difficulty.copy_(torch.tensor([1.0, -1.0, 0.0, 2.0, 0.0]))
    assert items.penalty().item() == pytest.approx(1.2)
    batch = random_batch()
    assert (items(batch)[batch.item_BT < 0] == 0).all()
    assert RaschDifficulty(0).penalty() is None


def test_the_skill_head_starts_as_the_shared_one_and_learns_a_direction_a_skill() -> None:
    torch.manual_seed(0)
    head, batch = SkillHead(7, SIZE, has_items=False), random_batch(s=1)
    torch.manual_seed(0)
    shared = MLPHead(7, SIZE, has_items=False)
    state, none = torch.randn(4, 9, 16), torch.zeros_like(batch.response_BT)
    torch.testing.assert_close(head(state, state, batch, none), shared(state, state, batch, none))
    with torch.no_grad():
        head.weight.weight[3, 0], head.bias.weight[3, 0] = 2.0, 1.0
    change = head(state, state, batch, none) - shared(state, state, batch, none)
    expected = torch.where(batch.skills_BTS[..., 0] == 3, 2 * state[..., 0] + 1, 0.0)
    torch.testing.assert_close(change, expected)
