"""Which experiment comes next? The rules of the decision tree asked of a run, in order of expected effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from gainkt.evaluation.advice.rule import STAGES, Rule, Seen, Sighting, Way
from gainkt.evaluation.advice.rules import RULES
from gainkt.evaluation.advice.symptoms import LEAST_CARRIED

NOTHING = 5e-4
"""AUC and nats under which nothing is at stake, however a figure looks: it is refined, if at all."""


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
        auc, nats: the most at stake among its reasons; None where the tables cannot tell.
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


@dataclass(frozen=True)
class Report:
    """All advice on a run.

    Attributes:
        advice: in order of expected effect: by stage, then by AUC at stake, then by log loss.
        unanswered: what was seen and has no way on that the run has not taken.
        not_worth_chasing: what, and why: thresholds that nothing can meet, a left-over that looks like uniform gains,
            a cheap permutation of gains whose sizes are needed.
        level: that the scorecard reached.
    """

    advice: tuple[Advice, ...]
    unanswered: tuple[Reason, ...]
    not_worth_chasing: tuple[dict[str, str], ...]
    level: str

    def plain(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self)


def advise(
    card: Mapping[str, Any],
    diagnosis: Mapping[str, Any] | None,
    config: Mapping[str, Any],
    *,
    results: Mapping[str, Any] | None = None,
    metrics: pd.DataFrame | None = None,
    num_items: int = 0,
    rules: Sequence[Rule] = RULES,
) -> Report:
    """Name the experiments to run after this one.

    Rules that name the same experiment are one piece of advice. While training or tables are not sound, nothing but
    that is advised: what else was measured cannot be read.

    Args:
        card: scorecard.json.
        diagnosis: diagnosis.json; rules that need it stay silent without.
        config: the run's resolved config.
        results: results.json; rules about epochs stay silent without it and metrics.
        metrics: metrics.csv.
        num_items: items seen in training; 0 where the data has none.
        rules: of the decision tree.
    """
    run = Seen(card, diagnosis, config, results or {}, metrics, num_items)
    found: dict[tuple[Any, ...], Advice] = {}
    unanswered = []
    for rule in rules:
        sighting = rule.look(run)
        if sighting is None:
            continue
        way = rule.way(run)
        if way is None:
            unanswered.append(_reason(rule, sighting))
            continue
        new = _advice(rule, sighting, way, run)
        key = (new.module, new.experiment, new.overrides)
        found[key] = _merged(found[key], new) if key in found else new
    advice = sorted(found.values(), key=_order)
    unsound = [entry for entry in advice if entry.stage == "sound"]
    if unsound:
        advice, unanswered = unsound, []
    return Report(tuple(advice), tuple(unanswered), tuple(_not_worth_chasing(run)), card["level"])


def _reason(rule: Rule, sighting: Sighting) -> Reason:
    return Reason(rule.name, sighting.text, sighting.value, sighting.threshold, rule.means)


def _advice(rule: Rule, sighting: Sighting, way: Way, run: Seen) -> Advice:
    return Advice(
        change=way.change,
        stage="refine" if rule.stage == "structure" and _is_nothing(sighting) else rule.stage,
        reasons=(_reason(rule, sighting),),
        experiment=way.experiment,
        overrides=way.settings(run),
        label=way.label,
        module=way.module,
        sweep=way.sweep,
        auc=sighting.auc,
        nats=sighting.nats,
    )


def _merged(old: Advice, new: Advice) -> Advice:
    """One piece of advice for both reasons, at the earlier stage and with the greater stake."""
    first, greater = min(old, new, key=_stage), max(old, new, key=_stake)
    reasons = old.reasons + new.reasons
    return replace(old, stage=first.stage, reasons=reasons, auc=greater.auc, nats=greater.nats)


def _stage(advice: Advice) -> int:
    return STAGES.index(advice.stage)


def _stake(advice: Advice) -> tuple[float, float]:
    """AUC to three decimals, then log loss; an unknown stake weighs less, and a stake of nothing least."""
    if advice.auc is None:
        return (-1.0, 0.0)
    return (-2.0, 0.0) if _is_nothing(advice) else (round(max(advice.auc, 0.0), 3), advice.nats or 0.0)


def _is_nothing(found: Sighting | Advice) -> bool:
    """Tell whether the tables show that nothing is at stake."""
    return found.auc is not None and found.auc < NOTHING and (found.nats or 0.0) < NOTHING


def _order(advice: Advice) -> tuple[float, ...]:
    return (_stage(advice), *(-stake for stake in _stake(advice)))


def _not_worth_chasing(run: Seen) -> list[dict[str, str]]:
    entries = [
        {"what": f"{check['title']} at {' and '.join(check['out_of_reach'])}", "why": next(iter(reasons))}
        for check in run.card["checks"]
        if (reasons := check["out_of_reach"].values())
    ]
    found = run.finding("left_over")
    if found is not None and not found["measured"]["is_the_gain"]:
        probe, gain = (found["measured"][name]["std"] for name in ("left_over", "gain"))
        if gain > 10 * probe:
            why = f"that number (std {probe:.4f}) is a left-over tensor; the gain that practice sums has std {gain:.4f}"
            entries.append({"what": "uniform gains, as the research line reported them", "why": why})
    permuted, sizes = run.fall("gains"), run.fall("gain_sizes")
    if permuted is not None and sizes is not None and permuted < LEAST_CARRIED <= sizes:
        why = f"it lets later responses in; each gain at its mean, which does not, costs {sizes:.3f} AUC"
        entries.append({"what": f"permuted gains that cost {permuted:.3f} AUC", "why": why})
    return entries
