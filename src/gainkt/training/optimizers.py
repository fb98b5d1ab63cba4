"""Optimisers with a learning rate of its own for a named part of the model, falling along a cosine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import cos, pi
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from gainkt.errors import ConfigError, nearest

MANY_PARAMETERS = 10_000_000
"""Above them `fused=auto` fuses. No experiment of conf/ has as many at the reference size with 1,223 skills."""


def fuses(model: nn.Module, fused: bool | str) -> bool:
    """Whether Adam updates in one look: as asked, or by `auto` over `MANY_PARAMETERS`, where it halves what it costs.

    Raises:
        ConfigError: neither a flag nor auto is asked for.
    """
    if fused == "auto":
        return sum(p.numel() for p in model.parameters()) > MANY_PARAMETERS
    if not isinstance(fused, bool):
        raise ConfigError(f"optimizer.fused={fused}: true, false or auto")
    return fused


def adam(
    model: nn.Module,
    num_steps: int,
    *,
    lr: float,
    weight_decay: float,
    lr_scale: Mapping[str, float],
    final_lr: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    fused: bool | str = False,
) -> OptimizerLRSchedulerConfig:
    """Return Adam over the model's parts, the learning rate of each scaled by `lr_scale`, and its decay.

    lr(step) = lr lr_scale (final_lr + (1 - final_lr) (1 + cos(pi step / num_steps)) / 2).

    Args:
        model: its direct children are the parts: GainKT's (encoder1, response_head, encoder2, gain_head, ...), and
            `loss` where a term learns.
        num_steps: training steps planned.
        lr: learning rate at the start, > 0.
        weight_decay: L2 penalty added to the gradient, >= 0.
        lr_scale: part -> factor on its learning rate; 1 where a part is not named.
        final_lr: share of the learning rate left at the end, in [0, 1]; 1 keeps it constant.
        betas: decay of the running means of the gradient and of its square.
        fused: update in one look at each parameter, which rounds otherwise; auto: as `fuses` has it.

    Raises:
        ConfigError: lr_scale names a part that the model does not have, a rate is out of range, or fused is none of
            these.
    """
    parts = dict(model.named_children())
    for name in lr_scale:
        if name not in parts:
            raise ConfigError(f"lr_scale.{name}: the model has no such part{nearest(name, parts)}")
    if not lr > 0:
        raise ConfigError(f"lr={lr}: must be positive")
    if not 0 <= final_lr <= 1:
        raise ConfigError(f"final_lr={final_lr}: a share of the learning rate, from 0 to 1")
    for name, rate in {"weight_decay": weight_decay, **{f"lr_scale.{part}": x for part, x in lr_scale.items()}}.items():
        if not rate >= 0:
            raise ConfigError(f"{name}={rate}: must be 0 or more")
    if not all(0 <= beta < 1 for beta in betas):
        raise ConfigError(f"betas={betas}: each at least 0 and below 1")
    groups = [
        {"params": list(part.parameters()), "lr": lr * lr_scale.get(name, 1.0), "name": name}
        for name, part in parts.items()
        if any(True for _ in part.parameters())
    ]
    optimizer = torch.optim.Adam(
        groups, lr=lr, weight_decay=weight_decay, betas=betas, fused=fuses(model, fused) or None
    )

    def decay(step: int) -> float:
        return final_lr + (1 - final_lr) * (1 + cos(pi * min(step / num_steps, 1))) / 2

    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, decay), "interval": "step"}}


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
    """Scale gradients down to a norm, as `nn.utils.clip_grad_norm_` does, and return the norm that they had.

    On the CPU, where asking costs nothing, gradients that are within it are left alone in place of multiplied by 1:
    those of large tables take a tenth of a step.
    """
    held = [p for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in held if p.grad is not None])
    if norm.device.type != "cpu" or not max_norm / (norm + 1e-6) >= 1:
        nn.utils.clip_grads_with_norm_(held, max_norm, norm)
    return norm


def chosen(model: nn.Module, settings: Mapping[str, Any]) -> str | None:
    """What a result says of a choice that the optimiser's settings left to the model; None where they left none."""
    if settings.get("fused") != "auto" or not fuses(model, "auto"):
        return None
    count = sum(p.numel() for p in model.parameters())
    return f"fused, as {count:,} parameters are over {MANY_PARAMETERS:,} (optimizer.fused=auto); it rounds otherwise"
