"""Loss weights that a run learns as it trains: uncertainty weighting and gradient-norm balancing.

What balancing can do here, and what it cannot: the two encoders share no parameter, so a weight does not trade one
against the other as it would in a shared trunk. It scales the gradient of its own encoder, and Adam divides that scale
out again. What is left: the share of each encoder in the clipped norm of the whole gradient, the size of a
cross-entropy against the terms that are not balanced (sparsity, readiness, L2), and Adam's epsilon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from math import exp, isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gainkt.errors import ConfigError, nearest
from gainkt.training.schedules import Constant, Weights

SMALLEST = 1e-12
"""Norm below which a gradient counts as this, so that no weight becomes infinite."""


class Balancing(Constant):
    """Base of schedules whose weights follow the run: base weight times a learnt factor, from 1 at the start.

    It watches the loss: after each batch's raw terms are known, and before they are weighted, the factors are moved.
    Factors are plain numbers, saved with the checkpoint, so that a resumed run continues where it stood.
    """

    learnt: tuple[str, ...] = ("factors",)
    """Attributes that are saved, plain containers."""

    def __init__(self, terms: Sequence[str]) -> None:
        if len(set(terms)) != len(terms) or not terms:
            raise ConfigError(f"terms={list(terms)}: name each loss term to balance once, bce1 and bce2 say")
        self.terms = list(terms)
        self.factors = dict.fromkeys(self.terms, 1.0)
        self.handle: RemovableHandle | None = None

    def weights(self, epoch: int, num_epochs: int, base: Weights) -> dict[str, float]:
        """The base weights, those of the balanced terms times their present factors."""
        return {**base, **{name: base.get(name, 0.0) * factor for name, factor in self.factors.items()}}

    def follow(self, module: Any) -> None:
        """Watch a module's loss until `leave` is called.

        Args:
            module: GainKTModule, whose `weights` are set before each batch's terms are weighted.

        Raises:
            ConfigError: a term has no weight in the `loss` group, which no factor could change.
        """
        for name in self.terms:
            if not module.loss.weights.get(name):
                known = [term for term, weight in module.loss.weights.items() if weight]
                raise ConfigError(f"schedule.terms {name}: loss.{name} is 0 or unknown{nearest(name, known)}")
        self.leave()
        self.handle = module.loss.register_forward_hook(partial(self._see, module))

    def leave(self) -> None:
        """Stop watching."""
        if self.handle is not None:
            self.handle.remove()
            self.handle = None

    def _see(self, module: Any, loss: nn.Module, given: Any, raw: Mapping[str, Tensor]) -> None:
        if not torch.is_grad_enabled() or any(name not in raw for name in self.terms):
            return  # scoring, or a term at rest
        self.move(module.model, raw, module.loss.weights)
        module.weights = self.weights(module.current_epoch, module.trainer.max_epochs, module.loss.weights)

    def move(self, model: nn.Module, raw: Mapping[str, Tensor], base: Weights) -> None:
        """Move the factors after a batch; `raw` are its unweighted terms, with their graph."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything that was learnt, as plain containers."""
        return {name: deepcopy(getattr(self, name)) for name in self.learnt}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        for name in self.learnt:
            setattr(self, name, deepcopy(state[name]))


class Uncertainty(Balancing):
    """Uncertainty weighting: minimise sum_i base_i (exp(-s_i) L_i + s_i) over the model and every s_i.

    s_i goes down its own gradient, 1 - exp(-s_i) L_i, by plain steps of size `lr` from 0; the factor is exp(-s_i). It
    settles where exp(-s_i) = 1 / L_i: the weighted terms become equal in size, whatever the encoders learn.

    Source: Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018.
    """

    learnt = ("factors", "s")

    def __init__(self, *, terms: Sequence[str], lr: float) -> None:
        """Keep the terms to balance and the step of s, in (0, 1).

        Raises:
            ConfigError: lr out of range, or terms named twice or not at all.
        """
        super().__init__(terms)
        if not 0 < lr < 1:
            raise ConfigError(f"lr={lr}: the step of the log variances lies between 0 and 1")
        self.lr = lr
        self.s = dict.fromkeys(self.terms, 0.0)

    def move(self, model: nn.Module, raw: Mapping[str, Tensor], base: Weights) -> None:
        """Take one step of each s.

        Raises:
            ConfigError: a term is below 0, for which the sum has no minimum.
        """
        for name in self.terms:
            value = float(raw[name].detach())
            if value < 0:
                raise ConfigError(
                    f"schedule.terms {name}: is {value:.4g}; uncertainty weighting needs terms of 0 or more"
                )
            if isfinite(value):
                self.s[name] -= self.lr * (1 - exp(-self.s[name]) * value)
            self.factors[name] = exp(-self.s[name])


class GradientNorm(Balancing):
    """Gradient-norm balancing: the weighted gradient of a term that trains slowly is made the larger one.

    With n_i = ||d L_i / d part_i||, the rate r_i = (L_i / L_i at the start) / mean over terms, and alpha:
    w_i n_i = c r_i^alpha, sum_i w_i = sum_i base_i. This is the point that GradNorm descends to, solved for; n_i and
    L_i are running means. GradNorm measures at the last layer that the tasks share; there is none here, so each term
    is measured at a part of its own encoder, and a weight changes no other term's gradient.

    Source: Chen et al., GradNorm: Gradient Normalization for Adaptive Loss Balancing, ICML 2018.
    """

    learnt = ("factors", "means", "seen")

    def __init__(self, *, places: Mapping[str, str], alpha: float, every: int, memory: float) -> None:
        """Keep the rule.

        Raises:
            ConfigError: a setting out of range, or fewer than two terms.
        """
        super().__init__(list(places))
        if len(places) < 2:
            raise ConfigError(f"places={dict(places)}: balancing takes two terms or more")
        if not alpha >= 0 or every < 1 or not 0 <= memory < 1:
            raise ConfigError(f"alpha={alpha} must be 0 or more, every={every} 1 or more, memory={memory} in [0, 1)")
        self.places, self.alpha, self.every, self.memory = dict(places), alpha, every, memory
        self.seen = 0
        self.means: dict[str, dict[str, float]] = {}

    def follow(self, module: Any) -> None:
        """Watch a module's loss.

        Raises:
            ConfigError: a place is no part of the model, or learns nothing, or a term has no weight.
        """
        parts = dict(module.model.named_children())
        for term, place in self.places.items():
            if place not in parts:
                raise ConfigError(f"schedule.places.{term}={place}: the model has no such part{nearest(place, parts)}")
            if not any(True for _ in parts[place].parameters()):
                raise ConfigError(f"schedule.places.{term}={place}: that part has no parameters; name one that learns")
        super().follow(module)

    def move(self, model: nn.Module, raw: Mapping[str, Tensor], base: Weights) -> None:
        """Measure the gradients of every so many batches and solve for the weights."""
        self.seen += 1
        if (self.seen - 1) % self.every:
            return
        now = {}
        for term, place in self.places.items():
            norm = gradient_norm(raw[term], model.get_submodule(place))
            if norm is None or not isfinite(norm):
                return  # frozen for now, or a batch that training will stop at
            now[term] = {"norm": norm, "loss": float(raw[term].detach())}
        for term, values in now.items():
            old = self.means.setdefault(term, {**values, "first": values["loss"]})
            for name, value in values.items():
                old[name] = self.memory * old[name] + (1 - self.memory) * value
        progress = {t: m["loss"] / max(m["first"], SMALLEST) for t, m in self.means.items()}
        mean = sum(progress.values()) / len(progress)
        wanted = {t: (progress[t] / mean) ** self.alpha / max(m["norm"], SMALLEST) for t, m in self.means.items()}
        share = sum(base[t] for t in self.terms) / sum(wanted.values())
        self.factors = {t: wanted[t] * share / base[t] for t in self.terms}


def gradient_norm(value: Tensor, part: nn.Module) -> float | None:
    """Return ||d value / d parameters of part||; None where nothing of it is learnt, or the value does not use it."""
    learnt = [p for p in part.parameters() if p.requires_grad]
    if not learnt or not value.requires_grad:
        return None
    found = torch.autograd.grad(value, learnt, retain_graph=True, allow_unused=True)
    squares = [g.detach().float().square().sum() for g in found if g is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else None
