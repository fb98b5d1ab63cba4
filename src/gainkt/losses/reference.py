"""Loss terms that align Encoder 2 with a reference model, over scored steps only (l_23)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError, nearest
from gainkt.losses.base import masked_mean
from gainkt.losses.gains import LEAST_VARIANCE
from gainkt.losses.prediction import divergence
from gainkt.model import GainKT, Output
from gainkt.model.readout import mean
from gainkt.references.targets import Targets

FORMS = ("averaged", "per_step", "standardized")
KINDS = ("static", "dynamic")


class Alignment(nn.Module):
    """Weights and settings of the terms; what they compare with is a reference model's `Targets`.

    l_21               KL(reference's probability || p2), nats: 0 where p2 says the same, unlike the cross-entropy
    l_22               mean over skills of (offset - reference's difficulty)^2
    l_23               (theta - reference's ability)^2, theta = readiness for the step's skills before the step:
                       averaged over a window before it is compared, at each step, or against z-scores of the reference
    theta_scale        (std of theta - target)^2
    mastery_alignment  mean over the step's skills of (mastery - reference's mastery)^2, before the step
    gain_alignment     1 - Pearson correlation of the gains of practised skills with the reference's learning rates

    Every mean is over scored steps (gains: valid ones); padding enters none.
    Source: the research line's l_21, l_22, l_23, KL in place of the cross-entropy, which cannot fall
    under the entropy of the reference.
    """

    def __init__(
        self,
        *,
        l_21: float = 0.0,
        l_22: float = 0.0,
        l_23: float = 0.0,
        l_23_form: str = "per_step",
        l_23_ability: str = "dynamic",
        theta_scale: float = 0.0,
        theta_scale_target: float | None = None,
        mastery_alignment: float = 0.0,
        gain_alignment: float = 0.0,
    ) -> None:
        """Keep the weights (0 switches a term off) and settings.

        Raises:
            ConfigError: a form or kind that does not exist.
        """
        super().__init__()
        for name, value, known in (("l_23_form", l_23_form, FORMS), ("l_23_ability", l_23_ability, KINDS)):
            if value not in known:
                raise ConfigError(f"{name}={value}: choose one of {', '.join(known)}{nearest(value, known)}")
        self.form, self.kind, self.scale_target = l_23_form, l_23_ability, theta_scale_target
        self.weights = {
            "l_21": l_21,
            "l_22": l_22,
            "l_23": l_23,
            "theta_scale": theta_scale,
            "mastery_alignment": mastery_alignment,
            "gain_alignment": gain_alignment,
        }
        for name, weight in self.weights.items():
            if not weight >= 0:
                raise ConfigError(f"{name}={weight}: a weight is 0 or more")
        self.terms: dict[str, Callable[[Output, Batch], Tensor]] = {name: getattr(self, name) for name in self.weights}
        self.targets: Targets | None = None

    def start(self, model: GainKT, targets: Targets | None) -> None:
        """Take in the targets of the training students.

        Raises:
            ConfigError: there is no reference, or model or reference lack what a term compares.
        """
        if targets is None:
            raise ConfigError("loss.alignment: nothing to align with; choose a reference, reference=rasch say")
        if (self.weights["l_23"] or self.weights["theta_scale"]) and not model.readiness.inferred:
            raise ConfigError(
                "loss.alignment.l_23, theta_scale: the model infers no ability; choose model/readiness=ability (or "
                "student), or set both to 0"
            )
        if self.weights["l_22"] and not model.curve.offset.per_skill:
            raise ConfigError(
                "loss.alignment.l_22: needs an offset for each skill, and model.curve.offset is one for all; choose "
                "model/curve=rasch or per_skill, or set loss.alignment.l_22=0"
            )
        if self.weights["gain_alignment"] and targets.learn_rate_K is None:
            raise ConfigError(
                "loss.alignment.gain_alignment: the reference knows no learning; choose reference=bkt or pfa, or set "
                "loss.alignment.gain_alignment=0"
            )
        self.targets = targets

    def l_21(self, output: Output, batch: Batch) -> Tensor:
        """Mean over scored steps of KL(q || p2), q the reference's probability, nats."""
        return masked_mean(divergence(self._known.probability(batch), output.logit2_BT), batch.scored_BT)

    def l_22(self, output: Output, batch: Batch) -> Tensor:
        """Mean over skills of the squared distance of offset and difficulty, logits^2."""
        return (output.offset_K - self._known.difficulty_K).square().mean()

    def l_23(self, output: Output, batch: Batch) -> Tensor:
        """Mean over scored steps (averaged: over windows) of the squared distance of abilities, logits^2."""
        theta_BT, scored = output.readiness_BT(batch), batch.scored_BT
        ability_BT = self._known.ability(batch, self.kind)
        if self.form == "averaged":
            count_B = scored.sum(1)
            means = [(x * scored).sum(1) / count_B.clamp_min(1) for x in (theta_BT, ability_BT)]
            return masked_mean((means[0] - means[1]).square(), count_B > 0)
        if self.form == "standardized":
            centre, spread = self._known.spreads[self.kind]
            ability_BT = (ability_BT - centre) / max(spread, LEAST_VARIANCE)
        return masked_mean((theta_BT - ability_BT).square(), scored)

    def theta_scale(self, output: Output, batch: Batch) -> Tensor:
        """Squared distance of theta's standard deviation over scored steps from the target, logits^2."""
        theta_BT, scored = output.readiness_BT(batch), batch.scored_BT
        variance = masked_mean((theta_BT - masked_mean(theta_BT, scored)).square(), scored)
        asked = self.scale_target
        if asked is None:
            asked = 1.0 if self.form == "standardized" else self._known.spreads[self.kind][1]
        return (variance.clamp_min(LEAST_VARIANCE).sqrt() - asked).square()

    def mastery_alignment(self, output: Output, batch: Batch) -> Tensor:
        """Mean over scored steps of the squared distance of masteries, mean over the step's skills; in [0, 1]."""
        squares_BTS = (output.mastery_before_BTS - self._known.mastery(batch)).square()
        return masked_mean(mean(squares_BTS, batch.has_skill_BTS), batch.scored_BT)

    def gain_alignment(self, output: Output, batch: Batch) -> Tensor:
        """1 - correlation over valid (step, skill) slots of gain and learning rate; 1 where either does not vary."""
        assert self._known.learn_rate_K is not None
        has = batch.has_skill_BTS
        gain_BTS, rate_BTS = output.axis.read(output.gains_BTC), self._known.learn_rate_K[batch.skills_BTS]
        x, y = (z - masked_mean(z, has) for z in (gain_BTS, rate_BTS))
        variances = [masked_mean(z**2, has).clamp_min(LEAST_VARIANCE) for z in (x, y)]
        return 1 - masked_mean(x * y, has) / (variances[0] * variances[1]).sqrt()

    @property
    def _known(self) -> Targets:
        assert self.targets is not None, "Loss.start() was not called"
        return self.targets
