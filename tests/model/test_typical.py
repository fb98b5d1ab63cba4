"""Skills that a trained model does not know are taken for typical ones; nothing else changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from omegaconf import DictConfig

from conftest import random_batch
from gainkt.data.datamodule import Sizes
from gainkt.model.typical import with_typical_skills
from gainkt.runs.folder import build_model

SIZES = Sizes(num_skills=7, num_students=3, num_items=5, skill_names=tuple("abcdefg"), item_names=tuple("vwxyz"))
EXPERIMENTS = ("v1_per_skill", "v3_skill_attention", "v4_belief", "v4_items_attention", "v4_table", "try_q_matrix")
"""Each kind of tensor that goes by skill is in one of them; all 41 experiments passed when this was written."""
COMPARES_ALL = "v3_skill_attention"
"""Its gains are shares of attention over all skills."""


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_unknown_skills_are_the_mean_of_known_ones(experiment: str, config: Callable[..., DictConfig]) -> None:
    torch.manual_seed(0)
    cfg = config(experiment).model
    model = build_model(cfg, SIZES).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wider = with_typical_skills(model, build_model(cfg, replace(SIZES, num_skills=9)), 7).eval()
    batch = random_batch()
    said, again = model(batch), wider(batch)
    torch.testing.assert_close(again.logit1_BT, said.logit1_BT)
    if experiment != COMPARES_ALL:
        torch.testing.assert_close(again.logit2_BT, said.logit2_BT, atol=1e-5, rtol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    for beyond in (7, 8):  # both are alike, and each is a skill of its own
        other = wider(replace(batch, skills_BTS=torch.where(batch.skills_BTS == 2, beyond, batch.skills_BTS)))
        assert torch.isfinite(other.logit1_BT[batch.valid_BT]).all()
        assert torch.isfinite(other.logit2_BT[batch.valid_BT]).all()
    embedding = wider.encoder1.embedding
    table = getattr(embedding, "context", embedding).table.weight.unflatten(0, (-1, 9))
    torch.testing.assert_close(table[:, 7], table[:, :7].mean(1))
    torch.testing.assert_close(table[:, 8], table[:, 7])
