"""Optimisers with a learning rate of its own for a named part of the model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from gainkt.errors import ConfigError, nearest


def adam(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float],
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Adam:
    """Return Adam over the model's parts, the learning rate of each scaled by `lr_scale`.

    Args:
        model: GainKT; its direct children are the parts (encoder1, response_head, encoder2, gain_head, ...).
        lr: learning rate, > 0.
        weight_decay: L2 penalty added to the gradient, >= 0.
        lr_scale: part -> factor on its learning rate; 1 where a part is not named.
        betas: decay of the running means of the gradient and of its square.

    Raises:
        ConfigError: lr_scale names a part that the model does not have, or lr is not positive.
    """
    parts = dict(model.named_children())
    for name in lr_scale:
        if name not in parts:
            raise ConfigError(f"optimizer.lr_scale.{name}: the model has no such part{nearest(name, parts)}")
    if not lr > 0:
        raise ConfigError(f"optimizer.lr={lr}: must be positive")
    groups = [
        {"params": list(part.parameters()), "lr": lr * lr_scale.get(name, 1.0), "name": name}
        for name, part in parts.items()
        if any(True for _ in part.parameters())
    ]
    return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay, betas=betas)
