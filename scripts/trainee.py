"""A model in training, a step at a time, as benchmarks drive it: without Lightning, its logging and its checkpoints."""

from __future__ import annotations

import torch
from omegaconf import DictConfig
from torch import Tensor

from gainkt.config import build
from gainkt.data.batch import Batch
from gainkt.data.datamodule import KTDataModule
from gainkt.losses.loss import Loss
from gainkt.model import Carrier, Output
from gainkt.runs.folder import build_model
from gainkt.training.optimizers import clip_gradients


def total_of(output: Output, batch: Batch, loss: Loss) -> Tensor:
    """The weighted sum of a loss's terms."""
    raw = loss(output, batch, loss.weights)
    return torch.stack([loss.weights[name] * value for name, value in raw.items()]).sum()


def descend(total: Tensor, optimizer: torch.optim.Optimizer, clip: float) -> None:
    """Change the parameters: backward, clip, update."""
    optimizer.zero_grad()
    total.backward()
    clip_gradients([p for group in optimizer.param_groups for p in group["params"]], clip)
    optimizer.step()


class Trainee:
    """Model, loss and optimizer of a config, for some data."""

    def __init__(self, cfg: DictConfig, data: KTDataModule, device: torch.device | str = "cpu") -> None:
        """Build them."""
        self.device = torch.device(device)
        self.model, self.loss = build_model(cfg.model, data.sizes).to(self.device), build(cfg.loss)
        self.loss.start(self.model, data.skill_rates, None)
        parts = torch.nn.ModuleDict(dict(self.model.named_children()))
        self.optimizer = build(cfg.optimizer)(parts, 1000)["optimizer"]
        self.clip = cfg.trainer.gradient_clip_val
        self.carrier = Carrier()
        self.every_skill = self.loss.needs_every_skill(self.loss.weights, self.model.knows_others) or None

    def step(self, batch: Batch, *, half: bool = False) -> None:
        """Train on a batch that is on the device, after the earlier windows of its students; bfloat16 where `half`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            output = self.model(batch, self.carrier.before(batch), every_skill=self.every_skill)
            total = total_of(output, batch, self.loss)
        self.carrier.after(batch, output)
        descend(total, self.optimizer, self.clip)
