"""Teachers' logits are found by student and step, and a term of theirs is a soft target."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import loss_with, output_for, random_log
from gainkt.data.loader import WindowDataset
from gainkt.data.windows import cut_windows
from gainkt.errors import ConfigError
from gainkt.losses import Distillation, bce2
from gainkt.losses.distillation import Teachers

LOG = random_log(num_students=4, longest=9)


def term(encoder: int = 2, teacher_encoder: int = 1, temperature: float = 1.0, **said: np.ndarray) -> Distillation:
    """A term whose teachers say something at random of each step of random_batch's first steps."""
    draw = np.random.default_rng(0)
    one = Distillation(encoder=encoder, teacher_encoder=teacher_encoder, temperature=temperature)
    logits = [said.get(f"logit{n}", draw.normal(size=LOG.num_steps).astype(np.float32)) for n in (1, 2)]
    one.start(None, None, None, Teachers(LOG, *logits))  # type: ignore[arg-type]
    return one


def batch_of_log(length: int = 1000, context: int = 0):
    windows = cut_windows(LOG, np.arange(LOG.num_students), length, context)
    dataset = WindowDataset(LOG, windows, np.arange(LOG.num_students), np.arange(LOG.num_items))
    return dataset.__getitems__(list(range(len(windows))))


def test_by_hand_and_zero_where_both_agree() -> None:
    batch, one = batch_of_log(), term()
    output = output_for(batch)
    assert one.teachers is not None
    total, count = 0.0, 0
    for b, t in batch.scored_BT.nonzero().tolist():
        step = int(LOG.offsets[int(batch.student_B[b])]) + int(batch.start_B[b]) + t
        q, p = (float(torch.sigmoid(x)) for x in (one.teachers.logit1_M[step], output.logit2_BT[b, t]))
        total, count = total + q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)), count + 1
    assert float(one(output, batch)) == pytest.approx(total / count, rel=1e-4)
    output.logit2_BT = one.teachers.logit(batch, 1)
    assert float(one(output, batch)) == pytest.approx(0, abs=1e-6)
    assert float(term(temperature=3.0)(output, batch)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("length", "context"), [(1000, 0), (4, 2), (3, 0)])
def test_each_step_finds_its_own_logit_whatever_windows_do(length: int, context: int) -> None:
    place = np.arange(LOG.num_steps, dtype=np.float32)
    one, batch = term(logit1=place, logit2=-place), batch_of_log(length, context)
    assert one.teachers is not None
    for b, t in batch.valid_BT.nonzero().tolist():
        step = int(LOG.offsets[int(batch.student_B[b])]) + int(batch.start_B[b]) + t
        assert float(one.teachers.logit(batch, 1)[b, t]) == step
        assert float(one.teachers.logit(batch, 2)[b, t]) == -step
    output = output_for(batch)
    shuffled = np.random.default_rng(1).permutation(place)
    assert float(one(output, batch)) != float(term(logit1=shuffled)(output, batch)), "another student's logits"
    assert torch.isfinite(one(output, batch))


def test_its_gradient_beside_the_cross_entropy_is_that_of_a_soft_target() -> None:
    batch, one, (a, b) = batch_of_log(), term(), (0.7, 0.3)
    output = output_for(batch)
    assert one.teachers is not None
    logit = output.logit2_BT.requires_grad_()
    (a * bce2(output, batch) + b * one(output, batch)).backward()
    target = a * batch.response_BT + b * torch.sigmoid(one.teachers.logit(batch, 1))
    other = logit.detach().clone().requires_grad_()
    soft = F.binary_cross_entropy_with_logits(other, target, reduction="none")
    (soft[batch.scored_BT].mean()).backward()
    assert torch.allclose(logit.grad, other.grad, atol=1e-7)


def test_the_temperature_and_whose_logits() -> None:
    batch = batch_of_log()
    output = output_for(batch)
    for encoder in (1, 2):
        for teacher in (1, 2):
            one = term(encoder, teacher, 2.0)
            assert one.teachers is not None
            own = getattr(output, f"logit{encoder}_BT")[batch.scored_BT] / 2
            q = torch.sigmoid(one.teachers.logit(batch, teacher)[batch.scored_BT] / 2)
            expected = F.kl_div(F.logsigmoid(own), q, reduction="none") + F.kl_div(
                F.logsigmoid(-own), 1 - q, reduction="none"
            )
            assert float(one(output, batch)) == pytest.approx(4 * float(expected.mean()), rel=1e-4)


def test_padding_enters_nothing() -> None:
    batch, one = batch_of_log(), term()
    output = output_for(batch)
    before = float(one(output, batch))
    output.logit2_BT = output.logit2_BT.masked_fill(~batch.valid_BT, 9.0)
    assert float(one(output, batch)) == pytest.approx(before, rel=1e-6)


def test_without_teachers_or_with_settings_that_cannot_be() -> None:
    loss = loss_with(bce2=1.0)
    assert not loss.needs_teachers
    for settings, message in (
        ({"encoder": 3}, "encoder=3"),
        ({"teacher_encoder": 0}, "teacher_encoder=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Distillation(**{"encoder": 2, "teacher_encoder": 1, "temperature": 1.0, **settings})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"distillation\.teachers=\[<run>,<run>\]"):
        Distillation(encoder=2, teacher_encoder=1, temperature=1.0).start(None, None)  # type: ignore[arg-type]
