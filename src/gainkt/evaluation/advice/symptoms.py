"""What the rules of the decision tree look for in a run; each answers with the number and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gainkt.evaluation.advice.run_state import RunState
from gainkt.evaluation.check import LEVELS
from gainkt.evaluation.scorecard.immediate_checks import YARDSTICK_AUC

STRUCTURAL = ("reachable_range", "saturation", "gains", "left_over", "parameters")
SEVERAL = 2
"""Structural causes from which repairing one at a time is the long way."""
MOST = 0.5
"""Share of gains, cells or steps from which a thing is a cause (gainkt.evaluation.diagnosis.causes)."""
WORTH = 0.005
"""AUC from which an offset for each skill is worth having."""
MIN_FALL = 0.02
"""AUC that permuting a student's gains must cost, or the prediction does not come from them."""
MIN_FALL_OF_SIZES = 0.005
"""AUC that holding each gain at its mean must cost, or responses in the gains add nothing to counting opportunities."""
NEAR_CEILING = 0.9
"""Share of the attainable correlation from which nothing is worth gaining."""
BEHIND = 0.005
"""AUC by which Encoder 1 may lie behind Encoder 2, or behind its own best epoch."""
OVERFIT = 0.03
"""Encoder 1's training AUC less its validation AUC, from which it overfits."""
RISING = 0.002
"""AUC gained in the last epoch, from which training stopped too early."""


@dataclass(frozen=True)
class Symptom:
    """What was seen in a run.

    Attributes:
        text: one sentence with the number and what it is compared with.
        value, threshold: that number, and what it is compared with; None where there is no single one.
        auc, nats: headroom in AUC and log loss, as far as the tables tell.
    """

    text: str
    value: float | None = None
    threshold: float | None = None
    auc: float | None = None
    nats: float | None = None


Look = Callable[[RunState], Symptom | None]


def short(name: str, level: str = "target", headroom: str = "") -> Look:
    """Look for a check that misses a level; `headroom`: the finding that tells what it costs."""

    def look(run: RunState) -> Symptom | None:
        check, missed = run.check(name), run.missed(name, level)
        if check is None or missed is None:
            return None
        needs = check["thresholds"][missed]
        asked = " and ".join(
            f"{'' if need['of'] == 'value' else need['of'] + ' '}{need['relation']} {need['bound']:g}" for need in needs
        )
        text = f"{check['title']}: {check['value']:.3g} ({asked} asked at {missed}). {check['reading']}"
        bound = needs[-1]["bound"] if needs[-1]["of"] == "value" else None
        return Symptom(text, float(check["value"]), bound, **run.headroom(headroom))

    return look


def cause(name: str, text: str, value: str, threshold: float, *, above: bool = False) -> Look:
    """Look for a cause of the diagnosis.

    Args:
        name: of the finding.
        text: with fields for what the finding measured, its `verdict` and its headroom in `auc`.
        value: the field that the threshold is for.
        threshold: what it is compared with.
        above: whether only a value above it counts.
    """

    def look(run: RunState) -> Symptom | None:
        found = run.cause(name)
        if found is None:
            return None
        headroom = run.headroom(name)
        fields = {**found["measured"], **headroom, "verdict": found["verdict"]}
        if fields[value] is None or (above and fields[value] <= threshold):
            return None
        return Symptom(text.format(**fields), fields[value], threshold, **headroom)

    return look


gains_elsewhere = cause(
    "gains",
    "{to_skills_not_practised:.0%} of all gains go to skills not practised (half at most)",
    "to_skills_not_practised",
    MOST,
    above=True,
)
gains_alike = short("t6_response_conditional", headroom="gains")


def unstable(run: RunState) -> Symptom | None:
    """NaN, Inf or an unbounded gradient."""
    check = run.check("stability")
    if check is None or check["verdict"] != "fail":
        return None
    more = check["further"]
    return Symptom(check["reading"], more.get("gradient_norm_max"), more.get("gradient_bound"))


def wrong_skill(run: RunState) -> Symptom | None:
    """Steps scored against another skill's mastery (cause 4)."""
    found = run.finding("wrong_skill")
    if found is None:
        return None
    count = found["measured"]["mastery_mismatches"] + found["measured"]["p2_mismatches"]
    return Symptom(f"{found['verdict']} (0 asked)", count, 0) if count else None


def starved(run: RunState) -> Symptom | None:
    """An L2 penalty beside a weak Encoder 2 (the seventh cause)."""
    decay, auc = run.number("optimizer.weight_decay", 0.0), run.value("encoder2_auc")
    if not decay or auc is None or auc > (strong := run.bound("encoder2_auc", "optimal")):
        return None
    text = f"optimizer.weight_decay is {decay:g} and Encoder 2's AUC {auc:.3f} (over {strong:g} is strong)"
    found = run.finding("left_over")
    if found is not None and not found["measured"]["is_the_gain"]:
        text += f"; its artefact has a std of {found['measured']['left_over']['std']:.4f}"
    return Symptom(text, auc, strong)


def several_causes(run: RunState) -> Symptom | None:
    """Several structural causes at once."""
    names = [name for name in STRUCTURAL if run.cause(name) is not None]
    if len(names) < SEVERAL:
        return None
    listed = ", ".join("artefact" if name == "left_over" else name.replace("_", " ") for name in names)
    text = f"{len(names)} structural causes at once: {listed} (from {SEVERAL} on, one at a time is the long way)"
    return Symptom(text, len(names), SEVERAL, **run.headroom("agreement"))


def weak(run: RunState) -> Symptom | None:
    """Encoder 2's AUC under target."""
    found = short("encoder2_auc")(run)
    return found and replace(found, auc=run.lead)


def constant_gain(run: RunState) -> Symptom | None:
    """A gain that really is uniform: the artefact is the gain, or the gain at the practised skill hardly varies."""
    found = run.cause("left_over")
    if found is None or run.check("gain_std") is None:
        return short("gain_std", "minimum", "gains")(run)
    minimum = run.bound("gain_std", "minimum")
    text = f"{found['verdict']} (over {minimum} asked)"
    return Symptom(text, found["measured"]["gain"]["std"], minimum, **run.headroom("gains"))


def crowded(run: RunState) -> Symptom | None:
    """More skills moved at a step than T2 allows."""
    found = short("t2_sparse_activation")(run)
    return found if found and (found.value or 0) > run.bound("t2_sparse_activation", "target") else None


def small_gains(run: RunState) -> Symptom | None:
    """Gains too small to count: no skill moved at the median step, or too little difference between skills."""
    moved = run.value("t2_sparse_activation")
    if moved is not None and moved < 1:
        return short("t2_sparse_activation")(run)
    return short("t1_gain_differentiation", "minimum")(run)


def steered(run: RunState) -> Symptom | None:
    """Other loss terms that steer the gains."""
    found = run.cause("gradients")
    if found is None:
        return None
    own = found["measured"]["gain_head"]["last"].get("bce2", 0.0)
    return Symptom(f"{found['verdict']} (half or more must be bce2 at the gain head)", own, MOST)


def below_ceiling(run: RunState) -> Symptom | None:
    """Mastery that is monotone and goes with the responses less than it could."""
    check = run.check("mastery_response_correlation") or {"value": None}
    if check["value"] is None or not (ceiling := check["ceiling"]) or holds(run):
        return None
    share = check["value"] / ceiling
    text = f"mastery goes with the next response at r = {check['value']:.3f}, {share:.0%} of the {ceiling:.3f} "
    text += f"attainable ({NEAR_CEILING:.0%} is near)"
    return Symptom(text, share, NEAR_CEILING, run.lead) if check["value"] < NEAR_CEILING * ceiling else None


def gains_not_needed(run: RunState) -> Symptom | None:
    """A prediction that does not come from the gains: neither permuted, nor by the stricter question of their sizes."""
    gains, sizes = run.fall("gains"), run.fall("gain_sizes")
    if gains is None or max(gains, sizes or 0.0) >= MIN_FALL:
        return None
    text = f"permuting a student's gains costs {gains:.3f} AUC ({MIN_FALL} asked)"
    sized = [] if sizes is None else [f"each gain at its mean {sizes:.3f}"]
    return Symptom(", ".join([text, *sized, *_belief_falls(run)]), gains, MIN_FALL)


def only_counting(run: RunState) -> Symptom | None:
    """Gains whose sizes add nothing to counting opportunities."""
    sizes = run.fall("gain_sizes")
    if sizes is None or sizes >= MIN_FALL_OF_SIZES:
        return None
    text = f"each gain at its mean costs {sizes:.3f} AUC ({MIN_FALL_OF_SIZES} asked)"
    return Symptom(", ".join([text, *_belief_falls(run)]), sizes, MIN_FALL_OF_SIZES)


def _belief_falls(run: RunState) -> list[str]:
    falls = {part: run.fall(part) for part in ("readiness", "velocity")}
    return [f"{part} at its mean {fall:.3f}" for part, fall in falls.items() if fall is not None]


def encoder1_weak(run: RunState) -> Symptom | None:
    """An Encoder 1 that is no yardstick: weak, or behind Encoder 2."""
    auc, lead = run.further("encoder1_auc"), run.lead
    if auc is not None and auc < YARDSTICK_AUC:
        return Symptom(f"Encoder 1's AUC is {auc:.3f} (under {YARDSTICK_AUC} it is no yardstick)", auc, YARDSTICK_AUC)
    if auc is None or lead is None or lead >= -BEHIND:
        return None
    text = f"Encoder 1 lies {-lead:.3f} AUC behind Encoder 2, which it should bound (up to {BEHIND} is noise)"
    return Symptom(text, lead, -BEHIND)


def encoder1_falls(run: RunState) -> Symptom | None:
    """An Encoder 1 that was better before the epoch that was kept."""
    best, kept = run.best_of_encoder1, run.kept
    if best is None or kept is None:
        return None
    was, now = float(best["val/encoder1_auc"]), float(kept["val/encoder1_auc"])
    text = f"Encoder 1's validation AUC was {was:.3f} in epoch {best['epoch']:.0f} and is {now:.3f} in epoch "
    text += f"{kept['epoch']:.0f}, which was kept (a fall of {BEHIND} is noise)"
    return Symptom(text, was - now, BEHIND, was - now) if not was - now <= BEHIND else None


def encoder1_overfits(run: RunState) -> Symptom | None:
    """An Encoder 1 that fits its training students much better than others."""
    kept = run.kept or {}
    if not {"train/encoder1_auc", "val/encoder1_auc"} <= kept.keys():
        return None
    train, valid = float(kept["train/encoder1_auc"]), float(kept["val/encoder1_auc"])
    text = f"Encoder 1's AUC is {train:.3f} in training and {valid:.3f} on validation (a gap of {OVERFIT} at most)"
    return Symptom(text, train - valid, OVERFIT) if train - valid > OVERFIT else None


def still_rising(run: RunState) -> Symptom | None:
    """An Encoder 2 that was still getting better when training ended."""
    column = "val/encoder2_auc"
    if run.metrics is None or run.kept is None or len(run.metrics) < 2 or column not in run.metrics:
        return None
    rise = float(run.metrics[column].iloc[-1] - run.metrics[column].iloc[-2])
    if run.kept["epoch"] != run.last_epoch or not rise > RISING:
        return None
    return Symptom(f"Encoder 2's validation AUC rose by {rise:.4f} in the last epoch (over {RISING})", rise, RISING)


def holds(run: RunState) -> Symptom | None:
    """A run at target, leaving aside what is out of reach."""
    level = run.card["level"]
    if level not in LEVELS[1:]:
        return None
    return Symptom(f"the scorecard is at {level}: 5 of 5 and 5 of 6 checks at target, what is out of reach left aside")
