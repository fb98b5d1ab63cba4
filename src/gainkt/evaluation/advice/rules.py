"""The decision tree: what is seen in a run, what it means, and which experiments come next, the first open one first.

A new intervention is one more Experiment, put before or after those that it should be tried with.
"""

from __future__ import annotations

from dataclasses import dataclass

from gainkt.evaluation.advice import experiments as to
from gainkt.evaluation.advice import symptoms
from gainkt.evaluation.advice.experiments import Experiment
from gainkt.evaluation.advice.run_state import RunState
from gainkt.evaluation.advice.symptoms import MOST, WORTH, Look, cause, short

STAGES = ("sound", "starved", "structure", "encoder1", "refine", "intervention", "confirm")
"""In the order of the decision tree: nothing else can be read while training or tables are not sound; a starved
Encoder 2 makes every other cause look worse; structure decides most; then Encoder 1, then what is left; interventions
within V1-V3 answer questions of their own; what holds is confirmed."""


@dataclass(frozen=True)
class Rule:
    """A row of the decision tree: its stage, what to look for, the experiments to name, and what the symptom means."""

    name: str
    stage: str
    look: Look
    experiments: tuple[Experiment, ...]
    means: str

    def choose(self, run: RunState) -> Experiment | None:
        """The first experiment that the run has not taken already."""
        return next((experiment for experiment in self.experiments if experiment.open(run)), None)


LET_GAINS_CARRY = (to.OWN_GAIN, to.FASTER_GAINS, to.LESS_BELIEF, to.FIXED_VELOCITY, to.NO_BELIEF, to.SMALLER_READINESS)
"""Experiments that make gains tell what the responses say, before the belief does."""

# fmt: off
RULES = (
    Rule("unstable", "sound", symptoms.unstable, (to.LOWER_RATE,),
         "Nothing measured after a broken update can be trusted; the step was too long."),
    Rule("wrong_skill", "sound", symptoms.wrong_skill, (to.GUARDS,),
         "Cause 4: a defect of the pipeline or of the tables, no setting; every other number is about the wrong "
         "skill."),
    Rule("falling_mastery", "sound", short("t3_monotonicity"), (to.GUARDS,),
         "Gains are not negative, so that this cannot be: a defect of a new part or of the tables, to be reported."),
    Rule("weight_decay", "starved", symptoms.starved, (to.NO_DECAY,),
         "Cause 7: Adam adds the L2 penalty before it normalises. Encoder 2's own gradient is small, so the penalty "
         "takes over (docs/results.md: without it V0-V3 gain .01 to .05 test AUC)."),
    Rule("several_causes", "structure", symptoms.several_causes, (to.ALL_AT_ONCE,),
         "They hide one another, so that repairing one shows little; V4 has a part for each."),
    Rule("encoder2_weak", "structure", symptoms.weak, (to.ALL_AT_ONCE, to.BELIEF, to.MORE_EPOCHS),
         "Encoder 1 shows how much more can be predicted from the same histories."),
    Rule("constant_gain", "structure", symptoms.constant_gain, (to.OWN_GAIN,),
         "Cause 1, for once real: the gain itself is uniform, so that practice only counts steps."),
    Rule("gains_elsewhere", "structure", symptoms.gains_elsewhere, (to.OWN_GAIN, to.SPARSER),
         "Skills that gain without being practised saturate unseen, and what a step taught is lost among them."),
    Rule("gains_alike", "structure", symptoms.gains_alike, (to.OWN_GAIN, to.BELIEF),
         "The less a right response teaches beyond a wrong one, the more mastery merely counts attempts."),
    Rule("saturation", "structure",
         cause("saturation", "{practised:.0%} of practised (half at most) and {other:.0%} of other (step, skill) cells "
               "are saturated", "practised", MOST),
         (to.OWN_GAIN, to.OWN_CURVE, to.INFERRED_VELOCITY),
         "Cause 2: later responses cannot change mastery, so that Encoder 2 learns from a student's first steps only."),
    Rule("sparse_activation", "structure", symptoms.crowded, (to.OWN_GAIN, to.SPARSER),
         "A step that moves many skills cannot be read as learning one."),
    Rule("one_offset", "structure",
         cause("parameters", "all skills start at one offset, and knowing each skill's level would add {auc:.3f} AUC "
               f"(over {WORTH} is worth having)", "auc", WORTH),
         (to.OWN_CURVE,), "Easy and hard skills start alike, so that gains have to make up for difficulty."),
    Rule("reachable_range", "structure",
         cause("reachable_range", "{verdict} (half of the steps at most)", "steps_out_of_reach", MOST),
         (to.LEARNT_READOUT, to.OWN_CURVE, to.LOWER_TEMPERATURE, to.BELIEF),
         "Cause 3: threshold, temperature and level bound p2; the fall of the threshold in training follows from it."),
    Rule("narrow_predictions", "structure", short("prediction_range"),
         (to.LEARNT_READOUT, to.OWN_CURVE, to.BELIEF, to.LOWER_TEMPERATURE), "Encoder 2 hardly tells steps apart."),
    Rule("other_terms_steer", "structure", symptoms.steered, (to.BCE2_LEADS,),
         "The gains are shaped by a term that knows no response."),
    Rule("curve_shape", "structure", short("t4_curve_shape"), (to.OWN_GAIN, to.OWN_CURVE, to.POWER_CURVE),
         "Mastery should rise along a curve; it jumps, stays or creeps."),
    Rule("skill_difficulty", "structure", short("t5_skill_difficulty"), (to.OWN_GAIN, to.OWN_CURVE, to.ONE_UNIT),
         "Gains should tell hard skills from easy ones."),
    Rule("encoder1_falls", "encoder1", symptoms.encoder1_falls, (to.BOTH_SELECT, to.MORE_DROPOUT, to.FEWER_EPOCHS),
         "The encoders share nothing: it is the choice of the epoch, or the time that Encoder 1 had to overfit, and no "
         "cost of a good Encoder 2."),
    Rule("encoder1_overfits", "encoder1", symptoms.encoder1_overfits,
         (to.SHRUNKEN_ITEMS, to.MORE_DROPOUT, to.FEWER_EPOCHS),
         "Encoder 1 overfits its training students, so that it is a lower ceiling than the data allows."),
    Rule("encoder1_weak", "encoder1", symptoms.encoder1_weak,
         (to.FASTER_ITEMS, to.DISTANCE_ATTENTION, to.LSTM, to.MORE_EPOCHS),
         "An unconstrained model that is this weak bounds nothing: ceilings read off it are too low."),
    Rule("below_ceiling", "refine", symptoms.below_ceiling,
         (to.FASTER_ITEMS, to.BELIEF, to.POWER_CURVE, to.SKILL_BELIEF),
         "Difficulties of items that have not come far leave to mastery what items explain. "
         "A running mastery that may not fall cannot take back what a failure disproves; a belief that is revised can. "
         "And practice that wears off says more than practice that counts for ever the same."),
    Rule("gains_not_needed", "refine", symptoms.gains_not_needed, LET_GAINS_CARRY,
         "A mastery path that does not need its gains explains nothing, however readable they look."),
    Rule("only_counting", "refine", symptoms.only_counting, LET_GAINS_CARRY,
         "What a step taught adds nothing to counting opportunities: a stricter question than the permutation, which "
         "lets later responses in. Let gains learn faster, or the belief tell less of the responses; where none of it "
         "helps, report mastery as a count of opportunities."),
    Rule("small_gains", "refine", symptoms.small_gains, (to.FIXED_VELOCITY, to.WIDE_READOUT, to.ONE_UNIT, to.SLOWER),
         "Gain, velocity and steepness multiply, and a low temperature makes little mastery say much: where one of "
         "them is free to grow or differs between students or skills, gains may stay small."),
    Rule("still_rising", "refine", symptoms.still_rising, (to.MORE_EPOCHS,),
         "Training ended before Encoder 2 did."),
    # Later alternatives for V1-V3 (table in docs/results.md): silent elsewhere, since V4 answers by its structure.
    Rule("gain_floor", "intervention", symptoms.constant_gain, (to.TRY_GAIN_FLOOR,),
         "Gains that cannot be uniform show whether it is uniformity that holds Encoder 2 back."),
    Rule("q_matrix", "intervention", symptoms.gains_elsewhere, (to.TRY_Q_MATRIX,),
         "Gains that start on the practised skills show whether training takes them elsewhere or merely leaves them."),
    Rule("gain_response", "intervention", symptoms.gains_alike, (to.TRY_GAIN_RESPONSE,),
         "Gains that are asked to go with the response show whether a loss term can do what the gain head does not."),
    Rule("confirm", "confirm", symptoms.holds, (to.OVER_FOLDS_AND_SEEDS,),
         "One fold and seed is one draw: it has to hold over others."),
)
# fmt: on
"""In the order in which they are asked; advice is given by stage and headroom."""
