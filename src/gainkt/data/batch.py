"""What flows through gainkt: a Batch goes in, an Output comes out.

Legend of shape suffixes, used on every tensor name in the package:

    B  windows (a student's history, or a piece of it) in a batch
    T  steps of the longest window in the batch; shorter ones are padded on the right
    S  skill slots of a step: the largest number of skills that one item practises
    K  skills of the data set
    C  columns of the skill axis in use: all K skills, or only those that a window meets
    D  width of the model
    L  entries of a list of skills, padded on the right

Time: `x[:, t]` belongs to step t. A prediction for step t reads what is known *before* it: steps 0..t-1
and the identity (skills, item) of step t, never its response.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(slots=True)
class Batch:
    """A batch of windows over student histories; right-padded, and nothing is read from the padding."""

    student_B: Tensor
    """int64, index of the student in the InteractionLog."""
    trained_student_B: Tensor
    """int64, index among the training students, -1 for a student the model was not trained on."""
    start_B: Tensor
    """int64, number of column 0 in the student's history (0 unless a long history was cut)."""
    skills_BTS: Tensor
    """int64 in [0, K), the skills of each step; empty slots hold 0 and are masked by `has_skill_BTS`."""
    has_skill_BTS: Tensor
    """bool, True where a slot of `skills_BTS` holds a skill; False on padding."""
    item_BT: Tensor
    """int64 in [0, num_items), -1 where the item is unknown, unseen in training, or padding."""
    response_BT: Tensor
    """float32, 1 right, 0 wrong; 0 on padding."""
    valid_BT: Tensor
    """bool, True on steps, False on padding."""
    scored_BT: Tensor
    """bool, True on steps whose prediction is scored: not the first of a history, not context, not padding."""
    ahead_BL: Tensor = None  # type: ignore[assignment]
    """int64, the skills that the student meets in later windows, where they go on from this one's state, -1 in empty
    places; L = 0, as where None is given, if no window goes on."""

    def __post_init__(self) -> None:
        """Fill in the skills ahead."""
        if self.ahead_BL is None:
            self.ahead_BL = self.student_B.new_empty(len(self.student_B), 0)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)}
        return Batch(**moved)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from which copies to a GPU run beside computation."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})

    def __len__(self) -> int:
        """Number of windows."""
        return self.student_B.shape[0]


def shift(x: Tensor, first: float | Tensor = 0.0) -> Tensor:
    """State before each step: y[:, 0] = first, y[:, t] = x[:, t-1]; shape [B, T, ...] as given."""
    start = first.to(x).expand_as(x[:, :1]) if isinstance(first, Tensor) else torch.full_like(x[:, :1], first)
    return torch.cat([start, x[:, :-1]], dim=1)
