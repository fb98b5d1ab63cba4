"""Alignment terms against cases worked out step by step, over scored steps only."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conftest import loss_with, output_for, random_batch
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses import Alignment
from gainkt.model import Belief, Output

ALL = {"l_21": 1.0, "l_22": 1.0, "l_23": 1.0, "theta_scale": 1.0, "mastery_alignment": 1.0, "gain_alignment": 1.0}


class Known:
    """Targets of a batch, at random."""

    def __init__(self, batch: Batch) -> None:
        draw = torch.Generator().manual_seed(7)
        b, t, s = batch.skills_BTS.shape
        self.q, self.dynamic, self.m = (torch.rand(*shape, generator=draw) for shape in ((b, t), (b, t), (b, t, s)))
        self.static = torch.rand(b, 1, generator=draw).expand(b, t)
        self.difficulty_K = torch.linspace(0, 1, 7)
        self.learn_rate_K: torch.Tensor | None = torch.linspace(0.1, 0.4, 7)
        self.spreads = {"dynamic": (0.5, 0.25), "static": (0.4, 0.2)}

    def probability(self, batch: Batch) -> torch.Tensor:
        return self.q

    def ability(self, batch: Batch, kind: str) -> torch.Tensor:
        return self.dynamic if kind == "dynamic" else self.static

    def mastery(self, batch: Batch) -> torch.Tensor:
        return self.m


def case(**settings: object) -> tuple[Alignment, Output, Batch, Known]:
    batch = random_batch()
    output, known = output_for(batch), Known(batch)
    theta = torch.randn(4, 9, 1, generator=torch.Generator().manual_seed(3))
    output.belief = Belief(torch.ones(1, 1, 1), lambda cells: theta)
    term = Alignment(**{**ALL, **settings})  # type: ignore[arg-type]
    model = SimpleNamespace(readiness=SimpleNamespace(inferred=True), curve=curve(per_skill=True))
    term.start(model, known)  # type: ignore[arg-type]
    return term, output, batch, known


def curve(*, per_skill: bool) -> SimpleNamespace:
    return SimpleNamespace(offset=SimpleNamespace(per_skill=per_skill))


def scored(batch: Batch) -> list[tuple[int, int]]:
    return [(b, t) for b, t in batch.scored_BT.nonzero().tolist()]


def test_divergence_is_kl_and_vanishes_at_the_reference() -> None:
    term, output, batch, known = case()
    total = 0.0
    for b, t in scored(batch):
        q, p = float(known.q[b, t]), float(torch.sigmoid(output.logit2_BT[b, t]))
        total += q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    assert float(term.l_21(output, batch)) == pytest.approx(total / len(scored(batch)), rel=1e-4)
    output.logit2_BT = torch.logit(known.q)
    assert float(term.l_21(output, batch)) == pytest.approx(0, abs=1e-6)


def test_difficulties() -> None:
    term, output, batch, _ = case()
    expected = np.mean((np.linspace(-1, 2, 7) - np.linspace(0, 1, 7)) ** 2)
    assert float(term.l_22(output, batch)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
@pytest.mark.parametrize("form", ["per_step", "standardized", "averaged"])
def test_abilities(form: str, kind: str) -> None:
    term, output, batch, known = case(l_23_form=form, l_23_ability=kind)
    theta, ability = output.readiness_BT(batch), known.ability(batch, kind)
    if form == "averaged":
        rows = [[t for s, t in scored(batch) if s == b] for b in range(len(batch))]
        gaps = [float(theta[b, at].mean() - ability[b, at].mean()) for b, at in enumerate(rows) if at]
    else:
        centre, spread = known.spreads[kind] if form == "standardized" else (0.0, 1.0)
        gaps = [float(theta[b, t] - (ability[b, t] - centre) / spread) for b, t in scored(batch)]
    assert float(term.l_23(output, batch)) == pytest.approx(np.mean(np.square(gaps)), rel=1e-4)


def test_scale_of_abilities() -> None:
    term, output, batch, _ = case()
    theta = output.readiness_BT(batch)
    std = np.std([float(theta[b, t]) for b, t in scored(batch)])
    assert float(term.theta_scale(output, batch)) == pytest.approx((std - 0.25) ** 2, rel=1e-3)
    asked, *_ = case(theta_scale_target=2.0)
    assert float(asked.theta_scale(output, batch)) == pytest.approx((std - 2) ** 2, rel=1e-3)


def test_masteries() -> None:
    term, output, batch, known = case()
    total = 0.0
    for b, t in scored(batch):
        has = batch.has_skill_BTS[b, t]
        total += float((output.mastery_before_BTS[b, t][has] - known.m[b, t][has]).square().mean())
    assert float(term.mastery_alignment(output, batch)) == pytest.approx(total / len(scored(batch)), rel=1e-4)


def test_gains_go_with_learning_rates() -> None:
    term, output, batch, known = case()
    assert known.learn_rate_K is not None
    pairs = [
        (float(output.gains_BTC[b, t, k]), float(known.learn_rate_K[k]))
        for b, t in batch.valid_BT.nonzero().tolist()
        for k in batch.skills_BTS[b, t][batch.has_skill_BTS[b, t]].tolist()
    ]
    expected = 1 - np.corrcoef(np.array(pairs).T)[0, 1]
    assert float(term.gain_alignment(output, batch)) == pytest.approx(expected, rel=1e-3)
    output.gains_BTC = 0.1 + 2 * known.learn_rate_K.expand(4, 9, 7)
    assert float(term.gain_alignment(output, batch)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in ALL if name != "l_22"])
def test_padding_enters_no_term(name: str) -> None:
    term, output, batch, known = case()
    before = float(getattr(term, name)(output, batch))
    off = ~batch.valid_BT
    assert off.any()
    theta = output.readiness_BT(batch)[..., None].masked_fill(off[..., None], 50.0)
    moved = replace(
        output,
        logit2_BT=output.logit2_BT.masked_fill(off, 9.0),
        mastery_before_BTS=output.mastery_before_BTS.masked_fill(off[..., None], 7.0),
        gains_BTC=output.gains_BTC.masked_fill(off[..., None], 5.0),
        belief=Belief(torch.ones(1, 1, 1), lambda cells: theta),
    )
    known.q, known.dynamic = known.q.masked_fill(off, 0.999), known.dynamic.masked_fill(off, 80.0)
    known.m = known.m.masked_fill(off[..., None], 3.0)
    assert float(getattr(term, name)(moved, batch)) == pytest.approx(before, rel=1e-5)


def test_a_loss_has_the_terms_only_where_alignment_is_asked_for() -> None:
    assert "l_21" not in loss_with(bce1=1.0).weights
    loss = loss_with(bce1=1.0, alignment=Alignment(l_21=0.5))
    assert loss.weights["l_21"] == 0.5
    with pytest.raises(ConfigError, match="reference=rasch"):
        loss.start(SimpleNamespace(), lambda: np.zeros(7))


def test_what_cannot_be_aligned() -> None:
    model = SimpleNamespace(readiness=SimpleNamespace(inferred=False), curve=curve(per_skill=False))
    targets = SimpleNamespace(learn_rate_K=None)
    for settings, message in (
        ({"l_23": 1.0}, "model/readiness=ability"),
        ({"l_22": 1.0}, "model/curve=rasch"),
        ({"gain_alignment": 1.0}, "reference=bkt or pfa"),
    ):
        with pytest.raises(ConfigError, match=message):
            Alignment(**settings).start(model, targets)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="per_step"):
        Alignment(l_23_form="perstep")
    with pytest.raises(ConfigError, match="dynamic"):
        Alignment(l_23_ability="dynamical")
