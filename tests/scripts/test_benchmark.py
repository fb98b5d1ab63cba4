"""The benchmark compares equals: the naive baseline computes what gainkt computes."""

import sys
from pathlib import Path

import pytest
import torch

from conftest import random_batch
from gainkt.config import build
from gainkt.losses import bce1, bce2

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from benchmark_parts import WAYS, Case, Run
from benchmark_scaling import Cell, measure_cell
from naive_baseline import NaiveGainKT, pad_to


@pytest.mark.parametrize("experiment", ["v0_scalar", "v1_per_skill"])
@pytest.mark.parametrize("slots", [1, 2])
def test_naive_baseline_computes_the_same_predictions_loss_and_gradients(config, experiment, slots):
    torch.manual_seed(0)
    cfg = config(experiment, "model.size.dropout=0", "model.size.num_blocks=2")
    # 60 skills, of which a window meets few: gainkt gathers columns where the baseline takes all.
    model = build(cfg.model, num_skills=60, num_students=5, num_items=0)
    batch = random_batch(b=5, t=9, s=slots, num_skills=6)
    padded = pad_to(batch, 40)

    ours, naive = model(batch), NaiveGainKT(model)(padded)
    real = batch.valid_BT
    assert not ours.axis.is_all
    for name in ("logit1_BT", "logit2_BT"):
        theirs = getattr(naive, name)[:, :9].sigmoid()
        torch.testing.assert_close(getattr(ours, name).sigmoid()[real], theirs[real], atol=1e-5, rtol=0)

    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = []
    for output, given in ((ours, batch), (naive, padded)):
        loss = 0.7 * bce1(output, given) + 0.3 * bce2(output, given)
        gradients.append((loss, *torch.autograd.grad(loss, parameters, materialize_grads=True)))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_the_speed_benchmark_takes_a_step(shared_data):
    case = Case("v1_per_skill", "small", str(shared_data / "assist2015_pykt"))
    run = Run(case, WAYS["gainkt"])
    assert run.step(run.sample(1)[0]) > 0
    assert run.real_share > 0.95


def test_the_scaling_benchmark_compares_equals():
    found = measure_cell(Cell(length=20, num_skills=60, tokens=80, width=16))
    assert found["difference"] < 1e-5
