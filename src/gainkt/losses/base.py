"""What a loss term is, and the mean that terms take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.model import GainKT, Output
from gainkt.references.targets import Targets

F = TypeVar("F", bound=Callable[..., Tensor])


class Term(nn.Module):
    """A loss term: one number for what the model says about a batch, and what it needs for that.

    A function of (output, batch) and settings is a term too, with `_partial_: true` in its config.
    """

    encoder: int | None = None
    """The encoder that it fits to something, 1 or 2; 0 for a penalty, which fits none; None where it may fit either."""
    needs_every_skill = False
    """It compares gains over all skills, so that gains and practice must have a column for each."""
    needs_teachers = False
    """It learns from other runs: `start` is given `teachers` (gainkt.losses.distillation.Teachers), None without."""
    needs_num_steps = False
    """Its size depends on the amount of data: `start` is given `num_steps`, the scored steps of training students."""
    saved_as = ""
    """Name of what it learns in checkpoints; the term's own where empty."""

    def start(
        self, model: GainKT, skill_rates: Callable[[], NDArray[np.float64]], targets: Targets | None = None
    ) -> None:
        """Take in, once and before training, what the term needs; called only where it has a weight.

        A term that learns draws its parameters here, and one that moves the model's starting values moves them here.

        Args:
            model: the model to be trained.
            skill_rates: share of right responses of the training students, skill by skill.
            targets: what a reference model says about the training students; None without one.

        Raises:
            ConfigError: model or data have no place for what the term needs.
        """

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """The term, a scalar; over valid or scored steps only, as padding holds nothing."""
        raise NotImplementedError


def penalty(term: F) -> F:
    """Mark a function as a term that fits no predictions."""
    term.encoder = 0  # type: ignore[attr-defined]
    return term


def every_skill(term: F) -> F:
    """Mark a function as a term that compares gains over all skills."""
    term.needs_every_skill = True  # type: ignore[attr-defined]
    return term


def sums_others(term: F) -> F:
    """Mark a function as a term that asks of gains over all skills no more than `Output.others_BT`, if there is one."""
    term.needs_every_skill = "others"  # type: ignore[attr-defined]
    return term


def asks_every_skill(term: Any, knows_others: bool = False) -> bool:
    """Tell whether a term compares gains over all skills, column by column."""
    asks = getattr(getattr(term, "func", term), "needs_every_skill", False)
    return bool(asks) and not (asks == "others" and knows_others)


def must_start(term: Any) -> bool:
    """Tell whether a term learns or changes how the model starts, so that it cannot come in later."""
    learns = isinstance(term, nn.Module) and any(True for _ in term.parameters())
    return learns or (isinstance(term, Term) and type(term).start is not Term.start)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x` where `mask` holds; 0 where it holds nowhere."""
    return (x * mask).sum() / mask.sum().clamp_min(1)
