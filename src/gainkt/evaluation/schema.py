"""The tables that a scored run leaves on disk: every column with its meaning, unit and range.

predictions   one row a (student, step): what was predicted, and a summary of the gains over all skills
trajectories  one row a (student, step, skill that the step practises): what practice does
mastery       one row a (student, skill met): what a teacher reads
movement      how mastery moved at steps that do not practise the skill
skills        one row a skill: learnt parameters and mean gains

How the mastery of a student's skill moves at each step that does not practise it: `gainkt.runs.course`.
The scorecard, the diagnosis and all pictures are computed from these tables and know no model.
Rows of one student stand in order of steps; those of a history that was cut into windows may stand apart.
"""

import pyarrow as pa

FLOAT = pa.float32()
ACTIVE_GAIN = 0.1
"""Gain over which a skill counts as active at a step."""
FALL = 1e-6
"""Mastery lost at a step over which it counts as a fall."""
DROP = 0.05
"""Mastery lost at a step that does not practise the skill over which it counts as a drop."""
MASTERED = 0.7
"""True mastery from which on a skill counts as mastered, as in conf/teach.yaml."""
SATURATED_SLOPE = 0.01
"""Slope dm/dP under which practice no longer moves mastery."""

PREDICTIONS = pa.schema(
    [
        # -- what happened
        ("student", pa.string()),  # the student's name in the data
        ("step", pa.int32()),  # number of the step in the student's history, from 0
        (
            "skills",
            pa.string(),
        ),  # names of the step's skills, joined by ";"; a ";" or "\" in a name has a "\" before it
        ("item", pa.string()),  # name of the item; null where the data has none
        ("response", pa.int8()),  # 1 right, 0 wrong
        ("scored", pa.bool_()),  # False on the first step of a history
        # -- what was predicted before it
        ("p1", FLOAT),  # Encoder 1's probability of a right response, [0, 1]
        ("p2", FLOAT),  # Encoder 2's
        ("mastery", FLOAT),  # minimum mastery over the step's skills before the step, [0, 1]
        ("mastery_mean", FLOAT),  # mean mastery over the step's skills before the step
        ("item_difficulty", FLOAT),  # logits that Encoder 2 takes off for the item; 0 where it has no difficulties
        ("readiness", FLOAT),  # believed before the step, mean over its skills, logits; the ability in Rasch models
        ("velocity", FLOAT),  # believed before the step, > 0
        # -- what the step did to all K skills; of the students drawn alone, null at other steps, where K is large
        # (gain_mean to saturated_other, but for belief_falls and saturated_practised: gainkt.runs.sample)
        ("gain_practised", FLOAT),  # mean gain over the step's own skills, [0, 1]
        ("gain_mean", FLOAT),  # mean gain over all skills
        ("gain_std", FLOAT),  # standard deviation of the gains over all skills
        ("active_skills", pa.int32()),  # skills with a gain over .1
        ("mastery_falls", pa.int32()),  # skills whose curve at the final belief falls by more than 1e-6 at this step
        ("belief_falls", pa.int32()),  # skills practised before whose running mastery fell: the belief was revised
        ("saturated_practised", FLOAT),  # share of the step's own skills whose curve slope was under .01 before it
        ("saturated_other", FLOAT),  # the same share of all other skills
        ("left_over", FLOAT),  # artefact: sigmoid(mean of relu(v)), which the research line reported as the gain
        # -- ablations: Encoder 2's probability without a part (what carries the prediction)
        ("p2_gains_permuted", FLOAT),  # gains permuted over the steps of the student (window)
        ("p2_gains_mean", FLOAT),  # each gain at its mean over steps: practice counts opportunities, right or wrong
        ("p2_velocity_mean", FLOAT),  # velocity replaced by its mean; null where the model infers none
        ("p2_readiness_mean", FLOAT),  # readiness replaced by its mean; null where the model has none
        ("p2_wrong_skill", FLOAT),  # read from the skill practised last instead of the step's own
    ]
)

TRAJECTORIES = pa.schema(
    [
        ("student", pa.string()),
        ("step", pa.int32()),
        # step at which the window starts; practice is summed within it only where dataset.carry_state=false
        ("window", pa.int32()),
        ("skill", pa.string()),
        ("relevant", pa.bool_()),  # True where the step practises the skill: always, but in tables of older versions
        ("response", pa.int8()),
        ("p1", FLOAT),  # of the step, repeated for each skill
        ("p2", FLOAT),
        ("gain", FLOAT),  # gain that the skill received at the step, [0, 1]
        ("practice", FLOAT),  # sum of the history's gains so far, this step's included
        ("mastery_before", FLOAT),  # mastery before the step as it was believed then, [0, 1]
        ("mastery", FLOAT),  # mastery after the step as it was believed then, [0, 1]
        ("mastery_final", FLOAT),  # mastery after the step as it is believed at the end of the window
    ]
)

MASTERY = pa.schema(
    [
        ("student", pa.string()),
        ("skill", pa.string()),  # a skill that the student meets
        # step after which the rest holds: the last of the history, or, where dataset.carry_state=false, of the last
        # window that meets the skill
        ("step", pa.int32()),
        ("since", pa.int32()),  # step from which practice is summed: 0, or where that window starts
        ("opportunities", pa.int32()),  # steps of the whole history that practise it
        ("practice", FLOAT),  # sum of gains
        ("mastery", FLOAT),  # [0, 1]
    ]
)

MOVEMENT = pa.schema(
    [
        # two rows; of all skills at all steps that do not practise them (of students drawn where K is large)
        ("met", pa.bool_()),  # of skills that the student practised before the step; else of the others
        ("cells", pa.int64()),  # (step, skill) pairs
        # change: mastery as believed after the step less mastery as believed after the step before it
        ("mean", pa.float64()),  # of |change|; null without a cell
        ("p95", pa.float64()),  # 95th percentile of |change|, to within .2 % of it
        ("drops", pa.float64()),  # share of falls over .05
    ]
)

SKILLS = pa.schema(
    [
        ("skill", pa.string()),
        ("steps", pa.int64()),  # scored or not, steps of the split
        ("practised_steps", pa.int64()),  # steps that practise the skill
        ("responses_right", FLOAT),  # share of right responses at them
        # mean gain over all steps of all students; where K is large, those that practise other skills of students drawn
        ("gain_mean", FLOAT),
        ("gain_practised_mean", FLOAT),  # mean gain at the steps that practise it
        ("beta", FLOAT),  # learnt parameters of its curve and readout
        ("saturation", FLOAT),
        ("offset", FLOAT),
        ("experience", FLOAT),
        ("threshold", FLOAT),
        ("temperature", FLOAT),
        ("guess", FLOAT),
        ("slip", FLOAT),
        ("velocity", FLOAT),  # mean over training students (the velocity of a new one)
    ]
)


def names_in(table: pa.Schema) -> list[str]:
    """Columns of names that repeat from row to row, to be read as categories: a row costs bytes then."""
    return [field.name for field in table if field.type == pa.string() and "step" in table.names]
