"""A skill that a trained model does not know, taken for a typical one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.model.gainkt import GainKT


@torch.no_grad()
def with_typical_skills(trained: nn.Module, wider: GainKT, num_skills: int) -> GainKT:
    """Return `wider`, a model of the same parts for more skills, with a trained model's weights.

        w[k] = mean over the skills j that were trained of w[j], for each skill k beyond them

    w is whatever a part keeps of a skill: vectors, weights and bias of a gain, parameters of a curve before they are
    bounded. Practice and mastery of each such skill are its own. Predictions on other skills stay as they were, but
    for parts that compare all skills.

    Args:
        trained: a model of `num_skills` skills; not changed.
        wider: a model whose tensors have more entries where they go by skill: v (K + n) in place of v K, the K of one
            variant (a response, say) before those of the next.
        num_skills: K.
    """
    kept = trained.state_dict()
    wider.load_state_dict(
        {name: _widened(kept[name], want.shape, num_skills) for name, want in wider.state_dict().items()}
    )
    return wider


def _widened(tensor: Tensor, shape: torch.Size, num_skills: int) -> Tensor:
    for axis, size in enumerate(shape):
        if tensor.shape[axis] == size:
            continue
        variants = tensor.shape[axis] // num_skills
        by_skill = tensor.unflatten(axis, (variants, num_skills))
        more = by_skill.mean(axis + 1, keepdim=True).repeat_interleave(size // variants - num_skills, axis + 1)
        tensor = torch.cat([by_skill, more], axis + 1).flatten(axis, axis + 1)
    return tensor
