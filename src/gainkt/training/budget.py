"""dataset.tokens_per_batch=auto: as many cells a batch as a device has room for and an epoch can spare."""

from __future__ import annotations

import torch
from omegaconf import DictConfig

from gainkt.data.datamodule import ON_CPU, KTDataModule
from gainkt.losses import Loss
from gainkt.model import GainKT

UPDATES = 100
"""Training steps that an epoch keeps, so that large batches do not cost accuracy."""
SHARE = 0.5
"""Of a device's memory. On an H200 a step's peak was .9 to 1.1 times what the forward pass was found to keep."""


def auto_tokens(cfg: DictConfig, model: GainKT, loss: Loss, data: KTDataModule) -> int:
    """Return cells = min(training steps / 100, .5 memory / bytes a cell), a power of two, at least 4,096.

    On a CPU it is 4,096. The number is the config's from then on: a run that goes on takes the same.

    Args:
        cfg: of a run; its trainer says which device trains.
        model: what trains, on the host.
        loss: started, so that its terms can be computed.
        data: what it trains on, in batches of 4,096 cells as yet.
    """
    if cfg.trainer.accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return ON_CPU
    steps = int(data.log_.lengths[data.students("train")].sum())
    memory = torch.cuda.get_device_properties(0).total_memory
    return budget(steps, memory, bytes_a_cell(model, loss, data))


def budget(steps: int, memory: float, bytes_: float) -> int:
    """Return cells for an epoch of so many steps, a memory in bytes, and so many bytes that a cell takes."""
    most = min(steps / UPDATES, SHARE * memory / bytes_)
    return max(ON_CPU, 1 << (int(most).bit_length() - 1)) if most >= 1 else ON_CPU


def bytes_a_cell(model: GainKT, loss: Loss, data: KTDataModule) -> float:
    """Return the bytes that the forward pass of a training step keeps for the backward pass, per cell of the batch.

    Measured on the longest windows, on the host; neither weights nor the course of random numbers change.
    """
    weights = {x.untyped_storage().data_ptr() for x in model.parameters()}
    kept: dict[int, int] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return x

    every = loss.needs_every_skill(loss.weights, model.knows_others)
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        batch = next(iter(data.loader("train")))
        output = model(batch, every_skill=every or None)
        terms = loss(output, batch, loss.weights)  # held until all is counted, so that no memory is counted twice
    del output, terms
    return sum(kept.values()) / batch.valid_BT.numel()
