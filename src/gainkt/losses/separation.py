"""Terms that ask for gains that differ with the skill a step practises: triplets of steps, and synthetic targets."""

from __future__ import annotations

import torch
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.losses.base import Term, masked_mean
from gainkt.model import Output

_TINY = 1e-12
"""Added under a square root, whose slope at 0 is infinite."""


class SkillTriplet(Term):
    """Steps that practise the same skill have gains alike, steps that practise others have not.

    max(0, margin + d(anchor, positive) - d(anchor, negative)), d the root mean square over skills of the difference
    of two gain vectors, in [0, 1]. Each valid step is an anchor once, with partners drawn within the batch.
    """

    encoder = 0

    needs_every_skill = True

    def __init__(self, *, margin: float) -> None:
        """Keep the margin.

        Raises:
            ConfigError: the margin is not positive, or farther than gains can be apart.
        """
        super().__init__()
        if not 0 < margin <= 1:
            raise ConfigError(f"margin={margin}: a distance between gains, over 0 and at most 1")
        self.margin = margin

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """Mean over the anchors that have both partners; 0 where none has."""
        valid = batch.valid_BT
        gains_NK = output.gains_BTC[valid]
        positive_N, negative_N, whole_N = draw_partners(batch.skills_BTS[valid], batch.has_skill_BTS[valid])
        near_N, far_N = (_distance(gains_NK, gains_NK[other]) for other in (positive_N, negative_N))
        return masked_mean((self.margin + near_N - far_N).clamp_min(0), whole_N)


def draw_partners(skills_NS: Tensor, has_skill_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw for each step one that practises the same skill and one that does not.

    A step of several skills stands for one of them, drawn too.

    Args:
        skills_NS: int64, skills of N steps; what empty slots hold is not read.
        has_skill_NS: bool, True where a slot holds a skill; at least one a step, the filled ones first.

    Returns:
        Positive and negative partner of each step, [N] int64, and whether it has both, [N] bool.
    """
    n, device = len(skills_NS), skills_NS.device
    slot, step, away = torch.rand(3, n, device=device)
    label_N = skills_NS.gather(1, (slot * has_skill_NS.sum(1)).long()[:, None])[:, 0]
    _, group_N, sizes = label_N.unique(return_inverse=True, return_counts=True)
    # Sorted by label, the steps of a skill are a run: start, start + 1, .., start + size - 1.
    order = label_N.argsort(stable=True)
    start_N, size_N = (sizes.cumsum(0) - sizes)[group_N], sizes[group_N]
    place_N = order.argsort() - start_N
    positive_N = order[start_N + (place_N + 1 + (step * (size_N - 1)).long()) % size_N]
    negative_N = order[(start_N + size_N + (away * (n - size_N)).long()) % n]
    # A step labelled with another skill may practise this one too.
    also = ((skills_NS[negative_N] == label_N[:, None]) & has_skill_NS[negative_N]).any(-1)
    return positive_N, negative_N, (size_N > 1) & (size_N < n) & ~also


def _distance(x_NK: Tensor, y_NK: Tensor) -> Tensor:
    return ((x_NK - y_NK).square().mean(-1) + _TINY).sqrt()


class GainTarget(Term):
    """Mean squared distance of the gains to synthetic ones that differ by skill and response, to pre-train Encoder 2.

    The target is level[k] for a practised skill k after a right response, ratio * level[k] after a wrong one, and 0
    for a skill not practised. The levels are spread evenly over [low, high], dealt to the skills at random.
    """

    encoder = 2  # its gains are given

    needs_every_skill = True

    def __init__(self, *, low: float, high: float, ratio: float, seed: int) -> None:
        """Keep the settings of the targets; they depend on nothing else, so that every run has the same.

        Raises:
            ConfigError: a gain or share out of range.
        """
        super().__init__()
        if not 0 <= low <= high <= 1:
            raise ConfigError(f"low={low}, high={high}: gains, from 0 to 1, the lower first")
        if not 0 <= ratio <= 1:
            raise ConfigError(f"ratio={ratio}: a share of the gain after a right response, 0 to 1")
        self.low, self.high, self.ratio, self.seed = low, high, ratio, seed

    def levels(self, num_skills: int) -> Tensor:
        """Each skill's gain after a right response, [K]."""
        order = torch.randperm(num_skills, generator=torch.Generator().manual_seed(self.seed))
        return torch.linspace(self.low, self.high, num_skills)[order]

    def forward(self, output: Output, batch: Batch) -> Tensor:
        """Mean over valid steps and skills."""
        gains_BTK = output.gains_BTC
        level_K = self.levels(gains_BTK.shape[-1]).to(gains_BTK.device)
        share_BT = self.ratio + (1 - self.ratio) * batch.response_BT
        target_BTK = output.axis.practised(batch.has_skill_BTS) * level_K * share_BT[..., None]
        return masked_mean((gains_BTK - target_BTK).square().mean(-1), batch.valid_BT)
