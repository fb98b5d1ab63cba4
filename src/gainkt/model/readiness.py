"""Readiness.

A readiness is built as `readiness(num_skills, d_model)` and called as `readiness(moments, cells)`. One that depends on
more of the past than the states at those moments keeps numbers of each skill over the cut of a long history: it names
them in `keeps`, returns them from `keep(at_end, cells)`, [B, 1, C] each, and finds them again in `cells.kept`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gainkt.model.axis import Cells
from gainkt.model.belief import Moments, zero_linear


class NoReadiness(nn.Module):
    """Nobody knows anything beforehand that the curve's offset does not say."""

    inferred = False

    def __init__(self, num_skills: int, d_model: int) -> None:
        super().__init__()

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Zero, to broadcast."""
        return moments.now_BTD.new_zeros(1, 1, 1)


class StudentReadiness(nn.Module):
    """A readiness a student and moment, added in the argument of every skill's curve: o[t] = w . v[t]; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with w = 0."""
        super().__init__()
        self.head = zero_linear(d_model, 1)

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness at each moment, [B, T, 1]."""
        return self.head(moments.now_BTD)


class EvidenceReadiness(StudentReadiness):
    """A readiness a student and moment, and for each skill what the student's own answers on it say; starts at 0.

        o[t, k] = w . v[t] + sum over steps s < t that practise k of u . v[s + 1]

    v[n] is the state after n steps. So an answer may revise what is believed of the skill that it practises, up or
    down, without moving the others. The sums are kept over the cut of a long history.
    """

    keeps = ("evidence",)
    """Names of what `keep` returns."""

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with w = 0 and u = 0."""
        super().__init__(num_skills, d_model)
        self.evidence = zero_linear(d_model, 1, bias=False)

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness for the given cells at each moment, [B, T, C or S]."""
        return super().forward(moments, cells) + self._evidence(moments, cells)

    def keep(self, at_end: Moments, cells: Cells) -> dict[str, Tensor]:
        """What later windows need of each skill, [B, 1, C]: the evidence so far."""
        return {"evidence": self._evidence(at_end, cells)}

    def _evidence(self, moments: Moments, cells: Cells) -> Tensor:
        here = cells.own_sums(self.evidence(moments.states_BND[:, 1:]).squeeze(-1), moments.after_BT)
        return here + cells.kept["evidence"] if cells.kept else here


class Ability(nn.Module):
    """One ability a student and moment, theta[t] = MLP(v[t]): what a Rasch-like curve without practice is read from.

    With a curve of steepness and level 1, mastery is sigmoid(theta[t] - offset[k]): the offset is the difficulty.
    """

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Build a hidden layer as wide as the states; theta starts at 0."""
        super().__init__()
        self.head = nn.Sequential(nn.Linear(d_model, d_model), nn.ReLU(), zero_linear(d_model, 1))

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Ability at each moment, logits, [B, T, 1]."""
        return self.head(moments.now_BTD)


class SkillReadiness(nn.Module):
    """A readiness a skill: o[t, k] = w[k] . v[t] + b . v[t], the second part shared by all skills; starts at 0."""

    inferred = True

    def __init__(self, num_skills: int, d_model: int) -> None:
        """Start with all weights 0."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_skills, d_model))
        self.shared = nn.Parameter(torch.zeros(d_model))

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness for the given cells at each moment, [B, T, C or S]."""
        weight = self.weight + self.shared
        if cells.are_columns:
            return moments.now_BTD @ weight[cells.skills[:, 0]].transpose(-1, -2)
        return torch.einsum("btd,btsd->bts", moments.now_BTD, weight[cells.skills])


class FirstContactReadiness(SkillReadiness):
    """A readiness a skill, inferred before the student first practises it and fixed from then on.

        o[t, k] = (w[k] + b) . v[min(t, f[k])], v[n] the state after n steps, f[k] the step that first practises k

    So the mastery of a skill never falls once it is practised: what came before is a prior, revised while there is no
    practice to revise it. The priors of the skills practised are kept over the cut of a long history.
    """

    keeps = ("prior",)
    """Names of what `keep` returns."""

    def forward(self, moments: Moments, cells: Cells) -> Tensor:
        """Readiness for the given cells at each moment, [B, T, C or S]."""
        if "prior" not in cells.kept:
            return self._here(moments, cells, cells.first)
        found = self._here(moments, cells, cells.first.clamp_min(0))
        return torch.where(cells.first < 0, cells.kept["prior"], found)

    def keep(self, at_end: Moments, cells: Cells) -> dict[str, Tensor]:
        """What later windows need of each skill, [B, 1, C]: its prior, final where the skill has been practised."""
        return {"prior": self(at_end, cells)}

    def _here(self, moments: Moments, cells: Cells, first: Tensor) -> Tensor:
        """Readiness from the states of the window alone."""
        weight, states = self.weight + self.shared, moments.states_BND
        when = torch.minimum(moments.after_BT[..., None], first)
        if cells.are_columns:
            return (states @ weight[cells.skills[:, 0]].transpose(-1, -2)).gather(1, when)
        width = states.shape[2]
        prior = states.gather(1, when.flatten(1)[..., None].expand(-1, -1, width)).view(*when.shape, width)
        return torch.einsum("btsd,btsd->bts", prior, weight[cells.skills])
