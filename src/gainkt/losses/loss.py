"""Loss: the weighted sum of terms, each with a weight in the config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.losses.base import asks_every_skill, must_start
from gainkt.losses.distillation import Teachers
from gainkt.losses.reference import Alignment
from gainkt.model import GainKT, Output
from gainkt.references.targets import Targets


def check_bce_weights(settings: Mapping[str, Any], overrides: Iterable[str]) -> None:
    """Check that a command line does not set the two cross-entropies' weights twice and differently.

    Args:
        settings: the `loss` group.
        overrides: as typed.

    Raises:
        ConfigError: `loss.bce_loss_weight` is no number, or it is set, and `loss.bce1` or `loss.bce2` to
            something else than it says.
    """
    share = settings.get("bce_loss_weight")
    if share is None:
        return
    if type(share) not in (int, float):
        raise ConfigError(f"loss.bce_loss_weight={share}: Encoder 1's share, 0 to 1, or null")
    said = {"loss.bce1": share, "loss.bce2": 1 - share}
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        if key in said and abs(settings[key.removeprefix("loss.")] - said[key]) > 1e-9:
            raise ConfigError(
                f"{override}: loss.bce_loss_weight={share} says {key}={said[key]:g}; leave out one of the two"
            )


class Loss(nn.Module):
    """The weighted sum of the terms; a term of weight 0 is not computed, leaves no gradient and draws no number."""

    def __init__(
        self,
        terms: Mapping[str, Callable[[Output, Batch], Tensor]],
        *,
        alignment: Alignment | None = None,
        bce_loss_weight: float | None = None,
        **weights: float,
    ) -> None:
        """Keep terms and weights.

        Args:
            terms: by name; a term says by itself what it needs (gainkt.losses.base.Term).
            alignment: terms that align Encoder 2 with a reference model, with weights of their own.
            bce_loss_weight: weight of `bce1`, in [0, 1], and 1 minus that of `bce2`; their own weights where None.
            weights: of each term, 0 or more; 0 switches it off.

        Raises:
            ConfigError: a weight without a term or a term without a weight, a negative weight, or none over 0.
        """
        super().__init__()
        for name in sorted(weights.keys() ^ terms.keys()):
            if name in terms:
                raise ConfigError(f"terms.{name}: the term has no weight; give loss.{name} one")
            raise ConfigError(f"{name}: no such loss term{nearest(name, terms)}")
        if bce_loss_weight is not None:
            if not 0 <= bce_loss_weight <= 1:
                raise ConfigError(f"bce_loss_weight={bce_loss_weight}: Encoder 1's share of the two, from 0 to 1")
            weights |= {"bce1": bce_loss_weight, "bce2": round(1 - bce_loss_weight, 12)}
        self.alignment, self.bce_loss_weight = alignment, bce_loss_weight
        self.terms = {**terms, **(alignment.terms if alignment else {})}
        self.weights = {name: weights[name] for name in terms} | (alignment.weights if alignment else {})
        self.check(self.weights)
        for name, term in self.terms.items():
            if isinstance(term, nn.Module) and (self.weights[name] or not must_start(term)):
                self.add_module(getattr(term, "saved_as", "") or f"term_{name}", term)

    @property
    def needs_teachers(self) -> bool:
        """Whether a term with a weight learns from other runs."""
        return any(self.weights[name] and getattr(term, "needs_teachers", False) for name, term in self.terms.items())

    def start(
        self,
        model: GainKT,
        skill_rates: Callable[[], NDArray[np.float64]],
        targets: Targets | None = None,
        teachers: Teachers | None = None,
        num_steps: int = 0,
    ) -> None:
        """Give the terms, once and before training, what they need of the model and of the training students.

        Args:
            model: the model to be trained; `difficulty_prior` moves its curves' offsets.
            skill_rates: share of right responses, skill by skill; not asked for unless a term needs it.
            targets: what a reference model says about the training students; None without one.
            teachers: what trained models say about them; None without any.
            num_steps: their scored steps.

        Raises:
            ConfigError: the model has no place for what a term needs.
        """
        for name, term in self.terms.items():
            if self.weights[name] and must_start(term) and hasattr(term, "start"):
                offered = {"teachers": teachers, "num_steps": num_steps}
                more = {name: x for name, x in offered.items() if getattr(term, f"needs_{name}", False)}
                term.start(model, skill_rates, targets, **more)
        if self.alignment is not None:
            self.alignment.start(model, targets)

    def untrained(self, used: Iterable[str]) -> list[int]:
        """Return which encoders, of 1 and 2, were fitted to nothing where these terms alone ever had a weight."""
        terms = (self.terms[name] for name in used)
        fitted = {
            getattr(getattr(term, "func", term), "encoder", None) for term in terms
        }  # of a function's settings too
        return [] if None in fitted else [encoder for encoder in (1, 2) if encoder not in fitted]

    def let_in(self, skills_K: Tensor | None) -> None:
        """Compute `bce2` from now on over the steps whose skills are all among those let in; None for all."""
        self.terms["bce2"].skills_K = skills_K  # type: ignore[attr-defined]

    def check(self, weights: Mapping[str, float]) -> None:
        """Raise ConfigError unless `weights` names known terms, none negative and one positive."""
        for name, weight in weights.items():
            if name not in self.terms:
                raise ConfigError(f"{name}: no such loss term{nearest(name, self.terms)}")
            if not isinstance(weight, int | float) or not 0 <= weight < inf:
                raise ConfigError(f"{name}={weight}: a weight is 0 or more")
            if weight and not self.weights[name] and must_start(self.terms[name]):
                raise ConfigError(
                    f"{name}={weight}, and loss.{name}=0: the term must be there from the start; give it a weight in "
                    "the loss group and let the schedule hold it at 0 where it should not count"
                )
        if not any(weights.values()):
            raise ConfigError("loss: every weight is 0, nothing would be learnt; give bce1 or bce2 a weight")

    def needs_every_skill(self, weights: Mapping[str, float], knows_others: bool = False) -> bool:
        """Tell whether a term in use compares gains over all skills; `knows_others` says that the model sums them."""
        return any(weight and asks_every_skill(self.terms[name], knows_others) for name, weight in weights.items())

    def forward(self, output: Output, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Raw values of the terms whose weight is not 0.

        Raises:
            ConfigError: a term returns something else than a scalar.
        """
        values: dict[str, Any] = {name: self.terms[name](output, batch) for name, weight in weights.items() if weight}
        for name, value in values.items():
            if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
                found = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise ConfigError(f"loss.terms.{name}: returned {found}; a term returns one floating-point number")
        return values
