"""Velocity and readiness: what a new student gets, what is inferred, and from what it starts."""

import pytest
import torch

from conftest import random_batch
from gainkt.errors import ConfigError
from gainkt.model.axis import Cells, all_skills
from gainkt.model.belief import Moments
from gainkt.model.readiness import (
    EvidenceReadiness,
    FirstContactReadiness,
    NoReadiness,
    SkillReadiness,
    StudentReadiness,
)
from gainkt.model.velocity import InferredVelocity, StudentVelocity

MOMENTS = Moments.before_steps(torch.randn(4, 9, 8, generator=torch.Generator().manual_seed(1)))


def columns() -> Cells:
    return all_skills(random_batch(), 7).columns()


def test_new_students_get_the_mean_velocity() -> None:
    velocity = StudentVelocity(3, 8, mean=1.1)
    with torch.no_grad():
        velocity.gamma.raw.copy_(torch.tensor([0.0, 1.0, 2.0]))
    batch = random_batch()
    batch.trained_student_B = torch.tensor([2, -1, 0, -1])
    gamma = velocity.gamma()
    expected = torch.stack([gamma[2], gamma.mean(), gamma[0], gamma.mean()])
    assert torch.equal(velocity(batch, MOMENTS)[:, 0, 0], expected)


def test_everybody_starts_alike_and_may_come_to_differ() -> None:
    velocity, one, many, first, own = (
        InferredVelocity(3, 8, slowest=0.0625, fastest=16.0),
        StudentReadiness(7, 8),
        SkillReadiness(7, 8),
        FirstContactReadiness(7, 8),
        EvidenceReadiness(7, 8),
    )
    torch.testing.assert_close(velocity(random_batch(), MOMENTS), torch.ones(4, 9, 1))
    assert (NoReadiness(7, 8)(MOMENTS, columns()) == 0).all()
    said = {velocity: velocity(random_batch(), MOMENTS)}
    for part in (one, many, first, own):
        said[part] = part(MOMENTS, columns())
        assert (said[part] == 0).all()
    for part, out in said.items():
        out.square().sum().add(out.sum()).backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_velocity_keeps_within_its_bounds() -> None:
    velocity = InferredVelocity(3, 8, slowest=0.5, fastest=4.0)
    torch.nn.init.normal_(velocity.head.weight, std=20)
    gamma = velocity(random_batch(), MOMENTS)
    assert 0.5 <= gamma.min() < 0.6
    assert 3.5 < gamma.max() <= 4.0
    with pytest.raises(ConfigError, match="slowest=1"):
        InferredVelocity(3, 8, slowest=1.0, fastest=16.0)


@pytest.mark.parametrize("kind", [StudentReadiness, SkillReadiness, FirstContactReadiness, EvidenceReadiness])
def test_slots_and_columns_agree(kind: type) -> None:
    torch.manual_seed(0)
    readiness, batch = kind(7, 8), random_batch()
    for parameter in readiness.parameters():
        torch.nn.init.normal_(parameter)
    axis = all_skills(batch, 7)
    of_columns = readiness(MOMENTS, axis.columns()).expand(4, 9, 7)
    of_slots = readiness(MOMENTS, axis.slots(batch.skills_BTS)).expand(batch.skills_BTS.shape)
    has = batch.has_skill_BTS
    torch.testing.assert_close(of_slots[has], of_columns.gather(2, batch.skills_BTS)[has])


@torch.no_grad()
def test_an_answer_moves_the_evidence_on_the_skills_that_it_practises_alone() -> None:
    readiness, batch = EvidenceReadiness(7, 8), random_batch()
    torch.nn.init.normal_(readiness.evidence.weight)
    axis = all_skills(batch, 7)
    found = readiness(MOMENTS, axis.columns())
    practised, says = axis.practised(batch.has_skill_BTS), readiness.evidence(MOMENTS.states_BND[:, 1:])
    for b, t, k in ((b, t, k) for b in range(4) for t in range(9) for k in range(7)):
        expected = sum(float(says[b, s]) for s in range(t) if practised[b, s, k])
        assert float(found[b, t, k]) == pytest.approx(expected, abs=1e-5)
    assert (found.diff(dim=1) != 0).eq(practised[:, :-1] & (says[:, :-1] != 0)).all()


def test_moments_are_states_after_so_many_steps() -> None:
    batch, value = random_batch(), torch.randn(4, 9, 8)
    before, after, end = Moments.before_steps(value), Moments.after_steps(value), Moments.at_end(value, batch)
    assert (before.now_BTD[:, 0] == 0).all()
    assert torch.equal(before.now_BTD[:, 1:], value[:, :-1])
    assert torch.equal(after.now_BTD, value)
    last = batch.valid_BT.sum(1) - 1
    assert torch.equal(end.now_BTD[:, 0], value[torch.arange(4), last])
    for moments in (before, after, end):
        at = moments.after_BT[..., None].expand_as(moments.now_BTD)
        assert torch.equal(moments.states_BND.gather(1, at), moments.now_BTD)
