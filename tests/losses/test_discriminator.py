"""The discriminator learns to detect uniform gains, moves gains away from them, and is part of a checkpoint."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from conftest import output_for, random_batch
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses import GainDiscriminator
from gainkt.model import Output
from gainkt.runs.folder import read_checkpoint
from gainkt.train import train
from gainkt.training.module import GainKTModule

Config = Callable[..., DictConfig]


def started() -> GainDiscriminator:
    discriminator = GainDiscriminator(noise=0.02)
    discriminator.start()
    return discriminator


def trained(batch: Batch, output: Output, steps: int = 300) -> GainDiscriminator:
    torch.manual_seed(0)
    discriminator = started()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        discriminator(output, batch).backward()
        optimizer.step()
    return discriminator


def nearly_uniform(batch: Batch, num_skills: int, std: float) -> Output:
    output = output_for(batch, num_skills)
    torch.manual_seed(1)
    output.gains_BTC = 0.6 + std * torch.randn_like(output.gains_BTC)
    return output


def test_it_learns_to_tell_them_apart_for_any_number_of_skills() -> None:
    batch = random_batch(b=8, t=12)
    for num_skills in (7, 30, 200):
        output = nearly_uniform(batch, num_skills, 0.1)
        discriminator, gains = trained(batch, output), output.gains_BTC[batch.valid_BT]
        uniform = discriminator.uniform(gains)
        right = torch.cat([discriminator.logit(gains) > 0, discriminator.logit(uniform) < 0])
        assert right.float().mean() > 0.9, num_skills


def test_it_cannot_tell_noise_from_noise() -> None:
    batch = random_batch(b=8, t=12)
    output = nearly_uniform(batch, 30, 0.02)
    values = [float(trained(batch, output, steps)(output, batch).detach()) for steps in (0, 100)]
    assert values[1] > 0.5, "log 2 where they are the same"


def test_its_gradient_drives_uniform_gains_apart() -> None:
    batch = random_batch(b=8, t=12)
    discriminator = trained(batch, nearly_uniform(batch, 30, 0.1))
    output = output_for(batch, 30)
    free = torch.full_like(output.gains_BTC, 0.6)
    free += 1e-4 * torch.randn_like(free)
    free.requires_grad_()
    before = float(free.detach()[batch.valid_BT].std(-1).mean())
    for _ in range(50):
        output.gains_BTC = free
        (gradient,) = torch.autograd.grad(discriminator(output, batch), free)
        free = (free - 5.0 * gradient).detach().requires_grad_()
    after = float(free.detach()[batch.valid_BT].std(-1).mean())
    assert after > 10 * before
    assert after > discriminator.noise


def test_one_expression_is_discriminator_on_detached_gains_and_generator_under_fixed_weights() -> None:
    batch = random_batch()
    discriminator, output = started(), output_for(batch)
    output.gains_BTC.requires_grad_()
    weights = list(discriminator.parameters())
    torch.manual_seed(0)
    whole = torch.autograd.grad(discriminator(output, batch), [*weights, output.gains_BTC])
    torch.manual_seed(0)
    detached = replace(output, gains_BTC=output.gains_BTC.detach())
    for ours, theirs in zip(whole, torch.autograd.grad(discriminator(detached, batch), weights), strict=False):
        torch.testing.assert_close(ours, theirs)
    discriminator.requires_grad_(False)
    (generator,) = torch.autograd.grad(discriminator(output, batch), output.gains_BTC)
    torch.testing.assert_close(whole[-1], generator)


def test_the_noise_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="noise=0"):
        GainDiscriminator(noise=0.0)


def test_it_trains_and_a_resumed_run_goes_on_with_it(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("try_discriminator", "trainer.max_epochs=4", "trajectories.write=false")
    whole = train(config(*settings))
    first = read_checkpoint(whole.run.directory.best("train"))["state_dict"]
    assert sum(name.startswith("loss.discriminator") for name in first) == 4
    assert [group["name"] for group in whole.trainer.optimizers[0].param_groups][-1] == "loss"

    step = GainKTModule.training_step

    def failing(self: GainKTModule, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 2:
            raise RuntimeError("power cut")
        return step(self, batch, batch_idx)

    cfg = config(*settings)
    monkeypatch.setattr(GainKTModule, "training_step", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        train(cfg)
    monkeypatch.setattr(GainKTModule, "training_step", step)
    half = read_checkpoint(Path(cfg.run.dir) / "checkpoints" / "last.ckpt")
    assert half["epoch"] == 1
    resumed = train(config("try_discriminator", f"run.resume={cfg.run.dir}"))
    ends = [read_checkpoint(r.run.directory.checkpoints / "last.ckpt")["state_dict"] for r in (whole, resumed)]
    for name, value in ends[0].items():
        assert torch.equal(value, ends[1][name]), name
        if name.startswith("loss."):
            assert not torch.equal(value, half["state_dict"][name]), f"{name} does not learn"
