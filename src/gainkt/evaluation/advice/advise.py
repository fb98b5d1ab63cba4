"""Which experiment comes next? The rules of the decision tree asked of a run, in order of expected effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gainkt.evaluation.advice.rules import RULES, STAGES, Rule
from gainkt.evaluation.advice.run_state import RunState
from gainkt.evaluation.advice.symptoms import MIN_FALL, Symptom

NOTHING = 5e-4
"""AUC and nats under which there is no headroom, however a number looks: it is refined, if at all."""


@dataclass(frozen=True)
class Reason:
    """Why an experiment is advised: the rule that spoke, what it saw, and what that means."""

    rule: str
    seen: str
    value: float | None
    threshold: float | None
    means: str


@dataclass(frozen=True)
class Advice:
    """An experiment to run next.

    Attributes:
        change: what it does differently.
        stage: of the decision tree (STAGES).
        reasons: every rule that names it.
        experiment: of conf/experiment; None for the run's own.
        overrides: settings on top of it.
        label: a word for the name of the new run; "" where the experiment has one of its own.
        module: the command, train, evaluate or diagnose.
        sweep: with -m.
        auc, nats: the largest headroom among its reasons; None where the tables cannot tell.
    """

    change: str
    stage: str
    reasons: tuple[Reason, ...]
    experiment: str | None
    overrides: tuple[str, ...]
    label: str
    module: str
    sweep: bool
    auc: float | None
    nats: float | None

    @property
    def headroom(self) -> tuple[float, float]:
        """AUC to three decimals, then log loss; an unknown headroom weighs less, and one of nothing least."""
        if self.auc is None:
            return (-1.0, 0.0)
        return (-2.0, 0.0) if _is_nothing(self) else (round(max(self.auc, 0.0), 3), self.nats or 0.0)

    def with_(self, other: Advice) -> Advice:
        """One piece of advice for the reasons of both, at the earlier stage and with the larger headroom."""
        stage, larger = min(self.stage, other.stage, key=STAGES.index), max(self, other, key=lambda one: one.headroom)
        return replace(self, stage=stage, reasons=self.reasons + other.reasons, auc=larger.auc, nats=larger.nats)


@dataclass(frozen=True)
class Report:
    """All advice on a run.

    Attributes:
        advice: in order of expected effect: by stage, then by headroom in AUC, then in log loss.
        unanswered: what was seen and has no experiment that the run has not taken.
        not_worth_chasing: what, and why: thresholds that nothing can meet, an artefact that looks like uniform gains, a
            cheap permutation of gains whose sizes are needed.
        level: that the scorecard reached.
    """

    advice: tuple[Advice, ...]
    unanswered: tuple[Reason, ...]
    not_worth_chasing: tuple[dict[str, str], ...]
    level: str

    def plain(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self)


def advise(run: RunState, rules: Sequence[Rule] = RULES) -> Report:
    """Name the experiments to run after a run.

    Rules that name the same experiment are one piece of advice. While training or tables are not sound, nothing but
    that is advised: what else was measured cannot be read.
    """
    found: dict[tuple[Any, ...], Advice] = {}
    unanswered = []
    for rule in rules:
        symptom = rule.look(run)
        if symptom is None:
            continue
        reason, experiment = (
            Reason(rule.name, symptom.text, symptom.value, symptom.threshold, rule.means),
            rule.choose(run),
        )
        if experiment is None:
            unanswered += [reason] if rule.stage != "intervention" else []
            continue
        new = Advice(
            change=experiment.change,
            stage="refine" if rule.stage == "structure" and _is_nothing(symptom) else rule.stage,
            reasons=(reason,),
            experiment=experiment.experiment,
            overrides=experiment.settings(run),
            label=experiment.label,
            module=experiment.module,
            sweep=experiment.sweep,
            auc=symptom.auc,
            nats=symptom.nats,
        )
        key = (new.module, new.experiment, new.overrides)
        found[key] = found[key].with_(new) if key in found else new
    advice = sorted(found.values(), key=lambda one: (STAGES.index(one.stage), *(-x for x in one.headroom)))
    unsound = [one for one in advice if one.stage == "sound"]
    if unsound:
        advice, unanswered = unsound, []
    return Report(tuple(advice), tuple(unanswered), tuple(_not_worth_chasing(run)), run.card["level"])


def _is_nothing(found: Symptom | Advice) -> bool:
    """Tell whether the tables show that there is no headroom."""
    return found.auc is not None and found.auc < NOTHING and (found.nats or 0.0) < NOTHING


def _not_worth_chasing(run: RunState) -> list[dict[str, str]]:
    entries = [
        {"what": f"{check['title']} at {' and '.join(beyond)}", "why": next(iter(beyond.values()))}
        for check in run.card["checks"]
        if (beyond := check.get("out_of_reach"))
    ]
    found = run.finding("left_over")
    if found is not None and not found["measured"]["is_the_gain"]:
        artefact, gain = (found["measured"][name]["std"] for name in ("left_over", "gain"))
        if gain > 10 * artefact:
            why = f"that number (std {artefact:.4f}) is the artefact's; the gain that practice sums has std {gain:.4f}"
            entries.append({"what": "uniform gains, as the research line reported them", "why": why})
    permuted, sizes = run.fall("gains"), run.fall("gain_sizes")
    if permuted is not None and sizes is not None and permuted < MIN_FALL <= sizes:
        why = f"it lets later responses in; each gain at its mean, which does not, costs {sizes:.3f} AUC"
        entries.append({"what": f"permuted gains that cost {permuted:.3f} AUC", "why": why})
    return entries
