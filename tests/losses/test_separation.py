"""Triplets and synthetic targets ask for gains that differ with the skill practised."""

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import output_for, random_batch
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses import GainTarget, SkillTriplet
from gainkt.losses.separation import draw_partners
from gainkt.train import train


def minimise(term, batch: Batch, steps: int = 150) -> torch.Tensor:
    """Gains, free at every step and started next to uniform, that make a term small."""
    torch.manual_seed(0)
    output = output_for(batch)
    free = (0.05 * torch.randn_like(output.gains_BTC)).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(steps):
        output.gains_BTC = free.sigmoid()
        value = term(output, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return free.sigmoid().detach()


def test_triplets_separate_the_skills() -> None:
    batch = random_batch(b=6, t=12, s=1)
    valid, label = batch.valid_BT, batch.skills_BTS[..., 0]
    gains = minimise(SkillTriplet(margin=0.3), batch)[valid]
    same = label[valid][:, None] == label[valid]
    apart = torch.cdist(gains, gains) / 7**0.5
    other = ~torch.eye(len(gains), dtype=torch.bool)
    assert apart[same & other].mean() < 0.1
    assert apart[~same].mean() > 0.25


def test_triplet_by_hand() -> None:
    batch = random_batch(b=1, t=3, s=1)
    batch.skills_BTS[0, :, 0] = torch.tensor([2, 2, 5])  # so that every draw is forced
    output = output_for(batch)
    output.gains_BTC = torch.tensor([[0.0, 0.3, 0.4]])[..., None].expand(1, 3, 7)
    # Anchors 0 and 1 have both partners: d(a, p) = .3; d(a, n) = .4 and .1. The last has no other step of its skill.
    assert float(SkillTriplet(margin=0.2)(output, batch)) == pytest.approx((0.1 + 0.4) / 2, abs=1e-5)


def test_partners_practise_what_they_should() -> None:
    torch.manual_seed(0)
    for slots in (1, 3):
        batch = random_batch(b=8, t=15, s=slots)
        valid = batch.valid_BT
        skills, has_skill = batch.skills_BTS[valid], batch.has_skill_BTS[valid]
        own = [set(s[h].tolist()) for s, h in zip(skills, has_skill, strict=True)]
        met = set()
        for _ in range(20):
            positive, negative, whole = draw_partners(skills, has_skill)
            assert whole.float().mean() > 0.5
            for i in whole.nonzero()[:, 0].tolist():
                p, n = int(positive[i]), int(negative[i])
                assert p != i
                assert own[i] & own[p]
                assert own[i] - own[n], "the negative lacks the anchor's skill"
                if slots == 1:
                    assert not own[i] & own[n]
                met.add((i, p))
        assert len(met) > 2 * len(own), "partners are drawn anew"


def test_steps_of_one_skill_only_make_no_triplet() -> None:
    batch = random_batch(s=1)
    batch.skills_BTS.zero_()
    assert float(SkillTriplet(margin=0.2)(output_for(batch), batch)) == 0


def targets() -> GainTarget:
    return GainTarget(low=0.2, high=0.9, ratio=0.5, seed=0)


def test_levels_are_spread_and_dealt_once_for_all() -> None:
    levels = targets().levels(8)
    torch.testing.assert_close(levels.sort().values, torch.linspace(0.2, 0.9, 8))
    assert torch.equal(levels, targets().levels(8))
    assert not torch.equal(levels, levels.sort().values)
    assert not torch.equal(levels, GainTarget(low=0.2, high=0.9, ratio=0.5, seed=1).levels(8))


def test_distance_to_the_targets_by_hand() -> None:
    batch = random_batch()
    output, levels = output_for(batch), targets().levels(7)
    total = 0.0
    for b, t in batch.valid_BT.nonzero().tolist():
        target = torch.zeros(7)
        own = batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]]
        target[own] = levels[own] * (1.0 if batch.response_BT[b, t] else 0.5)
        total += float(((output.gains_BTC[b, t] - target) ** 2).mean())
    expected = total / int(batch.valid_BT.sum())
    assert float(targets()(output, batch)) == pytest.approx(expected, rel=1e-5)


def test_gains_fitted_to_the_targets_differ_by_skill_and_response() -> None:
    batch = random_batch(b=6, t=12, s=1)
    gains, valid, right = minimise(targets(), batch), batch.valid_BT, batch.response_BT == 1
    own = gains.gather(2, batch.skills_BTS)[..., 0]
    levels = targets().levels(7)[batch.skills_BTS[..., 0]]
    torch.testing.assert_close(own[valid & right], levels[valid & right], atol=0.05, rtol=0)
    torch.testing.assert_close(own[valid & ~right], levels[valid & ~right] / 2, atol=0.05, rtol=0)


def test_a_model_learns_the_synthetic_gains(config: Callable[..., DictConfig]) -> None:
    cfg = config(
        "try_synthetic_gains",
        "trainer.max_epochs=20",
        "schedule.split=0.9",
        "optimizer.lr=1e-2",
        "model.size.dropout=0",
        "trajectories.write=false",
    )
    result = train(cfg)
    rows = pd.read_csv(result.run.directory.metrics)
    fitted = rows["loss/gain_target"].dropna()
    batches = list(result.datamodule.loader("train"))
    lazy = 0.0
    for batch in batches:
        output = result.module.model(batch, every_skill=True)
        output.gains_BTC = torch.zeros_like(output.gains_BTC)
        lazy += float(targets()(output, batch)) / len(batches)
    assert fitted.iloc[-1] < 0.5 * lazy, "no gain at all is the lazy way"


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"margin=0"):
        SkillTriplet(margin=0.0)
    with pytest.raises(ConfigError, match=r"low=0\.9, high=0\.2"):
        GainTarget(low=0.9, high=0.2, ratio=0.5, seed=0)
    with pytest.raises(ConfigError, match=r"ratio=1\.5"):
        GainTarget(low=0.2, high=0.9, ratio=1.5, seed=0)
