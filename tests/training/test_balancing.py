"""Learnt balancing finds the weights that its equations ask for, and a resumed run goes on with them."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import DictConfig
from torch import nn

from gainkt.errors import ConfigError
from gainkt.runs.folder import read_checkpoint
from gainkt.train import train
from gainkt.training.balancing import GradientNorm, Uncertainty, gradient_norm
from gainkt.training.callbacks.checkpoint import PhaseCheckpoint

Config = Callable[..., DictConfig]
QUICK = ("v1_per_skill", "trajectories.write=false", "gradient_every=0", "loss.bce1=0.5", "loss.bce2=0.5")
BASE = {"bce1": 0.5, "bce2": 0.5}


class TwoLines(nn.Module):
    """Two parts that share nothing; the loss of one is steeper than that of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1, self.encoder2 = nn.Linear(3, 1), nn.Linear(3, 1)

    def raw(self) -> dict[str, torch.Tensor]:
        """Two terms with a constant gradient, in the ratio 4 to 1."""
        ones = torch.ones(3)
        return {"bce1": 4 * self.encoder1(ones).sum() + 8, "bce2": self.encoder2(ones).sum() + 8}


def test_uncertainty_weights_settle_at_one_over_the_loss() -> None:
    schedule = Uncertainty(terms=["bce1", "bce2"], lr=0.1)
    raw = {"bce1": torch.tensor(0.25), "bce2": torch.tensor(2.0)}
    for _ in range(500):
        schedule.move(nn.Identity(), raw, BASE)
    assert schedule.factors == pytest.approx({"bce1": 4.0, "bce2": 0.5}, rel=1e-3)
    assert schedule.weights(0, 1, {**BASE, "gain_sparsity": 0.1}) == pytest.approx(
        {"bce1": 2.0, "bce2": 0.25, "gain_sparsity": 0.1}, rel=1e-3
    )
    # The same s as PyTorch finds by descending the whole of the published loss.
    s = torch.zeros(2, requires_grad=True)
    descent, losses = torch.optim.SGD([s], lr=0.1), torch.tensor([0.25, 2.0])
    fresh = Uncertainty(terms=["bce1", "bce2"], lr=0.1)
    for _ in range(20):
        descent.zero_grad()
        (torch.exp(-s) * losses + s).sum().backward()
        descent.step()
        fresh.move(nn.Identity(), raw, BASE)
    assert list(fresh.s.values()) == pytest.approx(s.tolist(), rel=1e-5)


def test_gradient_norms_become_equal_and_the_slower_term_gets_more() -> None:
    model = TwoLines()
    places = {"bce1": "encoder1", "bce2": "encoder2"}
    equal = GradientNorm(places=places, alpha=0.0, every=1, memory=0.9)
    equal.move(model, model.raw(), BASE)
    weights = equal.weights(0, 1, BASE)
    assert weights == pytest.approx({"bce1": 0.2, "bce2": 0.8})
    raw = model.raw()
    norms = [weights[t] * gradient_norm(raw[t], getattr(model, p)) for t, p in places.items()]
    assert norms[0] == pytest.approx(norms[1])

    pulled = GradientNorm(places=places, alpha=1.0, every=1, memory=0.0)
    pulled.move(model, model.raw(), BASE)
    fallen = {"bce1": model.raw()["bce1"], "bce2": model.raw()["bce2"] - 0.5 * model.raw()["bce2"].detach()}
    pulled.move(model, fallen, BASE)  # bce2 has halved, bce1 stands still
    after = pulled.weights(0, 1, BASE)
    assert 4 * after["bce1"] == pytest.approx(2 * after["bce2"])
    assert sum(after.values()) == pytest.approx(1.0)


def test_nothing_moves_while_a_part_is_frozen_or_between_measurements() -> None:
    model = TwoLines()
    schedule = GradientNorm(places={"bce1": "encoder1", "bce2": "encoder2"}, alpha=0.5, every=3, memory=0.9)
    model.encoder2.requires_grad_(False)
    schedule.move(model, model.raw(), BASE)
    assert schedule.factors == {"bce1": 1.0, "bce2": 1.0}
    model.encoder2.requires_grad_(True)
    for _ in range(2):
        schedule.move(model, model.raw(), BASE)
        assert schedule.factors == {"bce1": 1.0, "bce2": 1.0}
    schedule.move(model, model.raw(), BASE)
    assert schedule.factors["bce1"] < 1 < schedule.factors["bce2"]


@pytest.mark.parametrize("schedule", ["uncertainty", "gradient_norm"])
def test_a_run_learns_its_weights_and_a_resumed_one_repeats_it(config: Config, tmp_path: Path, schedule: str) -> None:
    asked = (*QUICK, f"schedule={schedule}", "trainer.max_epochs=3", "callbacks.stop.patience=9")
    if schedule == "gradient_norm":
        asked = (*asked, "schedule.every=2")
    whole = train(config(*asked))
    table = pd.read_csv(whole.run.directory.metrics)
    assert table["weight/bce1"].iloc[0] == 0.5
    assert table["weight/bce1"].nunique() == 3
    raw, weighted = table["loss/bce2"], table["weighted_loss/bce2"]
    assert not (weighted / raw - 0.5).abs().lt(1e-3).any(), "batches were not weighted as learnt"
    assert (table["weight/gain_variance"] == 0).all()

    class Killed(Exception):
        pass

    cut = config(*asked)
    save = PhaseCheckpoint.on_train_epoch_end

    def die(self: Any, trainer: Any, module: Any) -> None:
        save(self, trainer, module)
        if trainer.current_epoch == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PhaseCheckpoint, "on_train_epoch_end", die)
        with pytest.raises(Killed):
            train(cut)
    resumed = train(config(*asked, f"run.resume={cut.run.dir}"))
    ends = [read_checkpoint(r.run.directory.checkpoints / "last.ckpt") for r in (whole, resumed)]
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name]), name
    assert ends[0]["callbacks"]["LossScheduleCallback"] == ends[1]["callbacks"]["LossScheduleCallback"]


def test_the_falling_weight(config: Config) -> None:
    result = train(config(*QUICK, "schedule=falling_bce1", "trainer.max_epochs=3"))
    table = pd.read_csv(result.run.directory.metrics)
    assert list(table["weight/bce1"]) == pytest.approx([0.8, 0.55, 0.3])
    assert list(table["weight/bce2"]) == pytest.approx([0.5] * 3)


def test_what_cannot_be_balanced() -> None:
    module: Any = SimpleNamespace(loss=SimpleNamespace(weights={"bce1": 0.7, "bce2": 0.0}), model=TwoLines())
    with pytest.raises(ConfigError, match=r"loss\.bce2 is 0 or unknown"):
        Uncertainty(terms=["bce1", "bce2"], lr=0.1).follow(module)
    with pytest.raises(ConfigError, match=r"schedule\.places\.bce1=encoder: the model has no such part; did you mean"):
        GradientNorm(places={"bce1": "encoder", "bce2": "encoder2"}, alpha=0.5, every=10, memory=0.9).follow(module)
    module.model.encoder2 = nn.Identity()
    with pytest.raises(ConfigError, match="has no parameters"):
        GradientNorm(places={"bce1": "encoder1", "bce2": "encoder2"}, alpha=0.5, every=10, memory=0.9).follow(module)
    with pytest.raises(ConfigError, match="needs terms of 0 or more"):
        Uncertainty(terms=["gain_variance"], lr=0.1).move(nn.Identity(), {"gain_variance": torch.tensor(-1.0)}, BASE)
    with pytest.raises(ConfigError, match=r"lr=0"):
        Uncertainty(terms=["bce1"], lr=0)
    with pytest.raises(ConfigError, match="once"):
        Uncertainty(terms=["bce1", "bce1"], lr=0.1)
    with pytest.raises(ConfigError, match="two terms or more"):
        GradientNorm(places={"bce1": "encoder1"}, alpha=0.5, every=10, memory=0.9)
    with pytest.raises(ConfigError, match="every=0"):
        GradientNorm(places={"bce1": "encoder1", "bce2": "encoder2"}, alpha=0.5, every=0, memory=0.9)
