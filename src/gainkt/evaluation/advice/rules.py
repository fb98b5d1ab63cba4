"""The decision tree: what is seen in a run, what it means, and which experiment comes next.

A new intervention is one more Way, put before or after those that it should be tried with.
"""

from __future__ import annotations

from collections.abc import Callable

from gainkt.evaluation.advice import experiments as ways
from gainkt.evaluation.advice import symptoms
from gainkt.evaluation.advice import training as training_symptoms
from gainkt.evaluation.advice.rule import Rule, Seen, Sighting, Way

LET_GAINS_CARRY = (
    ways.OWN_GAIN,
    ways.FASTER_GAINS,
    ways.LESS_BELIEF,
    ways.FIXED_VELOCITY,
    ways.NO_BELIEF,
    ways.DEARER_READINESS,
)
"""Ways to make gains tell what the responses say, before the belief does."""


def _intervention(name: str, look: Callable[[Seen], Sighting | None], means: str, way: Way) -> Rule:
    """A later alternative for V1-V3 (table in docs/results.md); silent elsewhere, since V4 answers by its structure."""
    return Rule(name, "intervention", lambda run: look(run) if way.open(run) else None, means, (way,))


RULES = (
    Rule(
        "unstable",
        "sound",
        symptoms.unstable,
        "Nothing measured after a broken update can be trusted; the step was too long.",
        (ways.LOWER_RATE,),
    ),
    Rule(
        "wrong_skill",
        "sound",
        symptoms.misread,
        "Cause 4: a defect of the pipeline or of the tables, no setting; every other figure is about the wrong skill.",
        (ways.GUARDS,),
    ),
    Rule(
        "falling_mastery",
        "sound",
        symptoms.falling_mastery,
        "Gains are not negative, so that this cannot be: a defect of a new part or of the tables, to be reported.",
        (ways.GUARDS,),
    ),
    Rule(
        "weight_decay",
        "starved",
        symptoms.starved,
        "Cause 7: Adam adds the L2 penalty before it normalises. Encoder 2's own gradient is small, so the penalty "
        "takes over (docs/results.md: without it V0-V3 gain .01 to .05 test AUC).",
        (ways.NO_DECAY,),
    ),
    Rule(
        "several_causes",
        "structure",
        symptoms.several_causes,
        "They hide one another, so that repairing one shows little; V4 has a part for each.",
        (ways.ALL_AT_ONCE,),
    ),
    Rule(
        "encoder2_weak",
        "structure",
        symptoms.weak,
        "Encoder 1 shows how much more can be predicted from the same histories.",
        (ways.ALL_AT_ONCE, ways.BELIEF, ways.MORE_EPOCHS),
    ),
    Rule(
        "constant_gain",
        "structure",
        symptoms.constant_gain,
        "Cause 1, for once real: the gain itself is uniform, so that practice only counts steps.",
        (ways.OWN_GAIN,),
    ),
    Rule(
        "gains_elsewhere",
        "structure",
        symptoms.gains_elsewhere,
        "Skills that gain without being practised saturate unseen, and what a step taught is lost among them.",
        (ways.OWN_GAIN, ways.SPARSER),
    ),
    Rule(
        "gains_alike",
        "structure",
        symptoms.gains_alike,
        "The less a right response teaches beyond a wrong one, the more mastery merely counts attempts.",
        (ways.OWN_GAIN, ways.BELIEF),
    ),
    Rule(
        "saturation",
        "structure",
        symptoms.saturated,
        "Cause 2: later responses cannot change mastery, so that Encoder 2 learns from a student's first steps only.",
        (ways.OWN_GAIN, ways.OWN_CURVE, ways.INFERRED_VELOCITY),
    ),
    Rule(
        "sparse_activation",
        "structure",
        symptoms.crowded,
        "A step that moves many skills cannot be read as learning one.",
        (ways.OWN_GAIN, ways.SPARSER),
    ),
    Rule(
        "one_offset",
        "structure",
        symptoms.one_offset,
        "Easy and hard skills start alike, so that gains have to make up for difficulty.",
        (ways.OWN_CURVE,),
    ),
    Rule(
        "reachable_range",
        "structure",
        symptoms.out_of_range,
        "Cause 3: threshold, temperature and level bound p2; the fall of the threshold in training follows from it.",
        (ways.LEARNT_READOUT, ways.OWN_CURVE, ways.LOWER_TEMPERATURE, ways.BELIEF),
    ),
    Rule(
        "narrow_predictions",
        "structure",
        symptoms.narrow,
        "Encoder 2 hardly tells steps apart.",
        (ways.LEARNT_READOUT, ways.OWN_CURVE, ways.BELIEF, ways.LOWER_TEMPERATURE),
    ),
    Rule(
        "other_terms_steer",
        "structure",
        symptoms.steered,
        "The gains are shaped by a term that knows no response.",
        (ways.BCE2_LEADS,),
    ),
    Rule(
        "curve_shape",
        "structure",
        symptoms.flat_curves,
        "Mastery should rise along a curve; it jumps, stays or creeps.",
        (ways.OWN_GAIN, ways.OWN_CURVE, ways.POWER_CURVE),
    ),
    Rule(
        "skill_difficulty",
        "structure",
        symptoms.skills_alike,
        "Gains should tell hard skills from easy ones.",
        (ways.OWN_GAIN, ways.OWN_CURVE, ways.ONE_UNIT),
    ),
    Rule(
        "encoder1_falls",
        "encoder1",
        training_symptoms.encoder1_falls,
        "The encoders share nothing: it is the choice of the epoch, or the time that Encoder 1 had to learn its "
        "students by heart, and no price of a good Encoder 2.",
        (ways.BOTH_SELECT, ways.MORE_DROPOUT, ways.FEWER_EPOCHS),
    ),
    Rule(
        "encoder1_overfits",
        "encoder1",
        training_symptoms.encoder1_overfits,
        "Encoder 1 learns its students by heart, so that it is a lower ceiling than the data allows.",
        (ways.SHRUNKEN_ITEMS, ways.MORE_DROPOUT, ways.FEWER_EPOCHS),
    ),
    Rule(
        "encoder1_weak",
        "encoder1",
        training_symptoms.encoder1_weak,
        "An unconstrained model that is this weak bounds nothing: ceilings read off it are too low.",
        (ways.DISTANCE_ATTENTION, ways.LSTM, ways.MORE_EPOCHS),
    ),
    Rule(
        "below_ceiling",
        "refine",
        symptoms.below_ceiling,
        "A running mastery that may not fall cannot take back what a failure disproves; a belief that is revised can. "
        "And practice that wears off says more than practice that counts for ever the same.",
        (ways.BELIEF, ways.POWER_CURVE, ways.SKILL_BELIEF),
    ),
    Rule(
        "gains_not_needed",
        "refine",
        symptoms.gains_not_needed,
        "A mastery path that does not need its gains explains nothing, however readable they look.",
        LET_GAINS_CARRY,
    ),
    Rule(
        "only_counting",
        "refine",
        symptoms.only_counting,
        "What a step taught adds nothing to counting opportunities: a stricter question than the permutation, which "
        "lets later responses in. Let gains learn faster, or the belief tell less of the responses; where none of it "
        "helps, report mastery as a count of opportunities.",
        LET_GAINS_CARRY,
    ),
    Rule(
        "small_gains",
        "refine",
        symptoms.small_gains,
        "Gain, velocity and steepness multiply, and a low temperature makes little mastery say much: where one of them "
        "is free to grow or differs between students or skills, gains may stay small.",
        (ways.FIXED_VELOCITY, ways.WIDE_READOUT, ways.ONE_UNIT, ways.SLOWER),
    ),
    Rule(
        "still_rising",
        "refine",
        training_symptoms.still_rising,
        "Training ended before Encoder 2 did.",
        (ways.MORE_EPOCHS,),
    ),
    _intervention(
        "gain_floor",
        symptoms.constant_gain,
        "Gains that cannot be uniform show whether it is uniformity that holds Encoder 2 back.",
        ways.TRY_GAIN_FLOOR,
    ),
    _intervention(
        "q_matrix",
        symptoms.gains_elsewhere,
        "Gains that start on the practised skills show whether training takes them elsewhere or merely leaves them.",
        ways.TRY_Q_MATRIX,
    ),
    _intervention(
        "gain_response",
        symptoms.gains_alike,
        "Gains that are asked to go with the response show whether a loss term can do what the gain head does not.",
        ways.TRY_GAIN_RESPONSE,
    ),
    Rule(
        "confirm",
        "confirm",
        symptoms.holds,
        "One fold and seed is one draw: it has to hold over others.",
        (ways.OVER_FOLDS_AND_SEEDS,),
    ),
)
"""In the order in which they are asked; advice is given by stage and stake."""
