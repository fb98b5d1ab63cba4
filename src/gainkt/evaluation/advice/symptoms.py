"""What the rules of the decision tree look for in a run; each answers with the figure and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gainkt.evaluation.advice.rule import Seen, Sighting
from gainkt.evaluation.check import LEVELS

SEVERAL = 2
"""Structural causes from which repairing one at a time is the long way."""
STRUCTURAL = ("reachable_range", "saturation", "gains", "left_over", "parameters")
MOST = 0.5
"""Share of gains, cells or steps from which a thing is a cause (gainkt.evaluation.diagnosis.causes)."""
LEAST_CARRIED = 0.02
"""AUC that permuting a student's gains must cost, or the prediction does not come from them."""
LEAST_OF_SIZES = 0.005
"""AUC that holding each gain at its mean must cost, or responses in the gains add nothing to counting opportunities."""
NEAR_CEILING = 0.9
"""Share of the attainable correlation from which nothing is worth gaining."""


def unstable(run: Seen) -> Sighting | None:
    """NaN, Inf or an unbounded gradient."""
    check = run.check("stability")
    if check["verdict"] != "fail":
        return None
    more = check["further"]
    return Sighting(check["reading"], more.get("gradient_norm_max"), more.get("gradient_bound"))


def misread(run: Seen) -> Sighting | None:
    """Steps scored against another skill's mastery (cause 4)."""
    found = run.finding("wrong_skill")
    if found is None:
        return None
    count = found["measured"]["mastery_mismatches"] + found["measured"]["p2_mismatches"]
    return Sighting(f"{found['verdict']} (0 asked)", count, 0) if count else None


def starved(run: Seen) -> Sighting | None:
    """An L2 penalty beside a weak Encoder 2 (the seventh cause)."""
    decay, auc = run.setting("optimizer.weight_decay", 0.0), run.check("encoder2_auc")
    strong = run.bound("encoder2_auc", "optimal")
    if not decay or auc["value"] is None or auc["value"] > strong:
        return None
    text = f"optimizer.weight_decay is {decay:g} and Encoder 2's AUC {auc['value']:.3f} (over {strong:g} is strong)"
    found = run.finding("left_over")
    if found is not None and not found["measured"]["is_the_gain"]:
        text += f"; its left-over has a std of {found['measured']['left_over']['std']:.4f}"
    return Sighting(text, auc["value"], strong)


def several_causes(run: Seen) -> Sighting | None:
    """Several structural causes at once."""
    names = [name for name in STRUCTURAL if run.cause(name) is not None]
    if len(names) < SEVERAL:
        return None
    listed = ", ".join(name.replace("_", " ") for name in names)
    text = f"{len(names)} structural causes at once: {listed} (from {SEVERAL} on, one at a time is the long way)"
    return Sighting(text, len(names), SEVERAL, **_of(run.finding("agreement")))


def weak(run: Seen) -> Sighting | None:
    """Encoder 2's AUC under target."""
    return _short(run, "encoder2_auc", stake={"stake": {"auc": run.lead, "nats": None}})


def constant_gain(run: Seen) -> Sighting | None:
    """A gain that really is uniform: the left-over is the gain, or the gain at the practised skill hardly varies."""
    found, least = run.cause("left_over"), run.bound("gain_std", "minimum")
    if found is None:
        return _short(run, "gain_std", "minimum", run.finding("gains"))
    std = found["measured"]["gain"]["std"]
    return Sighting(f"{found['verdict']} (over {least} asked)", std, least, **_of(run.finding("gains")))


def saturated(run: Seen) -> Sighting | None:
    """Practice that no longer moves mastery (cause 2)."""
    found = run.cause("saturation")
    if found is None:
        return None
    share, other = (found["measured"][which] for which in ("practised", "other"))
    text = f"{share:.0%} of practised (half at most) and {other:.0%} of other (step, skill) cells are saturated"
    return Sighting(text, share, MOST, **_of(found))


def gains_elsewhere(run: Seen) -> Sighting | None:
    """Gains that go to skills which the step does not practise."""
    found = run.cause("gains")
    if found is None or found["measured"]["to_skills_not_practised"] <= MOST:
        return None
    share = found["measured"]["to_skills_not_practised"]
    return Sighting(f"{share:.0%} of all gains go to skills not practised (half at most)", share, MOST, **_of(found))


def gains_alike(run: Seen) -> Sighting | None:
    """Gains that do not depend on the response."""
    return _short(run, "t6_response_conditional", stake=run.finding("gains"))


def crowded(run: Seen) -> Sighting | None:
    """More skills moved at a step than T2 allows."""
    check = run.check("t2_sparse_activation")
    many = check["value"] is not None and check["value"] > run.bound("t2_sparse_activation", "target")
    return _short(run, "t2_sparse_activation") if many else None


def small_gains(run: Seen) -> Sighting | None:
    """Gains too small to count: no skill moved at the median step, or too little difference between skills."""
    check = run.check("t2_sparse_activation")
    if check["value"] is not None and check["value"] < 1:
        return _short(run, "t2_sparse_activation")
    return _short(run, "t1_gain_differentiation", "minimum")


def flat_curves(run: Seen) -> Sighting | None:
    """Curves that do not bend like learning curves."""
    return _short(run, "t4_curve_shape")


def skills_alike(run: Seen) -> Sighting | None:
    """Easy and hard skills that gain alike."""
    return _short(run, "t5_skill_difficulty")


def one_offset(run: Seen) -> Sighting | None:
    """Skills that all start at the same mastery."""
    found = run.cause("parameters")
    if found is None:
        return None
    text = f"all skills start at one offset, and knowing each skill's level would add {found['stake']['auc']:.3f} AUC"
    return Sighting(f"{text} (over 0.005 is worth having)", found["stake"]["auc"], 0.005, **_of(found))


def out_of_range(run: Seen) -> Sighting | None:
    """Probabilities that Encoder 2 cannot say (cause 3)."""
    found = run.cause("reachable_range")
    if found is None:
        return None
    share = found["measured"]["steps_out_of_reach"]
    return Sighting(f"{found['verdict']} (half of the steps at most)", share, MOST, **_of(found))


def narrow(run: Seen) -> Sighting | None:
    """Predictions that do not spread."""
    return _short(run, "prediction_range")


def steered(run: Seen) -> Sighting | None:
    """Other loss terms that steer the gains."""
    found = run.cause("gradients")
    if found is None:
        return None
    own = found["measured"]["gain_head"]["last"].get("bce2", 0.0)
    return Sighting(f"{found['verdict']} (half or more must be bce2 at the gain head)", own, 0.5)


def falling_mastery(run: Seen) -> Sighting | None:
    """Mastery that falls at a fixed belief."""
    return _short(run, "t3_monotonicity")


def below_ceiling(run: Seen) -> Sighting | None:
    """Mastery that is monotone and goes with the responses less than it could."""
    check = run.check("mastery_response_correlation")
    ceiling = check["ceiling"]
    if check["value"] is None or not ceiling or check["value"] >= NEAR_CEILING * ceiling or holds(run):
        return None
    share = check["value"] / ceiling
    text = (
        f"mastery goes with the next response at r = {check['value']:.3f}, {share:.0%} of the {ceiling:.3f} attainable "
    )
    return Sighting(f"{text}({NEAR_CEILING:.0%} is near)", share, NEAR_CEILING, run.lead)


def gains_not_needed(run: Seen) -> Sighting | None:
    """A prediction that does not come from the gains: neither permuted, nor by the stricter question of their sizes."""
    gains, sizes = run.fall("gains"), run.fall("gain_sizes")
    if gains is None or max(gains, sizes or 0.0) >= LEAST_CARRIED:
        return None
    text = f"permuting a student's gains costs {gains:.3f} AUC ({LEAST_CARRIED} asked)"
    sized = [] if sizes is None else [f"each gain at its mean {sizes:.3f}"]
    return Sighting(", ".join([text, *sized, *_carried_by_belief(run)]), gains, LEAST_CARRIED)


def only_counting(run: Seen) -> Sighting | None:
    """Gains whose sizes add nothing to counting opportunities."""
    sizes = run.fall("gain_sizes")
    if sizes is None or sizes >= LEAST_OF_SIZES:
        return None
    text = f"each gain at its mean costs {sizes:.3f} AUC ({LEAST_OF_SIZES} asked)"
    return Sighting(", ".join([text, *_carried_by_belief(run)]), sizes, LEAST_OF_SIZES)


def _carried_by_belief(run: Seen) -> list[str]:
    falls = {part: run.fall(part) for part in ("readiness", "velocity")}
    return [f"{part} at its mean {fall:.3f}" for part, fall in falls.items() if fall is not None]


def holds(run: Seen) -> Sighting | None:
    """A run at target, leaving aside what is out of reach."""
    level = run.card["level"]
    if level not in LEVELS[1:]:
        return None
    return Sighting(f"the scorecard is at {level}: 5 of 5 and 5 of 6 checks at target, what is out of reach left aside")


def _short(run: Seen, name: str, level: str = "target", stake: Mapping[str, Any] | None = None) -> Sighting | None:
    """A check that misses a level which is not out of reach; `stake`: the finding that tells what is at stake."""
    if not run.short(name, level):
        return None
    check = run.check(name)
    missed = next(step for step in LEVELS if run.short(name, step))
    needs = check["thresholds"][missed]
    asked = " and ".join(
        f"{'' if need['of'] == 'value' else need['of'] + ' '}{need['relation']} {need['bound']:g}" for need in needs
    )
    text = f"{check['title']}: {check['value']:.3g} ({asked} asked at {missed}). {check['reading']}"
    bound = needs[-1]["bound"] if needs[-1]["of"] == "value" else None
    return Sighting(text, float(check["value"]), bound, **_of(stake))


def _of(finding: Mapping[str, Any] | None) -> dict[str, float | None]:
    """AUC and log loss at stake in a finding."""
    stake = (finding or {}).get("stake") or {}
    return {"auc": stake.get("auc"), "nats": stake.get("nats")}
