"""Velocity and readiness: what a new student gets, what is inferred, and from what it starts."""

import pytest
import torch

from conftest import random_batch
from gainkt.model.belief import InferredVelocity, NoReadiness, SkillReadiness, StudentReadiness, StudentVelocity


def test_new_students_get_the_mean_velocity() -> None:
    velocity = StudentVelocity(3, 8, mean=1.1)
    with torch.no_grad():
        velocity.gamma.raw.copy_(torch.tensor([0.0, 1.0, 2.0]))
    batch = random_batch()
    batch.trained_student_B = torch.tensor([2, -1, 0, -1])
    gamma = velocity.gamma()
    expected = torch.stack([gamma[2], gamma.mean(), gamma[0], gamma.mean()])
    assert torch.equal(velocity(batch, torch.zeros(4, 9, 8))[:, 0, 0], expected)


def test_everybody_starts_alike_and_may_come_to_differ() -> None:
    state = torch.randn(4, 9, 8)
    skills = torch.arange(7)[None, None]
    velocity, one, many = InferredVelocity(3, 8), StudentReadiness(7, 8), SkillReadiness(7, 8)
    torch.testing.assert_close(velocity(random_batch(), state), torch.ones(4, 9, 1), atol=1e-4, rtol=0)
    assert (one(state, skills) == 0).all()
    assert (many(state, skills) == 0).all()
    assert (NoReadiness(7, 8)(state, skills) == 0).all()
    said = {velocity: velocity(random_batch(), state), one: one(state, skills), many: many(state, skills)}
    for part, out in said.items():
        out.square().sum().add(out.sum()).backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


@pytest.mark.parametrize("kind", [StudentReadiness, SkillReadiness])
def test_slots_and_columns_agree(kind: type) -> None:
    torch.manual_seed(0)
    readiness, batch, state = kind(7, 8), random_batch(), torch.randn(4, 9, 8)
    for parameter in readiness.parameters():
        torch.nn.init.normal_(parameter)
    columns = readiness(state, torch.arange(7)[None, None]).expand(4, 9, 7)
    slots = readiness(state, batch.skills_BTS).expand(batch.skills_BTS.shape)
    torch.testing.assert_close(slots, columns.gather(2, batch.skills_BTS))
