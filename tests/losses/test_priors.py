"""Priors: of skills, where the curves start and what holds them there; of items, whatever the amount of data."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from scipy import stats

from conftest import loss_with, output_for, random_batch
from gainkt.errors import ConfigError
from gainkt.losses import ItemPrior
from gainkt.model.bounded import Bounded
from gainkt.model.curve import SigmoidCurve
from gainkt.runs.folder import read_checkpoint
from gainkt.train import train

Config = Callable[..., DictConfig]
RATES = np.array([0.5, 0.9, 0.2, 0.7, 0.6, 0.0, 1.0])


def curve_with(**offset: object) -> SigmoidCurve:
    plain = lambda k: Bounded(k, mean=1.0)  # noqa: E731
    return SigmoidCurve(7, beta=plain, saturation=plain, offset=lambda k: Bounded(k, mean=1.5, **offset))


def test_curves_start_at_the_rates_and_are_drawn_back_to_them() -> None:
    batch = random_batch()
    loss, curve = loss_with(difficulty_prior=1.0), curve_with()
    loss.start(SimpleNamespace(curve=curve), lambda: RATES)
    inner = slice(0, 5)
    expected = -np.log(RATES[inner] / (1 - RATES[inner]))
    np.testing.assert_allclose(curve.offset().detach()[inner], expected, atol=1e-6)
    assert curve.offset().isfinite().all(), "a skill that all get right"
    output = output_for(batch)
    output.offset_K = curve.offset()
    assert float(loss(output, batch, loss.weights)["difficulty_prior"].detach()) == 0
    with torch.no_grad():
        curve.offset.raw += torch.tensor([1.0, -2.0, 0, 0, 0, 0, 0])
    output.offset_K = curve.offset()
    value = loss(output, batch, loss.weights)["difficulty_prior"]
    assert float(value.detach()) == pytest.approx(5 / 7)
    value.backward()
    assert curve.offset.raw.grad[:2].tolist() == pytest.approx([2 / 7, -4 / 7])
    assert not loss.state_dict(), "the curve is the model's, saved with it"


def test_rates_are_not_asked_for_without_the_term() -> None:
    def fail() -> np.ndarray:
        raise AssertionError

    loss_with(bce2=1.0).start(SimpleNamespace(curve=curve_with()), fail)


def test_offsets_that_cannot_take_it(config: Config) -> None:
    with pytest.raises(ConfigError, match="model/curve=per_skill"):
        train(config("v1_per_skill", "loss.difficulty_prior=0.1"))
    with pytest.raises(ConfigError, match="kept over 0"):
        loss_with(difficulty_prior=1.0).start(SimpleNamespace(curve=curve_with(low=0.0)), lambda: RATES)


def test_a_run_starts_at_the_training_students_rates(config: Config) -> None:
    result = train(config("try_difficulty_prior", "optimizer.lr=1e-12", "trajectories.write=false"))
    saved = read_checkpoint(result.run.directory.best("train"))["state_dict"]["model.curve.offset.raw"]
    rates = result.datamodule.skill_rates()
    np.testing.assert_allclose(saved, -np.log(rates / (1 - rates)), atol=1e-5)
    assert np.std(rates) > 0.01


@pytest.mark.parametrize(("items", "steps"), [(10, 200), (1000, 200)])
def test_the_prior_of_items_is_a_normal_one_a_step(items: int, steps: int) -> None:
    batch = random_batch()
    loss = loss_with(item_prior=1.0)
    loss.start(SimpleNamespace(num_items=items), lambda: RATES, num_steps=steps)
    d1, d2 = np.random.default_rng(0).normal(size=(2, items))
    output = output_for(batch)
    assert float(loss(output, batch, loss.weights)["item_prior"]) == 0, "no items"
    output.item_penalties = tuple(torch.tensor(np.mean(d**2)) for d in (d1, d2))
    term = loss.terms["item_prior"]
    sd1, sd2 = (precision**-0.5 for precision in term.precisions)
    norm = [items * (np.log(sd) + np.log(2 * np.pi) / 2) for sd in (sd1, sd2)]
    wanted = -stats.norm.logpdf(d1, 0, sd1).sum() - stats.norm.logpdf(d2, 0, sd2).sum() - sum(norm)
    assert float(loss(output, batch, loss.weights)["item_prior"]) == pytest.approx(wanted / steps)
    output.item_penalties = None, output.item_penalties[1]
    wanted = -stats.norm.logpdf(d2, 0, sd2).sum() - norm[1]
    assert float(loss(output, batch, loss.weights)["item_prior"]) == pytest.approx(wanted / steps)


@pytest.mark.parametrize(("given", "key"), [({"sd1": 0.0, "sd2": 1.0}, "sd1=0"), ({"sd1": 1.0, "sd2": -1}, "sd2=-1")])
def test_a_prior_without_width_is_refused(given: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"loss\.terms\.item_prior\.{key}.*over 0"):
        ItemPrior(**given)


def test_a_run_holds_items_by_its_own_amount_of_data(config: Config) -> None:
    cfg = config("v4_items", "trainer.max_epochs=1", "trajectories.write=false")
    done = train(cfg)
    data = done.datamodule
    term = done.module.loss.terms["item_prior"]
    assert data.sizes.num_items > 0
    assert term.items_a_step == data.sizes.num_items / data.num_scored("train")
    assert data.num_scored("train") == sum(int(data.log_.lengths[s]) - 1 for s in data.students("train"))
    assert done.trainer.callback_metrics["loss/item_prior"] > 0
